//! The record of each call: who is told, and exactly once.

mod record;

use gateway_model::UsageLog;

pub use record::{CallRecord, Start, latency_ms};

/// Hears of a call what is meant for its caller's log.
pub trait Observer: Send + Sync {
    /// The call's one entry in the usage log.
    fn usage(&self, entry: UsageLog);

    /// A line for the console, as `[budget-warn] …`.
    fn warning(&self, line: String);
}
