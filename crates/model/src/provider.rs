//! The contract between the engine and whoever answers: what a provider is asked, and what it gives.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::time::Instant;

use crate::error::{Failure, GatewayError};
use crate::{Answer, ChatRequest, EmbedCall, EventSource, Feature, KeyState, Vectors};

/// One attempt's orders: the request as the caller made it, and what routing decided about it.
#[derive(Debug, Clone)]
pub struct ProviderCall {
    pub request: Arc<ChatRequest>,
    pub model: String,
    /// The request's `maxTokens`, or the cap a strict budget sets.
    pub max_tokens: Option<u64>,
    /// In place of the provider's own timeout.
    pub timeout: Option<Duration>,
    /// Of the whole call, retries and fallbacks included.
    pub deadline: Option<Instant>,
    /// Asked before an attempt is repeated.
    pub gate: Option<Arc<dyn RetryGate>>,
}

/// Hears of each failed attempt that could be repeated, and may forbid it.
pub trait RetryGate: Send + Sync + std::fmt::Debug {
    /// `wait`: until the next attempt begins.
    fn allows(&self, error: &GatewayError, wait: Duration) -> bool;
}

/// Whether an attempt that failed like this may be repeated after `wait`.
pub fn allows_retry(gate: Option<&Arc<dyn RetryGate>>, error: &GatewayError, wait: Duration) -> bool {
    gate.is_none_or(|gate| gate.allows(error, wait))
}

impl ProviderCall {
    /// When an attempt begun now is over, given the provider's own timeout.
    pub fn attempt_deadline(&self, own: Option<Duration>) -> Option<Instant> {
        deadline_after(self.timeout.or(own), self.deadline)
    }
}

/// The end of a wait begun now, but not past the call's own deadline.
pub fn deadline_after(wait: Option<Duration>, call: Option<Instant>) -> Option<Instant> {
    let wait = wait.and_then(|wait| Instant::now().checked_add(wait));
    match (wait, call) {
        (Some(wait), Some(call)) => Some(wait.min(call)),
        (wait, call) => wait.or(call),
    }
}

/// A service that answers chat requests. Retries of its own are its own business; falling back is not.
pub trait Provider: Any + Send + Sync {
    /// The name answers and logs carry.
    fn name(&self) -> &str;

    fn family(&self) -> &str;

    fn chat<'a>(&'a self, call: &'a ProviderCall) -> BoxFuture<'a, Result<Answer, Failure>>;

    /// Opens a stream and waits for its first content: until then a failure is an ordinary failed attempt.
    fn stream<'a>(&'a self, call: &'a ProviderCall) -> BoxFuture<'a, Result<Box<dyn EventSource>, Failure>>;

    /// What in a request the provider cannot do; nothing is sent where there is something.
    fn refuses(&self, _request: &ChatRequest) -> Option<GatewayError> {
        None
    }

    /// One call for all `steps`, of which this provider's is the first; `None` where they are not reached through one and
    /// the same service that takes whole chains (Cloudflare's Universal Endpoint).
    fn universal(&self, _steps: &[(Arc<dyn Provider>, ProviderCall)]) -> Option<Box<dyn UniversalCall>> {
        None
    }

    /// A vector for each text.
    fn embed<'a>(&'a self, _call: &'a EmbedCall) -> BoxFuture<'a, Result<Vectors, Failure>> {
        Box::pin(async move { Err(Feature::Embeddings.refused_by(self.name()).into()) })
    }

    /// The ids of the models the service has now; `None`: it does not tell.
    fn models(&self) -> BoxFuture<'_, Result<Option<Vec<String>>, Failure>> {
        Box::pin(async { Ok(None) })
    }

    /// The entry's keys: which of them rest, and why. Empty: it has none.
    fn keys(&self) -> Vec<KeyState> {
        Vec::new()
    }
}

/// Waits for `work`, but not past `deadline`.
pub async fn within<T>(
    provider: &str,
    deadline: Option<Instant>,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    match deadline {
        None => work.await,
        Some(deadline) => match tokio::time::timeout_at(deadline, work).await {
            Ok(done) => done,
            Err(_) => Err(GatewayError::provider_timeout(provider).into()),
        },
    }
}

/// What a step of a chain gave, with the step's number.
pub type OfStep<T> = (usize, T);

/// A chain as one call. Its answers carry the number of the step that gave them.
pub trait UniversalCall: Send + Sync {
    fn chat(&self) -> BoxFuture<'_, Result<OfStep<Answer>, Failure>>;

    /// Opens a stream and waits for its first content.
    fn stream(&self) -> BoxFuture<'_, Result<OfStep<Box<dyn EventSource>>, Failure>>;
}
