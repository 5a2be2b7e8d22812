//! What an attempt sends to a provider, and what it gets: a chat's answer, a stream that has begun, or vectors.
//!
//! Failed requests are repeated here, and the first content of a stream is awaited here, for all providers.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::time::Instant;

use super::health::Attempt;
use crate::limits::Permit;
use gateway_model::error::Failure;
use gateway_model::provider::SentMark;
use gateway_model::retry::retry;
use gateway_model::{
    Answer, CommittedStream, EmbedCall, EventSource, FinishReason, OpenedStream, Provider, ProviderCall,
    StreamEvent, TextChunk, TokenUsage, Vectors, Warning, await_first_content,
};

/// One of a provider's methods.
pub trait Operation: Sync {
    type Output: Output;

    /// Sends it, and repeats what fails as the provider's retry policy says and `permit` allows.
    ///
    /// # Errors
    /// The last try's failure.
    fn send(
        &self,
        provider: &dyn Provider,
        call: &ProviderCall,
        permit: &mut dyn RetryPermit,
    ) -> impl Future<Output = Result<Self::Output, Failure>> + Send;
}

/// Asked before a failed request is repeated.
pub trait RetryPermit: Send {
    /// Whether the next try may be sent, `wait` from now.
    fn may_retry(&mut self, failure: &Failure, wait: Duration) -> bool;
}

/// What an attempt gives.
pub trait Output: Sized + Send {
    /// The same, as its reader gets it.
    type Held: Send;

    /// The answer has begun: `guard` is to live as long as it goes on.
    fn hold(self, guard: InFlightGuard) -> Self::Held;

    /// A chain's `degradedReply` in its place; `None`: there is no such thing.
    fn degraded(_reply: &str, _model: &str) -> Option<Self::Held> {
        None
    }
}

/// What an attempt holds while its answer goes on.
pub struct InFlightGuard {
    pub(super) attempt: Attempt,
    pub(super) callers_deadline: Option<Instant>,
    pub(super) _permit: Option<Permit>,
}

/// A whole answer.
pub struct Chat;

impl Operation for Chat {
    type Output = Answer;

    async fn send(
        &self,
        provider: &dyn Provider,
        call: &ProviderCall,
        permit: &mut dyn RetryPermit,
    ) -> Result<Answer, Failure> {
        let may_retry = |failure: &Failure, wait| permit.may_retry(failure, wait);
        retry(provider.retry_policy(), call.deadline, may_retry, || provider.chat(call)).await
    }
}

impl Output for Answer {
    type Held = Self;

    fn hold(self, mut guard: InFlightGuard) -> Self {
        guard.attempt.ended();
        self
    }

    fn degraded(reply: &str, model: &str) -> Option<Self> {
        Some(Self {
            content: reply.to_owned(),
            model: model.to_owned(),
            finish_reason: Some("stop".to_owned()),
            usage: Some(Default::default()),
            ..Self::default()
        })
    }
}

/// A stream, up to its first content: a try that fails before is a failed try like any other.
pub struct Stream;

impl Operation for Stream {
    type Output = CommittedStream;

    async fn send(
        &self,
        provider: &dyn Provider,
        call: &ProviderCall,
        permit: &mut dyn RetryPermit,
    ) -> Result<CommittedStream, Failure> {
        let may_retry = |failure: &Failure, wait| permit.may_retry(failure, wait);
        // Boxed: the first content may need a timer, which would make every call's future larger.
        let open = || Box::pin(begin_stream(provider.name(), provider.open_stream(call)));
        retry(provider.retry_policy(), call.deadline, may_retry, open).await
    }
}

/// Waits for a stream to open, and for its first content.
async fn begin_stream(
    provider: &str,
    open: BoxFuture<'_, Result<OpenedStream, Failure>>,
) -> Result<CommittedStream, Failure> {
    await_first_content(provider, open.await?).await
}

impl Output for CommittedStream {
    type Held = Box<dyn EventSource>;

    fn hold(self, guard: InFlightGuard) -> Self::Held {
        Box::new(TrackedStream { source: self, guard })
    }

