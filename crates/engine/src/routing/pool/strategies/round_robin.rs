//! Smooth weighted round robin, by the rule of nginx (`ngx_http_upstream_get_peer`): at each pick every candidate earns
//! its weight as credit, the one with the most credit is picked and pays what all earned together.
//!
//! With weights 5, 1, 1 that gives `a a b a c a a` and not `a a a a a b c`. A target that is skipped neither earns nor
//! pays: when it is back it continues where it was, without making up for the time away.

use std::sync::{Mutex, PoisonError};

use gateway_model::config::PoolConfig;

use crate::routing::pool::select::candidates;
use crate::routing::pool::strategy::Strategy;
use crate::routing::pool::target::{PickInput, Target, TargetState};

pub(in crate::routing::pool) struct RoundRobin {
    /// One for each target. Two picks at once must not see the same credits, or shares would not be exact.
    credits: Mutex<Vec<f64>>,
}

impl Strategy for RoundRobin {
    const NAME: &'static str = "round_robin";
    const SUMMARY: &'static str = "in turn, by weight";

    fn new<S>(_: &PoolConfig, targets: &[Target<S>]) -> Self {
        Self { credits: Mutex::new(vec![0.0; targets.len()]) }
    }

    fn pick<S: TargetState>(
        &self,
        _: &PickInput<'_>,
        targets: &[Target<S>],
        tried: &[bool],
    ) -> Option<usize> {
        let mut credits = self.credits.lock().unwrap_or_else(PoisonError::into_inner);
        let mut earned = 0.0;
        let mut best: Option<(usize, f64)> = None;
        for (index, target) in candidates(targets, tried) {
            let Some(credit) = credits.get_mut(index) else { break };
            earned += target.weight;
            *credit += target.weight;
            if best.is_none_or(|(_, most)| *credit > most) {
                best = Some((index, *credit));
            }
        }
        let (index, _) = best?;
        if let Some(credit) = credits.get_mut(index) {
            *credit -= earned;
        }
        Some(index)
    }

    /// The credit at the next pick, with its sign turned.
    fn scores<S: TargetState>(&self, _: &PickInput<'_>, targets: &[Target<S>]) -> Vec<(usize, f64)> {
        let credits = self.credits.lock().unwrap_or_else(PoisonError::into_inner);
        let score =
            |(index, target): (usize, &Target<S>)| Some((index, -(credits.get(index)? + target.weight)));
        candidates(targets, &[]).filter_map(score).collect()
    }
}
