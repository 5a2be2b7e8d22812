use std::time::Duration;

use gateway_engine::records::{RatesUsed, UsageRow};
use gateway_engine::state::StoreErrorKind;
use gateway_model::{AttemptRecord, UsageSource};
use gateway_store::journal::BatchSink;
use gateway_store::postgres::PostgresRecords;
use rand::seq::SliceRandom;
use sqlx::Row;

use super::{DAY, HOUR_MS, numbered, row, server};
use crate::schema_or_return;

#[tokio::test]
async fn a_batch_that_is_applied_again_changes_nothing() {
    let schema = schema_or_return!();
    let records = schema.records();
    let batches = [numbered(1, vec![row(DAY), row(DAY)]), numbered(2, vec![row(DAY + HOUR_MS)])];
    for _ in 0..3 {
        records.apply("journal", &batches).await.unwrap();
    }
    records.apply("journal", &batches[..1]).await.unwrap();
    assert_eq!(schema.number("SELECT count(*) FROM usage_rows").await, 3);
    schema.check_sums().await;
    // Rows that were pruned do not come back with a batch that is known.
    schema.run("DELETE FROM usage_rows").await;
    schema.records().apply("journal", &batches).await.unwrap();
    assert_eq!(schema.number("SELECT count(*) FROM usage_rows").await, 0);
    assert_eq!(schema.number("SELECT sequence FROM journal_marks").await, 2);
}

#[tokio::test]
async fn a_row_that_is_there_stays_as_it_is() {
    let schema = schema_or_return!();
    let records = schema.records();
    let first = row(DAY);
    let other = UsageRow { cost: first.cost + 1, at_ms: DAY + HOUR_MS, ..first.clone() };
    records.apply("one", &[numbered(1, vec![first.clone(), row(DAY), first.clone()])]).await.unwrap();
    records.apply("two", &[numbered(1, vec![other, row(DAY + 1)])]).await.unwrap();
    assert_eq!(schema.number("SELECT count(*) FROM usage_rows").await, 3);
    schema.check_sums().await;
}

