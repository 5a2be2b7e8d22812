//! What an SQLite file keeps of calls: rows exactly once, with their sums and their charges.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod sqlite;

use std::sync::Arc;

use gateway_engine::records::{Batch, Kept, Recorder};
use gateway_engine::state::{Charge, Counter, CounterWindow, StateStore};
use gateway_store::sqlite::{Role, SqliteStore};
use sqlite::{Folder, assert_rolled_up, integers, now_ms, open, row};

fn charge(key: &str, amount: i64) -> Charge {
    let window = CounterWindow::Rolling { length_ms: 3_600_000 };
    Charge { counter: Counter { key: key.into(), window }, figures: [1, 2, 3, amount], at_ms: now_ms() }
}

fn batch(rows: std::ops::Range<u64>, charges: Vec<Charge>) -> Arc<Batch> {
    Arc::new(Batch { rows: rows.map(|number| row(number, now_ms())).collect(), charges })
}

fn applied(kept: Kept) -> Vec<(Arc<str>, [i64; 4])> {
    match kept {
        Kept::Applied(states) => states.into_iter().map(|(key, state)| (key, state.spent)).collect(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn rows_their_sums_and_their_charges_are_kept_together() {
    let folder = Folder::new();
    let store = SqliteStore::open(&folder.url(), Role::Both).await.unwrap();
    let kept = store.keep("a", &batch(0..300, vec![charge("b", 7), charge("c", 1)])).await.unwrap();
    assert_eq!(applied(kept), [("b".into(), [1, 2, 3, 7]), ("c".into(), [1, 2, 3, 1])]);
    let mut file = open(&folder).await;
    assert_eq!(integers(&mut file, "SELECT COUNT(*), SUM(NOT success) FROM usage_rows").await, [300, 30]);
    assert_rolled_up(&mut file).await;
}

#[tokio::test]
async fn a_batch_that_is_kept_again_changes_nothing() {
    let folder = Folder::new();
    let store = SqliteStore::open(&folder.url(), Role::Both).await.unwrap();
    let batch = batch(0..20, vec![charge("b", 7)]);
    for _ in 0..3 {
        let kept = store.keep("a", &batch).await.unwrap();
        assert_eq!(applied(kept), [("b".into(), [1, 2, 3, 7])]);
    }
    let (one, two, three) =
        futures::join!(store.keep("a", &batch), store.keep("a", &batch), store.keep("a", &batch));
    for kept in [one, two, three] {
        assert_eq!(applied(kept.unwrap()), [("b".into(), [1, 2, 3, 7])]);
    }
    let mut file = open(&folder).await;
    assert_eq!(integers(&mut file, "SELECT COUNT(*) FROM usage_rows").await, [20]);
    assert_rolled_up(&mut file).await;
}

#[tokio::test]
async fn a_new_batch_that_comes_twice_at_once_is_charged_once() {
    let folder = Folder::new();
    let store = SqliteStore::open(&folder.url(), Role::Both).await.unwrap();
    let (new, other) = (batch(0..5, vec![charge("b", 7)]), batch(5..9, vec![charge("b", 1)]));
    let (one, two, three) =
        futures::join!(store.keep("a", &new), store.keep("a", &new), store.keep("a", &other));
    assert!(one.is_ok() && two.is_ok());
    assert_eq!(applied(three.unwrap()), [("b".into(), [2, 4, 6, 8])]);
    assert_rolled_up(&mut open(&folder).await).await;
}

#[tokio::test]
async fn a_row_that_is_there_stays_as_it_is_and_new_ones_beside_it_count() {
    let folder = Folder::new();
    let store = SqliteStore::open(&folder.url(), Role::Both).await.unwrap();
    let first = batch(0..1, Vec::new());
    store.keep("a", &first).await.unwrap();
    let mut second = batch(1..3, vec![charge("b", 5)]);
    let rows = &mut Arc::make_mut(&mut second).rows;
    rows.extend(first.rows.iter().cloned());
    rows[2].cost = 1;
    let kept = store.keep("a", &second).await.unwrap();
    assert_eq!(applied(kept), [("b".into(), [1, 2, 3, 5])]);
    let mut file = open(&folder).await;
    assert_eq!(integers(&mut file, "SELECT COUNT(*), MIN(cost) > 1 FROM usage_rows").await, [3, 1]);
    assert_rolled_up(&mut file).await;
}

#[tokio::test]
async fn an_attempt_beside_a_call_adds_cost_and_tokens_and_no_call() {
    let folder = Folder::new();
    let store = SqliteStore::open(&folder.url(), Role::Records).await.unwrap();
    let mut call = batch(0..1, Vec::new());
    let mut attempt = call.rows[0].clone();
    attempt.part = 1;
    attempt.success = false;
    Arc::make_mut(&mut call).rows.push(attempt);
    assert_eq!(store.keep("a", &call).await, Ok(Kept::Rows));
    let mut file = open(&folder).await;
    let sums = "SELECT SUM(calls), SUM(errors), SUM(input_tokens) FROM usage_hourly";
    assert_eq!(integers(&mut file, sums).await, [1, 0, 200]);
    assert_rolled_up(&mut file).await;
}

#[tokio::test]
async fn sums_of_the_largest_amounts_are_exact() {
    let folder = Folder::new();
    let store = SqliteStore::open(&folder.url(), Role::Records).await.unwrap();
    let mut large = batch(0..8, Vec::new());
    for row in &mut Arc::make_mut(&mut large).rows {
        row.cost = i64::MAX;
        row.saved = -7;
        row.input_tokens = u64::MAX;
        row.provider = "p".into();
    }
    store.keep("a", &large).await.unwrap();
    let mut file = open(&folder).await;
    let sums = "SELECT SUM(cost_micro), SUM(cost_pico), SUM(saved_micro), SUM(saved_pico), SUM(input_tokens) FROM usage_hourly";
    let sums = integers(&mut file, sums).await;
    assert_eq!(i128::from(sums[0]) * 1_000_000 + i128::from(sums[1]), i128::from(i64::MAX) * 8);
    assert_eq!(sums[2] * 1_000_000 + sums[3], -56);
    assert_eq!(sums[4], 8_000_000_000_000);
}

#[tokio::test]
async fn odd_texts_come_back_as_they_were() {
    let folder = Folder::new();
    let store = SqliteStore::open(&folder.url(), Role::Both).await.unwrap();
    let mut odd = batch(0..2, Vec::new());
    let rows = &mut Arc::make_mut(&mut odd).rows;
    rows[0].request_id = "not a uuid".into();
    rows[0].model = "a\0b'\"\u{1f}🦀".into();
    rows[1].metadata = Some(r#"{"a":"\u0000"}"#.into());
    store.keep("a", &odd).await.unwrap();
    store.keep("a", &odd).await.unwrap();
    let mut file = open(&folder).await;
    assert_eq!(integers(&mut file, "SELECT COUNT(*) FROM usage_rows").await, [2]);
    let model = "SELECT model FROM usage_series WHERE model LIKE 'a%'";
    assert_eq!(sqlite::text(&mut file, model).await, odd.rows[0].model);
    let id = "SELECT CAST(request_id AS TEXT) FROM usage_rows WHERE length(request_id) <> 16";
    assert_eq!(sqlite::text(&mut file, id).await, "not a uuid");
}

#[tokio::test]
async fn state_alone_makes_charges_and_keeps_no_rows() {
    let folder = Folder::new();
    let store = SqliteStore::open(&folder.url(), Role::State).await.unwrap();
    let kept = store.keep("a", &batch(0..5, vec![charge("b", 7)])).await.unwrap();
    assert_eq!(applied(kept), [("b".into(), [1, 2, 3, 7])]);
    assert_eq!(integers(&mut open(&folder).await, "SELECT COUNT(*) FROM usage_rows").await, [0]);
}

#[tokio::test]
async fn what_was_kept_is_there_when_the_file_is_opened_again() {
    let folder = Folder::new();
    let store = SqliteStore::open(&folder.url(), Role::Both).await.unwrap();
    store.keep("a", &batch(0..5, vec![charge("b", 7)])).await.unwrap();
    Recorder::close(&store).await;
    assert!(!folder.file("gateway.db-wal").exists());
    assert!(store.keep("a", &batch(5..6, Vec::new())).await.is_err());
    let store = SqliteStore::open(&folder.url(), Role::Both).await.unwrap();
    store.keep("b", &batch(5..6, vec![charge("b", 1)])).await.unwrap();
    let counters = store.counters("b", "", 10).await.unwrap();
    assert_eq!(counters[0].1.spent, [2, 4, 6, 8]);
    assert_rolled_up(&mut open(&folder).await).await;
}
