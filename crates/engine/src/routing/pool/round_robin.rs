//! Smooth weighted round robin, by the rule of nginx (`ngx_http_upstream_get_peer`): at each pick every target in
//! question earns its weight as credit, the one with the most is asked and pays what all earned together.
//!
//! With weights 5, 1, 1 that gives `a a b a c a a` and not `a a a a a b c`. A target that is skipped neither earns nor
//! pays: when it comes back it goes on from where it was, without making up for the time away.

use std::sync::{Mutex, PoisonError};

use super::select::candidates;
use super::{Target, TargetState};

pub(super) struct RoundRobin {
    /// Of each target. Two picks at once must not see the same credits, or shares would not be exact.
    credits: Mutex<Vec<f64>>,
}

impl RoundRobin {
    pub(super) fn new(targets: usize) -> Self {
        Self { credits: Mutex::new(vec![0.0; targets]) }
    }

    pub(super) fn pick<S: TargetState>(&self, targets: &[Target<S>], tried: &[bool]) -> Option<usize> {
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

    pub(super) fn score_each<'a, S: 'a>(
        &self,
        open: impl Iterator<Item = (usize, &'a Target<S>)>,
        mut set: impl FnMut(usize, f64),
    ) {
        let credits = self.credits.lock().unwrap_or_else(PoisonError::into_inner);
        for (index, target) in open {
            if let Some(credit) = credits.get(index) {
                set(index, -(credit + target.weight));
            }
        }
    }
}
