//! PostgreSQL refused, silent, cut off, slow, restarted: calls are kept all the same, and each row is there once after it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "postgres/own_server.rs"]
mod own_server;
#[path = "postgres/proxy.rs"]
mod proxy;
#[path = "postgres/server.rs"]
mod server;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gateway_engine::records::{Batch, Recorder, UsageQuery, UsageReader, UsageRow};
use gateway_engine::state::StoreErrorKind;
use gateway_store::journal::{BatchSink, JournalSettings, JournaledRecorder, Numbered};
use gateway_store::postgres::PostgresRecords;
use own_server::OwnServer;
use proxy::{Mood, Proxy};
use tokio::runtime::Handle;

/// What keeping a batch may take on a machine that is busy with other tests; a wait for the database takes 5 s or more.
const AT_MOST: Duration = Duration::from_secs(1);

/// A recorder under a steady load.
struct Load {
    _folder: tempfile::TempDir,
    recorder: Arc<JournaledRecorder>,
    lines: Arc<Mutex<Vec<String>>>,
    slowest: Arc<AtomicU64>,
    calling: tokio::task::JoinHandle<u64>,
    stop: tokio::sync::watch::Sender<bool>,
}

impl Load {
    fn begin(url: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let told = lines.clone();
        let recorder = Arc::new(
            JournaledRecorder::start(
                JournalSettings::new(folder.path()),
                Arc::new(PostgresRecords::new(url).unwrap()),
                None,
                Arc::new(move |line| told.lock().unwrap().push(line)),
                &Handle::current(),
            )
            .unwrap(),
        );
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let slowest = Arc::new(AtomicU64::new(0));
        let calling = tokio::spawn(call(recorder.clone(), slowest.clone(), stopped));
        Self { _folder: folder, recorder, lines, slowest, calling, stop }
    }

