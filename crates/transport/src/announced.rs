//! A request's body that tells when it goes out.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::oneshot;

/// It is read when a connection is there for its request, and not before.
pub(super) struct Announced {
    bytes: Bytes,
    /// `None` once it was read.
    announce: Option<oneshot::Sender<()>>,
}

impl Announced {
    pub fn new(bytes: Bytes, announce: oneshot::Sender<()>) -> Self {
        Self { bytes, announce: Some(announce) }
    }
}

impl Body for Announced {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(announce) = self.announce.take() else { return Poll::Ready(None) };
        // Nobody listens to what was given up.
        let _ = announce.send(());
        let bytes = std::mem::take(&mut self.bytes);
        Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
    }

    /// An empty body, too, is read once.
    fn is_end_stream(&self) -> bool {
        self.announce.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.len() as u64)
    }
}
