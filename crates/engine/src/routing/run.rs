//! Runs a call: its attempts one after the other until one of them answers.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::time::Instant;

use super::candidates::{Candidate, Candidates};
use super::health::{Attempt, Blame, blame};
use super::hedge::{Hedge, hedged};
use super::retry_budget::RetryBudget;
use crate::limits::Permit;
use gateway_model::error::HEDGE_LOST;
use gateway_model::error::{ErrorKind, Failure, GatewayError};
use gateway_model::{Answer, AttemptRecord, ChatRequest, FinishReason, StreamEvent, TextChunk, TokenUsage};
use gateway_model::{EventSource, Provider, ProviderCall, RetryGate, Vectors};
use gateway_pricing::{self as pricing, tokens::Tokenizer};

/// What answered, and whether it was asked first.
pub struct Routed<T> {
    pub output: T,
    /// Name of the entry whose provider answered.
    pub entry: String,
    pub provider: Arc<dyn Provider>,
    /// The model that was asked for.
    pub model: String,
    /// The first one's provider, when another answered.
    pub fallback_from: Option<String>,
    pub fallback_triggered: bool,
    /// Attempts that were sent, and given up because this one answered first.
    pub hedge_losers: Vec<HedgeLoser>,
    /// A chain's `degradedReply`, in the providers' place.
    pub degraded: bool,
}

impl<T> Routed<T> {
    /// The first one's answer, without more to be said of it.
    pub fn new(output: T, entry: String, provider: Arc<dyn Provider>, model: String) -> Self {
        Self {
            output,
            entry,
            provider,
            model,
            fallback_from: None,
            fallback_triggered: false,
            hedge_losers: Vec::new(),
            degraded: false,
        }
    }
}

/// An attempt that another one of the same call beat to the first content.
pub struct HedgeLoser {
    pub provider: Arc<dyn Provider>,
    pub model: String,
}

/// One attempt: a provider and its options.
pub struct Step {
    pub provider: Arc<dyn Provider>,
    pub call: ProviderCall,
}

/// What an attempt gives.
pub trait Output: Sized + Send {
    /// The answer has begun; `watch` is to live as long as it goes on.
    fn watched(self, watch: Watch) -> Self;

    /// A fixed reply in its place; `None`: there is no such thing.
    fn degraded(_reply: &str, _model: &str) -> Option<Self> {
        None
    }
}