    /// Ends the load; answers with the number of calls when all of them have reached the database.
    async fn end(self) -> (u64, Vec<String>) {
        self.stop.send(true).unwrap();
        let calls = self.calling.await.unwrap();
        let end = Instant::now() + Duration::from_secs(30);
        while self.recorder.lag().rows > 0 {
            assert!(Instant::now() < end, "{:?} {:?}", self.recorder.lag(), self.lines.lock().unwrap());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(self.recorder.close().await.rows, 0);
        let slowest = Duration::from_millis(self.slowest.load(Ordering::SeqCst));
        assert!(slowest < AT_MOST, "a batch took {slowest:?} to be kept");
        let lines = self.lines.lock().unwrap().clone();
        (calls, lines)
    }
}

async fn call(
    recorder: Arc<JournaledRecorder>,
    slowest: Arc<AtomicU64>,
    stopped: tokio::sync::watch::Receiver<bool>,
) -> u64 {
    let mut calls = 0;
    while !*stopped.borrow() {
        let row = UsageRow {
            request_id: uuid::Uuid::now_v7().to_string(),
            at_ms: 1_790_000_000_000,
            provider: "openai".into(),
            model: "gpt-4o".into(),
            success: true,
            cost: 1,
            ..UsageRow::default()
        };
        let begin = Instant::now();
        recorder.keep(recorder.node(), &Arc::new(Batch { rows: vec![row], charges: vec![] })).await.unwrap();
        slowest.fetch_max(begin.elapsed().as_millis().try_into().unwrap(), Ordering::SeqCst);
        calls += 1;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    calls
}

async fn rows_of(url: &str) -> (i64, i64) {
    use sqlx::{Executor, Row};
    let Some(mut connection) = server::connect(url).await else { return (0, 0) };
    let counts =
        "SELECT count(*), (SELECT coalesce(sum(calls), 0)::bigint FROM usage_hourly) FROM usage_rows";
    connection.fetch_one(counts).await.map_or((0, 0), |row| (row.get(0), row.get(1)))
}

async fn arrive(url: &str, more_than: i64) {
    let end = Instant::now() + Duration::from_secs(30);
    while rows_of(url).await.0 <= more_than {
        assert!(Instant::now() < end, "no rows arrive");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Under load the database changes its mood for a while, then it is well again.
async fn through(mood: Mood, lasts: Duration) -> Vec<String> {
    let Some(schema) = server::Schema::new().await else { return vec!["skipped".into()] };
    let upstream = url::Url::parse(&server::admin_url()).unwrap();
    let proxy = Proxy::start((upstream.host_str().unwrap(), upstream.port().unwrap_or(5432))).await;
    let load = Load::begin(&schema.through(proxy.port));
    arrive(&schema.url, 20).await;
    proxy.set(mood);
    tokio::time::sleep(lasts).await;
    let before = rows_of(&schema.url).await.0;
    proxy.set(Mood::Well);
    arrive(&schema.url, before + 20).await;
    let (calls, lines) = load.end().await;
    assert_eq!(rows_of(&schema.url).await, (calls as i64, calls as i64), "each row once, and in the sums");
    schema.check_sums().await;
    lines
}

fn told_once(lines: &[String], what: &str) {
    if lines != ["skipped"] {
        let told: Vec<_> = lines.iter().filter(|line| line.contains("rows wait in journal")).collect();
        assert!(told.len() == 1 && told[0].contains(what), "{lines:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_refuses_connections_loses_nothing() {
    told_once(&through(Mood::Refuses, Duration::from_secs(2)).await, "cannot be reached");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_falls_silent_loses_nothing() {
    told_once(&through(Mood::Silent, Duration::from_secs(12)).await, "did not");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_cut_at_random_lose_nothing() {
    told_once(&through(Mood::Cuts, Duration::from_secs(3)).await, "cannot be reached");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replies_that_are_lost_are_not_counted_twice() {
    told_once(&through(Mood::LosesReplies, Duration::from_secs(12)).await, "did not");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_server_is_waited_for_by_nobody() {
    let lines = through(Mood::Slow(Duration::from_millis(100)), Duration::from_secs(4)).await;
    assert!(lines.is_empty() || lines == ["skipped"], "{lines:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_of_a_silent_server_ends_in_time_and_then_at_once() {
    let Some(schema) = server::Schema::new().await else { return };
    let upstream = url::Url::parse(&server::admin_url()).unwrap();
    let proxy = Proxy::start((upstream.host_str().unwrap(), upstream.port().unwrap_or(5432))).await;
    let records = PostgresRecords::new(&schema.through(proxy.port)).unwrap();
    assert_eq!(records.usage(&UsageQuery::default()).await.unwrap().len(), 0);
    proxy.set(Mood::Silent);
    let begin = Instant::now();
    assert_eq!(records.usage(&UsageQuery::default()).await.unwrap_err().kind, StoreErrorKind::Away);
    assert!(begin.elapsed() < Duration::from_secs(11));
    assert!(records.is_away());
    let begin = Instant::now();
    assert!(records.usage(&UsageQuery::default()).await.is_err());
    assert!(begin.elapsed() < AT_MOST);
    proxy.set(Mood::Well);
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    records.usage(&UsageQuery::default()).await.unwrap();
    assert!(!records.is_away());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_stopped_continued_killed_and_restarted_loses_nothing() {
    let Some(mut server) = OwnServer::start() else { return };
    let load = Load::begin(&server.url("postgres", OwnServer::PASSWORD));
    let url = server.url("postgres", OwnServer::PASSWORD);
    arrive(&url, 20).await;
    server.signal("STOP");
    tokio::time::sleep(Duration::from_secs(2)).await;
    server.signal("CONT");
    let before = rows_of(&url).await.0;
    arrive(&url, before + 20).await;
    server.restart();
    let before = rows_of(&url).await.0;
    arrive(&url, before + 20).await;
    let (calls, lines) = load.end().await;
    assert_eq!(rows_of(&url).await, (calls as i64, calls as i64), "{lines:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_comes_after_the_gateway_gets_all_rows() {
    let Some(mut server) = OwnServer::start() else { return };
    let url = server.url("postgres", OwnServer::PASSWORD);
    server.stop();
    let load = Load::begin(&url);
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    server.go_on();
    arrive(&url, 20).await;
    let (calls, _) = load.end().await;
    assert_eq!(rows_of(&url).await, (calls as i64, calls as i64));
}

#[tokio::test]
async fn a_wrong_password_is_told_without_the_password() {
    let Some(server) = OwnServer::start() else { return };
    let records = PostgresRecords::new(&server.url("postgres", "wr0ng")).unwrap();
    let error = records.prepare().await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Failed);
    let text = format!("{error} {error:?}");
    assert!(text.contains("password authentication failed") && text.contains("settings.database"), "{text}");
    assert!(!text.contains("wr0ng"), "{text}");
    // One that was cut off from a database that it may not enter is not one that is away.
    assert!(!records.is_away());
    let batch = Numbered { sequence: 1, batch: Arc::default() };
    assert!(records.apply("j", &[batch]).await.is_err());
}

#[tokio::test]
async fn a_user_without_rights_is_told_what_to_do() {
    let Some(server) = OwnServer::start() else { return };
    server.sql("CREATE USER guest PASSWORD 'guest'; REVOKE CREATE ON SCHEMA public FROM PUBLIC");
    let records = PostgresRecords::new(&server.url("guest", "guest")).unwrap();
    let error = records.prepare().await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Failed);
    assert!(error.to_string().contains("GRANT"), "{error}");
}