    fn degraded(reply: &str, _model: &str) -> Option<Self::Held> {
        Some(Box::new(DegradedEvents(Some(reply.to_owned()))))
    }
}

/// A stream whose end is recorded.
struct TrackedStream {
    source: CommittedStream,
    guard: InFlightGuard,
}

impl EventSource for TrackedStream {
    fn next<'a>(&'a mut self, into: &'a mut Vec<StreamEvent>) -> BoxFuture<'a, Result<bool, Failure>> {
        Box::pin(async move {
            let result = self.source.next(into).await;
            match &result {
                Ok(true) => {}
                Ok(false) => self.guard.attempt.ended(),
                // The caller had less patience than the entry: that is not the target's failure.
                Err(_) if self.guard.callers_deadline.is_some_and(|at| Instant::now() >= at) => {}
                Err(failure) => self.guard.attempt.failed(failure),
            }
            result
        })
    }

    fn take_warnings(&mut self) -> Vec<Warning> {
        self.source.take_warnings()
    }
}

struct DegradedEvents(Option<String>);

impl EventSource for DegradedEvents {
    fn next<'a>(&'a mut self, into: &'a mut Vec<StreamEvent>) -> BoxFuture<'a, Result<bool, Failure>> {
        if let Some(delta) = self.0.take() {
            let finish_reason = FinishReason::Word("stop".to_owned());
            into.push(StreamEvent::Text(TextChunk { delta, finish_reason, ..TextChunk::default() }));
            into.push(StreamEvent::Usage(TokenUsage::default()));
        }
        Box::pin(async { Ok(false) })
    }
}

/// A vector for each text.
pub struct Embed {
    pub inputs: Arc<[String]>,
    /// Length of the vectors, where the model can shorten them.
    pub dimensions: Option<u64>,
}

impl Operation for Embed {
    type Output = Vectors;

    /// In as many requests as the provider needs, each repeated by itself.
    async fn send(
        &self,
        provider: &dyn Provider,
        call: &ProviderCall,
        permit: &mut dyn RetryPermit,
    ) -> Result<Vectors, Failure> {
        let part = |inputs: Arc<[String]>| EmbedCall {
            inputs,
            model: call.model.clone(),
            dimensions: self.dimensions,
            user_id: call.request.user_id.clone(),
            provider_options: call.request.provider_options.clone(),
            timeout: call.timeout,
            deadline: call.deadline,
            js_call_id: call.request.js_call_id,
            sent: SentMark::default(),
        };
        let most = provider.max_embed_inputs().max(1);
        if self.inputs.len() <= most {
            return send_embed(provider, &part(self.inputs.clone()), &call.sent, permit).await;
        }
        let mut all = Vectors { input_tokens: Some(0), ..Vectors::default() };
        for inputs in self.inputs.chunks(most) {
            match send_embed(provider, &part(inputs.into()), &call.sent, permit).await {
                Ok(more) => all.append(more),
                Err(failure) => return Err(failure.after_usage(all.input_tokens)),
            }
        }
        Ok(all)
    }
}

/// Sends one request; whether it went out is known of the `whole` call, too, wherever this is left.
async fn send_embed(
    provider: &dyn Provider,
    request: &EmbedCall,
    whole: &SentMark,
    permit: &mut dyn RetryPermit,
) -> Result<Vectors, Failure> {
    fn hand(part: &SentMark, whole: &SentMark) {
        if part.take() {
            whole.set();
        }
        if part.take_resent() {
            whole.set_resent();
        }
    }
    struct Handed<'a>(&'a SentMark, &'a SentMark);
    impl Drop for Handed<'_> {
        fn drop(&mut self) {
            hand(self.0, self.1);
        }
    }
    let _handed = Handed(&request.sent, whole);
    let may_retry = |failure: &Failure, wait| {
        hand(&request.sent, whole);
        permit.may_retry(failure, wait)
    };
    retry(provider.retry_policy(), request.deadline, may_retry, || provider.embed(request)).await
}

impl Output for Vectors {
    type Held = Self;

    fn hold(self, mut guard: InFlightGuard) -> Self {
        guard.attempt.ended();
        self
    }
}
