//! What rows are summed up by: each combination has a number, and those that were met are remembered.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::{PoisonError, RwLock};

use gateway_engine::records::UsageRow;
use sha2::{Digest, Sha256};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::script::Script;

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

/// Adds to `script` what makes sure that the series (at most [`super::script::MOST_ROWS`]) are there, and reads their
/// numbers; answers with the place of that result.
pub(super) fn ensure(script: &mut Script, unknown: &[&Series]) -> Result<usize, sqlx::Error> {
    let columns = COLUMNS + 1;
    script.values(
        "INSERT INTO usage_series \
         (digest, provider, model, route_rule, key_id, team, user_id, feature, user_tier) \
         SELECT * FROM (VALUES ",
        columns,
        unknown.len(),
        ") WHERE column1 IS NOT NULL ON CONFLICT (digest) DO NOTHING",
    );
    for series in unknown {
        script.bind(series.digest())?;
        let values = series.values.as_deref().into_iter().flatten();
        values.take(COLUMNS).try_for_each(|value| script.bind(value.as_deref()))?;
    }
    script.pad(columns, unknown.len())?;
    let place =
        script.values("SELECT digest, id FROM usage_series WHERE digest IN (VALUES ", 1, unknown.len(), ")");
    unknown.iter().try_for_each(|series| script.bind(series.digest()))?;
    script.pad(1, unknown.len())?;
    Ok(place)
}

/// The numbers that [`ensure`] has read.
pub(super) fn learned(
    unknown: &[&Series],
    given: Vec<SqliteRow>,
) -> Result<HashMap<String, i64>, sqlx::Error> {
    let mut by_digest = HashMap::with_capacity(given.len());
    for row in given {
        by_digest.insert(row.try_get::<Vec<u8>, _>(0)?, row.try_get::<i64, _>(1)?);
    }
    let found = unknown.iter().filter_map(|series| {
        let id = by_digest.get(&series.digest())?;
        Some((series.text.clone(), *id))
    });
    Ok(found.collect())
}
