//! Values with a time to live, and notices.

use gateway_engine::state::Notice;

use super::*;

const LONG: Duration = Duration::from_secs(60);

pub async fn a_value_is_there_while_it_lasts(store: &dyn StateStore) {
    let (short, long) = (fresh("value"), fresh("value"));
    assert_eq!(store.get(&short).await.unwrap(), None);
    store.put(&short, b"one", Duration::from_millis(200)).await.unwrap();
    store.put(&long, b"two", LONG).await.unwrap();
    assert_eq!(store.get(&long).await.unwrap().as_deref(), Some(&b"two"[..]));
    passes(Duration::from_millis(250)).await;
    assert_eq!(store.get(&short).await.unwrap(), None);
    assert_eq!(store.get(&long).await.unwrap().as_deref(), Some(&b"two"[..]));
    store.put(&long, b"three", Duration::ZERO).await.unwrap();
    assert_eq!(store.get(&long).await.unwrap(), None);
}

pub async fn a_value_takes_the_place_of_the_old_one(store: &dyn StateStore) {
    let key = fresh("value");
    store.put(&key, b"old", Duration::from_millis(100)).await.unwrap();
    store.put(&key, b"new", LONG).await.unwrap();
    passes(Duration::from_millis(150)).await;
    assert_eq!(store.get(&key).await.unwrap().as_deref(), Some(&b"new"[..]));
}

pub async fn values_are_bytes(store: &dyn StateStore) {
    let all: Vec<u8> = (0..=255).chain([0, 0, 13, 10]).collect();
    for value in [&all[..], &[], &vec![7; 500_000]] {
        let key = fresh("vàlue {with} signs\n");
        store.put(&key, value, LONG).await.unwrap();
        assert_eq!(store.get(&key).await.unwrap().as_deref(), Some(value));
    }
}

fn notice(name: &str, text: &str, lasts_ms: i64) -> Notice {
    Notice { name: name.into(), text: text.into(), lasts_ms }
}

/// Name and text of each notice, by name.
async fn read(store: &dyn StateStore, board: &str) -> Vec<(String, String)> {
    let notices = store.notices(board).await.unwrap();
    let mut read: Vec<_> = notices.into_iter().map(|notice| (notice.name, notice.text)).collect();
    read.sort();
    read
}

fn texts(texts: &[(&str, &str)]) -> Vec<(String, String)> {
    texts.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

pub async fn a_notice_is_read_by_all_until_it_is_taken_down(store: &dyn StateStore) {
    let board = fresh("board");
    assert_eq!(read(store, &board).await, []);
    store.post(&board, &notice("short", "a b  c", 300)).await.unwrap();
    store.post(&board, &notice("long one", "{\"é\": 1}\n", 60_000)).await.unwrap();
    let lasts =
        store.notices(&board).await.unwrap().into_iter().find(|one| one.name == "long one").unwrap().lasts_ms;
    assert!((58_000..=60_000).contains(&lasts), "{lasts}");
    assert!(read(store, &board).await.iter().any(|one| one.0 == "long one"));
    passes(Duration::from_millis(350)).await;
    assert_eq!(read(store, &board).await, texts(&[("long one", "{\"é\": 1}\n")]));
}

pub async fn a_notice_takes_the_place_of_the_one_of_its_name(store: &dyn StateStore) {
    let board = fresh("board");
    store.post(&board, &notice("one", "old", 60_000)).await.unwrap();
    store.post(&board, &notice("two", "", 60_000)).await.unwrap();
    store.post(&board, &notice("one", "new", 50_000)).await.unwrap();
    assert_eq!(read(store, &board).await, texts(&[("one", "new"), ("two", "")]));
}

pub async fn a_notice_that_lasts_no_time_is_taken_down(store: &dyn StateStore) {
    let board = fresh("board");
    store.post(&board, &notice("one", "1", 60_000)).await.unwrap();
    store.post(&board, &notice("two", "2", 60_000)).await.unwrap();
    store.post(&board, &notice("one", "1", 0)).await.unwrap();
    store.post(&board, &notice("three", "3", -5)).await.unwrap();
    assert_eq!(read(store, &board).await, texts(&[("two", "2")]));
    store.post(&board, &notice("two", "2", 0)).await.unwrap();
    assert_eq!(read(store, &board).await, []);
}

pub async fn boards_are_apart(store: &dyn StateStore) {
    let (one, other) = (fresh("board"), fresh("board"));
    store.post(&one, &notice("name", "1", 60_000)).await.unwrap();
    store.post(&other, &notice("name", "2", 60_000)).await.unwrap();
    assert_eq!(read(store, &one).await, texts(&[("name", "1")]));
}
