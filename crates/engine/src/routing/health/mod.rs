//! How providers are doing: circuit breaker, latency and error rate of each target, which is an entry and a model.
//!
//! Each file knows those before it: `atomic_deadline` ← `breaker`, `latency`, `blame` ← `report` ← `target` ← `attempt`,
//! `entry`.

mod atomic_deadline;
mod attempt;
mod blame;
mod breaker;
mod entry;
mod latency;
mod report;
mod target;

pub use attempt::{Attempt, Guard, HedgeRace, LastResort};
pub use blame::{Blame, blame};
pub use breaker::{Breaker, BreakerSettings, BreakerState};
pub use entry::EntryHealth;
pub use report::{EntryReport, LatencyReport, TargetReport};
pub use target::{Outcome, TargetHealth};
