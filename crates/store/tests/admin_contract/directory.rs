//! Keys as processes know them that share a database: a change is known everywhere within a second.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gateway_store::admin::{AdminRecords, ClientSecret, KeyDirectory, KeyRefusal, KeySettings};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::{Place, now_ms};

/// A process: its own connections, and its directory that keeps up.
struct Node<R> {
    records: Arc<R>,
    directory: Arc<KeyDirectory>,
    lines: Arc<Mutex<Vec<String>>>,
    keeper: JoinHandle<()>,
}

impl<R: AdminRecords + 'static> Node<R> {
    async fn start(place: &impl Place<Records = R>) -> Self {
        let records = place.open().await;
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

impl<R> Drop for Node<R> {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

async fn three<P: Place>(place: &P) -> [Node<P::Records>; 3] {
    [Node::start(place).await, Node::start(place).await, Node::start(place).await]
}

/// Waits until all nodes say so, for as long as a change may take.
async fn all_say<R>(nodes: &[Node<R>], what: &str, holds: impl Fn(&Node<R>) -> bool) {
    let start = Instant::now();
    while !nodes.iter().all(&holds) {
        assert!(start.elapsed() < Duration::from_secs(1), "not within a second: {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

pub async fn a_key_is_known_and_a_revoked_one_refused_everywhere_within_a_second(place: &impl Place) {
    let nodes = three(place).await;
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

pub async fn a_rotated_key_has_two_secrets_for_its_grace(place: &impl Place) {
    let nodes = three(place).await;
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

pub async fn a_key_expires_by_the_clock_and_lives_on_when_its_settings_say_so(place: &impl Place) {
    let nodes = three(place).await;
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

pub async fn keys_that_were_never_read_are_not_taken_for_none(place: &impl Place) {
    let records = place.open().await;
    let directory = KeyDirectory::new(records.clone(), Arc::new(|_| {}));
    assert_eq!(directory.is_empty(), None);
    assert_eq!(directory.find("gw-any", now_ms()).unwrap_err(), KeyRefusal::NotReady);
    directory.refresh().await.unwrap();
    assert_eq!(directory.is_empty(), Some(true));
    assert_eq!(directory.find("gw-any", now_ms()).unwrap_err(), KeyRefusal::Unknown);
}

pub async fn more_keys_than_a_question_brings_are_all_known(place: &impl Place) {
    let node = Node::start(place).await;
    let secrets: Vec<_> = (0..1_003).map(|_| ClientSecret::generate()).collect();
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
