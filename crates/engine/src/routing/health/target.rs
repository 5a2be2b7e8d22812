//! One target's account: who is let through, how long it takes, how often it fails.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use super::breaker::{Breaker, BreakerSettings, BreakerState, Ticket};
use super::latency::Latency;
use super::until::Until;
use gateway_model::KeyState;
use gateway_model::config::ProviderConfig;
use gateway_model::error::{ErrorKind, Failure, GatewayError};

/// Models are the callers' input: beyond so many, an entry's models share one account.
const MAX_MODELS: usize = 256;
/// Bytes: a longer name is nobody's model, and shares that account as well.
const LONGEST_NAME: usize = 256;
/// A target that limits its callers without saying for how long is let alone for this long.
const REST: Duration = Duration::from_secs(1);
/// Longer than this a limit keeps no target from being asked.
const LONGEST_REST: Duration = Duration::from_secs(60);
/// Outcomes that the error rate is made of.
const OUTCOMES: u32 = 32;

/// An entry's targets.
#[derive(Debug)]
pub struct EntryHealth {
    settings: BreakerSettings,
    /// The entry asks for a breaker on every call; pools have one in any case.
    pub guarded: bool,
    models: Mutex<HashMap<Box<str>, Arc<TargetHealth>>>,
}

impl EntryHealth {
    pub fn of(entry: &ProviderConfig) -> Self {
        Self { settings: entry.breaker.into(), guarded: entry.breaker.is_some(), models: Mutex::default() }
    }

    fn models(&self) -> MutexGuard<'_, HashMap<Box<str>, Arc<TargetHealth>>> {
        self.models.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn target(&self, model: &str) -> Arc<TargetHealth> {
        let mut models = self.models();
        if let Some(target) = models.get(model) {
            return target.clone();
        }
        let name = if has_room(&models, model) { model } else { "" };
        models.entry(name.into()).or_insert_with(|| Arc::new(TargetHealth::new(self.settings))).clone()
    }

    /// The account that a call to `model` would go to, if there is one: looking opens none.
    pub fn known(&self, model: &str) -> Option<Arc<TargetHealth>> {
        let models = self.models();
        let shared = || if has_room(&models, model) { None } else { models.get("") };
        models.get(model).or_else(shared).cloned()
    }

    /// A check of the service as a whole went well, or did not.
    pub fn checked(&self, well: bool) {
        for target in self.models().values() {
            if well { target.breaker.check_succeeded() } else { target.breaker.check_failed() }
        }
    }

    pub fn report(&self, provider: &str, keys: Vec<KeyState>) -> EntryReport {
        let mut targets: Vec<TargetReport> =
            self.models().iter().map(|(model, target)| target.report(model)).collect();
        targets.sort_by(|a, b| a.model.cmp(&b.model));
        let (p50, p95) =
            (worst(&targets, |target| target.latency_ms.p50), worst(&targets, |t| t.latency_ms.p95));
        let rated: Vec<f64> = targets.iter().filter_map(|target| target.error_rate).collect();
        #[allow(clippy::cast_precision_loss)]
        let error_rate = (!rated.is_empty()).then(|| rated.iter().sum::<f64>() / rated.len() as f64);
        EntryReport {
            provider: provider.to_owned(),
            state: targets.iter().map(|target| target.state).max().unwrap_or(BreakerState::Closed),
            latency_ms: LatencyReport { p50, p95 },
            error_rate: error_rate.unwrap_or(0.0),
            in_flight: targets.iter().map(|target| target.in_flight).sum(),
            targets,
            keys,
        }
    }
}

/// Whether a model that has no account yet gets one of its own.
fn has_room(models: &HashMap<Box<str>, Arc<TargetHealth>>, model: &str) -> bool {
    models.len() < MAX_MODELS && model.len() <= LONGEST_NAME
}

fn worst(targets: &[TargetReport], of: impl Fn(&TargetReport) -> Option<f64>) -> Option<f64> {
    targets.iter().filter_map(of).max_by(f64::total_cmp)
}

/// What `health()` says of a provider.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EntryReport {
    pub provider: String,
    /// The worst of its targets.
    pub state: BreakerState,
    pub latency_ms: LatencyReport,
    /// Of the last calls, 0 to 1.
    pub error_rate: f64,
    pub in_flight: usize,
    pub targets: Vec<TargetReport>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<KeyState>,
}

/// Milliseconds to the first content.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct LatencyReport {
    pub p50: Option<f64>,
    pub p95: Option<f64>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetReport {
    pub model: String,
    pub state: BreakerState,
    pub latency_ms: LatencyReport,
    pub error_rate: Option<f64>,
    pub in_flight: usize,
    /// Milliseconds until it may be asked again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocked_ms: Option<u64>,
}

