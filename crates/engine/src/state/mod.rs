//! What processes share and what outlasts them: counters with leases, token buckets, values with a time to live, notices.
//!
//! Policy stands above this border: a store knows keys, figures and limits, and not what they mean. Each operation names
//! what it wants absolutely or by a sequence number, so that one whose reply was lost can be sent again.

#[cfg(test)]
pub(crate) mod played_store;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use sha2::{Digest, Sha256};

/// 32 digits that stand in a key for texts that are long, or the caller's own.
pub(crate) fn digest(texts: &[&str]) -> String {
    let mut digest = Sha256::new();
    for (index, text) in texts.iter().enumerate() {
        if index > 0 {
            digest.update([0]);
        }
        digest.update(text);
    }
    digest.finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// How long a lease holds after its last renewal: what a process that died had reserved comes back within this time.
pub const LEASE: Duration = Duration::from_secs(30);

/// After this time a lease that is in use is renewed.
pub(crate) const RENEWAL: Duration = Duration::from_secs(LEASE.as_secs() / 3);

/// After this time without a renewal its holder no longer counts on a lease: before the store lets it lapse.
pub(crate) const LAPSE: Duration = Duration::from_secs(LEASE.as_secs() * 4 / 5);

/// What a counter counts; what each place means is its owner's affair.
pub type Figures = [i64; 4];

/// Until when what is spent counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CounterWindow {
    /// From its first use on, so many milliseconds; then it begins anew with the next use. A charge that comes late
    /// moves the beginning back to its own time, but not before the end of the window before.
    Rolling { length_ms: u64 },
    /// Until this moment, in milliseconds since the epoch; it has no beginning. The next window has another key, so that
    /// what is charged later is added here all the same.
    Until { at_ms: i64 },
}

/// A counter, and how long it counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counter {
    /// At most 200 bytes.
    pub key: Arc<str>,
    pub window: CounterWindow,
}

/// What was spent, to be added to a counter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    pub counter: Counter,
    pub figures: Figures,
    /// Milliseconds since the epoch. A charge from before the window that runs is left out.
    pub at_ms: i64,
}

/// One step of a node with one counter. A store does, at once and in this order:
///
/// 1. begins the window anew where it is over (spent is nothing; leases stay);
/// 2. adds `spent` unless its sequence number is not above the last one that this node has had here, or it is from before the
///    window; the node's lease becomes smaller by the same figures, never below zero, in the second case, too;
/// 3. grants `lease` as its rule says, and renews it for [`LEASE`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    pub counter: Counter,
    pub spent: Option<Spent>,
    /// `None`: the lease stays as it is.
    pub lease: Option<LeaseRequest>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spent {
    pub figures: Figures,
    /// As in [`Charge::at_ms`].
    pub at_ms: i64,
    /// Grows with each new `spent` of this node for this counter; the same one again is the same spending.
    pub sequence: u64,
}

/// What a node wants to hold of a counter from now on, in absolute figures. It gets the first of these that the rule allows:
/// `want + spare`, `want`, `keep`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseRequest {
    /// What is held in any case: calls that were let through.
    pub keep: Figures,
    /// With the calls that wait.
    pub want: Figures,
    /// To go on without asking.
    pub spare: Figures,
    pub rule: GrantRule,
}

/// When a lease may grow beyond `keep`. Compared with the limits is what is spent, with what other nodes hold and the node's own.
/// A place without a limit never refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GrantRule {
    /// Always; `spare` is granted too.
    Always,
    /// While the sum with `want` (or `want + spare`) is at most the limit.
    Within([Option<i64>; 4]),
    /// `want`, while the sum with `keep` is at most the limit: the last ones may go beyond it. `want + spare` only as under `Within`.
    Until([Option<i64>; 4]),
}

/// A counter as a node sees it after an exchange.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CounterState {
    /// By all nodes, in the window that runs.
    pub spent: Figures,
    /// By leases of other nodes that have not lapsed.
    pub held_by_others: Figures,
    /// By this node.
    pub held: Figures,
    /// Milliseconds until the window ends; `None`: none runs.
    pub ends_in_ms: Option<i64>,
    /// Grows with each change of the counter: of two states the later one holds.
    pub version: u64,
}

/// Takes from a token bucket that is full at the start, and fills within a minute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Take {
    /// At most 200 bytes.
    pub key: Arc<str>,
    /// Buckets under this key, from which is taken together or not at all: `(tokens per minute, tokens to take)`. Below
    /// zero gives back.
    pub buckets: Vec<(u64, i64)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    All,
    /// `bucket` (the one with the longest wait) has them only after so many milliseconds.
    Nothing {
        bucket: usize,
        wait_ms: u64,
    },
}

/// A notice on a board that all nodes read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    pub name: String,
    pub text: String,
    /// Milliseconds until it is taken down.
    pub lasts_ms: i64,
}

/// Where shared and durable state lives. Every call is bounded in time; after a few failures a store answers [`StoreError`]
/// at once until it is found to be back.
pub trait StateStore: Send + Sync {
    /// The steps of `node` with different counters, each for itself; the states are in their order.
    fn exchange<'a>(
        &'a self,
        node: &'a str,
        steps: &'a [Exchange],
    ) -> BoxFuture<'a, Result<Vec<CounterState>, StoreError>>;

    /// The counters whose keys begin with `prefix`, as `node` sees them: at most `most`.
    fn counters<'a>(
        &'a self,
        node: &'a str,
        prefix: &'a str,
        most: usize,
    ) -> BoxFuture<'a, Result<Vec<(String, CounterState)>, StoreError>>;

    /// Takes from token buckets, each for itself.
    fn take<'a>(&'a self, takes: &'a [Take]) -> BoxFuture<'a, Result<Vec<Taken>, StoreError>>;

    /// The value of `key`, while it lasts.
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>, StoreError>>;

    /// Keeps a value for so long. What is too large for the store is left out.
    fn put<'a>(
        &'a self,
        key: &'a str,
        value: &'a [u8],
        lasts: Duration,
    ) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Puts a notice up in the place of the one of the same name; one that lasts no time is taken down.
    fn post<'a>(&'a self, board: &'a str, notice: &'a Notice) -> BoxFuture<'a, Result<(), StoreError>>;

    /// All notices of a board.
    fn notices<'a>(&'a self, board: &'a str) -> BoxFuture<'a, Result<Vec<Notice>, StoreError>>;

    /// Whether it is known to be away: calls fail at once.
    fn is_away(&self) -> bool;

    /// What it is, as errors and figures name it: a URL without its secrets.
    fn name(&self) -> &str;

    /// Finishes what is under way.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// Why a store did not do what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreError {
    /// [`StateStore::name`].
    pub store: String,
    pub kind: StoreErrorKind,
    /// What happened and what to do, without secrets.
    pub message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// It does not answer, or not in time. What was asked for may have been done.
    Away,
    /// It answers, and cannot: a full disk, a file that is read-only or damaged, a schema that is too new.
    Failed,
}

impl StoreError {
    pub fn away(store: impl Into<String>, message: impl Into<String>) -> Self {
        Self { store: store.into(), kind: StoreErrorKind::Away, message: message.into() }
    }

    pub fn failed(store: impl Into<String>, message: impl Into<String>) -> Self {
        Self { store: store.into(), kind: StoreErrorKind::Failed, message: message.into() }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.store, self.message)
    }
}

impl std::error::Error for StoreError {}
