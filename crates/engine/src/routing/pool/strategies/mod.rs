//! The table of strategies. A new one is a file beside this one, and its line in each of the two lists below: its module,
//! and its place among the names that configurations may use.

mod consistent_hash;
mod cost;
mod hybrid;
mod latency;
mod least_busy;
mod priority;
mod round_robin;
mod weighted;

#[cfg(test)]
mod documented_tests;

use gateway_model::config::PoolConfig;

use super::strategy::{Strategy, StrategyInfo};
use super::target::{PickInput, Target, TargetState};

/// Writes what has to name every strategy. An enum and not a `dyn Strategy`: its methods are generic.
macro_rules! register {
    ($($module:ident :: $strategy:ident),+ $(,)?) => {
        /// All strategies, in the order in which messages list them.
        pub const STRATEGIES: &[StrategyInfo] =
            &[$(StrategyInfo { name: $module::$strategy::NAME, summary: $module::$strategy::SUMMARY }),+];

        /// A strategy with what it remembers.
        pub(super) enum AnyStrategy {
            $($strategy($module::$strategy)),+
        }

        impl AnyStrategy {
            /// `None`: the pool's configuration names no strategy of the table.
            pub(super) fn new<S>(config: &PoolConfig, targets: &[Target<S>]) -> Option<Self> {
                match config.strategy.as_str() {
                    $($module::$strategy::NAME => Some(Self::$strategy(Strategy::new(config, targets))),)+
                    _ => None,
                }
            }

            pub(super) fn pick<S: TargetState>(
                &self,
                input: &PickInput<'_>,
                targets: &[Target<S>],
                tried: &[bool],
            ) -> Option<usize> {
                match self {
                    $(Self::$strategy(strategy) => strategy.pick(input, targets, tried)),+
                }
            }

            pub(super) fn scores<S: TargetState>(
                &self,
                input: &PickInput<'_>,
                targets: &[Target<S>],
            ) -> Vec<(usize, f64)> {
                match self {
                    $(Self::$strategy(strategy) => strategy.scores(input, targets)),+
                }
            }

            pub(super) fn compares_quality(&self) -> bool {
                match self {
                    $(Self::$strategy(strategy) => strategy.compares_quality()),+
                }
            }

            pub(super) fn compares_costs(&self) -> bool {
                match self {
                    $(Self::$strategy(strategy) => strategy.compares_costs()),+
                }
            }
        }
    };
}

register! {
    priority::Priority,
    weighted::Weighted,
    round_robin::RoundRobin,
    least_busy::LeastBusy,
    consistent_hash::ConsistentHash,
    cost::Cost,
    latency::Latency,
    hybrid::Hybrid,
}
