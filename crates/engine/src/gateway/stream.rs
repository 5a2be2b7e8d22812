//! An open stream: hands events on, keeps the figures, and settles once, however it ends.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::estimate::{count_usage, estimated_usage};
use super::shared::{Keeper, StreamHead};
use super::unless_cancelled;
use crate::cache::CachedAnswer;
use crate::routing::{CallOptions, Routed};
use crate::usage::{CallRecord, Outcome, latency_ms};
use gateway_model::Usd;
use gateway_model::error::{ErrorKind, Failure};
use gateway_model::{
    Answer, AttemptRecord, ChatRequest, GatewayResponse, StreamEvent, TokenUsage, ToolCallAssembly,
    UsageSource, output_text,
};
use gateway_model::{EventSource, Provider};
use gateway_pricing as pricing;

/// A committed stream. Dropping it closes the upstream's connection and bills what came up to then.
pub struct GatewayStream {
    source: Option<Box<dyn EventSource>>,
    record: Option<CallRecord>,
    cancel: CancellationToken,
    request: Arc<ChatRequest>,
    request_id: String,
    started: Instant,
    entry: String,
    family: String,
    /// The model that was asked for: what its text is counted with.
    asked_model: String,
    progress: Outcome,
    tool_calls: ToolCallAssembly,
    /// Counts the provider has given so far.
    reported: Option<TokenUsage>,
    /// Why the answer is not whole.
    broken: Option<Failure>,
    provider: Arc<dyn Provider>,
    /// Another call pays: this one has used nothing.
    free: bool,
    keeper: Option<Keeper>,
}

/// Inside of a gateway a stream is a source like any other: of those who share it.
impl EventSource for GatewayStream {
    fn next<'a>(&'a mut self, into: &'a mut Vec<StreamEvent>) -> BoxFuture<'a, Result<bool, Failure>> {
        Box::pin(Self::next(self, into))
    }
}

/// Why a stream is left before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leave {
    /// The reader has enough: a success.
    ReaderLeft,
    /// A signal fired, or the runtime stops.
    Aborted,
}

impl GatewayStream {
    pub(super) fn new(
        routed: Routed<Box<dyn EventSource>>,
        record: CallRecord,
        options: CallOptions,
        request_id: String,
        started: Instant,
        cancel: CancellationToken,
    ) -> Self {
        let Routed {
            output: source,
            entry,
            provider,
            model,
            fallback_from,
            fallback_triggered,
            degraded,
            ..
        } = routed;
        Self {
            source: Some(source),
            record: Some(record),
            cancel,
            request: options.request,
            request_id,
            started,
            entry,
            family: provider.family().to_owned(),
            progress: Outcome {
                provider: provider.name().to_owned(),
                model: model.clone(),
                fallback_triggered,
                fallback_from,
                degraded,
                attempts: options.attempts.if_several(),
                ..Outcome::default()
            },
            asked_model: model,
            tool_calls: ToolCallAssembly::default(),
            reported: None,
            broken: None,
            provider,
            free: false,
            keeper: None,
        }
    }

    /// A stream outside of a gateway: nothing is budgeted, nothing is logged.
    pub fn detached(
        routed: Routed<Box<dyn EventSource>>,
        options: CallOptions,
        cancel: CancellationToken,
    ) -> Self {
        Self::new(routed, CallRecord::detached(), options, String::new(), Instant::now(), cancel)
    }

    /// From the cache: this is what it would have cost.
    pub(super) fn saving(mut self, cost: Usd) -> Self {
        self.progress.saved = Some(cost);
        self.shared()
    }

    /// With another call's answer.
    pub(super) fn shared(mut self) -> Self {
        self.progress.cached = true;
        self.free = true;
        self
    }

    /// After these attempts, which were not its own.
    pub(super) fn after(mut self, attempts: Vec<AttemptRecord>) -> Self {
        self.progress.attempts = attempts;
        self
    }

    /// Its answer is to be kept.
    pub(super) fn kept_by(mut self, keeper: Option<Keeper>) -> Self {
        self.keeper = keeper.filter(|_| !self.progress.degraded);
        self
    }

