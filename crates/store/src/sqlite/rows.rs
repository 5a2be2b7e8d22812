//! Usage rows on their way into the table.

use std::collections::HashMap;
use std::sync::LazyLock;

use gateway_engine::records::UsageRow;
use uuid::Uuid;

use super::script::Script;
use super::series::{KnownSeries, Series};

/// No call has more tokens: sums stay below what an integer holds.
const MOST_TOKENS: u64 = 1_000_000_000_000;

const COLUMNS: [&str; 25] = [
    "request_id",
    "part",
    "at_ms",
    "series",
    "success",
    "error_code",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "estimated",
    "cost",
    "saved",
    "input_rate",
    "output_rate",
    "latency_ms",
    "first_token_ms",
    "streamed",
    "cached",
    "degraded",
    "fallback_triggered",
    "fallback_from",
    "metadata",
    "attempts",
];

static INSERT: LazyLock<String> = LazyLock::new(|| {
    let columns = COLUMNS.join(", ");
    format!("INSERT INTO usage_rows ({columns}) SELECT * FROM (VALUES ")
});

/// A count as it is kept.
pub(super) fn tokens(count: u64) -> i64 {
    i64::try_from(count.min(MOST_TOKENS)).unwrap_or(i64::MAX)
}

/// A row, with the identity and the series that it has in the database.
#[derive(Debug)]
pub(super) struct SealedRow {
    pub id: (Vec<u8>, i64),
    pub series: Series,
    row: UsageRow,
}

impl SealedRow {
    pub fn new(row: &UsageRow, known: &KnownSeries) -> Self {
        let id = match Uuid::try_parse(&row.request_id) {
            Ok(id) => id.as_bytes().to_vec(),
            Err(_) => row.request_id.as_bytes().to_vec(),
        };
        Self { id: (id, i64::from(row.part)), series: Series::of(row, known), row: row.clone() }
    }

    pub fn row(&self) -> &UsageRow {
        &self.row
    }

    pub fn at_ms(&self) -> i64 {
        self.row.at_ms.max(0)
    }

    /// The number of its series.
    pub fn series(&self, learned: &HashMap<String, i64>) -> Result<i64, sqlx::Error> {
        let series = self.series.id.or_else(|| learned.get(&self.series.text).copied());
        series.ok_or_else(|| sqlx::Error::Protocol("a usage series has no number".into()))
    }

    fn bind(&self, script: &mut Script, series: i64) -> Result<(), sqlx::Error> {
        let row = &self.row;
        let integer = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let attempts = match row.attempts.as_slice() {
            [] => None,
            attempts => serde_json::to_string(attempts).ok(),
        };
        script.bind(self.id.0.clone())?;
        script.bind(self.id.1)?;
        script.bind(self.at_ms())?;
        script.bind(series)?;
        script.bind(row.success)?;
        script.bind(row.error_code.as_deref())?;
        script.bind(tokens(row.input_tokens))?;
        script.bind(tokens(row.output_tokens))?;
        script.bind(row.cache_read_tokens.map(tokens))?;
        script.bind(row.cache_write_tokens.map(tokens))?;
        script.bind(row.reasoning_tokens.map(tokens))?;
        script.bind(!row.usage_source.is_reported())?;
        script.bind(row.cost)?;
        script.bind(row.saved)?;
        script.bind(row.rates.map(|rates| rates.input))?;
        script.bind(row.rates.map(|rates| rates.output))?;
        script.bind(integer(row.latency_ms))?;
        script.bind(row.first_token_ms.map(integer))?;
        script.bind(row.streamed)?;
        script.bind(row.cached)?;
        script.bind(row.degraded)?;
        script.bind(row.fallback_triggered)?;
        script.bind(row.fallback_from.as_deref())?;
        script.bind(row.metadata.as_deref())?;
        script.bind(attempts)
    }
}

/// Adds the rows, at most [`super::script::MOST_ROWS`]. One that is there already is an error.
pub(super) fn insert(
    script: &mut Script,
    rows: &[&SealedRow],
    learned: &HashMap<String, i64>,
) -> Result<(), sqlx::Error> {
    script.values(&INSERT, COLUMNS.len(), rows.len(), ") WHERE column1 IS NOT NULL");
    for sealed in rows {
        sealed.bind(script, sealed.series(learned)?)?;
    }
    script.pad(COLUMNS.len(), rows.len())
}
