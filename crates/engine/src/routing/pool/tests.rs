//! What the strategies promise, held against seeded picks.

mod busy;
mod hashing;
mod properties;
mod shares;
mod speed;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::*;
use gateway_model::config::HybridWeights;

/// A target's state that a test sets by hand.
struct Hand {
    available: AtomicBool,
    in_flight: AtomicUsize,
    /// The last ones, as many as [`WINDOW`].
    samples: Mutex<Vec<f64>>,
}

const WINDOW: usize = 16;

impl Default for Hand {
    fn default() -> Self {
        Self {
            available: AtomicBool::new(true),
            in_flight: AtomicUsize::new(0),
            samples: Mutex::new(Vec::new()),
        }
    }
}

impl Hand {
    fn available(&self, yes: bool) {
        self.available.store(yes, Ordering::Relaxed);
    }

    fn begin(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    fn end(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    fn measured(&self, ms: f64) {
        let mut samples = self.samples.lock().unwrap();
        if samples.len() == WINDOW {
            samples.remove(0);
        }
        samples.push(ms);
    }
}

impl TargetState for Hand {
    fn is_available(&self) -> bool {
        self.available.load(Ordering::Relaxed)
    }

    fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    fn first_content_ms(&self) -> Option<f64> {
        let mut samples = self.samples.lock().unwrap().clone();
        samples.sort_by(f64::total_cmp);
        samples.get(samples.len() / 2).copied()
    }
}

/// What a test says of a target; the rest is usual.
#[derive(Debug, Clone, Copy)]
struct Spec {
    weight: f64,
    priority: u64,
    quality: f64,
}

impl Default for Spec {
    fn default() -> Self {
        Self { weight: 1.0, priority: 0, quality: 0.5 }
    }
}

fn by_weight(weights: &[f64]) -> Vec<Spec> {
    weights.iter().map(|&weight| Spec { weight, ..Spec::default() }).collect()
}

/// A pool and the states of its targets.
struct Bench {
    pool: Pool<Hand>,
    states: Vec<Arc<Hand>>,
}

impl Bench {
    fn new(strategy: &str, specs: &[Spec]) -> Self {
        Self::hybrid(strategy, HybridWeights::default(), specs)
    }

    fn hybrid(strategy: &str, weights: HybridWeights, specs: &[Spec]) -> Self {
        let states: Vec<Arc<Hand>> = specs.iter().map(|_| Arc::default()).collect();
        let targets = specs.iter().zip(&states).enumerate().map(|(index, (spec, state))| Target {
            name: TargetName::new(&format!("entry-{index}"), "model"),
            weight: spec.weight,
            priority: spec.priority,
            quality: spec.quality,
            state: state.clone(),
        });
        Self { pool: Pool::new(targets.collect(), &config(strategy, weights)), states }
    }

    /// A first attempt of a call whose costs are not known and that has no value to hash.
    fn pick(&self) -> Option<usize> {
        self.pool.pick(&free(), &[])
    }

    /// How often each target is picked.
    fn counts(&self, picks: usize) -> Vec<usize> {
        let mut counts = vec![0; self.states.len()];
        for _ in 0..picks {
            counts[self.pick().unwrap()] += 1;
        }
        counts
    }
}

fn config(strategy: &str, weights: HybridWeights) -> PoolConfig {
    PoolConfig { strategy: strategy.into(), weights, ..PoolConfig::default() }
}

fn free() -> PickInput<'static> {
    PickInput::default()
}

fn hashed(value: &str) -> PickInput<'_> {
    PickInput { hash: Some(value), costs: &[], ..PickInput::default() }
}

/// Holds shares against weights: at most `within` off, as a part of all picks.
#[track_caller]
#[allow(clippy::cast_precision_loss)]
fn assert_shares(counts: &[usize], weights: &[f64], within: f64) {
    let (picks, total) = (counts.iter().sum::<usize>() as f64, weights.iter().sum::<f64>());
    for (count, weight) in counts.iter().zip(weights) {
        let (share, wanted) = (*count as f64 / picks, weight / total);
        assert!((share - wanted).abs() <= within, "{counts:?} for {weights:?}");
    }
}
