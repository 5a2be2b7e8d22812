//! The record of each call: logged exactly once.

mod record;

use gateway_model::UsageLog;

pub(crate) use record::budget_usage;
pub use record::{Billed, CallRecord, Start, latency_ms};

/// Receives what a call's caller may log.
pub trait Observer: Send + Sync {
    /// The call's one entry in the usage log.
    fn usage(&self, entry: UsageLog);

    /// A line for the console, as `[budget-warn] …`.
    fn warning(&self, line: String);
}
