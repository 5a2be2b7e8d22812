//! Counters and leases as rows of their tables.

use gateway_engine::state::Figures;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::counter::{Lease, Stored, Window};

/// What [`counter`] reads.
pub(super) const COUNTER: &str =
    "key, begins_at, ends_at, previous_ended_at, spent_0, spent_1, spent_2, spent_3, version";
/// What [`lease`] reads.
pub(super) const LEASE: &str = "counter, node, held_0, held_1, held_2, held_3, lapses_at, last_sequence";

/// A counter without its leases.
pub(super) fn counter(row: &SqliteRow) -> Result<Stored, sqlx::Error> {
    let begins = row.try_get(1)?;
    let ends: Option<i64> = row.try_get(2)?;
    Ok(Stored {
        window: ends.map(|ends| Window { begins, ends }),
        previous_ended: row.try_get(3)?,
        spent: figures(row, 4)?,
        version: row.try_get(8)?,
        leases: Vec::new(),
    })
}

pub(super) fn lease(row: &SqliteRow) -> Result<Lease, sqlx::Error> {
    let last_sequence: Option<i64> = row.try_get(7)?;
    Ok(Lease {
        node: row.try_get(1)?,
        held: figures(row, 2)?,
        lapses: row.try_get(6)?,
        last_sequence: last_sequence.map(to_unsigned),
        changed: false,
    })
}

fn figures(row: &SqliteRow, from: usize) -> Result<Figures, sqlx::Error> {
    Ok([row.try_get(from)?, row.try_get(from + 1)?, row.try_get(from + 2)?, row.try_get(from + 3)?])
}

/// An unsigned number in the order of its kind: less 2^63.
pub(super) fn from_unsigned(number: u64) -> i64 {
    number.cast_signed() ^ i64::MIN
}

fn to_unsigned(number: i64) -> u64 {
    (number ^ i64::MIN).cast_unsigned()
}
