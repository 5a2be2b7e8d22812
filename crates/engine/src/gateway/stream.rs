//! An open stream: hands events on, keeps the figures, and settles once, however it ends.

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
    Answer, AnswerBuilder, AttemptRecord, ChatRequest, GatewayResponse, StreamEvent, TokenUsage, UsageSource,
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
    /// What has come up to now, and the counts that the provider has given; of a settled stream, `outcome` has it.
    answer: AnswerBuilder,
    outcome: Outcome,
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
            answer: AnswerBuilder::new(model.clone()),
            outcome: Outcome {
                provider: provider.name().to_owned(),
                fallback_triggered,
                fallback_from,
                degraded,
                attempts: options.attempts.if_several(),
                ..Outcome::default()
            },
            asked_model: model,
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
        self.outcome.saved = Some(cost);
        self.shared()
    }

    /// With another call's answer.
    pub(super) fn shared(mut self) -> Self {
        self.outcome.cached = true;
        self.free = true;
        self
    }

    /// After these attempts, which were not its own.
    pub(super) fn after(mut self, attempts: Vec<AttemptRecord>) -> Self {
        self.outcome.attempts = attempts;
        self
    }

    /// Its answer is to be kept.
    pub(super) fn kept_by(mut self, keeper: Option<Keeper>) -> Self {
        self.keeper = keeper.filter(|_| !self.outcome.degraded);
        self
    }

    pub(super) fn head(&self) -> StreamHead {
        StreamHead {
            entry: self.entry.clone(),
            provider: self.provider.clone(),
            model: self.asked_model.clone(),
            fallback_from: self.outcome.fallback_from.clone(),
            fallback_triggered: self.outcome.fallback_triggered,
            degraded: self.outcome.degraded,
            attempts: self.outcome.attempts.clone(),
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
        &self.outcome.provider
    }

    /// The model as the upstream has named it so far.
    pub fn model(&self) -> &str {
        if self.record.is_some() { &self.answer.so_far().model } else { &self.outcome.model }
    }

    /// Counts the provider has given so far.
    fn reported(&self) -> Option<TokenUsage> {
        self.answer.so_far().usage
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
                self.answer.push(event);
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
        let usage = match (self.reported(), &error_code) {
            (Some(reported), None) => reported,
            (None, None) if self.outcome.saved.is_some() => TokenUsage::default(),
            (None, None) => self.counted().await,
            (reported, Some(_)) => with_reported(reported, self.counted().await),
        };
        self.settle(usage, error_code.as_deref());
        if let Some(keeper) = self.keeper.take().filter(|_| error_code.is_none()) {
            keeper.keep(self.cached_answer());
        }
    }

    fn cached_answer(&self) -> CachedAnswer {
        let outcome = self.outcome.clone();
        CachedAnswer {
            entry: self.entry.clone(),
            family: self.family.clone(),
            model_asked: self.asked_model.clone(),
            usage: outcome.usage,
            cost: outcome.cost,
            fallback_triggered: outcome.fallback_triggered,
            fallback_from: outcome.fallback_from,
            degraded: outcome.degraded,
            attempts: Vec::new(),
            provider: outcome.provider,
            answer: Answer {
                content: outcome.content,
                model: outcome.model,
                finish_reason: outcome.finish_reason,
                tool_calls: outcome.tool_calls,
                reasoning: outcome.reasoning,
                reasoning_details: outcome.reasoning_details,
                usage: Some(outcome.usage),
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
            let usage = with_reported(self.reported(), counted);
            self.settle(usage, why.error_code());
        }
    }

    /// The call's figures so far. What the provider has not told yet is counted.
    pub fn figures_so_far(&self) -> impl Future<Output = GatewayResponse> + Send + use<> {
        let counted = self.record.is_some().then(|| self.counted());
        let (reported, family, mut response) = (self.reported(), self.family.clone(), self.summary());
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
        let mut outcome = self.outcome.clone();
        if self.record.is_some() {
            take_answer(&mut outcome, self.answer.so_far().clone());
            if !self.free {
                outcome.usage = self.reported().unwrap_or_default();
                outcome.cost = self.cost(&outcome.usage);
                outcome.latency_ms = latency_ms(self.started);
            }
        }
        outcome.into_response(self.request_id.clone())
    }

    /// Counts the answer so far.
    fn counted(&self) -> impl Future<Output = TokenUsage> + Send + use<> {
        estimated_usage(&self.asked_model, &self.request, &self.answer.output_text())
    }

    /// Nobody is paid for a reply of our own, also where the model has a fee for each request.
    fn cost(&self, usage: &TokenUsage) -> Usd {
        if self.outcome.degraded {
            return Usd::ZERO;
        }
        pricing::cost(&self.family, &self.answer.so_far().model, usage)
    }

    fn settle(&mut self, usage: TokenUsage, error_code: Option<&str>) {
        let Some(record) = self.record.take() else { return };
        // Left early, its prompt has been counted: nobody has read that.
        let usage = if self.outcome.degraded { TokenUsage::default() } else { usage };
        let cost = self.cost(&usage);
        take_answer(&mut self.outcome, std::mem::take(&mut self.answer).finish());
        if !self.free {
            self.outcome.cost = cost;
            self.outcome.usage = usage;
        } else if self.outcome.saved.is_none() {
            self.outcome.saved = Some(cost);
        }
        self.outcome.latency_ms = latency_ms(self.started);
        record.end(&self.outcome, error_code);
    }
}

fn take_answer(outcome: &mut Outcome, answer: Answer) {
    let Answer { content, model, finish_reason, tool_calls, reasoning, reasoning_details, .. } = answer;
    outcome.content = content;
    outcome.model = model;
    outcome.finish_reason = finish_reason;
    outcome.tool_calls = tool_calls;
    outcome.reasoning = reasoning;
    outcome.reasoning_details = reasoning_details;
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
            let counted = count_usage(&self.asked_model, &self.request, &self.answer.output_text());
            let error_code = match &self.broken {
                Some(failure) => Some(failure.log_code().to_owned()),
                None if std::thread::panicking() => Some(ErrorKind::Internal.code().to_owned()),
                None if self.cancel.is_cancelled() => Leave::Aborted.error_code().map(str::to_owned),
                None => None,
            };
            self.settle(with_reported(self.reported(), counted), error_code.as_deref());
        }
    }
}
