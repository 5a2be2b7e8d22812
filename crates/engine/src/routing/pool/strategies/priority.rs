//! The entries' priorities: at random by weight among the first that are left.

use gateway_model::config::PoolConfig;

use crate::routing::pool::select::{candidates, lowest, share};
use crate::routing::pool::strategy::Strategy;
use crate::routing::pool::target::{PickInput, Target, TargetState};

pub(in crate::routing::pool) struct Priority;

impl Strategy for Priority {
    const NAME: &'static str = "priority";
    const SUMMARY: &'static str = "a target of the first group that has one left";

    fn new<S>(_: &PoolConfig, _: &[Target<S>]) -> Self {
        Self
    }

    fn pick<S: TargetState>(
        &self,
        _: &PickInput<'_>,
        targets: &[Target<S>],
        tried: &[bool],
    ) -> Option<usize> {
        lowest(candidates(targets, tried).map(|(index, target)| (index, target.weight, target.priority)))
    }

    /// The priority, and in addition 1 less the target's share of its group.
    #[allow(clippy::cast_precision_loss)]
    fn scores<S: TargetState>(&self, _: &PickInput<'_>, targets: &[Target<S>]) -> Vec<(usize, f64)> {
        let score = |(index, target): (usize, &Target<S>)| {
            let group = candidates(targets, &[]).filter(|(_, other)| other.priority == target.priority);
            (index, target.priority as f64 + 1.0 - share(target, group))
        };
        candidates(targets, &[]).map(score).collect()
    }
}
