//! An attempt at a target: asks its breaker, measures it, and reports to the target how it went.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::blame::{Blame, blame};
use super::breaker::{Breaker, Ticket};
use super::target::{Outcome, TargetHealth};
use gateway_model::error::Failure;

/// Whether a target's circuit breaker decides about an attempt, and learns from it.
#[derive(Debug)]
pub enum Guard {
    Breaker,
    Unguarded,
    /// It learns, and does not decide.
    LastResort(LastResort),
}

/// The turn of the one call that a pool lets through although all breakers are open; given back when dropped.
#[derive(Debug)]
pub struct LastResort(Arc<AtomicBool>);

impl LastResort {
    /// `None`: another call has the turn.
    pub fn take(turn: &Arc<AtomicBool>) -> Option<Self> {
        let is_free = turn.compare_exchange(false, true, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        is_free.then(|| Self(Arc::clone(turn)))
    }
}

impl Drop for LastResort {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// What attempts that are hedged know of each other.
#[derive(Debug, Default)]
pub struct HedgeRace {
    sent: AtomicBool,
    lost: AtomicBool,
}

impl HedgeRace {
    /// The attempt's request is on its way: from now on it may cost something.
    pub fn mark_sent(&self) {
        self.sent.store(true, Ordering::Relaxed);
    }

    pub fn is_sent(&self) -> bool {
        self.sent.load(Ordering::Relaxed)
    }

    /// Another attempt has answered first.
    pub fn mark_lost(&self) {
        self.lost.store(true, Ordering::Relaxed);
    }

    pub fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }
}

/// An attempt under way. Dropped before it has ended or failed, it counts as neither.
#[derive(Debug)]
pub struct Attempt {
    target: Arc<TargetHealth>,
    /// That of the model which is asked for: it rests where the service has no such model.
    resting: Arc<TargetHealth>,
    ticket: Option<Ticket<Arc<TargetHealth>>>,
    guard: Guard,
    /// Set where the attempt is hedged.
    race: Option<Arc<HedgeRace>>,
    started: Instant,
}

impl TargetHealth {
    /// Begins an attempt.
    ///
    /// # Errors
    /// How long the breaker lets no call through.
    pub fn begin(self: &Arc<Self>, guard: Guard) -> Result<Attempt, Duration> {
        let ticket = match &guard {
            Guard::Breaker => Some(Breaker::admit(self.clone())?),
            Guard::Unguarded | Guard::LastResort(_) => None,
        };
        self.enter();
        let (target, resting) = (self.clone(), self.clone());
        Ok(Attempt { target, resting, ticket, guard, race: None, started: Instant::now() })
    }
}

/// How long a model is left alone that the service has said it does not have.
const NO_MODEL_REST: Duration = Duration::from_secs(60);

impl Attempt {
    /// The attempt asks for a model that is not the target's usual one.
    pub fn asks_for(&mut self, model: Arc<TargetHealth>) {
        self.resting = model;
    }

    /// Lets it lose to another attempt of the same call.
    pub fn enter_race(&mut self, race: Arc<HedgeRace>) {
        self.race = Some(race);
    }

    /// The request is sent now: time in our own queue is not the target's latency.
    pub fn restart_clock(&mut self) {
        self.started = Instant::now();
    }

    /// The answer has begun.
    pub fn answered(&mut self) {
        self.target.latency().record(self.started.elapsed().as_secs_f64() * 1e3);
        // A probe succeeds with its first content: the next one need not wait for the end of a long stream.
        if let Some(probe) = self.ticket.take_if(|ticket| ticket.is_probe()) {
            probe.succeeded();
        }
    }

    /// The answer is complete. Only now: a stream that begins well and breaks off is a failure.
    pub fn ended(&mut self) {
        self.target.record(Outcome::Succeeded);
        if let Some(ticket) = self.ticket.take() {
            ticket.succeeded();
        } else if matches!(self.guard, Guard::LastResort(_)) {
            self.target.record_check(Outcome::Succeeded);
        }
    }

    pub fn failed(&mut self, failure: &Failure) {
        match blame(failure) {
            Blame::Caller | Blame::Neutral => {}
            // Only those who choose among targets leave it alone.
            Blame::NoModel if matches!(self.guard, Guard::Unguarded) => {}
            Blame::NoModel => self.resting.cool_down(Some(NO_MODEL_REST)),
            Blame::Limit(asked) => {
                self.target.record(Outcome::Failed);
                if !matches!(self.guard, Guard::Unguarded) {
                    self.target.cool_down(asked);
                }
            }
            Blame::Target => {
                self.target.record(Outcome::Failed);
                match self.ticket.take() {
                    Some(ticket) => ticket.failed(),
                    // A probe's ticket went when its answer began.
                    None if !matches!(self.guard, Guard::Unguarded) => {
                        self.target.record_check(Outcome::Failed);
                    }
                    None => {}
                }
            }
        }
    }

