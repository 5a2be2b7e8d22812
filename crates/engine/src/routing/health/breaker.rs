//! A circuit breaker: lets a failing target alone, and probes it now and then.
//!
//! ```text
//!            failures in a row            cooldown over
//!  closed ───────────────────▶ open ─────────────────────▶ half open
//!    ▲                          ▲        a probe failed        │
//!    │                          └──────────────────────────────┤
//!    └─────────────────────────────────────────────────────────┘
//!                         enough probes succeeded
//! ```

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use super::until::Until;
use gateway_model::config::BreakerConfig;

/// What a breaker does at this moment.
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
            probes: config.half_open_max_requests.unwrap_or(3).max(1),
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
    /// `probe`: the number of the one under way.
    HalfOpen {
        successes: u32,
        probe: Option<u64>,
    },
}

/// In this order: what those read who only look lies together.
#[derive(Debug)]
#[repr(C)]
pub struct Breaker {
    /// What the state means for those who only look: pools look at each of their targets for each call.
    open_until: Until,
    probing: AtomicBool,
    state: Mutex<State>,
    /// Probes so far.
    probes: AtomicU64,
    settings: BreakerSettings,
}

impl Breaker {
    pub fn new(settings: BreakerSettings) -> Self {
        Self {
            open_until: Until::default(),
            probing: AtomicBool::new(false),
            state: Mutex::new(State::Closed { failures: 0 }),
            probes: AtomicU64::new(0),
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

    /// How long nobody is let through; `None`: somebody is, now. Changes nothing.
    pub fn blocked(&self) -> Option<Duration> {
        // A probe under way will tell soon.
        let probing = || self.probing.load(Ordering::Acquire).then_some(Duration::ZERO);
        self.open_until.left().or_else(probing)
    }

    pub fn is_blocked(&self) -> bool {
        self.open_until.holds() || self.probing.load(Ordering::Acquire)
    }

    /// Lets a call through, or says how long none is.
    ///
    /// `owner` is what the breaker is a part of.
    pub fn admit<B: AsRef<Self>>(owner: B) -> Result<Ticket<B>, Duration> {
        let breaker = owner.as_ref();
        let mut state = breaker.lock();
        let successes = match &*state {
            State::Closed { .. } => None,
            State::Open { until } => {
                let left = until.saturating_duration_since(Instant::now());
                if !left.is_zero() {
                    return Err(left);
                }
                Some(0)
            }
            State::HalfOpen { probe: Some(_), .. } => return Err(Duration::ZERO),
            State::HalfOpen { successes, probe: None } => Some(*successes),
        };
        let probe = successes.map(|successes| {
            let number = breaker.probes.fetch_add(1, Ordering::Relaxed);
            *state = State::HalfOpen { successes, probe: Some(number) };
            breaker.probing.store(true, Ordering::Release);
            number
        });
        drop(state);
        Ok(Ticket { owner, probe })
    }

    /// A success that no ticket was taken for, as of a check of its health: a probe that has succeeded.
    pub fn check_succeeded(&self) {
        let mut state = self.lock();
        match &mut *state {
            State::Closed { failures } => *failures = 0,
            State::Open { .. } => {
                *state = State::HalfOpen { successes: 1, probe: None };
                self.open_until.clear();
            }
            State::HalfOpen { successes, .. } => *successes += 1,
        }
        self.close_if_well(&mut state);
    }

    /// A failure that no ticket was taken for.
    pub fn check_failed(&self) {
        let mut state = self.lock();
        self.count_failure(&mut state);
    }

    fn close_if_well(&self, state: &mut State) {
        if matches!(*state, State::HalfOpen { successes, .. } if successes >= self.settings.probes) {
            *state = State::Closed { failures: 0 };
            // A check may have closed it beside a probe.
            self.probing.store(false, Ordering::Release);
        }
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

    fn open(&self, state: &mut State) {
        let until = Instant::now() + self.settings.cooldown;
        *state = State::Open { until };
        self.open_until.set(until);
        self.probing.store(false, Ordering::Release);
    }

    /// This probe has ended; false: it is not the one under way, as checks have opened the breaker in the meantime.
    fn end_probe(&self, ended: u64, probe: &mut Option<u64>) -> bool {
        let is_under_way = *probe == Some(ended);
        if is_under_way {
            *probe = None;
            self.probing.store(false, Ordering::Release);
        }
        is_under_way
    }
}

/// A call that was let through. Dropped without a word, it counts for nothing, and another probe may start.
#[derive(Debug)]
pub struct Ticket<B: AsRef<Breaker>> {
    owner: B,
    /// Its number.
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
        breaker.close_if_well(&mut state);
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
mod tests {
    use std::sync::Arc;

    use super::*;

    fn admit(breaker: &Arc<Breaker>) -> Result<Ticket<Arc<Breaker>>, Duration> {
        Breaker::admit(breaker.clone())
    }

    fn breaker() -> Arc<Breaker> {
        let settings = BreakerSettings { failure_threshold: 3, cooldown: Duration::from_secs(10), probes: 2 };
        Arc::new(Breaker::new(settings))
    }

    fn opened() -> Arc<Breaker> {
        let breaker = breaker();
        for _ in 0..3 {
            admit(&breaker).unwrap().failed();
        }
        assert_eq!(breaker.state(), BreakerState::Open);
        breaker
    }

    #[tokio::test(start_paused = true)]
    async fn failures_in_a_row_open_it_and_a_success_between_them_does_not() {
        let breaker = breaker();
        for _ in 0..5 {
            admit(&breaker).unwrap().failed();
            admit(&breaker).unwrap().failed();
            admit(&breaker).unwrap().succeeded();
        }
        assert_eq!(breaker.state(), BreakerState::Closed);
        assert_eq!(admit(&opened()).unwrap_err(), Duration::from_secs(10));
    }

    #[tokio::test(start_paused = true)]
    async fn probes_go_one_at_a_time_and_close_it_when_enough_succeed() {
        let breaker = opened();
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(breaker.blocked(), None);
        let probe = admit(&breaker).unwrap();
        assert!(admit(&breaker).is_err() && breaker.blocked().is_some());
        probe.succeeded();
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        admit(&breaker).unwrap().succeeded();
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_fails_opens_it_again_and_one_that_is_given_up_makes_room() {
        let breaker = opened();
        tokio::time::advance(Duration::from_secs(10)).await;
        drop(admit(&breaker).unwrap());
        admit(&breaker).unwrap().failed();
        assert_eq!(breaker.state(), BreakerState::Open);
        assert_eq!(breaker.blocked(), Some(Duration::from_secs(10)));
    }

    #[tokio::test(start_paused = true)]
    async fn calls_from_before_it_opened_change_nothing() {
        let breaker = breaker();
        let early: Vec<_> = (0..3).map(|_| admit(&breaker).unwrap()).collect();
        for _ in 0..3 {
            admit(&breaker).unwrap().failed();
        }
        tokio::time::advance(Duration::from_secs(10)).await;
        let probe = admit(&breaker).unwrap();
        for ticket in early {
            ticket.failed();
        }
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        probe.succeeded();
    }

    #[tokio::test(start_paused = true)]
    async fn checks_of_its_health_count_as_probes() {
        let breaker = opened();
        breaker.check_succeeded();
        breaker.check_succeeded();
        assert_eq!(breaker.state(), BreakerState::Closed);
        for _ in 0..3 {
            breaker.check_failed();
        }
        assert_eq!(breaker.state(), BreakerState::Open);
    }

    #[tokio::test(start_paused = true)]
    async fn checks_beside_a_probe_leave_nothing_behind() {
        // Checks close it.
        let breaker = opened();
        tokio::time::advance(Duration::from_secs(10)).await;
        let probe = admit(&breaker).unwrap();
        breaker.check_succeeded();
        breaker.check_succeeded();
        assert_eq!((breaker.state(), breaker.blocked()), (BreakerState::Closed, None));
        probe.succeeded();
        assert_eq!((breaker.is_blocked(), breaker.blocked()), (false, None));
        // A check opens it: the probe of before is not the next one.
        let breaker = opened();
        tokio::time::advance(Duration::from_secs(10)).await;
        let early = admit(&breaker).unwrap();
        breaker.check_failed();
        tokio::time::advance(Duration::from_secs(10)).await;
        let probe = admit(&breaker).unwrap();
        early.failed();
        assert!(admit(&breaker).is_err(), "one probe at a time");
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        probe.succeeded();
        admit(&breaker).unwrap().succeeded();
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[test]
    fn threads_never_probe_at_once_and_no_probe_is_lost() {
        let settings = BreakerSettings { failure_threshold: 1, cooldown: Duration::ZERO, probes: 1_000_000 };
        let breaker = Arc::new(Breaker::new(settings));
        let running = std::sync::atomic::AtomicUsize::new(0);
        let probes = std::sync::atomic::AtomicUsize::new(0);
        breaker.check_failed();
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let (breaker, running, probes) = (&breaker, &running, &probes);
                scope.spawn(move || {
                    for round in 0..5_000 {
                        let Ok(ticket) = admit(breaker) else { continue };
                        use std::sync::atomic::Ordering::SeqCst;
                        assert_eq!(running.fetch_add(1, SeqCst), 0);
                        probes.fetch_add(1, SeqCst);
                        running.fetch_sub(1, SeqCst);
                        match (round + thread) % 3 {
                            0 => ticket.succeeded(),
                            1 => ticket.failed(),
                            _ => drop(ticket),
                        }
                    }
                });
            }
        });
        assert!(probes.into_inner() > 0);
        assert_eq!(breaker.blocked(), None, "a probe was never given back");
    }
}
