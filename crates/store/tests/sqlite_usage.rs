//! What was used, as it is read from an SQLite file's sums.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::sync::Arc;

mod sqlite;

use std::collections::BTreeMap;
use std::time::Instant;

use gateway_engine::records::{Batch, GroupBy, Recorder, UsageQuery, UsageReader, UsageRow, UsageSums};
use gateway_store::sqlite::{Role, SqliteStore};
use sqlite::{Folder, open, row};

const HOUR: i64 = 3_600_000;
/// 2026-03-01T00:00:00Z.
const BEGIN: i64 = 1_772_323_200_000;

/// 900 calls, 20 minutes apart.
fn rows() -> Vec<UsageRow> {
    (0..900).map(|number| row(number, BEGIN + i64::try_from(number).unwrap() * HOUR / 3)).collect()
}

async fn store(folder: &Folder) -> SqliteStore {
    let store = SqliteStore::open(&folder.url(), Role::Records).await.unwrap();
    for rows in rows().chunks(100) {
        store.keep("a", &Arc::new(Batch { rows: rows.to_vec(), charges: Vec::new() })).await.unwrap();
    }
    store
}

fn grouped(by: &[GroupBy]) -> UsageQuery {
    UsageQuery { group_by: by.to_vec(), ..UsageQuery::default() }
}

fn time(at_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(at_ms).unwrap().to_string()
}

fn value(row: &UsageRow, dimension: &GroupBy) -> Option<String> {
    match dimension {
        GroupBy::Hour => Some(time(row.at_ms / HOUR * HOUR)),
        GroupBy::Day => Some(time(row.at_ms / (24 * HOUR) * (24 * HOUR))),
        GroupBy::Provider => Some(row.provider.clone()),
        GroupBy::Model => Some(row.model.clone()),
        GroupBy::RouteRule => Some(row.route_rule.clone()),
        GroupBy::Feature => row.feature.clone(),
        GroupBy::UserTier => row.user_tier.clone(),
        GroupBy::UserId => row.user_id.clone(),
        GroupBy::Key => row.key_id.clone(),
        GroupBy::Team => row.team.clone(),
    }
}

/// The same from the rows themselves.
fn expected(rows: &[UsageRow], by: &[GroupBy]) -> Vec<UsageSums> {
    let mut groups: BTreeMap<Vec<Option<String>>, (UsageSums, Vec<u64>)> = BTreeMap::new();
    for row in rows {
        let group: Vec<_> = by.iter().map(|dimension| value(row, dimension)).collect();
        let (sums, latencies) = groups.entry(group.clone()).or_default();
        sums.group = group;
        sums.calls += 1;
        sums.errors += u64::from(!row.success);
        sums.input_tokens += row.input_tokens;
        sums.output_tokens += row.output_tokens;
        sums.cost += i128::from(row.cost);
        sums.saved += i128::from(row.saved);
        if row.success {
            latencies.push(row.latency_ms);
        }
    }
    let percentile = |latencies: &[u64], hundredths: usize| {
        let rank = (latencies.len() * hundredths).div_ceil(100);
        rank.checked_sub(1).map(|index| latencies[index] as f64)
    };
    let sums = groups.into_values().map(|(mut sums, mut latencies)| {
        latencies.sort_unstable();
        sums.latency_p50_ms = percentile(&latencies, 50);
        sums.latency_p95_ms = percentile(&latencies, 95);
        sums
    });
    sums.collect()
}

fn assert_same(found: Vec<UsageSums>, expected: Vec<UsageSums>) {
    assert_eq!(found.len(), expected.len());
    for (mut found, expected) in found.into_iter().zip(expected) {
        let near = |found: Option<f64>, expected: Option<f64>| match (found, expected) {
            (Some(found), Some(expected)) => (found / expected - 1.0).abs() <= 0.05,
            (found, expected) => found == expected,
        };
        assert!(near(found.latency_p50_ms, expected.latency_p50_ms), "{found:?}, {expected:?}");
        assert!(near(found.latency_p95_ms, expected.latency_p95_ms), "{found:?}, {expected:?}");
        found.latency_p50_ms = expected.latency_p50_ms;
        found.latency_p95_ms = expected.latency_p95_ms;
        assert_eq!(found, expected);
    }
}

