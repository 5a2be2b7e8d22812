//! How `latency` and `hybrid` learn about the targets that they do not prefer.
//!
//! - A target without a measurement is picked first, by one call at a time: if that call hangs, the others go elsewhere.
//! - One call in ten goes to the target that was picked the longest ago. Which one of the ten varies, so that it does not
//!   fall in step with the traffic. A target's median of 16 samples turns with 9 of them: with two targets, a change on
//!   either side is known within 100 calls.
//! - Second attempts do not explore.

use std::sync::atomic::{AtomicU64, Ordering};

use super::hash::mix;
use super::target::{Target, TargetState};

/// One call in so many explores.
const EVERY: u64 = 10;

pub(super) struct Explorer {
    /// Calls so far, second attempts not counted.
    calls: AtomicU64,
    /// For each target, the number of the call that picked it last.
    last_picked: Vec<AtomicU64>,
}

/// A pick in progress: the call's number, for first attempts.
#[derive(Clone, Copy)]
pub(super) struct ExploringCall(Option<u64>);

/// The target was never measured, and no call is on its way to measure it.
pub(super) const UNKNOWN: f64 = f64::NEG_INFINITY;
/// The target was never measured, but a call in flight will do it.
pub(super) const AWAITED: f64 = f64::INFINITY;

/// Milliseconds to the first content, or one of the two above, so that the lowest is to be picked first.
pub(super) fn milliseconds<S: TargetState>(target: &Target<S>) -> f64 {
    match target.state.first_content_ms().filter(|ms| ms.is_finite()) {
        Some(ms) => ms.max(0.0),
        None if target.state.in_flight() == 0 => UNKNOWN,
        None => AWAITED,
    }
}

/// As users see it: -1 in place of [`UNKNOWN`].
pub(super) fn as_score(rank: f64) -> f64 {
    if rank == UNKNOWN { -1.0 } else { rank }
}

impl Explorer {
    pub(super) fn new(targets: usize) -> Self {
        Self { calls: AtomicU64::new(0), last_picked: (0..targets).map(|_| AtomicU64::new(0)).collect() }
    }

    /// Counts the call, unless it is a second attempt.
    pub(super) fn begin(&self, tried: &[bool]) -> ExploringCall {
        // Without an early end, so that the processor compares many flags at a time.
        let is_first = !tried.iter().fold(false, |any, tried| any | tried);
        ExploringCall(is_first.then(|| self.calls.fetch_add(1, Ordering::Relaxed)))
    }

    /// The number of the call that picked the target last; 0 if none did.
    #[allow(clippy::cast_precision_loss)]
    pub(super) fn last_picked_at(&self, index: usize) -> f64 {
        self.last_picked.get(index).map_or(0.0, |number| number.load(Ordering::Relaxed) as f64)
    }

    /// Remembers what the call picked.
    pub(super) fn record(&self, call: ExploringCall, picked: Option<usize>) {
        if let (Some(number), Some(last)) = (call.0, picked.and_then(|index| self.last_picked.get(index))) {
            last.store(number + 1, Ordering::Relaxed);
        }
    }
}

impl ExploringCall {
    /// A pick that neither explores nor counts.
    pub(super) const fn uncounted() -> Self {
        Self(None)
    }

    pub(super) fn explores(self) -> bool {
        self.0.is_some_and(|number| number % EVERY == mix(number / EVERY) % EVERY)
    }
}
