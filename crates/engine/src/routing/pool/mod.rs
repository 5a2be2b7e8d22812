//! Which target of a pool is asked next. `docs/routing.md` describes the strategies to users.
//!
//! A pool only picks. It does not know why a target is not available, and what becomes of a call it learns through
//! [`TargetState`]. Picking takes no lock (but for round robin's few numbers) and allocates nothing.

mod explore;
mod hybrid;
mod random;
mod rendezvous;
mod round_robin;
mod select;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use explore::{Explorer, as_score, milliseconds};
use gateway_model::config::{HybridWeights, StrategyKind};
use hybrid::Hybrid;
use rendezvous::Rendezvous;
pub use rendezvous::TargetName;
use round_robin::RoundRobin;
use select::{candidates, lowest};

/// What a strategy must know of a target at this moment. It is asked for each target of each pick: answers should come
/// from memory, without waiting for locks.
pub trait TargetState: Send + Sync {
    /// It may be asked now: its breaker is closed or a probe is due, and nothing makes it rest.
    fn is_available(&self) -> bool;
    /// Calls under way.
    fn in_flight(&self) -> usize;
    /// Moving median of milliseconds to the first content; `None` until something was measured.
    fn first_content_ms(&self) -> Option<f64>;
}

/// One member of a pool. Small: a pick reads all of them.
pub struct Target<S> {
    pub name: TargetName,
    /// Its share beside the others'. A pool brings it into the range from 1e-9 to 1e9.
    pub weight: f64,
    /// For `priority`: lower numbers come first.
    pub priority: u64,
    /// For `hybrid`: 0 to 1, higher is better.
    pub quality: f64,
    pub state: Arc<S>,
}

/// What a strategy must know of a call.
#[derive(Clone, Copy, Default)]
pub struct Ask<'a> {
    /// For `consistent_hash`: the value that chooses. Without one, or with an empty one, the target is picked by weight.
    pub hash: Option<&'a str>,
    /// Estimated dollars of this call, one for each target or none; infinite or no number where no price is known, which
    /// counts as the dearest. Needed where the pool [compares costs](Pool::compares_costs).
    pub costs: &'a [f64],
}

impl Ask<'_> {
    /// Infinite where it is not known.
    fn cost(&self, target: usize) -> f64 {
        let cost = self.costs.get(target).copied().unwrap_or(f64::INFINITY);
        if cost < f64::INFINITY { cost } else { f64::INFINITY }
    }

    fn hash(&self) -> Option<&str> {
        self.hash.filter(|hash| !hash.is_empty())
    }
}

/// Targets and the strategy that picks among them. All threads may pick at once.
pub struct Pool<S> {
    targets: Vec<Target<S>>,
    strategy: Strategy,
}

/// A strategy with what it remembers.
enum Strategy {
    Priority,
    Weighted,
    RoundRobin(RoundRobin),
    LeastBusy,
    ConsistentHash(Rendezvous),
    Cost,
    Latency(Explorer),
    Hybrid(Hybrid),
}

impl<S: TargetState> Pool<S> {
    /// `weights` matter to `hybrid` alone.
    pub fn new(mut targets: Vec<Target<S>>, strategy: StrategyKind, weights: HybridWeights) -> Self {
        for target in &mut targets {
            target.weight = if target.weight.is_nan() { 1.0 } else { target.weight.clamp(1e-9, 1e9) };
            target.quality = if target.quality.is_nan() { 0.5 } else { target.quality.clamp(0.0, 1.0) };
        }
        let strategy = match strategy {
            StrategyKind::Priority => Strategy::Priority,
            StrategyKind::Weighted => Strategy::Weighted,
            StrategyKind::RoundRobin => Strategy::RoundRobin(RoundRobin::new(targets.len())),
            StrategyKind::LeastBusy => Strategy::LeastBusy,
            StrategyKind::ConsistentHash => Strategy::ConsistentHash(Rendezvous::new(&targets)),
            StrategyKind::Cost => Strategy::Cost,
            StrategyKind::Latency => Strategy::Latency(Explorer::new(targets.len())),
            StrategyKind::Hybrid => Strategy::Hybrid(Hybrid::new(weights, &targets)),
        };
        Self { targets, strategy }
    }

