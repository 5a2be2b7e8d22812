//! Runs a call: its attempts one after the other, or side by side where it is hedged, until one of them answers.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use futures::future::{BoxFuture, Either, pending};
use futures::stream::FuturesUnordered;
use tokio::time::Instant;

use super::candidates::{Candidate, Candidates};
use super::health::{Attempt, Fault, fault};
use super::retry_budget::RetryBudget;
use crate::error::{Failure, GatewayError};
use crate::limits::Permit;
use crate::model::config::{HedgeConfig, HedgeDelay};
use crate::model::{Answer, AttemptRecord, ChatRequest, StreamEvent};
use crate::providers::{EventSource, Provider, ProviderCall, RetryGate, Vectors};
use crate::usage::OVERTAKEN;

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
    /// Attempts that another one overtook: asked, and given up before they answered.
    pub overtaken: Vec<Overtaken>,
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
            overtaken: Vec::new(),
            degraded: false,
        }
    }
}

/// A hedge, or what it has overtaken.
pub struct Overtaken {
    pub provider: Arc<dyn Provider>,
    pub model: String,
}

/// One attempt: a provider and its orders.
pub struct Step {
    pub provider: Arc<dyn Provider>,
    pub call: ProviderCall,
}

/// What an attempt gives.
pub trait Output: Sized + Send {
    /// The answer has begun; `watch` is to live as long as it goes on.
    fn watched(self, watch: Watch) -> Self;

    /// A fixed reply in its place; `None`: there is no such thing.
    fn degraded(_reply: &str) -> Option<Self> {
        None
    }
}

impl Output for Answer {
    fn watched(self, _: Watch) -> Self {
        self
    }

    fn degraded(reply: &str) -> Option<Self> {
        Some(Self {
            content: reply.to_owned(),
            finish_reason: Some("stop".to_owned()),
            usage: Some(Default::default()),
            ..Self::default()
        })
    }
}

impl Output for Vectors {
    fn watched(self, _: Watch) -> Self {
        self
    }
}

impl Output for Box<dyn EventSource> {
    fn watched(self, watch: Watch) -> Self {
        Box::new(WatchedEvents { source: self, watch })
    }

    fn degraded(reply: &str) -> Option<Self> {
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
            if let Err(failure) = &result {
                self.watch.attempt.failed(failure);
            }
            result
        })
    }
}

struct DegradedEvents(Option<String>);

impl EventSource for DegradedEvents {
    fn next<'a>(&'a mut self, into: &'a mut Vec<StreamEvent>) -> BoxFuture<'a, Result<bool, Failure>> {
        into.extend(self.0.take().map(|reply| StreamEvent {
            finish_reason: crate::model::FinishReason::Word("stop".to_owned()),
            usage: Some(Default::default()),
            ..StreamEvent::text(reply)
        }));
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

    /// Those of a call that took more than one.
    pub fn told(&self) -> Vec<AttemptRecord> {
        let records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if records.len() > 1 { records.clone() } else { Vec::new() }
    }
}

/// The orders that every attempt of a call shares.
#[derive(Clone)]
pub struct Orders {
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
    fn input_tokens(&self, model: &str) -> u64;

    /// Of the prompt and the answer, on `model`.
    fn tokens(&self, model: &str) -> u64;

    /// Dollars.
    fn cost(&self, family: &str, model: &str) -> f64;
}

impl Orders {
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