impl Output for Answer {
    fn watched(self, mut watch: Watch) -> Self {
        watch.attempt.ended();
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

impl Output for Vectors {
    fn watched(self, mut watch: Watch) -> Self {
        watch.attempt.ended();
        self
    }
}

impl Output for Box<dyn EventSource> {
    fn watched(self, watch: Watch) -> Self {
        Box::new(WatchedEvents { source: self, watch })
    }

    fn degraded(reply: &str, _model: &str) -> Option<Self> {
        Some(Box::new(DegradedEvents(Some(reply.to_owned()))))
    }
}

/// What an attempt holds while its answer goes on.
pub struct Watch {
    attempt: Attempt,
    _permit: Option<Permit>,
}

struct WatchedEvents {
    source: Box<dyn EventSource>,
    watch: Watch,
}

impl EventSource for WatchedEvents {
    fn next<'a>(&'a mut self, into: &'a mut Vec<StreamEvent>) -> BoxFuture<'a, Result<bool, Failure>> {
        Box::pin(async move {
            let result = self.source.next(into).await;
            match &result {
                Ok(true) => {}
                Ok(false) => self.watch.attempt.ended(),
                Err(failure) => self.watch.attempt.failed(failure),
            }
            result
        })
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

/// The attempts of a call so far.
#[derive(Debug, Default)]
pub struct AttemptLog(Mutex<Vec<AttemptRecord>>);

impl AttemptLog {
    fn push(&self, provider: &str, model: &str, error_code: Option<String>, since: Instant) {
        #[allow(clippy::cast_possible_truncation)]
        let latency_ms = since.elapsed().as_millis() as u64;
        let record =
            AttemptRecord { provider: provider.to_owned(), model: model.to_owned(), error_code, latency_ms };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(record);
    }

    fn is_empty(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// An attempt has answered. The only one of a call is not worth a line.
    fn answered(&self, provider: &str, model: &str, since: Instant) {
        if !self.is_empty() {
            self.push(provider, model, None, since);
        }
    }

    /// Logs each hedge loser, then the winner, unless an earlier failure has already made us log it.
    pub(super) fn hedge_lost<T>(&self, others: &[HedgeLoser], routed: &Routed<T>, since: Instant) {
        let is_first = self.is_empty();
        for HedgeLoser { provider, model } in others {
            self.push(provider.name(), model, Some(HEDGE_LOST.to_owned()), since);
        }
        if is_first {
            self.answered(routed.provider.name(), &routed.model, since);
        }
    }

    /// Empty when the first attempt answered.
    pub fn if_several(&self) -> Vec<AttemptRecord> {
        let records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if records.len() > 1 { records.clone() } else { Vec::new() }
    }
}

/// The options that every attempt of a call shares.
#[derive(Clone)]
pub struct CallOptions {
    pub request: Arc<ChatRequest>,
    pub max_tokens: Option<u64>,
    pub deadline: Option<Instant>,
    pub attempts: Arc<AttemptLog>,
    /// Bounds attempts after the first; `None`: nothing does.
    pub retry_budget: Option<Arc<RetryBudget>>,
    pub estimates: Arc<dyn Estimates>,
}

/// What a call may use, worked out when somebody asks.
pub trait Estimates: Send + Sync {
    /// Of the prompt.
    fn input_tokens(&self, tokenizer: Tokenizer) -> u64;

    /// As many as the answer may have; where nothing bounds it, as many as are assumed.
    fn output_tokens(&self) -> u64;

    /// Of the prompt on `model`, and of the answer, which counts for `most_output` at most.
    fn tokens(&self, model: &str, most_output: u64) -> u64 {
        self.input_tokens(Tokenizer::of(model)).saturating_add(self.output_tokens().min(most_output))
    }

    /// Dollars.
    fn cost(&self, family: &str, model: &str) -> f64 {
        let usage = TokenUsage::new(self.input_tokens(Tokenizer::of(model)), self.output_tokens());
        pricing::cost(family, model, &usage).dollars()
    }
}

impl CallOptions {
    pub fn new(request: Arc<ChatRequest>, estimates: Arc<dyn Estimates>) -> Self {
        Self {
            max_tokens: request.max_tokens,
            request,
            deadline: None,
            attempts: Arc::default(),
            retry_budget: None,
            estimates,
        }
    }

    pub fn call(&self, model: String, timeout: Option<Duration>) -> ProviderCall {
        ProviderCall {
            request: self.request.clone(),
            model,
            max_tokens: self.max_tokens,
            timeout,
            deadline: self.deadline,
            gate: None,
        }
    }

    fn late(&self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    pub(super) fn may_try_again(&self) -> bool {
        self.retry_budget.as_ref().is_none_or(|budget| budget.withdraw())
    }

    /// A further attempt that was allowed has not been made.
    pub(super) fn was_not_sent(&self) {
        if let Some(budget) = &self.retry_budget {
            budget.give_back();
        }
    }
}

/// Counts an attempt's failures before its last, and asks the breaker and the budget before it is repeated.
struct Gate {
    /// The attempt under way, and since when it is.
    attempt: Mutex<(Option<Attempt>, Instant)>,
    options: CallOptions,
    provider: String,
    model: String,
}

impl Gate {
    fn new(
        attempt: Attempt,
        options: &CallOptions,
        provider: &Arc<dyn Provider>,
        model: &str,
        since: Instant,
    ) -> Self {
        Self {
            attempt: Mutex::new((Some(attempt), since)),
            options: options.clone(),
            provider: provider.name().to_owned(),
            model: model.to_owned(),
        }
    }

    fn finish(&self) -> (Option<Attempt>, Instant) {
        let mut state = self.attempt.lock().unwrap_or_else(PoisonError::into_inner);
        (state.0.take(), state.1)
    }
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Gate").field("provider", &self.provider).finish_non_exhaustive()
    }
}

impl RetryGate for Gate {
    fn allows(&self, error: &GatewayError, wait: Duration) -> bool {
        let mut state = self.attempt.lock().unwrap_or_else(PoisonError::into_inner);
        let (attempt, since) = &mut *state;
        if !self.options.may_try_again() {
            return false;
        }
        let allowed =
            attempt.as_mut().is_some_and(|attempt| attempt.retry(&error.clone().into(), wait).is_ok());
        if !allowed {
            // Its failure is counted by now.
            *attempt = None;
            self.options.was_not_sent();
        }
        if allowed {
            self.options.attempts.push(&self.provider, &self.model, Some(error.code.to_string()), *since);
            *since = Instant::now() + wait;
        }
        allowed
    }
}

/// Asks one candidate. `sent` tells whether its provider was asked: a breaker or a limit of the gateway's own may keep
/// the attempt back, and what was not sent adds nothing to the traffic.
pub(super) async fn attempt<T, F>(
    candidate: Candidate,
    options: &CallOptions,
    ask: &impl Fn(Step) -> F,
    sent: &AtomicBool,
) -> Result<Routed<T>, Failure>
where
    T: Output,
    F: Future<Output = Result<T, Failure>>,
{
    let Candidate { entry, loaded, model, timeout, guard, target, number, race, .. } = candidate;
    let provider = loaded.provider.clone();
    let started = Instant::now();
    let failed = |failure: Failure| {
        options.attempts.push(provider.name(), &model, Some(failure.log_code().to_owned()), started);
        failure
    };
    let mut begun = target.begin(guard).map_err(|wait| {
        let why = "its breaker is open after repeated failures";
        let error = GatewayError::provider_unavailable(provider.name(), why, Some(wait));
        failed(error.with_provider(provider.name()).into())
    })?;
    begun.enter_race(race);
    let mut queued = Duration::ZERO;
    let permit = if loaded.limits.is_empty() {
        None
    } else {
        let tokens = |most| options.estimates.tokens(&model, most);
        let admitted = loaded.limits.admit(provider.name(), tokens, options.deadline).await;
        let permit = admitted.map_err(|error| failed(error.into()))?;
        begun.restart_clock();
        queued = started.elapsed();
        permit
    };
    sent.store(true, Ordering::Relaxed);
    let mut call = options.call(model.clone(), timeout);
    let (result, begun, since) = if loaded.retries {
        let gate = Arc::new(Gate::new(begun, options, &provider, &model, started));
        call.gate = Some(gate.clone());
        let result = ask(Step { provider: provider.clone(), call }).await;
        let (begun, since) = gate.finish();
        (result, begun, since)
    } else {
        (ask(Step { provider: provider.clone(), call }).await, Some(begun), started)
    };
    match result {
        Ok(output) => {
            let Some(mut begun) = begun else {
                return Err(GatewayError::internal("an attempt was lost").into());
            };
            begun.answered();
            options.attempts.answered(provider.name(), &model, since);
            let output = output.watched(Watch { attempt: begun, _permit: permit });
            Ok(Routed { fallback_triggered: number > 0, ..Routed::new(output, entry, provider, model) })
        }
        Err(failure) => {
            // A call that has spent its time in our own queue does not tell how slow the target is.
            let was_late = options.late() && queued > started.elapsed() / 2;
            if let Some(mut begun) = begun.filter(|_| !was_late) {
                begun.failed(&failure);
            }
            if is_refused_before_sending(&failure) {
                sent.store(false, Ordering::Relaxed);
            }
            options.attempts.push(provider.name(), &model, Some(failure.log_code().to_owned()), since);
            Err(failure)
        }
    }
}

/// The provider itself cannot put the request into its format.
fn is_refused_before_sending(failure: &Failure) -> bool {
    matches!(failure, Failure::Gateway(error) if error.kind == ErrorKind::InvalidRequest)
}

/// Whether nobody else is to be asked after this.
pub(super) fn ends(failure: &Failure, options: &CallOptions, pooled: bool) -> bool {
    options.late() || (pooled && blame(failure) == Blame::Caller)
}

/// Asks the candidates in turn until one answers.
pub async fn run<T, F>(
    mut candidates: Candidates<'_>,
    options: &CallOptions,
    hedge: Option<Hedge>,
    ask: impl Fn(Step) -> F,
) -> Result<Routed<T>, Failure>
where
    T: Output,
    F: Future<Output = Result<T, Failure>>,
{
    let mut last = None;
    // A further attempt of the pool is charged to the retry budget once something was sent that says a target is in trouble.
    let mut charges = false;
    while let Some(candidate) = candidates.next(last.as_ref()) {
        let pooled = candidate.pooled();
        let charged = charges && pooled;
        if charged && !options.may_try_again() {
            candidates.leave_pool();
            continue;
        }
        let sent = AtomicBool::new(false);
        let result = match hedge {
            None => attempt(candidate, options, &ask, &sent).await.map_err(|failure| (failure, pooled)),
            Some(hedge) => hedged(candidate, charged, &mut candidates, options, hedge, &ask, &sent).await,
        };
        let failure = match result {
            Ok(routed) => return Ok(candidates.mark(routed)),
            Err((failure, pooled)) if ends(&failure, options, pooled) => return Err(failure),
            Err((failure, _)) => failure,
        };
        if sent.into_inner() {
            charges |= blame(&failure) != Blame::Neutral;
        } else if hedge.is_none() {
            candidates.was_kept_back(pooled);
            if charged {
                options.was_not_sent();
            }
        }
        last = Some(failure);
    }
    if let Some(reply) = candidates.degraded_reply()
        && let Some((entry, provider, model)) = candidates.first_asked()
        && let Some(output) = T::degraded(reply, &model)
    {
        let routed = Routed::new(output, entry, provider, model);
        return Ok(candidates.mark(Routed { degraded: true, fallback_triggered: true, ..routed }));
    }
    Err(last.unwrap_or_else(|| candidates.nobody()))
}
