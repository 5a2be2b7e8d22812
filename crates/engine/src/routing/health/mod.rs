//! How providers are doing: one account for each target, which is an entry and a model.

mod breaker;
mod latency;
mod target;
mod until;

pub use breaker::{Breaker, BreakerSettings, BreakerState};
pub use target::{Attempt, EntryHealth, EntryReport, Fault, TargetHealth, fault};
