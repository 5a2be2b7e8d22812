//! Usage rows on their way into the table.

use std::sync::LazyLock;

use gateway_engine::records::UsageRow;
use rusqlite::{CachedStatement, Connection, Error, params};
use uuid::Uuid;

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
    let values = ["?"; COLUMNS.len()].join(", ");
    format!("INSERT INTO usage_rows ({columns}) VALUES ({values}) ON CONFLICT (request_id, part) DO NOTHING")
});

/// A count as it is kept.
pub(super) fn tokens(count: u64) -> i64 {
    i64::try_from(count.min(MOST_TOKENS)).unwrap_or(i64::MAX)
}

/// A row's time.
pub(super) fn at_ms(row: &UsageRow) -> i64 {
    row.at_ms.max(0)
}

/// The statement that adds rows.
pub(super) struct Insert<'a>(CachedStatement<'a>);

impl<'a> Insert<'a> {
    pub fn new(connection: &'a Connection) -> Result<Self, Error> {
        Ok(Self(connection.prepare_cached(&INSERT)?))
    }

    /// Adds a row; `false`: it is there already.
    pub fn row(&mut self, row: &UsageRow, series: i64) -> Result<bool, Error> {
        let uuid = Uuid::try_parse(&row.request_id);
        let id = uuid.as_ref().map_or_else(|_| row.request_id.as_bytes(), |id| id.as_bytes());
        let integer = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let attempts = match row.attempts.as_slice() {
            [] => None,
            attempts => serde_json::to_string(attempts).ok(),
        };
        let added = self.0.execute(params![
            id,
            row.part,
            at_ms(row),
            series,
            row.success,
            row.error_code,
            tokens(row.input_tokens),
            tokens(row.output_tokens),
            row.cache_read_tokens.map(tokens),
            row.cache_write_tokens.map(tokens),
            row.reasoning_tokens.map(tokens),
            !row.usage_source.is_reported(),
            row.cost,
            row.saved,
            row.rates.map(|rates| rates.input),
            row.rates.map(|rates| rates.output),
            integer(row.latency_ms),
            row.first_token_ms.map(integer),
            row.streamed,
            row.cached,
            row.degraded,
            row.fallback_triggered,
            row.fallback_from,
            row.metadata,
            attempts,
        ])?;
        Ok(added == 1)
    }
}
