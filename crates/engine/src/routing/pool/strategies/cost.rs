//! The lowest estimated price of this call.

use gateway_model::config::PoolConfig;

use crate::routing::pool::select::{candidates, lowest};
use crate::routing::pool::strategy::Strategy;
use crate::routing::pool::target::{PickInput, Target, TargetState};

pub(in crate::routing::pool) struct Cost;

impl Strategy for Cost {
    const NAME: &'static str = "cost";
    const SUMMARY: &'static str = "the cheapest target for this call";

    fn new<S>(_: &PoolConfig, _: &[Target<S>]) -> Self {
        Self
    }

    fn pick<S: TargetState>(
        &self,
        input: &PickInput<'_>,
        targets: &[Target<S>],
        tried: &[bool],
    ) -> Option<usize> {
        lowest(candidates(targets, tried).map(|(index, target)| (index, target.weight, input.cost(index))))
    }

    /// Dollars.
    fn scores<S: TargetState>(&self, input: &PickInput<'_>, targets: &[Target<S>]) -> Vec<(usize, f64)> {
        candidates(targets, &[]).map(|(index, _)| (index, input.cost(index))).collect()
    }

    fn compares_costs(&self) -> bool {
        true
    }
}
