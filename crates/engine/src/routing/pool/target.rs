//! What a pool knows of its targets and of a call.

use std::sync::Arc;

use super::hash::TargetName;

/// What a strategy must know of a target at this moment. Each pick reads it for each target: answers should come from
/// memory, without waiting for locks.
pub trait TargetState: Send + Sync {
    /// A call may go there now: its circuit breaker lets calls through, and it is not in a cooldown.
    fn is_available(&self) -> bool;
    /// Calls in flight.
    fn in_flight(&self) -> usize;
    /// Moving median of milliseconds to the first content; `None` until something was measured.
    fn first_content_ms(&self) -> Option<f64>;
}

/// One member of a pool. Small: a pick reads all of them.
pub struct Target<S> {
    pub name: TargetName,
    /// Its share relative to the others'. A pool brings it into the range from 1e-9 to 1e9.
    pub weight: f64,
    /// For `priority`: lower numbers come first.
    pub priority: u64,
    /// For `hybrid`: 0 to 1, higher is better.
    pub quality: f64,
    pub state: Arc<S>,
}

/// What a strategy must know of a call.
#[derive(Clone, Copy, Default)]
pub struct PickInput<'a> {
    /// For `consistent_hash`: the value that chooses. Without one, or with an empty one, the target is picked by weight.
    pub hash: Option<&'a str>,
    /// Estimated dollars of this call, one for each target or none. Infinity and NaN stand for an unknown price, which
    /// counts as the highest. Needed where the pool [compares costs](super::Pool::compares_costs).
    pub costs: &'a [f64],
    /// For `hybrid`: of the models that this call asks for, 0 to 1, one for each target; none: the targets' own.
    pub qualities: &'a [f64],
}

impl PickInput<'_> {
    /// Dollars at this target; infinite where the price is unknown.
    pub(super) fn cost(&self, target: usize) -> f64 {
        let cost = self.costs.get(target).copied().unwrap_or(f64::INFINITY);
        if cost < f64::INFINITY { cost } else { f64::INFINITY }
    }

    /// The value to hash, unless it is empty.
    pub(super) fn hash(&self) -> Option<&str> {
        self.hash.filter(|hash| !hash.is_empty())
    }
}
