//! How `latency` and `hybrid` come to know the targets that they do not prefer.
//!
//! - A target without a measurement is asked first, by one call at a time: should it hang, the others go on.
//! - One call in ten asks the target that was asked the longest ago. Which of the ten that is changes, so that it does not
//!   fall in step with the traffic. A target's median of 16 samples turns with 9 of them: with two targets, a change on
//!   either side is known within 100 calls.
//! - Second attempts do not explore.

use std::sync::atomic::{AtomicU64, Ordering};

use super::rendezvous::mix;
use super::{Target, TargetState};

/// One call in so many explores.
const EVERY: u64 = 10;

pub(super) struct Explorer {
    /// Calls so far, second attempts not counted.
    calls: AtomicU64,
    /// The number of the call that asked each target last.
    asked: Vec<AtomicU64>,
}

/// A pick under way: the call's number, for first attempts.
#[derive(Clone, Copy)]
pub(super) struct Call(Option<u64>);

/// Nobody asked the target yet.
pub(super) const UNKNOWN: f64 = f64::NEG_INFINITY;
/// Nobody had an answer yet, but somebody waits for one.
pub(super) const AWAITED: f64 = f64::INFINITY;

/// Milliseconds to the first content, or one of the two above, so that the lowest is to be asked first.
pub(super) fn milliseconds<S: TargetState>(target: &Target<S>) -> f64 {
    match target.state.first_content_ms().filter(|ms| ms.is_finite()) {
        Some(ms) => ms.max(0.0),
        None if target.state.in_flight() == 0 => UNKNOWN,
        None => AWAITED,
    }
}

/// As people see it, who have no infinity below: -1 for what nobody asked yet.
pub(super) fn as_score(rank: f64) -> f64 {
    if rank == UNKNOWN { -1.0 } else { rank }
}

impl Explorer {
    pub(super) fn new(targets: usize) -> Self {
        Self { calls: AtomicU64::new(0), asked: (0..targets).map(|_| AtomicU64::new(0)).collect() }
    }

    pub(super) fn begin(&self, tried: &[bool]) -> Call {
        // All of them are looked at: that is done many at a time.
        let first = !tried.iter().fold(false, |any, tried| any | tried);
        Call(first.then(|| self.calls.fetch_add(1, Ordering::Relaxed)))
    }

    /// The number of the call that asked the target last; 0 for nobody yet.
    #[allow(clippy::cast_precision_loss)]
    pub(super) fn asked_at(&self, index: usize) -> f64 {
        self.asked.get(index).map_or(0.0, |asked| asked.load(Ordering::Relaxed) as f64)
    }

    pub(super) fn note(&self, call: Call, picked: Option<usize>) {
        if let (Some(number), Some(asked)) = (call.0, picked.and_then(|index| self.asked.get(index))) {
            asked.store(number + 1, Ordering::Relaxed);
        }
    }
}

impl Call {
    /// A pick that neither explores nor counts.
    pub(super) const fn second() -> Self {
        Self(None)
    }

    pub(super) fn explores(self) -> bool {
        self.0.is_some_and(|number| number % EVERY == mix(number / EVERY) % EVERY)
    }
}
