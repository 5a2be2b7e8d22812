use std::collections::BTreeMap;
use std::time::Instant;

use gateway_engine::records::{GroupBy, UsageQuery, UsageReader, UsageRow, UsageSums};
use gateway_store::journal::BatchSink;
use rand::Rng;

use super::{DAY, HOUR_MS, numbered, row, server};
use crate::schema_or_return;

fn moment(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).unwrap().to_string()
}

fn value(row: &UsageRow, by: &GroupBy) -> Option<String> {
    match by {
        GroupBy::Hour => Some(moment(row.at_ms / HOUR_MS * HOUR_MS)),
        GroupBy::Day => Some(moment(row.at_ms / (24 * HOUR_MS) * (24 * HOUR_MS))),
        GroupBy::Provider => Some(row.provider.clone()),
        GroupBy::Model => Some(row.model.clone()),
        GroupBy::Team => row.team.clone(),
        _ => None,
    }
}

/// What a report is to say, reckoned from the rows.
fn expected(rows: &[UsageRow], query: &UsageQuery) -> Vec<UsageSums> {
    let hour = |row: &UsageRow| row.at_ms / HOUR_MS * HOUR_MS;
    let mut groups: BTreeMap<Vec<Option<String>>, (UsageSums, Vec<u64>)> = BTreeMap::new();
    for row in rows {
        let within =
            query.from_ms.is_none_or(|from| hour(row) >= from) && query.to_ms.is_none_or(|to| hour(row) < to);
        let is_meant = query.only.iter().all(|(by, wanted)| value(row, by).as_ref() == Some(wanted));
        if !within || !is_meant {
            continue;
        }
        let group: Vec<_> = query.group_by.iter().map(|by| value(row, by)).collect();
        let (sums, latencies) = groups.entry(group.clone()).or_default();
        sums.group = group;
        sums.calls += u64::from(row.part == 0);
        sums.errors += u64::from(row.part == 0 && !row.success);
        sums.input_tokens += row.input_tokens;
        sums.output_tokens += row.output_tokens;
        sums.cost += i128::from(row.cost);
        sums.saved += i128::from(row.saved);
        if row.success && !row.cached && row.part == 0 {
            latencies.push(row.latency_ms);
        }
    }
    let percentile = |latencies: &mut Vec<u64>, share: f64| {
        latencies.sort_unstable();
        let rank = (latencies.len() as f64 * share).ceil().max(1.0) as usize;
        latencies.get(rank - 1).map(|latency| *latency as f64)
    };
    let finished = groups.into_values().map(|(mut sums, mut latencies)| {
        sums.latency_p50_ms = percentile(&mut latencies, 0.5);
        sums.latency_p95_ms = percentile(&mut latencies, 0.95);
        sums
    });
    finished.collect()
}

fn near(found: Option<f64>, wanted: Option<f64>) -> bool {
    match (found, wanted) {
        (Some(found), Some(wanted)) => (found - wanted).abs() <= wanted * 0.05,
        (found, wanted) => found == wanted,
    }
}

