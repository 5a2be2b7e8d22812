//! What rows are summed up by, for both databases: each combination of values is a series, with a number of its own.

use std::collections::HashMap;
use std::fmt::Write;
use std::hash::Hash;

use gateway_engine::records::UsageRow;
use sha2::{Digest, Sha256};

/// With more, all are forgotten and looked up anew.
const MOST_REMEMBERED: usize = 20_000;

/// The columns of `usage_series` after its id and digest.
pub(crate) const COLUMNS: usize = 8;

/// The first 16 bytes of SHA-256 over the [`text`] of a series.
pub(crate) type SeriesDigest = [u8; 16];

/// In the order of the columns.
pub(crate) fn values(row: &UsageRow) -> [Option<&str>; COLUMNS] {
    [
        Some(&row.provider),
        Some(&row.model),
        Some(&row.route_rule),
        row.key_id.as_deref(),
        row.team.as_deref(),
        row.user_id.as_deref(),
        row.feature.as_deref(),
        row.user_tier.as_deref(),
    ]
}

/// Writes all values into `text`, each with its length before it, so that no two combinations have the same text.
pub(crate) fn text(row: &UsageRow, text: &mut String) {
    text.clear();
    for value in values(row) {
        match value {
            // Writing to a string cannot fail.
            Some(value) => drop(write!(text, "{}:{value}", value.len())),
            None => text.push('-'),
        }
    }
}

pub(crate) fn digest(text: &str) -> SeriesDigest {
    let mut digest = SeriesDigest::default();
    digest.copy_from_slice(&Sha256::digest(text.as_bytes())[..16]);
    digest
}

/// Adds what was learned to the numbers that are known.
pub(crate) fn remember<K: Eq + Hash>(known: &mut HashMap<K, i64>, learned: HashMap<K, i64>) {
    if known.len() + learned.len() > MOST_REMEMBERED {
        known.clear();
    }
    known.extend(learned);
}
