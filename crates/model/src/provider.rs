//! The contract between the engine and whoever answers: what a provider is asked, and what it gives.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::time::Instant;

use crate::error::{Failure, GatewayError};
use crate::event_source::OpenedStream;
use crate::retry::RetryPolicy;
use crate::{Answer, ChatRequest, EmbedCall, Feature, KeyState, Vectors};

pub use crate::deadline::{deadline_after, within};

/// One attempt: the request as the caller made it, and what routing decided about it.
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
    pub sent: SentMark,
}

/// Whether a request has gone out: from then on it may be charged, whatever becomes of it.
#[derive(Debug, Default)]
pub struct SentMark {
    is_set: AtomicBool,
    is_resent: AtomicBool,
}

impl SentMark {
    pub fn set(&self) {
        self.is_set.store(true, Ordering::Relaxed);
    }

    /// Says that its connection lost the request, which is sent again.
    pub fn set_resent(&self) {
        self.is_resent.store(true, Ordering::Relaxed);
    }

    /// Whether that was said; it is not any more.
    pub fn take_resent(&self) -> bool {
        self.is_resent.load(Ordering::Relaxed) && self.is_resent.swap(false, Ordering::Relaxed)
    }

    /// Whether it was set; it is not any more.
    pub fn take(&self) -> bool {
        self.is_set.swap(false, Ordering::Relaxed)
    }
}

/// Another call's mark is its own.
impl Clone for SentMark {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl ProviderCall {
    /// When an attempt begun now is over, given the provider's own timeout.
    pub fn attempt_deadline(&self, own: Option<Duration>) -> Option<Instant> {
        deadline_after(self.timeout.or(own), self.deadline)
    }
}

/// A service that answers chat requests. Each method sends one request once: its caller repeats what fails, as
/// [`Provider::retry_policy`] says, and falls back to other providers.
pub trait Provider: Any + Send + Sync {
    /// The name answers and logs carry.
    fn name(&self) -> &str;

    fn family(&self) -> &str;

    /// How failed requests are to be repeated; not at all by default.
    fn retry_policy(&self) -> RetryPolicy {
        RetryPolicy::default()
    }

    /// How long an attempt may take unless its call says otherwise; `None`: as long as it likes.
    fn timeout(&self) -> Option<Duration> {
        None
    }

    fn chat<'a>(&'a self, call: &'a ProviderCall) -> BoxFuture<'a, Result<Answer, Failure>>;

    /// Opens a stream, and reads nothing of it: its caller awaits the first content
    /// ([`await_first_content`](crate::await_first_content)), until which a failure is an ordinary failed attempt.
    fn open_stream<'a>(&'a self, call: &'a ProviderCall) -> BoxFuture<'a, Result<OpenedStream, Failure>>;

    /// Whether it may read what a request says for its caller's own use: `userId` and `metadata`.
    fn reads_notes(&self) -> bool {
        false
    }

    /// What in a request the provider cannot do; nothing is sent where there is something.
    fn refuses(&self, _request: &ChatRequest) -> Option<GatewayError> {
        None
    }

    /// One call for all `steps`, of which this provider's is the first; `None` where they are not reached through one and
    /// the same service that takes whole chains (Cloudflare's Universal Endpoint).
    fn universal(&self, _steps: &[(Arc<dyn Provider>, ProviderCall)]) -> Option<Box<dyn UniversalCall>> {
        None
    }

    /// A vector for each text. There are at most [`Provider::max_embed_inputs`] of them.
    fn embed<'a>(&'a self, _call: &'a EmbedCall) -> BoxFuture<'a, Result<Vectors, Failure>> {
        Box::pin(async move { Err(Feature::Embeddings.refused_by(self.name()).into()) })
    }

    /// How many texts one request may hold: its caller splits what is more. No limit by default.
    fn max_embed_inputs(&self) -> usize {
        usize::MAX
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

/// What a step of a chain gave, with the step's number.
pub type OfStep<T> = (usize, T);

/// A chain as one call. Its answers carry the number of the step that gave them.
pub trait UniversalCall: Send + Sync {
    fn chat(&self) -> BoxFuture<'_, Result<OfStep<Answer>, Failure>>;

    /// Opens a stream, and reads nothing of it.
    fn open_stream(&self) -> BoxFuture<'_, Result<OfStep<OpenedStream>, Failure>>;
}
