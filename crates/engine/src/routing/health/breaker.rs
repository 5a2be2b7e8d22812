//! A circuit breaker: keeps calls away from a target that fails, and probes it now and then.
//!
//! ```text
//!            failures in a row            cooldown over
//!  closed ───────────────────▶ open ─────────────────────▶ half open
//!    ▲                          ▲        a probe failed        │
//!    │                          └──────────────────────────────┤
//!    └─────────────────────────────────────────────────────────┘
//!                         enough probes succeeded
//! ```
//!
//! The transitions are written in that order: [`Breaker::open`], [`Breaker::half_open`], [`Breaker::close`].

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use super::atomic_deadline::AtomicDeadline;
use gateway_model::config::BreakerConfig;

/// What a breaker does at this moment, the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    Closed,
    HalfOpen,
    Open,
}

#[derive(Debug, Clone, Copy)]
pub struct BreakerSettings {
    /// Failures in a row that open it.
    pub failure_threshold: u32,
    /// Until the first probe.
    pub cooldown: Duration,
    /// Probes, one at a time, that must succeed to close it.
    pub probes: u32,
}

impl From<Option<BreakerConfig>> for BreakerSettings {
    fn from(config: Option<BreakerConfig>) -> Self {
        let config = config.unwrap_or_default();
        Self {
            failure_threshold: config.failure_threshold.unwrap_or(5).max(1),
            cooldown: Duration::from_millis(config.cooldown_ms.unwrap_or(60_000)),
            probes: config.probes_to_close.unwrap_or(3).max(1),
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum State {
    Closed {
        failures: u32,
    },
    Open {
        until: Instant,
    },
    /// `probe`: the number of the probe under way.
    HalfOpen {
        successes: u32,
        probe: Option<u64>,
    },
}

/// In this order: what readers without the lock need lies together.
#[derive(Debug)]
#[repr(C)]
pub struct Breaker {
    /// The state as readers without the lock see it: pools look at each of their targets for each call.
    open_until: AtomicDeadline,
    probing: AtomicBool,
    state: Mutex<State>,
    /// Number of the next probe.
    probes: AtomicU64,
    /// How often it has opened by what this process saw.
    openings: AtomicU64,
    settings: BreakerSettings,
}

impl Breaker {
    pub fn new(settings: BreakerSettings) -> Self {
        Self {
            open_until: AtomicDeadline::default(),
            probing: AtomicBool::new(false),
            state: Mutex::new(State::Closed { failures: 0 }),
            probes: AtomicU64::new(0),
            openings: AtomicU64::new(0),
            settings,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn state(&self) -> BreakerState {
        match *self.lock() {
            State::Closed { .. } => BreakerState::Closed,
            State::Open { .. } => BreakerState::Open,
            State::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// How long no call is let through; `None`: one is, now. Changes nothing.
    pub fn blocked(&self) -> Option<Duration> {
        // A probe under way will end soon, nobody knows when.
        let probing = || self.probing.load(Ordering::Acquire).then_some(Duration::ZERO);
        self.open_until.remaining().or_else(probing)
    }

    pub fn is_blocked(&self) -> bool {
        self.open_until.is_ahead() || self.probing.load(Ordering::Acquire)
    }

    /// Lets a call through: any while closed, one probe at a time otherwise. `owner` is what the breaker is a part of.
    ///
    /// # Errors
    /// How long no call is let through; zero while a probe is under way.
    pub fn admit<B: AsRef<Self>>(owner: B) -> Result<Ticket<B>, Duration> {
        let breaker = owner.as_ref();
        let mut state = breaker.lock();
        let probe = match *state {
            State::Closed { .. } => None,
            State::Open { until } => {
                let remaining = until.saturating_duration_since(Instant::now());
                if !remaining.is_zero() {
                    return Err(remaining);
                }
                Some(breaker.start_probe(&mut state, 0))
            }
            State::HalfOpen { probe: Some(_), .. } => return Err(Duration::ZERO),
            State::HalfOpen { successes, probe: None } => Some(breaker.start_probe(&mut state, successes)),
        };
        drop(state);
        Ok(Ticket { owner, probe })
    }

    /// Counts a success without a ticket, as of a health check: it closes an open breaker as a probe would.
    pub fn check_succeeded(&self) {
        let mut state = self.lock();
        match &mut *state {
            State::Closed { failures } => *failures = 0,
            State::Open { .. } => self.half_open(&mut state, 1, None),
            State::HalfOpen { successes, .. } => *successes += 1,
        }
        self.close_after_enough_probes(&mut state);
    }

    /// Counts a failure without a ticket.
    pub fn check_failed(&self) {
        self.count_failure(&mut self.lock());
    }

    fn count_failure(&self, state: &mut State) {
        match state {
            State::Closed { failures } => {
                *failures += 1;
                if *failures >= self.settings.failure_threshold {
                    self.open(state);
                }
            }
            State::HalfOpen { .. } => self.open(state),
            State::Open { .. } => {}
        }
    }

    /// How often it has opened by what this process saw, and for how long it is still open.
    pub fn openings(&self) -> (u64, Option<Duration>) {
        (self.openings.load(Ordering::Acquire), self.open_until.remaining())
    }

    /// Opens it as that of another process has, for what is `left` of that one's cooldown.
    pub fn open_for(&self, left: Duration) {
        let until = Instant::now() + left.min(self.settings.cooldown);
        let mut state = self.lock();
        if !matches!(*state, State::Open { until: own } if own >= until) {
            self.cool_down(&mut state, until);
        }
    }

    /// Starts the cooldown.
    fn open(&self, state: &mut State) {
        self.cool_down(state, Instant::now() + self.settings.cooldown);
        self.openings.fetch_add(1, Ordering::Release);
    }

    fn cool_down(&self, state: &mut State, until: Instant) {
        *state = State::Open { until };
        self.open_until.set(until);
        self.probing.store(false, Ordering::Release);
    }

    /// Ends the cooldown: from now on probes decide.
    fn half_open(&self, state: &mut State, successes: u32, probe: Option<u64>) {
        *state = State::HalfOpen { successes, probe };
        self.open_until.clear();
    }

    /// Answers the probe's number.
    fn start_probe(&self, state: &mut State, successes: u32) -> u64 {
        let number = self.probes.fetch_add(1, Ordering::Relaxed);
        self.probing.store(true, Ordering::Release);
        self.half_open(state, successes, Some(number));
        number
    }

    /// Ends a probe; false: it is no longer the one under way, as checks have opened the breaker in the meantime.
    fn end_probe(&self, ended: u64, probe: &mut Option<u64>) -> bool {
        let is_under_way = *probe == Some(ended);
        if is_under_way {
            *probe = None;
            self.probing.store(false, Ordering::Release);
        }
        is_under_way
    }

    fn close_after_enough_probes(&self, state: &mut State) {
        if matches!(*state, State::HalfOpen { successes, .. } if successes >= self.settings.probes) {
            self.close(state);
        }
    }

    fn close(&self, state: &mut State) {
        *state = State::Closed { failures: 0 };
        // A check may have closed it while a probe was under way.
        self.probing.store(false, Ordering::Release);
    }
}

/// A call that was let through. Dropped without an outcome it counts for nothing, and another probe may start.
#[derive(Debug)]
pub struct Ticket<B: AsRef<Breaker>> {
    owner: B,
    /// Its number, where it is a probe.
    probe: Option<u64>,
}

impl<B: AsRef<Breaker>> Ticket<B> {
    pub fn is_probe(&self) -> bool {
        self.probe.is_some()
    }

    pub fn succeeded(mut self) {
        let own = self.probe.take();
        let breaker = self.owner.as_ref();
        let mut state = breaker.lock();
        match &mut *state {
            State::Closed { failures } => *failures = 0,
            State::HalfOpen { successes, probe } => {
                // A call from before it opened says nothing about now.
                if own.is_some_and(|own| breaker.end_probe(own, probe)) {
                    *successes += 1;
                }
            }
            State::Open { .. } => {}
        }
        breaker.close_after_enough_probes(&mut state);
    }

    pub fn failed(mut self) {
        let own = self.probe.take();
        let breaker = self.owner.as_ref();
        let mut state = breaker.lock();
        let counts = match &*state {
            State::Closed { .. } => true,
            State::HalfOpen { probe, .. } => own.is_some() && *probe == own,
            State::Open { .. } => false,
        };
        if counts {
            breaker.count_failure(&mut state);
        }
    }
}

impl<B: AsRef<Breaker>> Drop for Ticket<B> {
    fn drop(&mut self) {
        let breaker = self.owner.as_ref();
        if let Some(own) = self.probe
            && let State::HalfOpen { probe, .. } = &mut *breaker.lock()
        {
            breaker.end_probe(own, probe);
        }
    }
}

#[cfg(test)]
mod tests;
