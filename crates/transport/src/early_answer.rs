//! Reads answers that come before their requests were sent whole.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::rt::{Read, ReadBufCursor, Write};

/// A socket whose failed writes are no failure: a server that refuses a request (413, 401) answers and closes while the
/// request is still on its way. What can be read then says what happened, the answer or the connection's end.
pub(super) struct EarlyAnswer<T> {
    socket: T,
    /// Nothing can be written any more.
    is_closed: bool,
}

impl<T> EarlyAnswer<T> {
    pub fn new(socket: T) -> Self {
        Self { socket, is_closed: false }
    }

    /// What became of writing `length` bytes, were they written or swallowed.
    fn written(&mut self, length: usize, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match result {
            Poll::Ready(Err(error)) if is_closed_by_peer(&error) => {
                self.is_closed = true;
                Poll::Ready(Ok(length))
            }
            result => result,
        }
    }
}

fn is_closed_by_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset)
}

impl<T: Read + Unpin> Read for EarlyAnswer<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(context, into)
    }
}

impl<T: Write + Unpin> Write for EarlyAnswer<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_closed {
            return Poll::Ready(Ok(bytes.len()));
        }
        let result = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.written(bytes.len(), result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = slices.iter().map(|slice| slice.len()).sum();
        if self.is_closed {
            return Poll::Ready(Ok(length));
        }
        let result = Pin::new(&mut self.socket).poll_write_vectored(context, slices);
        self.written(length, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_closed {
            return Poll::Ready(Ok(()));
        }
        let result = Pin::new(&mut self.socket).poll_flush(context).map_ok(|()| 0);
        self.written(0, result).map_ok(drop)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_closed {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use bytes::Bytes;
    use http_body_util::Full;

    use super::*;
    use crate::connection::{Connection, Request};

    /// Closed for writing while the answer has not been read yet.
    #[derive(Default)]
    struct Refusing {
        was_written_to: bool,
        was_read: bool,
    }

    impl Read for Refusing {
        fn poll_read(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
            mut into: ReadBufCursor<'_>,
        ) -> Poll<io::Result<()>> {
            if !self.was_written_to {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            if !std::mem::replace(&mut self.was_read, true) {
                into.put_slice(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n");
            }
            Poll::Ready(Ok(()))
        }
    }

    impl Write for Refusing {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
            self.was_written_to = true;
            Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn an_answer_is_read_though_the_request_cannot_be_written() {
        let mut connection = Connection::new(Box::new(Refusing::default())).await.unwrap();
        let request = Request::new(Full::new(Bytes::from_static(b"a long request")));
        let answer = connection.send(request).await;
        assert_eq!(
            answer.map(|answer| answer.status().as_u16()).map_err(|failed| failed.into_error()).unwrap(),
            413
        );
    }
}
