//! What rows are summed up by: each combination has a number, and those that were met are remembered.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::{PoisonError, RwLock};

use gateway_engine::records::UsageRow;
use rusqlite::{Connection, Error, ToSql};
use sha2::{Digest, Sha256};

/// With more, all are forgotten and looked up anew.
const MOST_REMEMBERED: usize = 20_000;

/// The columns of `usage_series` after its id and digest.
const COLUMNS: usize = 8;

/// The series of a row: its number if it is known.
#[derive(Debug, Clone)]
pub(super) struct Series {
    /// All values, each with its length before it, so that no two combinations have the same text.
    pub text: String,
    pub id: Option<i64>,
    /// For one that is not known: the values themselves.
    values: Option<Box<[Option<String>; COLUMNS]>>,
}

impl Series {
    pub fn of(row: &UsageRow, known: &KnownSeries) -> Self {
        let values: [Option<&str>; COLUMNS] = [
            Some(&row.provider),
            Some(&row.model),
            Some(&row.route_rule),
            row.key_id.as_deref(),
            row.team.as_deref(),
            row.user_id.as_deref(),
            row.feature.as_deref(),
            row.user_tier.as_deref(),
        ];
        let mut text = String::with_capacity(128);
        for value in values {
            match value {
                // Writing to a string cannot fail.
                Some(value) => {
                    let _ = write!(text, "{}:{value}", value.len());
                }
                None => text.push('-'),
            }
        }
        let id = known.get(&text);
        let values = id.is_none().then(|| Box::new(values.map(|value| value.map(str::to_owned))));
        Self { text, id, values }
    }

    fn digest(&self) -> Vec<u8> {
        let mut digest = Sha256::digest(self.text.as_bytes()).to_vec();
        digest.truncate(16);
        digest
    }
}

/// The numbers of series that are in the database for certain.
#[derive(Debug, Default)]
pub(super) struct KnownSeries(RwLock<HashMap<String, i64>>);

impl KnownSeries {
    fn get(&self, text: &str) -> Option<i64> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(text).copied()
    }

    /// Of a transaction that was committed.
    pub fn remember(&self, learned: HashMap<String, i64>) {
        if learned.is_empty() {
            return;
        }
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() + learned.len() > MOST_REMEMBERED {
            known.clear();
        }
        known.extend(learned);
    }
}

/// The number of a series that was not known; a new one is added.
pub(super) fn ensure(connection: &Connection, series: &Series) -> Result<i64, Error> {
    let digest = series.digest();
    let mut insert = connection.prepare_cached(
        "INSERT INTO usage_series \
         (digest, provider, model, route_rule, key_id, team, user_id, feature, user_tier) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (digest) DO NOTHING",
    )?;
    let mut arguments: Vec<&dyn ToSql> = vec![&digest];
    arguments.extend(series.values.as_deref().into_iter().flatten().map(|value| -> &dyn ToSql { value }));
    insert.execute(arguments.as_slice())?;
    connection
        .prepare_cached("SELECT id FROM usage_series WHERE digest = ?")?
        .query_row([&digest], |row| row.get(0))
}