/// In this order: what a pick reads of each target is in the first line of the processor's cache.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct TargetHealth {
    in_flight: AtomicUsize,
    /// It has said that it wants no calls until then.
    rests_until: Until,
    latency: Latency,
    breaker: Breaker,
    /// The last outcomes, a bit each: set where it failed.
    outcomes: AtomicU32,
    outcome_count: AtomicU32,
}

impl AsRef<Breaker> for Arc<TargetHealth> {
    fn as_ref(&self) -> &Breaker {
        &self.breaker
    }
}

impl TargetHealth {
    pub fn new(settings: BreakerSettings) -> Self {
        Self {
            in_flight: AtomicUsize::new(0),
            rests_until: Until::default(),
            latency: Latency::default(),
            breaker: Breaker::new(settings),
            outcomes: AtomicU32::new(0),
            outcome_count: AtomicU32::new(0),
        }
    }

    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    pub fn latency(&self) -> &Latency {
        &self.latency
    }

    pub fn state(&self) -> BreakerState {
        self.breaker.state()
    }

    /// How long no call of a pool goes here; `None`: one may, now.
    pub fn blocked(&self) -> Option<Duration> {
        match (self.breaker.blocked(), self.rests_until.left()) {
            (Some(blocked), Some(rests)) => Some(blocked.max(rests)),
            (blocked, rests) => blocked.or(rests),
        }
    }

    /// Begins an attempt. `guarded`: the breaker is asked, and hears how it goes.
    ///
    /// # Errors
    /// How long the breaker lets nobody through.
    pub fn begin(self: &Arc<Self>, guarded: bool) -> Result<Attempt, Duration> {
        let ticket = if guarded { Some(Breaker::admit(self.clone())?) } else { None };
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        Ok(Attempt { target: self.clone(), ticket, guarded, overtaken: None, started: Instant::now() })
    }

    fn outcome(&self, failed: bool) {
        let shift = |outcomes: u32| Some(outcomes << 1 | u32::from(failed));
        let _ = self.outcomes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, shift);
        self.outcome_count.fetch_add(1, Ordering::Relaxed);
    }

    fn error_rate(&self) -> Option<f64> {
        let count = self.outcome_count.load(Ordering::Relaxed).min(OUTCOMES);
        let failed = self.outcomes.load(Ordering::Relaxed).count_ones();
        (count > 0).then(|| f64::from(failed) / f64::from(count))
    }

    fn rest(&self, asked: Option<Duration>) {
        self.rests_until.extend(Instant::now() + asked.unwrap_or(REST).min(LONGEST_REST));
    }

    fn report(&self, model: &str) -> TargetReport {
        let (p50, p95) = self.latency.percentiles();
        TargetReport {
            model: model.to_owned(),
            state: self.state(),
            latency_ms: LatencyReport { p50, p95 },
            error_rate: self.error_rate(),
            in_flight: self.in_flight(),
            #[allow(clippy::cast_possible_truncation)]
            blocked_ms: self.blocked().map(|blocked| blocked.as_millis() as u64),
        }
    }
}

impl crate::routing::pool::TargetState for TargetHealth {
    fn is_available(&self) -> bool {
        !self.breaker.is_blocked() && !self.rests_until.holds()
    }

    fn in_flight(&self) -> usize {
        Self::in_flight(self)
    }

    fn first_content_ms(&self) -> Option<f64> {
        self.latency.median()
    }
}

/// Whose fault a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The request is at fault: whoever is asked would refuse it.
    Caller,
    /// The target has no such model, say: it says nothing about its health, and others may do better.
    Neutral,
    /// The target wants no calls for some time.
    Limit(Option<Duration>),
    Target,
}

/// Attributes a failure.
pub fn fault(failure: &Failure) -> Fault {
    let (status, retry_after, is_foreign) = match failure {
        Failure::Gateway(error) => (error.upstream_status(), error.retry_after, false),
        Failure::Foreign(error) => (error.upstream_status.map(u64::from), error.retry_after, true),
    };
    match failure.kind() {
        Some(ErrorKind::ProviderRateLimit | ErrorKind::RateLimited) => Fault::Limit(retry_after),
        // Refused by a provider of ours, before anything was sent: another one may take it.
        Some(ErrorKind::InvalidRequest) if !is_foreign => Fault::Neutral,
        Some(ErrorKind::InvalidRequest) => Fault::Caller,
        Some(ErrorKind::Aborted | ErrorKind::BudgetExceeded) => Fault::Neutral,
        Some(ErrorKind::ProviderResponse) => match status {
            Some(400 | 413 | 422) => Fault::Caller,
            Some(404) => Fault::Neutral,
            _ => Fault::Target,
        },
        _ => Fault::Target,
    }
}

