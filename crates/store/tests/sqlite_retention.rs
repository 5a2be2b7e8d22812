//! How long an SQLite file keeps what.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

mod sqlite;

use std::time::Duration;

use gateway_engine::records::{Batch, GroupBy, Recorder, UsageQuery, UsageReader, UsageRow};
use gateway_engine::state::{Counter, CounterWindow, Exchange, Notice, Spent, StateStore, Take};
use gateway_model::config::Retention;
use gateway_store::sqlite::{Options, Role, SqliteStore};
use sqlite::{Folder, integers, now_ms, open, row};

const DAY: i64 = 86_400_000;

async fn store(folder: &Folder, retention: Retention) -> SqliteStore {
    let options = Options { retention, ..Options::default() };
    SqliteStore::open_with(&folder.url(), Role::Both, options).await.unwrap()
}

fn aged(days: i64, rows: std::ops::Range<u64>) -> Arc<Batch> {
    let rows = rows.map(|number| row(number, now_ms() - days * DAY)).collect();
    Arc::new(Batch { rows, charges: Vec::new() })
}

#[tokio::test]
async fn old_rows_go_and_their_sums_stay() {
    let folder = Folder::new();
    let store = store(&folder, Retention::default()).await;
    for days in [0, 29, 31, 200] {
        for rows in [0..400, 400..800] {
            store.keep("a", &aged(days, rows)).await.unwrap();
        }
    }
    let query = UsageQuery { group_by: vec![GroupBy::Day, GroupBy::Model], ..UsageQuery::default() };
    let before = store.usage(&query).await.unwrap();
    store.sweep().await.unwrap();
    assert_eq!(store.usage(&query).await.unwrap(), before);
    let mut file = open(&folder).await;
    let left = format!("SELECT COUNT(*), MIN(at_ms) > {} FROM usage_rows", now_ms() - 30 * DAY);
    assert_eq!(integers(&mut file, &left).await, [1_600, 1]);
}

#[tokio::test]
async fn days_are_those_of_the_settings() {
    let folder = Folder::new();
    let store = store(&folder, Retention { rows_days: Some(5), ..Retention::default() }).await;
    store.keep("a", &aged(4, 0..10)).await.unwrap();
    store.keep("a", &aged(6, 0..10)).await.unwrap();
    store.sweep().await.unwrap();
    assert_eq!(integers(&mut open(&folder).await, "SELECT COUNT(*) FROM usage_rows").await, [10]);
}

#[tokio::test]
async fn calls_are_served_while_rows_go() {
    let folder = Folder::new();
    let store = store(&folder, Retention::default()).await;
    for from in (0..4_000).step_by(400) {
        store.keep("a", &aged(40, from..from + 400)).await.unwrap();
    }
    let keep = async {
        for number in 0..20 {
            store.keep("a", &aged(0, number..number + 1)).await.unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let (swept, ()) = futures::join!(store.sweep(), keep);
    swept.unwrap();
    assert_eq!(integers(&mut open(&folder).await, "SELECT COUNT(*) FROM usage_rows").await, [20]);
}

#[tokio::test]
async fn a_file_that_is_too_large_loses_its_oldest_rows_and_becomes_smaller() {
    let folder = Folder::new();
    let limit = 600_000;
    let store = store(&folder, Retention { max_bytes: Some(limit), ..Retention::default() }).await;
    for days in (0..10).rev() {
        let mut batch = aged(days, 0..400);
        let large = |row: &mut UsageRow| row.metadata = Some(format!("{{\"a\":\"{}\"}}", "x".repeat(300)));
        Arc::make_mut(&mut batch).rows.iter_mut().for_each(large);
        store.keep("a", &batch).await.unwrap();
    }
    let sums = store.usage(&UsageQuery::default()).await.unwrap();
    store.sweep().await.unwrap();
    assert_eq!(store.usage(&UsageQuery::default()).await.unwrap(), sums);
    let mut file = open(&folder).await;
    let oldest = format!("SELECT COUNT(*) > 0, MIN(at_ms) > {} FROM usage_rows", now_ms() - 9 * DAY);
    assert_eq!(integers(&mut file, &oldest).await, [1, 1]);
    drop(file);
    Recorder::close(&store).await;
    let size = std::fs::metadata(folder.file("gateway.db")).unwrap().len();
    assert!(size <= limit, "{size} bytes");
}

#[tokio::test]
async fn what_has_lapsed_goes() {
    let folder = Folder::new();
    let store = store(&folder, Retention::default()).await;
    let soon = Duration::from_millis(20);
    store.put("gone", b"1", soon).await.unwrap();
    store.put("there", b"2", Duration::from_secs(60)).await.unwrap();
    for (name, lasts_ms) in [("gone", 20), ("there", 60_000)] {
        let notice = Notice { name: name.into(), text: "t".into(), lasts_ms };
        store.post("board", &notice).await.unwrap();
    }
    let take = |key: &str, per_minute| Take { key: key.into(), buckets: vec![(per_minute, 1)] };
    store.take(&[take("gone", 60_000), take("there", 1)]).await.unwrap();
    for (key, length_ms) in [("gone", 20), ("there", 60_000)] {
        let window = CounterWindow::Rolling { length_ms };
        let spent = Some(Spent { figures: [1; 4], at_ms: now_ms(), sequence: 1 });
        let step = Exchange { counter: Counter { key: key.into(), window }, spent, lease: None };
        store.exchange("a", &[step]).await.unwrap();
    }
    // As if it were two days later, as far as what was spent may be sent again.
    let mut file = open(&folder).await;
    for sql in [
        "UPDATE counters SET ends_at = ends_at - 172800000 WHERE key = 'gone'",
        "UPDATE leases SET lapses_at = lapses_at - 172800000 WHERE counter = 'gone'",
    ] {
        sqlx::query(sql).execute(&mut file).await.unwrap();
    }
    tokio::time::sleep(soon * 3).await;
    store.sweep().await.unwrap();
    for (table, key) in [
        ("state_values", "key"),
        ("state_notices", "name"),
        ("token_buckets", "key"),
        ("counters", "key"),
        ("leases", "counter"),
    ] {
        let sql = format!("SELECT COUNT(*), SUM({key} = 'there') FROM {table}");
        assert_eq!(integers(&mut file, &sql).await, [1, 1], "{table}");
    }
}
