//! What has lapsed is deleted in small steps, each one statement of a transaction that has other work, too.

use super::script::Script;

/// Rows that one step deletes at most.
pub(super) const STEP: i64 = 500;

/// A lease that lapsed is kept for so long: the last spending that it names may be sent again.
const SEQUENCES_LAST_MS: i64 = 24 * 60 * 60 * 1000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sweep {
    Values,
    Notices,
    Buckets,
    Leases,
    Counters,
    /// Rows from the beginning of the table up to (and without) an id, that ended before a time.
    Rows {
        up_to: Vec<u8>,
        ended_before: i64,
    },
}

impl Sweep {
    /// Adds its statement; the result's changes are what it deleted.
    pub fn write(&self, script: &mut Script, now: i64) -> Result<usize, sqlx::Error> {
        let place = script.statement(match self {
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
        });
        match self {
            Self::Values | Self::Notices | Self::Buckets => script.bind(now)?,
            Self::Leases | Self::Counters => script.bind(now.saturating_sub(SEQUENCES_LAST_MS))?,
            Self::Rows { up_to, ended_before } => {
                script.bind(up_to.clone())?;
                script.bind(*ended_before)?;
            }
        }
        script.bind(STEP)?;
        Ok(place)
    }
}