/// An attempt under way. Dropped without a word, it counts for nothing.
#[derive(Debug)]
pub struct Attempt {
    target: Arc<TargetHealth>,
    ticket: Option<Ticket<Arc<TargetHealth>>>,
    guarded: bool,
    /// Set when another attempt beside it has answered first.
    overtaken: Option<Arc<AtomicBool>>,
    started: Instant,
}

impl Attempt {
    /// It is made beside others, and may be overtaken.
    pub fn beside(&mut self, overtaken: Option<Arc<AtomicBool>>) {
        self.overtaken = overtaken;
    }

    /// It is sent now: what it has waited for before is not the target's slowness.
    pub fn is_sent(&mut self) {
        self.started = Instant::now();
    }

    /// The answer has begun.
    pub fn answered(&mut self) {
        self.target.latency.record(self.started.elapsed().as_secs_f64() * 1e3);
        // A probe has shown enough; the next one need not wait for the end of a long stream.
        if let Some(probe) = self.ticket.take_if(|ticket| ticket.is_probe()) {
            probe.succeeded();
        }
    }

    /// The answer is whole: a stream that begins well and breaks off is a failure like another.
    pub fn ended(&mut self) {
        self.target.outcome(false);
        if let Some(ticket) = self.ticket.take() {
            ticket.succeeded();
        }
    }

    pub fn failed(&mut self, failure: &Failure) {
        match fault(failure) {
            Fault::Caller | Fault::Neutral => {}
            Fault::Limit(asked) => {
                self.target.outcome(true);
                if self.guarded {
                    self.target.rest(asked);
                }
            }
            Fault::Target => {
                self.target.outcome(true);
                match self.ticket.take() {
                    Some(ticket) => ticket.failed(),
                    // After the answer had begun.
                    None if self.guarded => self.target.breaker.check_failed(),
                    None => {}
                }
            }
        }
    }