#[tokio::test]
async fn reports_are_the_sums_of_their_rows() {
    let schema = schema_or_return!();
    let records = schema.records();
    let mut rng = rand::rng();
    let rows: Vec<_> = (0..2_000).map(|_| row(DAY + rng.random_range(0..5 * 24 * HOUR_MS))).collect();
    for (index, some) in rows.chunks(500).enumerate() {
        records.apply("j", &[numbered(index as u64 + 1, some.to_vec())]).await.unwrap();
    }
    let groups = [
        vec![],
        vec![GroupBy::Hour],
        vec![GroupBy::Day, GroupBy::Team],
        vec![GroupBy::Team, GroupBy::Hour, GroupBy::Day, GroupBy::Model],
        vec![GroupBy::Hour, GroupBy::Model],
        vec![GroupBy::Model, GroupBy::Hour],
        vec![GroupBy::Hour, GroupBy::Day, GroupBy::Model],
        vec![GroupBy::Provider, GroupBy::Model],
        vec![GroupBy::UserId],
    ];
    let spans = [
        (None, None),
        (Some(DAY + 5 * HOUR_MS), Some(DAY + 80 * HOUR_MS)),
        (Some(DAY + 5 * HOUR_MS + 1), Some(DAY + 7 * HOUR_MS + 1)),
        (Some(DAY + 24 * HOUR_MS), None),
    ];
    let filters = [
        vec![],
        vec![(GroupBy::Team, "red".to_owned()), (GroupBy::Model, "a".to_owned())],
        vec![(GroupBy::Day, moment(DAY + 48 * HOUR_MS))],
        vec![(GroupBy::Hour, moment(DAY + 30 * HOUR_MS))],
        vec![(GroupBy::Team, "none".to_owned())],
    ];
    for group_by in &groups {
        for (from_ms, to_ms) in spans {
            for only in &filters {
                let query = UsageQuery { from_ms, to_ms, group_by: group_by.clone(), only: only.clone() };
                let (found, wanted) = (records.usage(&query).await.unwrap(), expected(&rows, &query));
                assert_eq!(found.len(), wanted.len(), "{query:?}");
                for (found, wanted) in found.into_iter().zip(wanted) {
                    assert!(near(found.latency_p50_ms, wanted.latency_p50_ms), "{found:?} {wanted:?}");
                    assert!(near(found.latency_p95_ms, wanted.latency_p95_ms), "{found:?} {wanted:?}");
                    let (latency_p50_ms, latency_p95_ms) = (wanted.latency_p50_ms, wanted.latency_p95_ms);
                    assert_eq!(UsageSums { latency_p50_ms, latency_p95_ms, ..found }, wanted, "{query:?}");
                }
            }
        }
    }
}

/// `cargo test --release -p gateway-store --test postgres a_million -- --ignored --nocapture`
#[tokio::test]
#[ignore = "takes a minute"]
async fn a_million_rows_are_summed_up_in_200_milliseconds() {
    let schema = schema_or_return!();
    let records = schema.records();
    let series = (0..120).map(|team| UsageRow { team: Some(format!("team {team}")), ..row(DAY) });
    records.apply("j", &[numbered(1, series.collect())]).await.unwrap();
    let begin = Instant::now();
    schema
        .run(&format!(
            "INSERT INTO usage_rows (request_id, part, at_ms, series, success, input_tokens, output_tokens, estimated, cost, \
             saved, latency_ms, latency_bucket, streamed, cached, degraded, fallback_triggered) \
             SELECT int8send(n), 0, {DAY} + (random() * 30 * 24 * {HOUR_MS})::bigint, s, true, 500, 500, false, 3000000, 0, \
             l, ceil(ln(l) / ln(1.1)) + 1, false, false, false, false FROM \
             (SELECT n, 1 + (random() * 3000)::bigint AS l, (SELECT min(id) FROM usage_series) + n % 120 AS s \
              FROM generate_series(1, 1000000) AS n) AS calls"
        ))
        .await;
    println!("a million rows written in {:?}", begin.elapsed());
    schema.run("ANALYZE").await;
    // Without optimisation, most of the time goes into reading the answer.
    let most = if cfg!(debug_assertions) { 1_000 } else { 200 };
    let mut groupings = vec![
        vec![],
        vec![GroupBy::Day],
        vec![GroupBy::Hour],
        vec![GroupBy::Provider, GroupBy::Model],
        vec![GroupBy::Day, GroupBy::Team],
    ];
    if !cfg!(debug_assertions) {
        groupings.extend([vec![GroupBy::Hour, GroupBy::Model], vec![GroupBy::Hour, GroupBy::Team]]);
    }
    for group_by in groupings {
        let (from_ms, to_ms) = (Some(DAY + HOUR_MS), Some(DAY + 29 * 24 * HOUR_MS + HOUR_MS));
        let query = UsageQuery { from_ms, to_ms, group_by, only: vec![] };
        let mut times = Vec::new();
        let mut groups = 0;
        for _ in 0..5 {
            let begin = Instant::now();
            groups = records.usage(&query).await.unwrap().len();
            times.push(begin.elapsed());
        }
        times.sort_unstable();
        println!("by {:?}: median {:?}, slowest {:?}, {groups} groups", query.group_by, times[2], times[4]);
        // An answer of 80,000 groups takes about as long as all that is read for it.
        let most = if groups > 50_000 { 2 * most } else { most };
        assert!(times[2].as_millis() < most, "{times:?}");
    }
}