    pub(super) fn head(&self) -> StreamHead {
        StreamHead {
            entry: self.entry.clone(),
            provider: self.provider.clone(),
            model: self.asked_model.clone(),
            fallback_from: self.progress.fallback_from.clone(),
            fallback_triggered: self.progress.fallback_triggered,
            degraded: self.progress.degraded,
            attempts: self.progress.attempts.clone(),
        }
    }

    pub fn request_id(&self) -> &str {
        &self.request_id
    }

    /// The name of the entry whose provider answers.
    pub fn entry(&self) -> &str {
        &self.entry
    }

    /// The name of the provider that answers.
    pub fn provider(&self) -> &str {
        &self.progress.provider
    }

    /// The model as the upstream has named it so far.
    pub fn model(&self) -> &str {
        &self.progress.model
    }

    /// Waits for events and appends all that have arrived; false: the answer is complete and settled. A wait that is
    /// given up loses nothing: the next one goes on.
    ///
    /// # Errors
    /// The stream broke off, or its call was cancelled; what came before has been handed out, and is billed.
    pub async fn next(&mut self, into: &mut Vec<StreamEvent>) -> Result<bool, Failure> {
        if let Some(source) = &mut self.source {
            let before = into.len();
            let cancel = &self.cancel;
            let result = unless_cancelled(cancel, source.next(into)).await;
            for event in &into[before..] {
                self.keep(event);
            }
            match result {
                Ok(true) => return Ok(true),
                Ok(false) => self.source = None,
                Err(failure) => {
                    self.source = None;
                    let own = if self.free { failure.of_another_call() } else { failure };
                    self.broken = Some(own.with_request_id(&self.request_id));
                }
            }
            if into.len() > before {
                return Ok(true);
            }
        }
        self.finish().await;
        self.broken.clone().map_or(Ok(false), Err)
    }

    /// Settles an answer that has come to its end, or broken off.
    async fn finish(&mut self) {
        if self.record.is_none() {
            return;
        }
        let error_code = self.broken.as_ref().map(|failure| failure.log_code().to_owned());
        let usage = match (self.reported, &error_code) {
            (Some(reported), None) => reported,
            (None, None) if self.progress.saved.is_some() => TokenUsage::default(),
            (None, None) => self.counted().await,
            (reported, Some(_)) => with_reported(reported, self.counted().await),
        };
        self.settle(usage, error_code.as_deref());
        if let Some(keeper) = self.keeper.take().filter(|_| error_code.is_none()) {
            keeper.keep(self.cached_answer());
        }
    }

    fn cached_answer(&self) -> CachedAnswer {
        let progress = self.progress.clone();
        CachedAnswer {
            entry: self.entry.clone(),
            family: self.family.clone(),
            model_asked: self.asked_model.clone(),
            usage: progress.usage,
            cost: progress.cost,
            fallback_triggered: progress.fallback_triggered,
            fallback_from: progress.fallback_from,
            degraded: progress.degraded,
            attempts: Vec::new(),
            provider: progress.provider,
            answer: Answer {
                content: progress.content,
                model: progress.model,
                finish_reason: progress.finish_reason,
                tool_calls: progress.tool_calls,
                reasoning: progress.reasoning,
                reasoning_details: progress.reasoning_details,
                usage: Some(progress.usage),
                total_tokens: None,
            },
        }
    }

    /// Leaves the stream: closes the upstream at once, settles what came up to now.
    pub async fn leave(&mut self, why: Leave) {
        if self.source.take().is_none() {
            // Its end has come already.
            return self.finish().await;
        }
        if self.record.is_some() {
            let counted = self.counted().await;
            let usage = with_reported(self.reported, counted);
            self.settle(usage, why.error_code());
        }
    }

