//! The numbers of series: those that were met are remembered.

use std::collections::HashMap;

use gateway_engine::records::UsageRow;
use rusqlite::{Connection, Error, ToSql};

use crate::series;

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
        series::text(row, text);
        if let Some(known) = numbers.get(text).or_else(|| learned.get(text)) {
            return Ok(*known);
        }
        let number = ensure(connection, text, row)?;
        learned.insert(text.clone(), number);
        Ok(number)
    }

    /// The transaction was committed: what it learned is known.
    pub fn remember(self) {
        series::remember(&mut self.known.numbers, self.learned);
    }
}

fn ensure(connection: &Connection, text: &str, row: &UsageRow) -> Result<i64, Error> {
    let digest = series::digest(text);
    let mut insert = connection.prepare_cached(
        "INSERT INTO usage_series \
         (digest, provider, model, route_rule, key_id, team, user_id, feature, user_tier) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (digest) DO NOTHING",
    )?;
    let values = series::values(row);
    let mut arguments: Vec<&dyn ToSql> = vec![&digest];
    arguments.extend(values.iter().map(|value| -> &dyn ToSql { value }));
    insert.execute(arguments.as_slice())?;
    connection
        .prepare_cached("SELECT id FROM usage_series WHERE digest = ?")?
        .query_row([&digest], |row| row.get(0))
}
