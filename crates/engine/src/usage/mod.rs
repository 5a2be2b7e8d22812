//! The record of each call: logged exactly once.

mod keeping;
mod record;

use crate::budget::BudgetWarning;
use gateway_model::UsageLog;

pub use keeping::Keeping;
pub(crate) use record::budget_usage;
pub use record::{Billed, CallRecord, Start, StreamTimes, latency_ms};

/// Receives what a call's caller may log.
pub trait Observer: Send + Sync {
    /// The call's one entry in the usage log.
    fn usage(&self, entry: UsageLog);

    /// A line for the console, as `[budget-warn] …`.
    fn warning(&self, warning: BudgetWarning);
}
