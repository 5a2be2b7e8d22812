//! Usage rows on their way into the table.

use std::sync::LazyLock;

use gateway_engine::records::UsageRow;
use rusqlite::{CachedStatement, Connection, Error, params};

use crate::row::{at_ms, id, integer, tokens};

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

/// The statement that adds rows.
pub(super) struct Insert<'a>(CachedStatement<'a>);

impl<'a> Insert<'a> {
    pub fn new(connection: &'a Connection) -> Result<Self, Error> {
        Ok(Self(connection.prepare_cached(&INSERT)?))
    }

    /// Adds a row; `false`: it is there already.
    pub fn row(&mut self, row: &UsageRow, series: i64) -> Result<bool, Error> {
        let attempts = match row.attempts.as_slice() {
            [] => None,
            attempts => serde_json::to_string(attempts).ok(),
        };
        let added = self.0.execute(params![
            id(row),
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
