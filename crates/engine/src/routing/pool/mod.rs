//! Which target of a pool a call tries next. `docs/routing.md` describes the strategies to users.
//!
//! A pool only picks. It does not know why a target is unavailable, and learns the outcome of calls through
//! [`TargetState`]. Picking takes no lock (except for the few numbers of round robin) and allocates nothing.

mod explore;
mod hash;
mod random;
mod select;
mod strategies;
mod strategy;
mod target;
#[cfg(test)]
mod tests;

use gateway_model::config::PoolConfig;

use strategies::AnyStrategy;
use strategy::Strategy;

pub use hash::TargetName;
pub use strategies::STRATEGIES;
pub use strategy::StrategyInfo;
pub use target::{PickInput, Target, TargetState};

/// What a pool's `strategy` may be, in the order in which messages list them.
pub fn strategy_names() -> Vec<&'static str> {
    STRATEGIES.iter().map(|strategy| strategy.name).collect()
}

/// Targets and the strategy that picks among them. All threads may pick at once.
pub struct Pool<S> {
    targets: Vec<Target<S>>,
    strategy: AnyStrategy,
}

impl<S: TargetState> Pool<S> {
    /// A pool with the strategy that `config` names. A name that is not one of [`STRATEGIES`], which reading a configuration
    /// refuses, gives the default.
    pub fn new(mut targets: Vec<Target<S>>, config: &PoolConfig) -> Self {
        for target in &mut targets {
            target.weight = if target.weight.is_nan() { 1.0 } else { target.weight.clamp(1e-9, 1e9) };
            target.quality = if target.quality.is_nan() { 0.5 } else { target.quality.clamp(0.0, 1.0) };
        }
        let strategy = AnyStrategy::new(config, &targets);
        let strategy = strategy.unwrap_or_else(|| AnyStrategy::Priority(Strategy::new(config, &targets)));
        Self { targets, strategy }
    }

    /// Whether the strategy needs to know what calls cost.
    pub fn compares_costs(&self) -> bool {
        self.strategy.compares_costs()
    }

    /// Whether the strategy needs to know how good the models are.
    pub fn compares_quality(&self) -> bool {
        self.strategy.compares_quality()
    }

    /// The next target for a call; `tried` has a flag for each target. `None` if none is left and available.
    pub fn pick(&self, input: &PickInput<'_>, tried: &[bool]) -> Option<usize> {
        self.strategy.pick(input, &self.targets, tried)
    }

    /// For `explain`: each target's score under the strategy, lower is picked first, without changing any state. Infinite:
    /// unavailable, or picked after all others.
    ///
    /// Where chance decides, a lower score means a greater chance. Each strategy says in its file what its scores are.
    pub fn scores(&self, input: &PickInput<'_>) -> Vec<f64> {
        let mut scores = vec![f64::INFINITY; self.targets.len()];
        for (index, score) in self.strategy.scores(input, &self.targets) {
            if let Some(slot) = scores.get_mut(index) {
                *slot = score;
            }
        }
        scores
    }
}