    /// Goes on with another attempt at the same target after `wait`; false: its breaker says no.
    pub fn again(&mut self, error: &GatewayError, wait: Duration) -> bool {
        self.failed(&error.clone().into());
        self.started = Instant::now() + wait;
        if !self.guarded {
            return true;
        }
        if self.ticket.is_none() {
            self.ticket = Breaker::admit(self.target.clone()).ok();
        }
        self.ticket.is_some()
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.target.in_flight.fetch_sub(1, Ordering::Relaxed);
        let is_overtaken = self.overtaken.as_ref().is_some_and(|overtaken| overtaken.load(Ordering::Relaxed));
        if is_overtaken && let Some(elapsed) = Instant::now().checked_duration_since(self.started) {
            // It would have taken longer still. Without a sample the target would seem quicker than it is, or be measured
            // for ever.
            self.target.latency.record(elapsed.as_secs_f64() * 1e3);
            if let Some(probe) = self.ticket.take_if(|ticket| ticket.is_probe()) {
                probe.failed();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health() -> Arc<TargetHealth> {
        let settings = BreakerSettings { failure_threshold: 2, cooldown: Duration::from_secs(9), probes: 1 };
        Arc::new(TargetHealth::new(settings))
    }

    fn status(status: u16) -> Failure {
        GatewayError::from_http_status("p", status, "").into()
    }

    #[tokio::test(start_paused = true)]
    async fn the_callers_own_faults_trip_nothing() {
        let target = health();
        for code in [400, 404, 413, 422] {
            for _ in 0..4 {
                target.begin(true).unwrap().failed(&status(code));
            }
        }
        assert_eq!((target.state(), target.error_rate()), (BreakerState::Closed, None));
        for code in [500, 503] {
            target.begin(true).unwrap().failed(&status(code));
        }
        assert_eq!((target.state(), target.error_rate()), (BreakerState::Open, Some(1.0)));
        assert_eq!(target.blocked(), Some(Duration::from_secs(9)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_makes_it_rest_and_trips_nothing() {
        let target = health();
        let limit = GatewayError {
            retry_after: Some(Duration::from_secs(7)),
            ..GatewayError::provider_rate_limit("p")
        };
        for _ in 0..3 {
            target.begin(true).unwrap().failed(&limit.clone().into());
        }
        assert_eq!((target.state(), target.blocked()), (BreakerState::Closed, Some(Duration::from_secs(7))));
        tokio::time::advance(Duration::from_secs(7)).await;
        assert_eq!(target.blocked(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn streams_that_begin_and_break_off_open_it() {
        let target = health();
        for _ in 0..2 {
            let mut stream = target.begin(true).unwrap();
            stream.answered();
            stream.failed(&GatewayError::provider_network("p", "reset").into());
        }
        assert_eq!(target.state(), BreakerState::Open);
        tokio::time::advance(Duration::from_secs(9)).await;
        let mut probe = target.begin(true).unwrap();
        probe.answered();
        assert_eq!(target.state(), BreakerState::Closed, "a probe has succeeded with its first content");
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_guard_nobody_is_kept_out() {
        let target = health();
        for _ in 0..9 {
            target.begin(false).unwrap().failed(&status(500));
        }
        assert_eq!(target.state(), BreakerState::Closed);
        assert!(target.begin(false).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn the_breaker_is_asked_again_before_each_retry() {
        let target = health();
        let mut attempt = target.begin(true).unwrap();
        let error = GatewayError::from_http_status("p", 503, "");
        assert!(attempt.again(&error, Duration::ZERO));
        assert!(!attempt.again(&error, Duration::ZERO), "two failures have opened it");
        assert_eq!(target.in_flight(), 1);
        drop(attempt);
        assert_eq!(target.in_flight(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn waits_before_an_attempt_are_not_its_latency() {
        let target = health();
        let mut attempt = target.begin(true).unwrap();
        tokio::time::advance(Duration::from_secs(3)).await;
        attempt.is_sent();
        tokio::time::advance(Duration::from_millis(10)).await;
        let backoff = Duration::from_secs(5);
        assert!(attempt.again(&GatewayError::from_http_status("p", 503, ""), backoff));
        tokio::time::advance(backoff + Duration::from_millis(20)).await;
        attempt.answered();
        assert_eq!(target.latency().median(), Some(20.0));
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_overtaken_was_slow_and_a_probe_that_is_has_failed() {
        let target = health();
        for _ in 0..2 {
            target.begin(true).unwrap().failed(&status(500));
        }
        tokio::time::advance(Duration::from_secs(9)).await;
        let overtaken = Arc::new(AtomicBool::new(false));
        let begin = || {
            let mut attempt = target.begin(true).unwrap();
            attempt.beside(Some(overtaken.clone()));
            attempt
        };
        drop(begin());
        assert_eq!(
            (target.state(), target.latency().median()),
            (BreakerState::HalfOpen, None),
            "it was given up"
        );
        let attempt = begin();
        tokio::time::advance(Duration::from_millis(40)).await;
        overtaken.store(true, Ordering::Relaxed);
        drop(attempt);
        assert_eq!((target.state(), target.latency().median()), (BreakerState::Open, Some(40.0)));
    }

    #[tokio::test(start_paused = true)]
    async fn models_have_accounts_of_their_own_up_to_a_bound() {
        let entry = serde_json::json!({"name": "p", "provider": "mock", "breaker": {"failureThreshold": 1}});
        let health = EntryHealth::of(&serde_json::from_value(entry).unwrap());
        health.target("a").begin(true).unwrap().failed(&status(500));
        assert_eq!(health.target("a").state(), BreakerState::Open);
        assert_eq!(health.target("b").state(), BreakerState::Closed);
        assert!(Arc::ptr_eq(&health.known("a").unwrap(), &health.target("a")));
        assert!(health.known("c").is_none());
        let (long, longer) = ("x".repeat(LONGEST_NAME), "x".repeat(LONGEST_NAME + 1));
        assert!(health.known(&longer).is_none());
        assert!(!Arc::ptr_eq(&health.target(&long), &health.target(&longer)));
        assert!(Arc::ptr_eq(&health.target(&longer), &health.target(&longer.repeat(2))));
        assert!(Arc::ptr_eq(&health.known(&longer).unwrap(), &health.target("")));
        assert_eq!(health.models().len(), 4, "looking has opened none");
        for model in 0..1_000 {
            health.target(&model.to_string());
        }
        assert!(health.models().len() <= MAX_MODELS + 1);
        assert!(Arc::ptr_eq(&health.known("1000").unwrap(), &health.target("")), "the shared one");
        assert_eq!(health.report("p", Vec::new()).state, BreakerState::Open);
        health.checked(true);
        health.checked(true);
        health.checked(true);
        assert_eq!(health.target("a").state(), BreakerState::Closed);
    }
}
