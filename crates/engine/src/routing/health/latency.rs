//! How fast a target has been of late.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Samples of the moving median: few, so that a change shows soon.
const MEDIAN: usize = 16;
/// Samples of the percentiles that people see, and that hedges wait for.
const WINDOW: usize = 128;
/// Fewer tell nothing about the slowest in twenty.
const LEAST_FOR_P95: usize = 20;

/// The last samples, the oldest overwritten.
#[derive(Debug)]
struct Ring {
    samples: [f32; WINDOW],
    count: usize,
}

impl Ring {
    fn push(&mut self, sample: f32) {
        self.samples[self.count % WINDOW] = sample;
        self.count += 1;
    }

    /// The last ones, as many as `into` holds, in no order.
    fn last<'a>(&self, into: &'a mut [f32]) -> &'a mut [f32] {
        let known = self.count.min(WINDOW).min(into.len());
        let last = &mut into[..known];
        for (back, sample) in last.iter_mut().enumerate() {
            *sample = self.samples[(self.count - 1 - back) % WINDOW];
        }
        last
    }
}

/// Milliseconds to the first content: of an answer that is not streamed, to the whole.
#[derive(Debug)]
pub struct Latency {
    /// Apart from the target: what picks read of it stays close together.
    ring: Box<Mutex<Ring>>,
    /// The moving median's bits; NaN until something was measured.
    median: AtomicU64,
}

impl Default for Latency {
    fn default() -> Self {
        Self {
            ring: Box::new(Mutex::new(Ring { samples: [0.0; WINDOW], count: 0 })),
            median: AtomicU64::new(f64::NAN.to_bits()),
        }
    }
}

impl Latency {
    #[allow(clippy::cast_possible_truncation)]
    pub fn record(&self, ms: f64) {
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        ring.push(ms as f32);
        let median = percentile(ring.last(&mut [0.0; MEDIAN]), 0.5).unwrap_or(f64::NAN);
        self.median.store(median.to_bits(), Ordering::Relaxed);
    }

    /// Of the last few.
    pub fn median(&self) -> Option<f64> {
        let median = f64::from_bits(self.median.load(Ordering::Relaxed));
        (!median.is_nan()).then_some(median)
    }

    /// The median and the 95th percentile of a longer time.
    pub fn percentiles(&self) -> (Option<f64>, Option<f64>) {
        let (mut samples, known) = self.samples();
        let samples = &mut samples[..known];
        (percentile(samples, 0.5), percentile(samples, 0.95))
    }

    /// Within which 95 % of the answers begin; `None` until enough of them are known.
    pub fn p95(&self) -> Option<f64> {
        let (mut samples, known) = self.samples();
        if known < LEAST_FOR_P95 { None } else { percentile(&mut samples[..known], 0.95) }
    }

    /// Those of the window, and how many there are.
    fn samples(&self) -> ([f32; WINDOW], usize) {
        let mut samples = [0.0; WINDOW];
        let known = self.ring.lock().unwrap_or_else(PoisonError::into_inner).last(&mut samples).len();
        (samples, known)
    }
}

#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn percentile(samples: &mut [f32], share: f64) -> Option<f64> {
    let last = samples.len().checked_sub(1)?;
    let place = (last as f64 * share).round() as usize;
    Some(f64::from(*samples.select_nth_unstable_by(place, f32::total_cmp).1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_follows_the_last_few() {
        let latency = Latency::default();
        assert_eq!((latency.median(), latency.p95()), (None, None));
        for _ in 0..50 {
            latency.record(10.0);
        }
        assert_eq!(latency.median(), Some(10.0));
        for _ in 0..9 {
            latency.record(90.0);
        }
        assert_eq!(latency.median(), Some(90.0));
        assert_eq!(latency.percentiles(), (Some(10.0), Some(90.0)));
    }

    #[test]
    fn percentiles_are_those_of_the_window() {
        let latency = Latency::default();
        for ms in 1..=100 {
            latency.record(f64::from(ms));
        }
        assert_eq!(latency.p95(), Some(95.0));
        assert_eq!(latency.median(), Some(93.0));
    }
}