    /// The call's figures so far. What the provider has not told yet is counted.
    pub fn figures_so_far(&self) -> impl Future<Output = GatewayResponse> + Send + use<> {
        let counted = self.record.is_some().then(|| self.counted());
        let (reported, family, mut response) = (self.reported, self.family.clone(), self.summary());
        async move {
            if let Some(counted) = counted.filter(|_| !response.cached && !response.degraded) {
                let usage = with_reported(reported, counted.await);
                response.input_tokens = usage.input;
                response.output_tokens = usage.output;
                response.total_tokens = usage.total();
                response.estimated_cost_usd = pricing::cost(&family, &response.model, &usage).dollars();
                response.usage_source = usage.source;
            }
            response
        }
    }

    /// The call's figures as the provider has told them so far; final once the stream has ended.
    pub fn summary(&self) -> GatewayResponse {
        let mut progress = self.progress.clone();
        if self.record.is_some() && !self.free {
            progress.usage = self.reported.unwrap_or_default();
            progress.cost = self.cost(&progress.usage);
            progress.latency_ms = latency_ms(self.started);
        }
        progress.into_response(self.request_id.clone())
    }

    fn keep(&mut self, event: &StreamEvent) {
        self.progress.content.push_str(&event.delta);
        if let Some(model) = &event.model {
            self.progress.model.clone_from(model);
        }
        if let Some(word) = event.finish_reason.word() {
            self.progress.finish_reason = Some(word.to_owned());
        }
        if let Some(usage) = event.usage {
            self.reported = Some(usage);
        }
        if let Some(other) = &event.other {
            self.progress.reasoning.push_str(&other.reasoning);
            self.progress.reasoning_details.extend_from_slice(&other.reasoning_details);
            other.tool_calls.iter().cloned().for_each(|delta| self.tool_calls.push(delta));
        }
    }

    /// Everything the model has written so far.
    fn output_text(&self) -> Cow<'_, str> {
        output_text(&self.progress.content, &self.progress.reasoning, &self.tool_calls.finish())
    }

    /// Counts the answer so far.
    fn counted(&self) -> impl Future<Output = TokenUsage> + Send + use<> {
        estimated_usage(&self.asked_model, &self.request, &self.output_text())
    }

    /// Nobody is paid for a reply of our own, also where the model has a fee for each request.
    fn cost(&self, usage: &TokenUsage) -> Usd {
        if self.progress.degraded {
            return Usd::ZERO;
        }
        pricing::cost(&self.family, &self.progress.model, usage)
    }

    fn settle(&mut self, usage: TokenUsage, error_code: Option<&str>) {
        let Some(record) = self.record.take() else { return };
        // Left early, its prompt has been counted: nobody has read that.
        let usage = if self.progress.degraded { TokenUsage::default() } else { usage };
        self.progress.tool_calls = self.tool_calls.finish();
        let saved = self.progress.saved;
        if !self.free {
            self.progress.cost = self.cost(&usage);
            self.progress.usage = usage;
        } else if saved.is_none() {
            self.progress.saved = Some(self.cost(&usage));
        }
        self.progress.latency_ms = latency_ms(self.started);
        record.end(&self.progress, error_code);
    }
}

/// The usage of an answer that is not whole: counts its provider gave are from before the end.
fn with_reported(reported: Option<TokenUsage>, counted: TokenUsage) -> TokenUsage {
    match reported {
        Some(reported) => TokenUsage {
            output: reported.output.max(counted.output),
            source: UsageSource::Estimated,
            ..reported
        },
        None => counted,
    }
}

impl Leave {
    fn error_code(self) -> Option<&'static str> {
        match self {
            Self::ReaderLeft => None,
            Self::Aborted => Some(ErrorKind::Aborted.code()),
        }
    }
}

impl Drop for GatewayStream {
    fn drop(&mut self) {
        if self.record.is_some() {
            self.source = None;
            let counted = count_usage(&self.asked_model, &self.request, &self.output_text());
            let error_code = match &self.broken {
                Some(failure) => Some(failure.log_code().to_owned()),
                None if std::thread::panicking() => Some(ErrorKind::Internal.code().to_owned()),
                None if self.cancel.is_cancelled() => Leave::Aborted.error_code().map(str::to_owned),
                None => None,
            };
            self.settle(with_reported(self.reported, counted), error_code.as_deref());
        }
    }
}
