//! Usage rows as the columns of one statement.

use gateway_engine::records::UsageRow;
use sqlx::postgres::PgConnection;

use crate::latency;
use crate::row::{at_ms, integer, tokens};

const INSERT: &str = "INSERT INTO usage_rows \
    (request_id, part, at_ms, series, success, error_code, input_tokens, output_tokens, cache_read_tokens, \
    cache_write_tokens, reasoning_tokens, estimated, cost, saved, input_rate, output_rate, latency_ms, latency_bucket, \
    first_token_ms, streamed, cached, degraded, fallback_triggered, fallback_from, metadata, attempts) \
    SELECT * FROM UNNEST ($1::bytea[], $2::bigint[], $3::bigint[], $4::bigint[], $5::boolean[], $6::text[], \
    $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::boolean[], $13::bigint[], \
    $14::bigint[], $15::float8[], $16::float8[], $17::bigint[], $18::bigint[], $19::bigint[], $20::boolean[], \
    $21::boolean[], $22::boolean[], $23::boolean[], $24::text[], $25::text[], $26::text[]) \
    ON CONFLICT (request_id, part) DO NOTHING";

/// A text as PostgreSQL takes it: it has no NUL.
pub(super) fn clean(text: &str) -> String {
    text.replace('\0', "\u{FFFD}")
}

fn latency_bucket(row: &UsageRow) -> Option<i64> {
    let measured = row.success && !row.cached && row.part == 0;
    measured.then(|| i64::from(latency::bucket(row.latency_ms)))
}

fn attempts(row: &UsageRow) -> Option<String> {
    let text = (!row.attempts.is_empty()).then(|| serde_json::to_string(&row.attempts).ok())?;
    text.as_deref().map(clean)
}

/// Inserts the rows, each with its identity and the number of its series, in the order they have; those that are there
/// already stay as they are, and add nothing to sums.
pub(super) async fn insert(
    connection: &mut PgConnection,
    rows: &[(Vec<u8>, i64, &UsageRow)],
) -> Result<(), sqlx::Error> {
    fn column<'a, T>(rows: &'a [(Vec<u8>, i64, &'a UsageRow)], of: impl Fn(&'a UsageRow) -> T) -> Vec<T> {
        rows.iter().map(|(_, _, row)| of(row)).collect()
    }
    let text = |text: &Option<String>| text.as_deref().map(clean);
    sqlx::query(INSERT)
        .bind(rows.iter().map(|(id, _, _)| id.as_slice()).collect::<Vec<_>>())
        .bind(column(rows, |row| i64::from(row.part)))
        .bind(column(rows, at_ms))
        .bind(rows.iter().map(|(_, series, _)| *series).collect::<Vec<_>>())
        .bind(column(rows, |row| row.success))
        .bind(column(rows, |row| text(&row.error_code)))
        .bind(column(rows, |row| tokens(row.input_tokens)))
        .bind(column(rows, |row| tokens(row.output_tokens)))
        .bind(column(rows, |row| row.cache_read_tokens.map(tokens)))
        .bind(column(rows, |row| row.cache_write_tokens.map(tokens)))
        .bind(column(rows, |row| row.reasoning_tokens.map(tokens)))
        .bind(column(rows, |row| !row.usage_source.is_reported()))
        .bind(column(rows, |row| row.cost))
        .bind(column(rows, |row| row.saved))
        .bind(column(rows, |row| row.rates.map(|rates| rates.input)))
        .bind(column(rows, |row| row.rates.map(|rates| rates.output)))
        .bind(column(rows, |row| integer(row.latency_ms)))
        .bind(column(rows, latency_bucket))
        .bind(column(rows, |row| row.first_token_ms.map(integer)))
        .bind(column(rows, |row| row.streamed))
        .bind(column(rows, |row| row.cached))
        .bind(column(rows, |row| row.degraded))
        .bind(column(rows, |row| row.fallback_triggered))
        .bind(column(rows, |row| text(&row.fallback_from)))
        .bind(column(rows, |row| text(&row.metadata)))
        .bind(column(rows, attempts))
        .execute(connection)
        .await?;
    Ok(())
}
