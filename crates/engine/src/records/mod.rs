//! What is kept of each call: one row, with what it came to, and the roll-ups that are made of rows.

mod books;
mod row;

use std::sync::Arc;

use futures::future::BoxFuture;

pub use books::{Books, ChargeSink, Entry};
pub(crate) use row::{Beside, usage_row};

use crate::state::{Charge, CounterState, StoreError};
use gateway_model::{AttemptRecord, UsageSource};

/// What is kept of one call, or of an attempt beside it that was billed.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct UsageRow {
    /// A UUID whose first 48 bits are the time, so that an index on it stays small.
    pub request_id: String,
    /// 0: the call itself; from 1: attempts beside it. `request_id` and `part` together are the row's identity.
    pub part: u32,
    /// Milliseconds since the epoch, at the call's end.
    pub at_ms: i64,
    /// Name of the entry that answered; of a failed call, the one that its log entry names.
    pub provider: String,
    pub model: String,
    pub route_rule: String,
    pub feature: Option<String>,
    pub user_tier: Option<String>,
    pub user_id: Option<String>,
    /// Id of the client key.
    pub key_id: Option<String>,
    pub team: Option<String>,
    /// The request's `metadata`, a JSON object.
    pub metadata: Option<String>,
    pub success: bool,
    pub error_code: Option<String>,
    pub input_tokens: u64,
    pub output_tokens: u64,
    pub cache_read_tokens: Option<u64>,
    pub cache_write_tokens: Option<u64>,
    pub reasoning_tokens: Option<u64>,
    pub usage_source: UsageSource,
    /// Picodollars (10⁻¹² US dollars).
    pub cost: i64,
    /// Picodollars that a cached answer would have cost.
    pub saved: i64,
    /// The price that `cost` was reckoned with; `None`: unknown, or nothing was used.
    pub rates: Option<RatesUsed>,
    pub latency_ms: u64,
    pub first_token_ms: Option<u64>,
    pub streamed: bool,
    pub cached: bool,
    pub degraded: bool,
    pub fallback_triggered: bool,
    pub fallback_from: Option<String>,
    pub attempts: Vec<AttemptRecord>,
}

/// US dollars per 1,000 tokens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RatesUsed {
    pub input: f64,
    pub output: f64,
}

/// Calls that ended together: what is to be kept of them in one transaction.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Batch {
    pub rows: Vec<UsageRow>,
    /// What they add to counters of the state.
    pub charges: Vec<Charge>,
}

/// How a batch was kept.
#[derive(Debug, Clone, PartialEq)]
pub enum Kept {
    /// Rows and charges, in one transaction. The states of the counters that were charged, by key, after it.
    Applied(Vec<(Arc<str>, CounterState)>),
    /// The rows; the charges are for the caller to pass on to the state.
    Rows,
    /// Rows and charges are in a journal under this number, and survive the process. The rows go on from there by themselves;
    /// the charges are for the caller to pass on to the state with this number as their sequence.
    Journaled { sequence: u64 },
}

/// Keeps what calls came to. What it says is kept survives the death of the process.
pub trait Recorder: Send + Sync {
    /// Keeps a batch as a whole or not at all; a row that is there already stays as it is.
    fn keep<'a>(&'a self, node: &'a str, batch: &'a Arc<Batch>) -> BoxFuture<'a, Result<Kept, StoreError>>;

    /// All charges up to this number of [`Kept::Journaled`] have reached the state: a journal need not keep them.
    fn charges_applied(&self, _sequence: u64) {}

    /// What is kept and has not reached the database yet.
    fn lag(&self) -> Lag;

    /// Finishes what is under way, as far as the store can be reached; answers with what is left in the journal.
    fn close(&self) -> BoxFuture<'_, Lag>;
}

/// Rows in the journal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lag {
    pub rows: u64,
    /// Age of the oldest of them.
    pub oldest_ms: u64,
}

/// Which rows are summed up, and by what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UsageQuery {
    /// Milliseconds since the epoch; the first hour that is in, begins here or later.
    pub from_ms: Option<i64>,
    /// Milliseconds since the epoch; exclusive.
    pub to_ms: Option<i64>,
    pub group_by: Vec<GroupBy>,
    /// Only rows with these values.
    pub only: Vec<(GroupBy, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum GroupBy {
    Hour,
    Day,
    Provider,
    Model,
    RouteRule,
    Feature,
    UserTier,
    UserId,
    Key,
    Team,
}

/// The sums of one group.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct UsageSums {
    /// In the order of [`UsageQuery::group_by`]; hours and days as RFC 3339 in UTC. `None`: the calls had no such value.
    pub group: Vec<Option<String>>,
    pub calls: u64,
    pub errors: u64,
    pub input_tokens: u64,
    pub output_tokens: u64,
    /// Picodollars.
    pub cost: i128,
    /// Picodollars.
    pub saved: i128,
    /// Of successful calls that were not cached; `None` where there are none. Within 5 % of the true value.
    pub latency_p50_ms: Option<f64>,
    pub latency_p95_ms: Option<f64>,
}

/// Answers what was used.
pub trait UsageReader: Send + Sync {
    /// Sums from the roll-ups, ordered by group.
    fn usage<'a>(&'a self, query: &'a UsageQuery) -> BoxFuture<'a, Result<Vec<UsageSums>, StoreError>>;
}
