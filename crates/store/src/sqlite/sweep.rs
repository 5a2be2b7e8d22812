//! What has lapsed is deleted in small steps, each one statement of a transaction that has other work, too.

use rusqlite::{Connection, Error};

/// Rows that one step deletes at most.
pub(super) const STEP: i64 = 500;

/// A lease that lapsed is kept for so long, and so is a counter whose window is over: what was spent may be sent again.
const LATE_MS: i64 = 24 * 60 * 60 * 1000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sweep {
    Values,
    Notices,
    Buckets,
    Leases,
    Counters,
    /// Usage rows that ended before a time. Their ids begin with the time of the call's begin, so that only the beginning of
    /// the table is looked at.
    Rows {
        ended_before: i64,
    },
    /// Usage rows from the beginning of the table.
    Oldest,
    /// Pages that nothing is in are cut off.
    Vacuum,
}

impl Sweep {
    /// One step; answers with how many rows it deleted.
    pub fn run(&self, connection: &Connection, now: i64) -> Result<usize, Error> {
        let mut step = connection.prepare_cached(match self {
            Self::Values => {
                "DELETE FROM state_values WHERE key IN \
                 (SELECT key FROM state_values WHERE lapses_at <= ? LIMIT ?)"
            }
            Self::Notices => {
                "DELETE FROM state_notices WHERE (board, name) IN \
                 (SELECT board, name FROM state_notices WHERE lapses_at <= ? LIMIT ?)"
            }
            Self::Buckets => {
                "DELETE FROM token_buckets WHERE (key, place) IN \
                 (SELECT key, place FROM token_buckets WHERE full_at <= ? LIMIT ?)"
            }
            Self::Leases => {
                "DELETE FROM leases WHERE (counter, node) IN \
                 (SELECT counter, node FROM leases WHERE lapses_at <= ? LIMIT ?)"
            }
            Self::Counters => {
                "DELETE FROM counters WHERE key IN \
                 (SELECT key FROM counters WHERE (ends_at IS NULL OR ends_at <= ?) \
                  AND NOT EXISTS (SELECT 1 FROM leases WHERE counter = counters.key) LIMIT ?)"
            }
            Self::Rows { .. } => {
                "DELETE FROM usage_rows WHERE (request_id, part) IN \
                 (SELECT request_id, part FROM usage_rows WHERE request_id < ? AND at_ms < ? LIMIT ?)"
            }
            Self::Oldest => {
                "DELETE FROM usage_rows WHERE (request_id, part) IN \
                 (SELECT request_id, part FROM usage_rows ORDER BY request_id, part LIMIT ?)"
            }
            Self::Vacuum => "PRAGMA incremental_vacuum(500)",
        })?;
        match self {
            Self::Values | Self::Notices | Self::Buckets => step.execute((now, STEP)),
            Self::Leases | Self::Counters => step.execute((now.saturating_sub(LATE_MS), STEP)),
            Self::Rows { ended_before } => step.execute((first_id(*ended_before), ended_before, STEP)),
            Self::Oldest => step.execute([STEP]),
            // It gives a row for each page.
            Self::Vacuum => step.query_map([], |_| Ok(()))?.collect::<Result<(), _>>().map(|()| 0),
        }
    }
}

/// Before all ids of this time or later.
fn first_id(at_ms: i64) -> Vec<u8> {
    at_ms.max(0).to_be_bytes()[2..].to_vec()
}
