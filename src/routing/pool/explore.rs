//! How `latency` and `hybrid` come to know the targets that they do not prefer.
//!
//! - A target without a measurement is asked first, by one call at a time: should it hang, the others go on.
//! - One call in ten asks the target that was asked the longest ago. Which of the ten that is changes, so that it does not
//!   fall in step with the traffic. A target's median of 16 samples turns with 9 of them: with two targets, a change on
//!   either side is known within 100 calls.
//! - Second attempts do not explore.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Target;
use super::rendezvous::mix;

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

/// What is known of a target's speed.
#[derive(Clone, Copy)]
pub(super) enum Speed {
    /// Milliseconds to the first content.
    Measured(f64),
    /// Nobody asked yet.
    Unknown,
    /// Nobody had an answer yet, but somebody waits for one.
    Awaited,
}

pub(super) fn speed(target: &Target) -> Speed {
    match target.state.first_content_ms().filter(|ms| ms.is_finite()) {
        Some(ms) => Speed::Measured(ms.max(0.0)),
        None if target.state.in_flight() == 0 => Speed::Unknown,
        None => Speed::Awaited,
    }
}

impl Speed {
    /// The milliseconds; infinite without any.
    pub(super) fn or_last(self) -> f64 {
        match self {
            Self::Measured(ms) => ms,
            Self::Unknown | Self::Awaited => f64::INFINITY,
        }
    }

    /// `rank`, which is 0 or more; but before all ranks for a target that is still to be measured.
    pub(super) fn or_first(self, rank: f64) -> f64 {
        match self {
            Self::Unknown => -1.0,
            Self::Measured(_) | Self::Awaited => rank,
        }
    }
}

impl Explorer {
    pub(super) fn new(targets: usize) -> Self {
        Self { calls: AtomicU64::new(0), asked: (0..targets).map(|_| AtomicU64::new(0)).collect() }
    }

    pub(super) fn begin(&self, tried: &[bool]) -> Call {
        Call((!tried.contains(&true)).then(|| self.calls.fetch_add(1, Ordering::Relaxed)))
    }

    /// The rank of a target for this pick, where `rank` is what it has when nothing is explored.
    #[allow(clippy::cast_precision_loss)]
    pub(super) fn rank(&self, call: Call, index: usize, speed: Speed, rank: f64) -> f64 {
        let rank = match self.asked.get(index) {
            Some(asked) if call.explores() => asked.load(Ordering::Relaxed) as f64,
            _ => rank,
        };
        speed.or_first(rank)
    }

    pub(super) fn note(&self, call: Call, picked: Option<usize>) {
        if let (Some(number), Some(asked)) = (call.0, picked.and_then(|index| self.asked.get(index))) {
            asked.store(number + 1, Ordering::Relaxed);
        }
    }
}

impl Call {
    fn explores(self) -> bool {
        self.0.is_some_and(|number| number % EVERY == mix(number / EVERY) % EVERY)
    }
}
