//! Counters, leases and token buckets as rows of their tables.

use std::sync::LazyLock;

use gateway_engine::state::Figures;
use rusqlite::{Connection, Error, OptionalExtension, Row, params};

use super::bucket::Bucket;
use super::counter::{Lease, Stored, Window};

/// What [`counter`] reads.
pub(super) const COUNTER: &str =
    "begins_at, ends_at, previous_ended_at, spent_0, spent_1, spent_2, spent_3, version";
/// What [`lease`] reads.
pub(super) const LEASE: &str = "node, held_0, held_1, held_2, held_3, lapses_at, last_sequence";

/// A counter without its leases.
pub(super) fn counter(row: &Row<'_>) -> Result<Stored, Error> {
    let begins = row.get(0)?;
    let ends: Option<i64> = row.get(1)?;
    Ok(Stored {
        window: ends.map(|ends| Window { begins, ends }),
        previous_ended: row.get(2)?,
        spent: figures(row, 3)?,
        version: row.get(7)?,
        leases: Vec::new(),
    })
}

pub(super) fn lease(row: &Row<'_>) -> Result<Lease, Error> {
    let last_sequence: Option<i64> = row.get(6)?;
    Ok(Lease {
        node: row.get(0)?,
        held: figures(row, 1)?,
        lapses: row.get(5)?,
        last_sequence: last_sequence.map(to_unsigned),
        changed: false,
    })
}

static SELECT_COUNTER: LazyLock<String> =
    LazyLock::new(|| format!("SELECT {COUNTER} FROM counters WHERE key = ?"));
static SELECT_LEASES: LazyLock<String> =
    LazyLock::new(|| format!("SELECT {LEASE} FROM leases WHERE counter = ?"));

/// A counter with its leases; a new one where there is none.
pub(super) fn read_counter(connection: &Connection, key: &str) -> Result<Stored, Error> {
    let found = connection.prepare_cached(&SELECT_COUNTER)?.query_row([key], counter).optional()?;
    let leases =
        connection.prepare_cached(&SELECT_LEASES)?.query_map([key], lease)?.collect::<Result<_, _>>()?;
    Ok(Stored { leases, ..found.unwrap_or_default() })
}

/// Writes a counter, and those of its leases that were changed.
pub(super) fn write_counter(connection: &Connection, key: &str, counter: &Stored) -> Result<(), Error> {
    let [a, b, c, d] = counter.spent;
    let window = counter.window;
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO counters (key, begins_at, ends_at, previous_ended_at, spent_0, spent_1, \
             spent_2, spent_3, version) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            key,
            window.and_then(|window| window.begins),
            window.map(|window| window.ends),
            counter.previous_ended,
            a,
            b,
            c,
            d,
            counter.version
        ])?;
    for lease in counter.leases.iter().filter(|lease| lease.changed) {
        let [a, b, c, d] = lease.held;
        let last_sequence = lease.last_sequence.map(from_unsigned);
        connection
            .prepare_cached(
                "INSERT OR REPLACE INTO leases (counter, node, held_0, held_1, held_2, held_3, lapses_at, \
                 last_sequence) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            )?
            .execute(params![key, lease.node, a, b, c, d, lease.lapses, last_sequence])?;
    }
    Ok(())
}

/// The buckets of a key, each at its place.
pub(super) fn read_buckets(connection: &Connection, key: &str) -> Result<Vec<Bucket>, Error> {
    let mut select = connection
        .prepare_cached("SELECT place, missing, at_ms, full_at FROM token_buckets WHERE key = ?")?;
    let mut rows = select.query([key])?;
    let mut buckets: Vec<Bucket> = Vec::new();
    while let Some(row) = rows.next()? {
        let place = usize::try_from(row.get::<_, i64>(0)?).unwrap_or_default();
        if place >= buckets.len() {
            buckets.resize(place + 1, Bucket::default());
        }
        if let Some(bucket) = buckets.get_mut(place) {
            *bucket = Bucket { missing: row.get(1)?, at: row.get(2)?, full_at: row.get(3)? };
        }
    }
    Ok(buckets)
}

pub(super) fn write_buckets(connection: &Connection, key: &str, buckets: &[Bucket]) -> Result<(), Error> {
    let mut insert = connection.prepare_cached(
        "INSERT OR REPLACE INTO token_buckets (key, place, missing, at_ms, full_at) VALUES (?, ?, ?, ?, ?)",
    )?;
    for (place, bucket) in (0_i64..).zip(buckets) {
        insert.execute(params![key, place, bucket.missing, bucket.at, bucket.full_at])?;
    }
    Ok(())
}

fn figures(row: &Row<'_>, from: usize) -> Result<Figures, Error> {
    Ok([row.get(from)?, row.get(from + 1)?, row.get(from + 2)?, row.get(from + 3)?])
}

/// An unsigned number in the order of its kind: less 2^63.
fn from_unsigned(number: u64) -> i64 {
    number.cast_signed() ^ i64::MIN
}

fn to_unsigned(number: i64) -> u64 {
    (number ^ i64::MIN).cast_unsigned()
}