    /// Records the failure and begins the next try at the same target, which is sent after `wait`.
    ///
    /// # Errors
    /// The breaker refuses the next try.
    pub fn retry(&mut self, failure: &Failure, wait: Duration) -> Result<(), BreakerOpen> {
        self.failed(failure);
        self.started = Instant::now() + wait;
        if matches!(self.guard, Guard::Breaker) && self.ticket.is_none() {
            self.ticket = Some(Breaker::admit(self.target.clone()).map_err(|_| BreakerOpen)?);
        }
        Ok(())
    }
}

/// The target's breaker lets no call through now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerOpen;

impl Drop for Attempt {
    fn drop(&mut self) {
        self.target.leave();
        let is_hedge_loser = self.race.as_ref().is_some_and(|race| race.is_lost());
        if is_hedge_loser && let Some(elapsed) = Instant::now().checked_duration_since(self.started) {
            // A hedge loser would have taken longer still. Without a sample the target would seem quicker than it is, or
            // be measured for ever.
            self.target.latency().record(elapsed.as_secs_f64() * 1e3);
            if let Some(probe) = self.ticket.take_if(|ticket| ticket.is_probe()) {
                probe.failed();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::breaker::{BreakerSettings, BreakerState};
    use super::*;
    use gateway_model::error::GatewayError;

    fn health() -> Arc<TargetHealth> {
        let settings = BreakerSettings { failure_threshold: 2, cooldown: Duration::from_secs(9), probes: 1 };
        Arc::new(TargetHealth::new(settings))
    }

    fn status(status: u16) -> Failure {
        GatewayError::from_http_status("p", status, "").into()
    }

    fn begin(target: &Arc<TargetHealth>) -> Attempt {
        target.begin(Guard::Breaker).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn the_callers_own_faults_do_not_open_the_breaker() {
        let target = health();
        for code in [400, 404, 413, 422] {
            for _ in 0..4 {
                begin(&target).failed(&status(code));
            }
        }
        assert_eq!((target.state(), target.error_rate()), (BreakerState::Closed, None));
        for code in [500, 503] {
            begin(&target).failed(&status(code));
        }
        assert_eq!((target.state(), target.error_rate()), (BreakerState::Open, Some(1.0)));
        assert_eq!(target.breaker_blocked(), Some(Duration::from_secs(9)));
        assert_eq!(target.blocked(), Some(NO_MODEL_REST), "404: it has no such model");
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_limit_starts_a_cooldown_and_does_not_open_the_breaker() {
        let target = health();
        let limit = GatewayError {
            retry_after: Some(Duration::from_secs(7)),
            ..GatewayError::provider_rate_limit("p")
        };
        for _ in 0..3 {
            begin(&target).failed(&limit.clone().into());
        }
        assert_eq!((target.state(), target.blocked()), (BreakerState::Closed, Some(Duration::from_secs(7))));
        tokio::time::advance(Duration::from_secs(7)).await;
        assert_eq!(target.blocked(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn streams_that_begin_and_break_off_open_the_breaker() {
        let target = health();
        for _ in 0..2 {
            let mut stream = begin(&target);
            stream.answered();
            stream.failed(&GatewayError::provider_network("p", "reset").into());
        }
        assert_eq!(target.state(), BreakerState::Open);
        tokio::time::advance(Duration::from_secs(9)).await;
        let mut probe = begin(&target);
        probe.answered();
        assert_eq!(target.state(), BreakerState::Closed, "a probe has succeeded with its first content");
    }

    #[tokio::test(start_paused = true)]
    async fn unguarded_attempts_are_always_let_through() {
        let target = health();
        for _ in 0..9 {
            target.begin(Guard::Unguarded).unwrap().failed(&status(500));
        }
        assert_eq!(target.state(), BreakerState::Closed);
        assert!(target.begin(Guard::Unguarded).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn the_breaker_is_asked_again_before_each_retry() {
        let target = health();
        let mut attempt = begin(&target);
        assert_eq!(attempt.retry(&status(503), Duration::ZERO), Ok(()));
        let refused = attempt.retry(&status(503), Duration::ZERO);
        assert_eq!(refused, Err(BreakerOpen), "two failures have opened it");
        assert_eq!(target.in_flight(), 1);
        drop(attempt);
        assert_eq!(target.in_flight(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn waits_before_a_try_are_not_its_latency() {
        let target = health();
        let mut attempt = begin(&target);
        tokio::time::advance(Duration::from_secs(3)).await;
        attempt.restart_clock();
        tokio::time::advance(Duration::from_millis(10)).await;
        let backoff = Duration::from_secs(5);
        assert!(attempt.retry(&status(503), backoff).is_ok());
        tokio::time::advance(backoff + Duration::from_millis(20)).await;
        attempt.answered();
        assert_eq!(target.latency().median(), Some(20.0));
    }

    #[tokio::test(start_paused = true)]
    async fn hedge_loser_records_latency_and_fails_its_half_open_probe() {
        let target = health();
        for _ in 0..2 {
            begin(&target).failed(&status(500));
        }
        tokio::time::advance(Duration::from_secs(9)).await;
        let race = Arc::new(HedgeRace::default());
        let hedged = || {
            let mut attempt = begin(&target);
            attempt.enter_race(race.clone());
            attempt
        };
        drop(hedged());
        assert_eq!(
            (target.state(), target.latency().median()),
            (BreakerState::HalfOpen, None),
            "it was given up"
        );
        let attempt = hedged();
        tokio::time::advance(Duration::from_millis(40)).await;
        race.mark_lost();
        drop(attempt);
        assert_eq!((target.state(), target.latency().median()), (BreakerState::Open, Some(40.0)));
    }
}
