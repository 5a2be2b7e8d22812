//! The fewest calls in flight for each unit of weight.

use gateway_model::config::PoolConfig;

use crate::routing::pool::select::{candidates, lowest};
use crate::routing::pool::strategy::Strategy;
use crate::routing::pool::target::{PickInput, Target, TargetState};

pub(in crate::routing::pool) struct LeastBusy;

impl Strategy for LeastBusy {
    const NAME: &'static str = "least_busy";
    const SUMMARY: &'static str = "the target with the fewest calls in flight";

    fn new<S>(_: &PoolConfig, _: &[Target<S>]) -> Self {
        Self
    }

    fn pick<S: TargetState>(
        &self,
        _: &PickInput<'_>,
        targets: &[Target<S>],
        tried: &[bool],
    ) -> Option<usize> {
        lowest(candidates(targets, tried).map(|(index, target)| (index, target.weight, load(target))))
    }

    fn scores<S: TargetState>(&self, _: &PickInput<'_>, targets: &[Target<S>]) -> Vec<(usize, f64)> {
        candidates(targets, &[]).map(|(index, target)| (index, load(target))).collect()
    }
}

/// Calls in flight for each unit of weight.
#[allow(clippy::cast_precision_loss)]
fn load<S: TargetState>(target: &Target<S>) -> f64 {
    target.state.in_flight() as f64 / target.weight
}