#[tokio::test]
async fn every_field_is_kept() {
    let schema = schema_or_return!();
    let full = UsageRow {
        request_id: "not a UUID\0".into(),
        part: 7,
        at_ms: DAY,
        provider: "p\0".into(),
        model: "m".into(),
        route_rule: "r".into(),
        feature: Some("f".into()),
        user_tier: Some("t".into()),
        user_id: Some("u'\"\\".into()),
        key_id: Some("k".into()),
        team: Some("team".into()),
        metadata: Some(r#"{"a":"\u0000"}"#.into()),
        success: true,
        error_code: Some("E".into()),
        input_tokens: u64::MAX,
        output_tokens: 2,
        cache_read_tokens: Some(3),
        cache_write_tokens: Some(4),
        reasoning_tokens: Some(5),
        usage_source: UsageSource::Estimated,
        cost: 6,
        saved: -7,
        rates: Some(RatesUsed { input: 0.5, output: f64::NAN }),
        latency_ms: u64::MAX,
        first_token_ms: Some(8),
        streamed: true,
        cached: false,
        degraded: true,
        fallback_triggered: true,
        fallback_from: Some("x".into()),
        attempts: vec![AttemptRecord {
            provider: "p".into(),
            model: "m".into(),
            error_code: None,
            latency_ms: 9,
        }],
    };
    schema.records().apply("j", &[numbered(1, vec![full, UsageRow::default()])]).await.unwrap();
    let stored = schema
        .rows(
            "SELECT to_jsonb(usage_rows)::text || to_jsonb(usage_series)::text FROM usage_rows \
             JOIN usage_series ON usage_series.id = series WHERE part = 7",
        )
        .await;
    let text: String = stored[0].get(0);
    for part in [
        r#""at_ms": 1"#,
        r#""provider": "p�""#,
        r#""user_id": "u'\"\\""#,
        r#""input_tokens": 1000000000000"#,
        r#""estimated": true"#,
        r#""saved": -7"#,
        r#""input_rate": 0.5"#,
        r#""latency_ms": 9223372036854775807"#,
        r#""latency_bucket": null"#,
        r#""fallback_from": "x""#,
        r#"\\u0000"#,
        r#"latencyMs"#,
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    schema.check_sums().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_write_at_once_neither_block_each_other_for_good_nor_lose_a_sum() {
    let schema = schema_or_return!();
    let hot: Vec<UsageRow> = (0..40).map(|hour| row(DAY + hour * HOUR_MS)).collect();
    let writers = (0..6).map(|writer| {
        let (records, hot) = (schema.records(), hot.clone());
        tokio::spawn(async move {
            for sequence in 1..=15 {
                // Rows of all writers and rows of its own, in any order.
                let mut rows: Vec<_> = (0..40).map(|hour| row(DAY + hour * HOUR_MS)).collect();
                rows.extend(hot.iter().cloned());
                rows.shuffle(&mut rand::rng());
                let journal = format!("journal {writer}");
                records.apply(&journal, &[numbered(sequence, rows)]).await.unwrap();
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    assert_eq!(schema.number("SELECT count(*) FROM usage_rows").await, 6 * 15 * 40 + 40);
    schema.check_sums().await;
}

#[tokio::test]
async fn a_text_of_latencies_stays_short_however_many_calls_it_counts() {
    let schema = schema_or_return!();
    let records = schema.records();
    for sequence in 1..=10 {
        let rows =
            (0..400).map(|_| UsageRow { provider: "p".into(), model: "m".into(), team: None, ..row(DAY) });
        records.apply("j", &[numbered(sequence, rows.collect())]).await.unwrap();
    }
    let longest = schema.number("SELECT max(length(latencies)) FROM usage_hourly").await;
    assert!(longest < 1_000, "{longest}");
    schema.check_sums().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_rows_are_pruned_by_one_process_at_a_time_and_sums_stay() {
    let schema = schema_or_return!();
    let records = schema.records();
    let rows: Vec<_> = (0..1_500).map(|minute| row(DAY + minute * 60_000)).collect();
    records.apply("j", &[numbered(1, rows)]).await.unwrap();
    let sums = "SELECT sum(calls) + sum(cost_micro) FROM usage_hourly";
    let before = schema.number(sums).await;
    let other = schema.records();
    let bound = DAY + 1_200 * 60_000;
    let (one, two) = futures::future::join(records.prune(bound), other.prune(bound)).await;
    assert_eq!(one.unwrap() + two.unwrap(), 1_200);
    assert_eq!(schema.number("SELECT count(*) FROM usage_rows").await, 300);
    assert_eq!(schema.number("SELECT count(*) FROM usage_rows WHERE at_ms < 1").await, 0);
    assert_eq!(schema.number(sums).await, before);
    assert_eq!(records.prune(bound).await.unwrap(), 0);
}

#[tokio::test]
async fn a_database_that_is_not_there_is_told_with_what_to_do() {
    let _schema = schema_or_return!();
    let mut url = url::Url::parse(&server::admin_url()).unwrap();
    url.set_path("no_such_database");
    let error = PostgresRecords::new(url.as_str()).unwrap().prepare().await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Failed);
    assert!(error.to_string().contains("Create the database"), "{error}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_away() {
    let records = PostgresRecords::new("postgres://ann:s3cret@127.0.0.1:9/x").unwrap();
    assert!(!records.is_away());
    let begin = std::time::Instant::now();
    let error = records.apply("j", &[numbered(1, vec![row(DAY)])]).await.unwrap_err();
    assert!(begin.elapsed() < Duration::from_secs(6));
    assert_eq!(error.kind, StoreErrorKind::Away);
    assert!(!error.to_string().contains("s3cret"), "{error}");
    assert!(records.is_away());
}
