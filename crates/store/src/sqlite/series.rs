//! What rows are summed up by: each combination has a number, and those that were met are remembered.

use std::collections::HashMap;
use std::fmt::Write;

use gateway_engine::records::UsageRow;
use rusqlite::{Connection, Error, ToSql};
use sha2::{Digest, Sha256};

/// With more, all are forgotten and looked up anew.
const MOST_REMEMBERED: usize = 20_000;

/// The columns of `usage_series` after its id and digest.
const COLUMNS: usize = 8;

/// All values of a row's series, each with its length before it, so that no two combinations have the same text.
fn write_text(text: &mut String, row: &UsageRow) {
    text.clear();
    for value in values(row) {
        match value {
            // Writing to a string cannot fail.
            Some(value) => {
                let _ = write!(text, "{}:{value}", value.len());
            }
            None => text.push('-'),
        }
    }
}

fn values(row: &UsageRow) -> [Option<&str>; COLUMNS] {
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

/// The numbers of series that are in the database for certain.
#[derive(Debug, Default)]
pub(super) struct KnownSeries {
    numbers: HashMap<String, i64>,
    /// The text of the series that was last asked for.
    text: String,
}

impl KnownSeries {
    /// The numbers as a transaction needs them.
    pub fn learn(&mut self) -> Learner<'_> {
        Learner { known: self, learned: HashMap::new() }
    }
}

/// The known numbers, and those that a transaction has learned.
pub(super) struct Learner<'a> {
    known: &'a mut KnownSeries,
    learned: HashMap<String, i64>,
}

impl Learner<'_> {
    /// The number of a row's series; a new one is added.
    pub fn number(&mut self, connection: &Connection, row: &UsageRow) -> Result<i64, Error> {
        let Self { known: KnownSeries { numbers, text }, learned } = self;
        write_text(text, row);
        if let Some(known) = numbers.get(text).or_else(|| learned.get(text)) {
            return Ok(*known);
        }
        let number = ensure(connection, text, row)?;
        learned.insert(text.clone(), number);
        Ok(number)
    }

    /// The transaction was committed: what it learned is known.
    pub fn remember(self) {
        let Self { known: KnownSeries { numbers, .. }, learned } = self;
        if numbers.len() + learned.len() > MOST_REMEMBERED {
            numbers.clear();
        }
        numbers.extend(learned);
    }
}

fn ensure(connection: &Connection, text: &str, row: &UsageRow) -> Result<i64, Error> {
    let mut digest = Sha256::digest(text.as_bytes()).to_vec();
    digest.truncate(16);
    let mut insert = connection.prepare_cached(
        "INSERT INTO usage_series \
         (digest, provider, model, route_rule, key_id, team, user_id, feature, user_tier) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (digest) DO NOTHING",
    )?;
    let values = values(row);
    let mut arguments: Vec<&dyn ToSql> = vec![&digest];
    arguments.extend(values.iter().map(|value| -> &dyn ToSql { value }));
    insert.execute(arguments.as_slice())?;
    connection
        .prepare_cached("SELECT id FROM usage_series WHERE digest = ?")?
        .query_row([&digest], |row| row.get(0))
}
