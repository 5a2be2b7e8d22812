//! The lowest median time to the first content; now and then another target, to learn how fast it is.

use gateway_model::config::PoolConfig;

use crate::routing::pool::explore::{Explorer, as_score, milliseconds};
use crate::routing::pool::select::{candidates, lowest};
use crate::routing::pool::strategy::Strategy;
use crate::routing::pool::target::{PickInput, Target, TargetState};

pub(in crate::routing::pool) struct Latency {
    explorer: Explorer,
}

impl Strategy for Latency {
    const NAME: &'static str = "latency";
    const SUMMARY: &'static str = "the target that recently answered fastest";

    fn new<S>(_: &PoolConfig, targets: &[Target<S>]) -> Self {
        Self { explorer: Explorer::new(targets.len()) }
    }

    fn pick<S: TargetState>(
        &self,
        _: &PickInput<'_>,
        targets: &[Target<S>],
        tried: &[bool],
    ) -> Option<usize> {
        let explorer = &self.explorer;
        let call = explorer.begin(tried);
        let explores = call.explores();
        let picked = lowest(candidates(targets, tried).map(|(index, target)| {
            let ms = milliseconds(target);
            let rank = if explores && ms >= 0.0 { explorer.last_picked_at(index) } else { ms };
            (index, target.weight, rank)
        }));
        explorer.record(call, picked);
        picked
    }

    /// Milliseconds; -1 for a target that is not measured yet, which comes first.
    fn scores<S: TargetState>(&self, _: &PickInput<'_>, targets: &[Target<S>]) -> Vec<(usize, f64)> {
        candidates(targets, &[]).map(|(index, target)| (index, as_score(milliseconds(target)))).collect()
    }
}
