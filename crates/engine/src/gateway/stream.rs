//! An open stream: hands events on, keeps the figures, and settles once, however it ends.

use std::sync::Arc;
use std::time::Instant;

use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::dedupe::CacheWriter;
use super::estimate::{count_usage, estimated_usage};
use super::outcome::{self, price};
use super::{kept, unless_cancelled};
use crate::records::Entry;
use crate::routing::{CallOptions, Routed};
use crate::usage::{CallRecord, latency_ms};
use gateway_model::error::{ErrorKind, Failure, Reason};
use gateway_model::{
    AnswerBuilder, Billing, ChatRequest, Delivery, EventSource, GatewayResponse, Outcome, StreamEvent,
    TokenUsage, UsageSource,
};
use gateway_pricing::PriceBook;

/// A committed stream. Dropping it closes the upstream's connection and bills what came up to then.
pub struct GatewayStream {
    source: Option<Box<dyn EventSource>>,
    record: Option<CallRecord>,
    call: StreamCall,
    /// What has come up to now.
    answer: AnswerBuilder,
    /// Who answers; once the stream has ended, its answer and what that came to.
    outcome: Outcome,
    /// Milliseconds, once the stream has ended.
    latency_ms: u64,
    /// Why the answer is not whole.
    broken: Option<Failure>,
    cache_writer: Option<CacheWriter>,
}

/// The call that reads a stream.
pub(super) struct StreamCall {
    pub request: Arc<ChatRequest>,
    pub request_id: String,
    pub started: Instant,
    pub cancel: CancellationToken,
    pub billing: Billing,
    pub prices: PriceBook,
}

/// Inside of a gateway a stream is a source like any other: of those who share it.
impl EventSource for GatewayStream {
    fn next<'a>(&'a mut self, into: &'a mut Vec<StreamEvent>) -> BoxFuture<'a, Result<bool, Failure>> {
        Box::pin(Self::next(self, into))
    }
}

/// Why a stream is closed before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// The reader has enough: a success.
    ReaderLeft,
    /// A signal fired, or the runtime stops.
    Aborted,
}

impl GatewayStream {
    pub(super) fn new(
        mut source: Box<dyn EventSource>,
        mut outcome: Outcome,
        record: CallRecord,
        call: StreamCall,
    ) -> Self {
        outcome.answer.warnings.append(&mut source.take_warnings());
        let mut answer = AnswerBuilder::new(outcome.asked_model.clone());
        answer.push(&StreamEvent::Warnings(outcome.answer.warnings.clone()));
        Self {
            source: Some(source),
            record: Some(record),
            call,
            answer,
            outcome,
            latency_ms: 0,
            broken: None,
            cache_writer: None,
        }
    }

    /// A stream outside of a gateway: nothing is budgeted, nothing is logged.
    pub fn detached(
        routed: Routed<Box<dyn EventSource>>,
        options: CallOptions,
        cancel: CancellationToken,
    ) -> Self {
        let (source, outcome) = outcome::split(routed, &options);
        let call = StreamCall {
            request: options.request,
            request_id: String::new(),
            started: Instant::now(),
            cancel,
            billing: Billing::Own,
            prices: options.estimator.prices().clone(),
        };
        Self::new(source, outcome, CallRecord::detached(), call)
    }

    /// Writes its answer into the cache when it has come to its end.
    pub(super) fn cached_by(mut self, writer: Option<CacheWriter>) -> Self {
        self.cache_writer = writer;
        self
    }

    pub(super) fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    pub fn request_id(&self) -> &str {
        &self.call.request_id
    }

    /// The name of the entry whose provider answers.
    pub fn entry(&self) -> &str {
        &self.outcome.entry
    }

    /// The name of the provider that answers.
    pub fn provider(&self) -> &str {
        &self.outcome.provider
    }

    /// The model as the upstream has named it so far.
    pub fn model(&self) -> &str {
        if self.record.is_some() { &self.answer.so_far().model } else { &self.outcome.answer.model }
    }