#[tokio::test]
async fn sums_of_any_group_are_those_of_the_rows() {
    let folder = Folder::new();
    let store = store(&folder).await;
    let rows = rows();
    use GroupBy::*;
    for by in [
        &[][..],
        &[Hour],
        &[Day],
        &[Provider],
        &[Model],
        &[RouteRule],
        &[Feature],
        &[UserTier],
        &[UserId],
        &[Key],
        &[Team],
        &[Day, Model],
        &[Model, Hour, Key],
        &[Provider, Model, UserId, Key],
        &[Hour, Day],
        &[Hour, Model],
        &[Model, Hour],
        &[Hour, Day, Model],
    ] {
        let found = store.usage(&grouped(by)).await.unwrap();
        assert_same(found, expected(&rows, by));
    }
}

#[tokio::test]
async fn from_and_to_are_hours_whatever_tables_they_come_from() {
    let folder = Folder::new();
    let store = store(&folder).await;
    let ranges = [(0, 300), (5, 6), (5, 47), (5, 48), (24, 48), (25, 70), (23, 25), (0, 24), (7, 7), (9, 3)];
    for (from, to) in ranges {
        for by in [&[GroupBy::Model][..], &[GroupBy::Day], &[GroupBy::Hour], &[]] {
            let query = UsageQuery {
                from_ms: Some(BEGIN + from * HOUR),
                to_ms: Some(BEGIN + to * HOUR),
                ..grouped(by)
            };
            let rows: Vec<UsageRow> = rows()
                .into_iter()
                .filter(|row| (BEGIN + from * HOUR..BEGIN + to * HOUR).contains(&row.at_ms))
                .collect();
            assert_same(store.usage(&query).await.unwrap(), expected(&rows, by));
        }
    }
    // A part of an hour: the hours that begin in it.
    let query = UsageQuery { from_ms: Some(BEGIN + 1), to_ms: Some(BEGIN + HOUR + 1), ..grouped(&[]) };
    assert_eq!(store.usage(&query).await.unwrap()[0].calls, 3);
}

#[tokio::test]
async fn only_the_rows_that_are_asked_for_are_summed_up() {
    let folder = Folder::new();
    let store = store(&folder).await;
    let only = |only: &[(GroupBy, &str)]| UsageQuery {
        only: only.iter().map(|(dimension, value)| (dimension.clone(), (*value).to_owned())).collect(),
        ..grouped(&[GroupBy::Provider])
    };
    let rows = |keep: &dyn Fn(&UsageRow) -> bool| -> Vec<UsageRow> {
        rows().into_iter().filter(|row| keep(row)).collect()
    };
    let by = [GroupBy::Provider];
    let of_model = only(&[(GroupBy::Model, "model-2"), (GroupBy::Key, "key-1")]);
    let expect = expected(&rows(&|row| row.model == "model-2" && row.key_id.is_some()), &by);
    assert_same(store.usage(&of_model).await.unwrap(), expect);
    let second_day = BEGIN + 24 * HOUR..BEGIN + 48 * HOUR;
    for day in ["2026-03-02", "2026-03-02T00:00:00Z"] {
        let of_day = only(&[(GroupBy::Day, day)]);
        let expect = expected(&rows(&|row| second_day.contains(&row.at_ms)), &by);
        assert_same(store.usage(&of_day).await.unwrap(), expect);
    }
    let of_hour = only(&[(GroupBy::Hour, "2026-03-02T05:00:00Z")]);
    assert_eq!(store.usage(&of_hour).await.unwrap().iter().map(|sums| sums.calls).sum::<u64>(), 3);
    for nothing in [(GroupBy::Hour, "yesterday"), (GroupBy::Model, "'; DROP TABLE usage_rows; --")] {
        assert_eq!(store.usage(&only(&[nothing])).await.unwrap(), []);
    }
}

