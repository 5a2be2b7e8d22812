//! Weighted rendezvous hashing: a value and each target give a pseudo-random distance, and the nearest target is picked.
//!
//! If a target leaves, only its own values move, each to the target that was next for it; second attempts follow the same
//! order. Unlike a ring there is nothing to build or to keep, and weights are exact: with u uniform in (0, 1),
//! `-ln(u) / weight` is an exponential variate of rate `weight`, and each one is the least of all with the probability of
//! its share of the weight.

use gateway_model::config::PoolConfig;

use crate::routing::pool::hash::{TargetName, hash_text, mix};
use crate::routing::pool::select::{candidates, pick_by_weight, scores_by_weight};
use crate::routing::pool::strategy::Strategy;
use crate::routing::pool::target::{PickInput, Target, TargetState};

pub(in crate::routing::pool) struct ConsistentHash {
    /// The hash of each target's name; all differ.
    names: Vec<u64>,
}

impl Strategy for ConsistentHash {
    const NAME: &'static str = "consistent_hash";
    const SUMMARY: &'static str = "by a value of the request";

    fn new<S>(_: &PoolConfig, targets: &[Target<S>]) -> Self {
        let mut names: Vec<u64> = Vec::with_capacity(targets.len());
        for target in targets {
            let TargetName(mut name) = target.name;
            // The same target listed twice has two shares.
            while names.contains(&name) {
                name = mix(name);
            }
            names.push(name);
        }
        Self { names }
    }

    fn pick<S: TargetState>(
        &self,
        input: &PickInput<'_>,
        targets: &[Target<S>],
        tried: &[bool],
    ) -> Option<usize> {
        let open = candidates(targets, tried);
        match input.hash() {
            Some(value) => self.nearest(hash_text(value), open),
            None => pick_by_weight(open),
        }
    }

    /// The distance between value and target; without a value, as `weighted` has it.
    fn scores<S: TargetState>(&self, input: &PickInput<'_>, targets: &[Target<S>]) -> Vec<(usize, f64)> {
        let Some(value) = input.hash() else { return scores_by_weight(targets) };
        let value = hash_text(value);
        let distance = |(index, target): (usize, &Target<S>)| {
            Some((index, -self.uniform(value, index)?.ln() / target.weight))
        };
        candidates(targets, &[]).filter_map(distance).collect()
    }
}

impl ConsistentHash {
    fn nearest<'a, S: 'a>(
        &self,
        value: u64,
        open: impl Iterator<Item = (usize, &'a Target<S>)>,
    ) -> Option<usize> {
        let mut best: Option<(usize, f64)> = None;
        for (index, target) in open {
            let u = self.uniform(value, index)?;
            // 1 - u is never above -ln(u), which rules most targets out without the expensive logarithm.
            if best.is_some_and(|(_, least)| 1.0 - u > least * target.weight) {
                continue;
            }
            let distance = -u.ln() / target.weight;
            if best.is_none_or(|(_, least)| distance < least) {
                best = Some((index, distance));
            }
        }
        best.map(|(index, _)| index)
    }

    /// Between 0 and 1, both excluded.
    #[allow(clippy::cast_precision_loss)]
    fn uniform(&self, value: u64, index: usize) -> Option<f64> {
        const STEP: f64 = 1.0 / (1_u64 << 52) as f64;
        let bits = mix(value ^ self.names.get(index)?) >> 12;
        Some((bits as f64 + 0.5) * STEP)
    }
}
