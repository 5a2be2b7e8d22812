//! What a strategy is.

use gateway_model::config::PoolConfig;

use super::target::{PickInput, Target, TargetState};

/// One way to pick among the targets of a pool.
///
/// A new one is a file in `strategies/`, and its line in the table there: the configuration's names come from that table,
/// and a test holds the documentation and the TypeScript types against it.
///
/// The methods are generic, so that reading a target's state is a static call: a pick reads all targets.
pub(super) trait Strategy: Send + Sync + Sized {
    /// What a pool's `strategy` says to get it.
    const NAME: &'static str;

    /// What it picks, as the table in `docs/routing.md` says it.
    const SUMMARY: &'static str;

    /// `targets` are those of every later pick, in the same order.
    fn new<S>(config: &PoolConfig, targets: &[Target<S>]) -> Self;

    /// One of the [candidates](super::select::candidates); `None` only where there is none. `tried` has a flag for each
    /// target, or for none.
    fn pick<S: TargetState>(
        &self,
        input: &PickInput<'_>,
        targets: &[Target<S>],
        tried: &[bool],
    ) -> Option<usize>;

    /// For `explain`: index and score of each available target. Lower is picked first, and targets that are left out come
    /// after all others. Changes no state.
    fn scores<S: TargetState>(&self, input: &PickInput<'_>, targets: &[Target<S>]) -> Vec<(usize, f64)>;

    /// Whether it needs [`PickInput::qualities`].
    fn compares_quality(&self) -> bool {
        false
    }

    /// Whether it needs [`PickInput::costs`].
    fn compares_costs(&self) -> bool {
        false
    }
}

/// A strategy, as lists of them show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StrategyInfo {
    /// As configurations write it.
    pub name: &'static str,
    /// What it picks.
    pub summary: &'static str,
}