    /// The strategy asks what calls cost.
    pub fn compares_costs(&self) -> bool {
        match &self.strategy {
            Strategy::Cost => true,
            Strategy::Hybrid(strategy) => strategy.compares_costs(),
            _ => false,
        }
    }

    /// The next target for a call; `tried` has a flag for each target. `None`: nobody is left or available.
    pub fn pick(&self, ask: &Ask<'_>, tried: &[bool]) -> Option<usize> {
        let targets = &self.targets;
        let open = candidates(targets, tried);
        match &self.strategy {
            Strategy::Priority => lowest(open.map(|(index, target)| (index, target.weight, target.priority))),
            Strategy::Weighted => lowest(open.map(|(index, target)| (index, target.weight, ()))),
            Strategy::RoundRobin(strategy) => strategy.pick(targets, tried),
            Strategy::LeastBusy => lowest(open.map(|(index, target)| (index, target.weight, load(target)))),
            Strategy::ConsistentHash(strategy) => match ask.hash() {
                Some(value) => strategy.pick(value, open),
                None => lowest(open.map(|(index, target)| (index, target.weight, ()))),
            },
            Strategy::Cost => lowest(open.map(|(index, target)| (index, target.weight, ask.cost(index)))),
            Strategy::Latency(explorer) => {
                let call = explorer.begin(tried);
                let explores = call.explores();
                let picked = lowest(open.map(|(index, target)| {
                    let ms = milliseconds(target);
                    let rank = if explores && ms >= 0.0 { explorer.asked_at(index) } else { ms };
                    (index, target.weight, rank)
                }));
                explorer.note(call, picked);
                picked
            }
            Strategy::Hybrid(strategy) => strategy.pick(ask, targets, tried),
        }
    }

    /// For `explain`: each target's score under the strategy, lower is asked first, without changing any state.
    ///
    /// Where chance decides, a lower score means a greater chance: `weighted` has 1 less the target's share, `priority` that
    /// beside the priority. `round_robin`: the credit with its sign turned. `least_busy`: calls under way by weight.
    /// `consistent_hash`: the distance of value and target. `cost`: dollars. `latency`: milliseconds. `hybrid`: 0 to 1. In the
    /// last two, -1 is a target that is not measured yet and comes first. Infinite: not available, or asked after all others.
    pub fn scores(&self, ask: &Ask<'_>) -> Vec<f64> {
        let mut scores = vec![f64::INFINITY; self.targets.len()];
        let mut set = |index: usize, score: f64| {
            if let Some(slot) = scores.get_mut(index) {
                *slot = score;
            }
        };
        let open = || candidates(&self.targets, &[]);
        match &self.strategy {
            Strategy::Priority => open().for_each(|(index, target)| {
                let equals = open().filter(|(_, other)| other.priority == target.priority);
                #[allow(clippy::cast_precision_loss)]
                set(index, target.priority as f64 + 1.0 - share(target, equals));
            }),
            Strategy::Weighted => open().for_each(|(index, target)| set(index, 1.0 - share(target, open()))),
            Strategy::RoundRobin(strategy) => strategy.score_each(open(), set),
            Strategy::LeastBusy => open().for_each(|(index, target)| set(index, load(target))),
            Strategy::ConsistentHash(strategy) => match ask.hash() {
                Some(value) => strategy.score_each(value, open(), set),
                None => open().for_each(|(index, target)| set(index, 1.0 - share(target, open()))),
            },
            Strategy::Cost => open().for_each(|(index, _)| set(index, ask.cost(index))),
            Strategy::Latency(_) => {
                open().for_each(|(index, target)| set(index, as_score(milliseconds(target))));
            }
            Strategy::Hybrid(strategy) => strategy.score_each(ask, &self.targets, set),
        }
        scores
    }
}

/// Calls under way for each unit of weight.
#[allow(clippy::cast_precision_loss)]
fn load<S: TargetState>(target: &Target<S>) -> f64 {
    target.state.in_flight() as f64 / target.weight
}

/// The target's part of the weight of `all`.
fn share<'a, S: 'a>(target: &Target<S>, all: impl Iterator<Item = (usize, &'a Target<S>)>) -> f64 {
    target.weight / all.map(|(_, other)| other.weight).sum::<f64>()
}
