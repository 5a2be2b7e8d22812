//! One HTTP/1.1 connection, driven by its reader.
//!
//! The usual way gives each connection a task of its own, which hands every piece of a body to the reader's task. Here
//! the reader polls the connection itself: no task is woken for a piece, and dropping the reader closes the socket.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{self, SendRequest};

use super::connect::Io;
use super::early_answer::EarlyAnswer;

pub(super) type Request = http::Request<Full<Bytes>>;

pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    driver: http1::Connection<EarlyAnswer<Box<dyn Io>>, Full<Bytes>>,
}

impl Connection {
    pub async fn new(io: Box<dyn Io>) -> hyper::Result<Self> {
        let (sender, driver) = http1::handshake(EarlyAnswer::new(io)).await?;
        Ok(Self { sender, driver })
    }

    /// Whether it can take another request; notices if the server has closed it.
    pub fn is_ready(&mut self) -> bool {
        self.drive(&mut Context::from_waker(Waker::noop())).is_pending() && self.sender.is_ready()
    }

    /// Sends `request` and waits for the response's head.
    pub async fn send(
        &mut self,
        request: Request,
    ) -> Result<http::Response<Incoming>, TrySendError<Request>> {
        let mut answer = pin!(self.sender.try_send_request(request));
        poll_fn(|context| {
            // Errors of the connection reach the response's future.
            let _ = Pin::new(&mut self.driver).poll(context);
            answer.as_mut().poll(context)
        })
        .await
    }

    fn drive(&mut self, context: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        Pin::new(&mut self.driver).poll(context)
    }
}

/// The next chunk of `body`, which arrives over `connection`; `None` at its end.
pub(super) fn poll_piece(
    connection: &mut Connection,
    mut body: &mut Incoming,
    context: &mut Context<'_>,
) -> Poll<Option<hyper::Result<Bytes>>> {
    // Both sides wake each other for every piece; as both are polled here, only the socket's wake is wanted.
    let mut quiet = Context::from_waker(Waker::noop());
    let mut waits = false;
    loop {
        match Pin::new(&mut body).poll_frame(&mut quiet) {
            Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) if !data.is_empty() => return Poll::Ready(Some(Ok(data))),
                _ => waits = false,
            },
            Poll::Ready(end) => return Poll::Ready(end.and_then(Result::err).map(Err)),
            Poll::Pending if waits => return Poll::Pending,
            Poll::Pending => {
                // Errors of the connection reach the body.
                let _ = connection.drive(context);
                waits = true;
            }
        }
    }
}
