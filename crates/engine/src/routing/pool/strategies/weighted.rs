//! Chance alone: each target by its share of the weight.

use gateway_model::config::PoolConfig;

use crate::routing::pool::select::{candidates, pick_by_weight, scores_by_weight};
use crate::routing::pool::strategy::Strategy;
use crate::routing::pool::target::{PickInput, Target, TargetState};

pub(in crate::routing::pool) struct Weighted;

impl Strategy for Weighted {
    const NAME: &'static str = "weighted";
    const SUMMARY: &'static str = "at random, by weight";

    fn new<S>(_: &PoolConfig, _: &[Target<S>]) -> Self {
        Self
    }

    fn pick<S: TargetState>(
        &self,
        _: &PickInput<'_>,
        targets: &[Target<S>],
        tried: &[bool],
    ) -> Option<usize> {
        pick_by_weight(candidates(targets, tried))
    }

    fn scores<S: TargetState>(&self, _: &PickInput<'_>, targets: &[Target<S>]) -> Vec<(usize, f64)> {
        scores_by_weight(targets)
    }
}