#[tokio::test]
async fn latencies_stay_right_however_many_calls_there_are() {
    let folder = Folder::new();
    let store = SqliteStore::open(&folder.url(), Role::Records).await.unwrap();
    for round in 0..60 {
        let mut rows: Vec<UsageRow> = (0..20).map(|number| row(number, BEGIN)).collect();
        for (number, row) in (1..).zip(&mut rows) {
            row.latency_ms = number * (round + 1);
            row.provider = "p".into();
            row.model = "m".into();
            row.user_id = None;
            row.key_id = None;
            row.success = true;
        }
        store.keep("a", &Arc::new(Batch { rows, charges: Vec::new() })).await.unwrap();
    }
    let mut all: Vec<f64> =
        (1..=60).flat_map(|round| (1..=20).map(move |number| f64::from(round * number))).collect();
    all.sort_by(f64::total_cmp);
    let sums = &store.usage(&grouped(&[])).await.unwrap()[0];
    assert_eq!(sums.calls, 1_200);
    assert!((sums.latency_p50_ms.unwrap() / all[599] - 1.0).abs() <= 0.05);
    assert!((sums.latency_p95_ms.unwrap() / all[1139] - 1.0).abs() <= 0.05);
    Recorder::close(&store).await;
    let mut file = open(&folder).await;
    let longest = sqlite::integers(&mut file, "SELECT MAX(length(latencies)) FROM usage_hourly").await[0];
    assert!(longest < 700, "texts are written anew before they are long: {longest}");
    sqlite::assert_rolled_up(&mut file).await;
}

/// Figures for docs: `cargo test --release -p gateway-store --test sqlite_usage -- --ignored --nocapture`.
#[tokio::test]
#[ignore = "a measurement"]
async fn a_million_rows_answer_soon() {
    let folder = Folder::new();
    let store = SqliteStore::open(&folder.url(), Role::Records).await.unwrap();
    let mut file = open(&folder).await;
    // 30 days; 200 users with 2 models each, of 8 models at 3 providers.
    for sql in [
        "INSERT INTO usage_series (id, digest, provider, model, route_rule, key_id, team, user_id, feature, user_tier) \
         WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 399) \
         SELECT i + 1, randomblob(16), 'provider-' || (i % 8 % 3), 'model-' || (i % 8), 'rule-' || (i % 2), \
         'key-' || (i / 20), 'team-' || (i / 50), 'user-' || (i / 2), 'feature-' || (i % 4), 'tier-' || (i % 3) FROM n",
        "INSERT INTO usage_rows (request_id, part, at_ms, series, success, input_tokens, output_tokens, estimated, cost, \
         saved, latency_ms, streamed, cached, degraded, fallback_triggered) \
         WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 999999) \
         SELECT unhex(format('%032X', i)), 0, 1772323200000 + i * 2592, 1 + abs(random()) % 400, random() % 50 <> 0, \
         1000, 200, 0, 123456789, 0, 300 + abs(random()) % 3000, 1, 0, 0, 0 FROM n",
    ] {
        sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&mut file).await.unwrap();
    }
    for (table, time, unit) in [("usage_hourly", "hour", HOUR), ("usage_daily", "day", 24 * HOUR)] {
        let sql = format!(
            "INSERT INTO {table} SELECT at_ms / {unit} AS {time}, series, COUNT(*), SUM(NOT success), SUM(input_tokens), \
             SUM(output_tokens), SUM(cost / 1000000), SUM(cost % 1000000), 0, 0, \
             group_concat(char(125 + latency_ms / 100), '') FROM usage_rows GROUP BY 1, 2"
        );
        sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&mut file).await.unwrap();
    }
    let hours = sqlite::integers(
        &mut file,
        "SELECT (SELECT COUNT(*) FROM usage_hourly), (SELECT COUNT(*) FROM usage_daily)",
    );
    println!("hourly and daily sums: {:?}", hours.await);
    use GroupBy::*;
    let all = [Hour, Day, Provider, Model, Key, UserId, Team, Feature, UserTier, RouteRule];
    let mut groupings = vec![vec![], vec![Hour, Day, Model], vec![Provider, Model, UserId, Key]];
    for (place, one) in all.iter().enumerate() {
        groupings.push(vec![one.clone()]);
        groupings.extend(all[place + 1..].iter().map(|other| vec![one.clone(), other.clone()]));
    }
    for by in groupings {
        let mut times = Vec::new();
        let mut groups = 0;
        for _ in 0..3 {
            let begun = Instant::now();
            let found = store.usage(&grouped(&by)).await.unwrap();
            times.push(begun.elapsed());
            groups = found.len();
            assert_eq!(found.iter().map(|sums| sums.calls).sum::<u64>(), 1_000_000);
        }
        times.sort_unstable();
        println!("by {by:?}: {:?} for {groups} groups", times[1]);
    }
}
