//! Client keys as processes know them that share a database: a change is known everywhere within a second.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod sqlite;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gateway_store::admin::{AdminRecords, ClientSecret, KeyDirectory, KeyRefusal, KeySettings};
use gateway_store::sqlite::{Role, SqliteStore};
use sqlite::{Folder, now_ms};
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// A process: its own connections, and its directory that keeps up.
struct Node {
    records: Arc<SqliteStore>,
    directory: Arc<KeyDirectory>,
    lines: Arc<Mutex<Vec<String>>>,
    keeper: JoinHandle<()>,
}

impl Node {
    async fn start(folder: &Folder) -> Self {
        let records = Arc::new(SqliteStore::open(&folder.url(), Role::Records).await.unwrap());
        let lines = Arc::new(Mutex::new(Vec::new()));
        let said = lines.clone();
        let report = Arc::new(move |line| said.lock().unwrap().push(line));
        let directory = Arc::new(KeyDirectory::new(records.clone(), report));
        let keeper = tokio::spawn({
            let directory = directory.clone();
            async move { directory.keep().await }
        });
        Self { records, directory, lines, keeper }
    }

    fn find(&self, secret: &ClientSecret) -> Result<String, KeyRefusal> {
        self.directory.find(secret.reveal(), now_ms()).map(|key| key.id.clone())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

async fn three(folder: &Folder) -> [Node; 3] {
    [Node::start(folder).await, Node::start(folder).await, Node::start(folder).await]
}

/// Waits until all nodes say so, for as long as a change may take.
async fn all_say(nodes: &[Node], what: &str, holds: impl Fn(&Node) -> bool) {
    let start = Instant::now();
    while !nodes.iter().all(&holds) {
        assert!(start.elapsed() < Duration::from_secs(1), "not within a second: {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_key_is_known_and_a_revoked_one_refused_everywhere_within_a_second() {
    let folder = Folder::new();
    let nodes = three(&folder).await;
    all_say(&nodes, "there are no keys", |node| node.directory.is_empty() == Some(true)).await;
    for round in 0..5 {
        let (id, secret) = (format!("k{round}"), ClientSecret::generate());
        let by = &nodes[round % 3].records;
        by.create_key("root", &id, &KeySettings::default(), secret.hash().as_bytes()).await.unwrap();
        all_say(&nodes, "it is known", |node| node.find(&secret) == Ok(id.clone())).await;
        nodes[(round + 1) % 3].records.revoke_key("root", &id).await.unwrap();
        all_say(&nodes, "it is refused", |node| node.find(&secret) == Err(KeyRefusal::Unknown)).await;
    }
}

#[tokio::test]
async fn a_rotated_key_has_two_secrets_for_its_grace() {
    let folder = Folder::new();
    let nodes = three(&folder).await;
    let (old, new) = (ClientSecret::generate(), ClientSecret::generate());
    let records = &nodes[0].records;
    records.create_key("root", "k", &KeySettings::default(), old.hash().as_bytes()).await.unwrap();
    all_say(&nodes, "the old one is known", |node| node.find(&old).is_ok()).await;
    records.rotate_key("root", "k", new.hash().as_bytes(), 60_000).await.unwrap();
    all_say(&nodes, "both work", |node| node.find(&old).is_ok() && node.find(&new) == node.find(&old)).await;
    for node in &nodes {
        // The clock alone ends the grace: no question to the database is needed.
        let later = node.directory.find(old.reveal(), now_ms() + 60_001);
        assert_eq!(later.unwrap_err(), KeyRefusal::Unknown);
        assert_eq!(node.directory.find(new.reveal(), now_ms() + 60_001).unwrap().id, "k");
    }
}

#[tokio::test]
async fn a_key_expires_by_the_clock_and_lives_on_when_its_settings_say_so() {
    let folder = Folder::new();
    let nodes = three(&folder).await;
    let secret = ClientSecret::generate();
    let records = &nodes[1].records;
    let until = |expires_at| KeySettings { expires_at, ..KeySettings::default() };
    let at = now_ms() + 60_000;
    records.create_key("root", "k", &until(Some(at)), secret.hash().as_bytes()).await.unwrap();
    all_say(&nodes, "it is known", |node| node.find(&secret).is_ok()).await;
    for node in &nodes {
        assert_eq!(node.directory.find(secret.reveal(), at).unwrap_err(), KeyRefusal::Expired);
    }
    records.change_key("root", "k", None, &until(None)).await.unwrap();
    all_say(&nodes, "it expires no more", |node| node.directory.find(secret.reveal(), at).is_ok()).await;
}

#[tokio::test]
async fn keys_that_were_never_read_are_not_taken_for_none() {
    let folder = Folder::new();
    let records = Arc::new(SqliteStore::open(&folder.url(), Role::Records).await.unwrap());
    let directory = KeyDirectory::new(records.clone(), Arc::new(|_| {}));
    assert_eq!(directory.is_empty(), None);
    assert_eq!(directory.find("gw-any", now_ms()).unwrap_err(), KeyRefusal::NotReady);
    directory.refresh().await.unwrap();
    assert_eq!(directory.is_empty(), Some(true));
    assert_eq!(directory.find("gw-any", now_ms()).unwrap_err(), KeyRefusal::Unknown);
}

#[tokio::test]
async fn more_keys_than_a_question_brings_are_all_known() {
    let folder = Folder::new();
    let node = Node::start(&folder).await;
    let secrets: Vec<_> = (0..1_203).map(|_| ClientSecret::generate()).collect();
    for (at, secret) in secrets.iter().enumerate() {
        let (id, hash) = (format!("k{at:04}"), secret.hash());
        node.records.create_key("root", &id, &KeySettings::default(), hash.as_bytes()).await.unwrap();
    }
    node.directory.refresh().await.unwrap();
    for (at, secret) in secrets.iter().enumerate() {
        assert_eq!(node.find(secret), Ok(format!("k{at:04}")));
    }
    assert_eq!(*node.lines.lock().unwrap(), Vec::<String>::new());
}
