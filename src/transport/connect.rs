//! Tells a fresh connection from a pooled one.
//!
//! A pooled connection may have been closed by the server while it lay idle; a request lost on it was never
//! looked at and may be sent again. On a fresh connection the same error means that the server refused this request.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tower_layer::Layer;
use tower_service::Service;

tokio::task_local! {
    static CONNECTED: Cell<bool>;
}

/// Runs one request; tells beside its result whether it opened a connection of its own.
pub(super) async fn watch<T>(request: impl Future<Output = T>) -> (T, bool) {
    CONNECTED
        .scope(Cell::new(false), async {
            let output = request.await;
            (output, CONNECTED.with(Cell::get))
        })
        .await
}

/// Marks the request whose task finishes a connection.
#[derive(Clone, Copy)]
pub(super) struct MarkFresh;

impl<S> Layer<S> for MarkFresh {
    type Service = Marked<S>;

    fn layer(&self, inner: S) -> Marked<S> {
        Marked(inner)
    }
}

#[derive(Clone)]
pub(super) struct Marked<S>(S);

impl<S, R> Service<R> for Marked<S>
where
    S: Service<R>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, target: R) -> Self::Future {
        let connecting = self.0.call(target);
        Box::pin(async move {
            let connection = connecting.await;
            // Outside of `watch`, a connection that lost the race against a pooled one finishes in a task of its own.
            let _ = CONNECTED.try_with(|connected| connected.set(true));
            connection
        })
    }
}