    /// Waits for events and appends all that have arrived; false: the answer is complete and settled. A wait that is
    /// given up loses nothing: the next one goes on.
    ///
    /// # Errors
    /// The stream broke off, or its call was cancelled; what came before has been handed out, and is billed.
    pub async fn next(&mut self, into: &mut Vec<StreamEvent>) -> Result<bool, Failure> {
        if let Some(source) = &mut self.source {
            let before = into.len();
            let cancel = &self.call.cancel;
            let result = unless_cancelled(cancel, source.next(into)).await;
            for event in &into[before..] {
                self.answer.push(event);
            }
            match result {
                Ok(true) => return Ok(true),
                Ok(false) => self.source = None,
                Err(failure) => {
                    self.source = None;
                    let own = match self.call.billing {
                        Billing::Own => failure,
                        Billing::Cached | Billing::Deduplicated => failure.of_another_call(),
                    };
                    self.broken = Some(own.with_request_id(&self.call.request_id));
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
        // An answer that our own check rejects has come whole, and so have its counts.
        let is_whole = self.broken.as_ref().is_none_or(|failure| failure.reason() == Some(Reason::NotJson));
        let usage = match (self.reported(), is_whole) {
            (Some(reported), true) if reported.unreported.is_none() => reported,
            (Some(reported), true) => reported.completed(self.counted().await),
            // What it used was counted when it was cached.
            (None, true) if self.call.billing == Billing::Cached => self.outcome.usage,
            (None, true) => self.counted().await,
            (reported, false) => with_reported(reported, self.counted().await),
        };
        let entry = self.settle(usage, error_code.as_deref());
        if let Some(writer) = self.cache_writer.take().filter(|_| error_code.is_none()) {
            writer.write(&self.outcome);
        }
        kept(entry).await;
    }

    /// Closes the stream: the upstream at once; settles what came up to now.
    pub async fn close(&mut self, reason: CloseReason) {
        if self.source.take().is_none() {
            // Its end has come already.
            return self.finish().await;
        }
        if self.record.is_some() {
            let counted = self.counted().await;
            let usage = with_reported(self.reported(), counted);
            kept(self.settle(usage, reason.error_code())).await;
        }
    }

    /// The call's figures so far. What the provider has not reported yet is counted.
    pub fn figures_so_far(&self) -> impl Future<Output = GatewayResponse> + Send + use<> {
        let is_open = self.record.is_some() && self.call.billing == Billing::Own && !self.outcome.degraded;
        let counted = is_open.then(|| self.counted());
        let mut so_far = self.so_far();
        let delivery = self.delivery();
        let prices = self.call.prices.clone();
        async move {
            if let Some(counted) = counted {
                so_far.usage = with_reported(so_far.answer.usage, counted.await);
                so_far.cost = price(&so_far, &so_far.usage, &prices);
            }
            GatewayResponse::new(so_far.figures(delivery), so_far.answer)
        }
    }

    /// The call's figures as the provider has reported them so far; final once the stream has ended.
    pub fn summary(&self) -> GatewayResponse {
        let so_far = self.so_far();
        GatewayResponse::new(so_far.figures(self.delivery()), so_far.answer)
    }

    fn so_far(&self) -> Outcome {
        let mut so_far = self.outcome.clone();
        if self.record.is_some() {
            so_far.answer = self.answer.so_far().clone();
            so_far.usage = self.reported().unwrap_or_default();
            so_far.cost = price(&so_far, &so_far.usage, &self.call.prices);
        }
        so_far
    }

    fn delivery(&self) -> Delivery {
        Delivery {
            request_id: self.call.request_id.clone(),
            latency_ms: if self.record.is_some() { latency_ms(self.call.started) } else { self.latency_ms },
            billing: self.call.billing,
        }
    }

    /// The counts that the provider has given so far.
    fn reported(&self) -> Option<TokenUsage> {
        self.answer.so_far().usage
    }

    /// Counts the answer so far.
    fn counted(&self) -> impl Future<Output = TokenUsage> + Send + use<> {
        estimated_usage(&self.outcome.asked_model, &self.call.request, &self.answer.output_text())
    }

    fn settle(&mut self, usage: TokenUsage, error_code: Option<&str>) -> Option<Entry> {
        let record = self.record.take()?;
        // A degraded reply is free: what was counted when it was closed early is dropped.
        let usage = if self.outcome.degraded { TokenUsage::default() } else { usage };
        self.outcome.answer = std::mem::take(&mut self.answer).finish();
        match self.call.billing {
            Billing::Own | Billing::Deduplicated => {
                self.outcome.usage = usage;
                self.outcome.cost = price(&self.outcome, &usage, &self.call.prices);
            }
            // It has saved what the cached answer cost, however much of it was read.
            Billing::Cached => {}
        }
        self.latency_ms = latency_ms(self.call.started);
        record.end(&self.outcome, self.outcome.figures(self.delivery()), error_code)
    }
}

/// The usage of an answer that is not whole: counts its provider gave are from before the end.
fn with_reported(reported: Option<TokenUsage>, counted: TokenUsage) -> TokenUsage {
    match reported {
        Some(reported) => TokenUsage {
            output: reported.output.max(counted.output),
            source: UsageSource::Estimated,
            ..reported.completed(counted)
        },
        None => counted,
    }
}

impl CloseReason {
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
            let counted =
                count_usage(&self.outcome.asked_model, &self.call.request, &self.answer.output_text());
            let error_code = match &self.broken {
                Some(failure) => Some(failure.log_code().to_owned()),
                None if std::thread::panicking() => Some(ErrorKind::Internal.code().to_owned()),
                None if self.call.cancel.is_cancelled() => {
                    CloseReason::Aborted.error_code().map(str::to_owned)
                }
                None => None,
            };
            // Nobody waits for it any more.
            drop(self.settle(with_reported(self.reported(), counted), error_code.as_deref()));
        }
    }
}
