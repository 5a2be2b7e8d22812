//! One target's health: circuit breaker, cooldown, latency, error rate, attempts in flight.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::atomic_deadline::AtomicDeadline;
use super::breaker::{Breaker, BreakerSettings, BreakerState};
use super::latency::Latency;
use super::report::{LatencyReport, TargetReport};

/// The cooldown of a target that limits its callers without saying for how long.
const COOLDOWN: Duration = Duration::from_secs(1);
/// A rate limit keeps no target from being asked for longer.
const LONGEST_COOLDOWN: Duration = Duration::from_secs(60);
/// Outcomes that the error rate is made of.
const OUTCOMES: u32 = 32;

/// How an attempt or a health check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Succeeded,
    Failed,
}

/// In this order: what a pick reads of each target is in the first line of the processor's cache.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct TargetHealth {
    in_flight: AtomicUsize,
    /// It has asked for a pause until then.
    cooldown_until: AtomicDeadline,
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
            cooldown_until: AtomicDeadline::default(),
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
        // `None` is the least.
        self.breaker.blocked().max(self.cooldown_until.remaining())
    }

    /// How long the breaker alone lets no call through: outside of pools nothing else blocks.
    pub fn breaker_blocked(&self) -> Option<Duration> {
        self.breaker.blocked()
    }

    pub fn breaker(&self) -> &Breaker {
        &self.breaker
    }

    /// It has asked for a pause, or has no such model.
    pub fn rests(&self) -> bool {
        self.cooldown_until.is_ahead()
    }

    /// Counts an attempt that begins.
    pub(super) fn enter(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts out an attempt that is over.
    pub(super) fn leave(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// Counts an attempt for the error rate.
    pub(super) fn record(&self, outcome: Outcome) {
        let failed = u32::from(outcome == Outcome::Failed);
        let shift = |outcomes: u32| Some(outcomes << 1 | failed);
        let _ = self.outcomes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, shift);
        self.outcome_count.fetch_add(1, Ordering::Relaxed);
    }

    /// Tells the breaker of an outcome that no ticket was taken for.
    pub(super) fn record_check(&self, outcome: Outcome) {
        match outcome {
            Outcome::Succeeded => self.breaker.check_succeeded(),
            Outcome::Failed => self.breaker.check_failed(),
        }
    }

    pub(super) fn error_rate(&self) -> Option<f64> {
        let count = self.outcome_count.load(Ordering::Relaxed).min(OUTCOMES);
        let failed = self.outcomes.load(Ordering::Relaxed).count_ones();
        (count > 0).then(|| f64::from(failed) / f64::from(count))
    }

    /// Asks no more of it for as long as it has asked, within bounds.
    pub(super) fn cool_down(&self, asked: Option<Duration>) {
        self.cooldown_until.extend(Instant::now() + asked.unwrap_or(COOLDOWN).min(LONGEST_COOLDOWN));
    }

    /// `blocked`: for how long, which depends on who asks.
    pub(super) fn report(&self, model: &str, blocked: Option<Duration>) -> TargetReport {
        let (p50, p95) = self.latency.percentiles();
        TargetReport {
            model: model.to_owned(),
            state: self.state(),
            latency_ms: LatencyReport { p50, p95 },
            error_rate: self.error_rate(),
            in_flight: self.in_flight(),
            #[allow(clippy::cast_possible_truncation)]
            blocked_ms: blocked.map(|blocked| blocked.as_millis() as u64),
        }
    }
}

impl crate::routing::pool::TargetState for TargetHealth {
    fn is_available(&self) -> bool {
        !self.breaker.is_blocked() && !self.cooldown_until.is_ahead()
    }

    fn in_flight(&self) -> usize {
        Self::in_flight(self)
    }

    fn first_content_ms(&self) -> Option<f64> {
        self.latency.median()
    }
}