    fn may_try_again(&self) -> bool {
        self.retry_budget.as_ref().is_none_or(|budget| budget.withdraw())
    }
}

/// When a further target is asked, and how many.
#[derive(Debug, Clone, Copy)]
pub struct Hedge {
    /// `None`: as long as 95 % of the target's answers take to begin.
    pub after: Option<Duration>,
    pub max_extra: u32,
}

impl From<HedgeConfig> for Hedge {
    fn from(config: HedgeConfig) -> Self {
        let after = match config.after_ms {
            HedgeDelay::Fixed(ms) => Some(Duration::from_millis(ms)),
            HedgeDelay::Learnt(_) => None,
        };
        Self { after, max_extra: config.max_extra.unwrap_or(1) }
    }
}

/// Counts an attempt's failures before its last, and asks the breaker and the budget before it is repeated.
struct Gate {
    /// The attempt under way, and since when it is.
    attempt: Mutex<(Option<Attempt>, Instant)>,
    orders: Orders,
    provider: String,
    model: String,
}

impl Gate {
    fn new(
        attempt: Attempt,
        orders: &Orders,
        provider: &Arc<dyn Provider>,
        model: &str,
        since: Instant,
    ) -> Self {
        Self {
            attempt: Mutex::new((Some(attempt), since)),
            orders: orders.clone(),
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
    fn allows(&self, error: &GatewayError) -> bool {
        let mut state = self.attempt.lock().unwrap_or_else(PoisonError::into_inner);
        let (attempt, since) = &mut *state;
        let allowed =
            self.orders.may_try_again() && attempt.as_mut().is_some_and(|attempt| attempt.again(error));
        if allowed {
            self.orders.attempts.push(&self.provider, &self.model, Some(error.code.to_string()), *since);
            *since = Instant::now();
        }
        allowed
    }
}

/// Asks one candidate.
async fn attempt<T, F>(
    candidate: Candidate,
    orders: &Orders,
    ask: &impl Fn(Step) -> F,
) -> Result<Routed<T>, Failure>
where
    T: Output,
    F: Future<Output = Result<T, Failure>>,
{
    let Candidate { entry, loaded, model, timeout, guarded, target, number, .. } = candidate;
    let provider = loaded.provider.clone();
    let started = Instant::now();
    let failed = |failure: Failure| {
        orders.attempts.push(provider.name(), &model, Some(failure.log_code().to_owned()), started);
        failure
    };
    let begun = target.begin(guarded).map_err(|wait| {
        let why = "its breaker is open after repeated failures";
        let error = GatewayError::provider_unavailable(provider.name(), why, Some(wait));
        failed(error.with_provider(provider.name()).into())
    })?;
    let permit = if loaded.limits.is_empty() {
        None
    } else {
        let tokens = || orders.estimates.tokens(&model);
        let admitted = loaded.limits.admit(provider.name(), tokens, orders.deadline).await;
        admitted.map_err(|error| failed(error.into()))?
    };
    let mut call = orders.call(model.clone(), timeout);
    let (result, begun, since) = if loaded.retries {
        let gate = Arc::new(Gate::new(begun, orders, &provider, &model, started));
        call.gate = Some(gate.clone());
        let result = ask(Step { provider: provider.clone(), call }).await;
        let (begun, since) = gate.finish();
        (result, begun, since)
    } else {
        (ask(Step { provider: provider.clone(), call }).await, Some(begun), started)
    };
    let Some(mut begun) = begun else { return Err(GatewayError::internal("an attempt was lost").into()) };
    match result {
        Ok(output) => {
            begun.answered();
            orders.attempts.answered(provider.name(), &model, since);
            let output = output.watched(Watch { attempt: begun, _permit: permit });
            Ok(Routed { fallback_triggered: number > 0, ..Routed::new(output, entry, provider, model) })
        }
        Err(failure) => {
            begun.failed(&failure);
            orders.attempts.push(provider.name(), &model, Some(failure.log_code().to_owned()), since);
            Err(failure)
        }
    }
}

/// Whether nobody else is to be asked after this.
fn ends(failure: &Failure, orders: &Orders, pooled: bool) -> bool {
    orders.late() || (pooled && fault(failure) == Fault::Caller)
}

/// Asks the candidates in turn until one answers.
pub async fn run<T, F>(
    mut candidates: Candidates<'_>,
    orders: &Orders,
    hedge: Option<Hedge>,
    ask: impl Fn(Step) -> F,
) -> Result<Routed<T>, Failure>
where
    T: Output,
    F: Future<Output = Result<T, Failure>>,
{
    let mut last = None;
    while let Some(candidate) = candidates.next(last.as_ref()) {
        if last.is_some() && candidate.pooled() && !orders.may_try_again() {
            break;
        }
        let pooled = candidate.pooled();
        let result = match hedge {
            None => attempt(candidate, orders, &ask).await,
            Some(hedge) => hedged(candidate, &mut candidates, orders, hedge, &ask).await,
        };
        match result {
            Ok(routed) => return Ok(candidates.mark(routed)),
            Err(failure) if ends(&failure, orders, pooled) => return Err(failure),
            Err(failure) => last = Some(failure),
        }
    }
    if let Some(reply) = candidates.degraded_reply()
        && let Some(output) = T::degraded(reply)
        && let Some((entry, provider, model)) = candidates.first_asked()
    {
        let routed = Routed::new(output, entry, provider, model);
        return Ok(candidates.mark(Routed { degraded: true, fallback_triggered: true, ..routed }));
    }
    Err(last.unwrap_or_else(|| candidates.nobody()))
}

/// Asks `first`, and further candidates while it takes long; the first answer wins. The error is the last one's.
async fn hedged<T, F>(
    first: Candidate,
    candidates: &mut Candidates<'_>,
    orders: &Orders,
    hedge: Hedge,
    ask: &impl Fn(Step) -> F,
) -> Result<Routed<T>, Failure>
where
    T: Output,
    F: Future<Output = Result<T, Failure>>,
{
    let wait = |candidate: &Candidate| hedge.after.or_else(|| candidate.usual_wait());
    let begun = Instant::now();
    let mut next_at = wait(&first).map(|wait| Instant::now() + wait);
    let mut asked = vec![Overtaken { provider: first.loaded.provider.clone(), model: first.model.clone() }];
    let number = |number: usize, candidate| async move { (number, attempt(candidate, orders, ask).await) };
    let mut running = FuturesUnordered::from_iter([number(0, first)]);
    let mut ended = vec![false];
    let mut extra = 0;
    loop {
        let timer = match next_at {
            Some(at) if extra < hedge.max_extra => Either::Left(tokio::time::sleep_until(at)),
            _ => Either::Right(pending()),
        };
        let done = tokio::select! {
            biased;
            done = running.next() => done,
            () = timer => {
                next_at = None;
                if orders.may_try_again()
                    && let Some(candidate) = candidates.next_beside()
                {
                    extra += 1;
                    next_at = wait(&candidate).map(|wait| Instant::now() + wait);
                    asked.push(Overtaken { provider: candidate.loaded.provider.clone(), model: candidate.model.clone() });
                    running.push(number(ended.len(), candidate));
                    ended.push(false);
                }
                continue;
            }
        };
        let Some((number, result)) = done else {
            return Err(GatewayError::internal("a hedged call was lost").into());
        };
        if let Some(flag) = ended.get_mut(number) {
            *flag = true;
        }
        match result {
            Ok(routed) => {
                let lost = asked.into_iter().zip(ended).filter(|(_, ended)| !ended).map(|(asked, _)| asked);
                let overtaken: Vec<Overtaken> = lost.collect();
                // Of an answer that had no line so far, as it was the only one to tell of.
                let first_line = orders.attempts.is_empty();
                for Overtaken { provider, model } in &overtaken {
                    orders.attempts.push(provider.name(), model, Some(OVERTAKEN.to_owned()), begun);
                }
                if first_line && !overtaken.is_empty() {
                    orders.attempts.answered(routed.provider.name(), &routed.model, begun);
                }
                return Ok(Routed { overtaken, ..routed });
            }
            Err(failure) if running.is_empty() => return Err(failure),
            Err(_) => {}
        }
    }
}
