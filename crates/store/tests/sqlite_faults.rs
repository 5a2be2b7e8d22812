//! Files that cannot be used: told with the path and what to do, and left as they are.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::sync::Arc;

mod sqlite;

use std::fs;
use std::time::{Duration, Instant};

use gateway_engine::records::{Batch, Recorder};
use gateway_engine::state::{StateStore, StoreError, StoreErrorKind};
use gateway_store::sqlite::{Role, SqliteStore};
use sqlite::{Folder, assert_rolled_up, integers, now_ms, open, row};
use sqlx::Connection;

/// Why the file was not opened.
async fn refused(url: &str) -> StoreError {
    match SqliteStore::open(url, Role::Both).await {
        Ok(_) => panic!("{url} was opened"),
        Err(error) => error,
    }
}

fn one_row(number: u64) -> Arc<Batch> {
    Arc::new(Batch { rows: vec![row(number, now_ms())], charges: Vec::new() })
}

async fn execute(folder: &Folder, sql: &str) {
    let mut file = open(folder).await;
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut file).await.unwrap();
    file.close().await.unwrap();
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_left_alone() {
    for content in ["short", &"my notes, which nobody may lose. ".repeat(1_000)] {
        let folder = Folder::new();
        let path = folder.file("gateway.db");
        fs::write(&path, content).unwrap();
        let error = refused(&folder.url()).await;
        assert_eq!(error.kind, StoreErrorKind::Failed);
        assert!(error.message.contains("is not an SQLite database"), "{error}");
        assert!(error.message.contains(path.to_str().unwrap()), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), content);
    }
}

#[tokio::test]
async fn a_damaged_file_is_refused_and_left_alone() {
    let folder = Folder::new();
    let store = SqliteStore::open(&folder.url(), Role::Both).await.unwrap();
    Recorder::close(&store).await;
    let path = folder.file("gateway.db");
    let mut bytes = fs::read(&path).unwrap();
    bytes[100..4_000].fill(0xff);
    fs::write(&path, &bytes).unwrap();
    let error = refused(&folder.url()).await;
    assert_eq!(error.kind, StoreErrorKind::Failed);
    assert!(error.message.contains("is damaged") && error.message.contains("Restore a backup"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

#[tokio::test]
async fn damage_that_is_found_later_fails_the_call_that_finds_it() {
    let folder = Folder::new();
    let store = SqliteStore::open(&folder.url(), Role::Both).await.unwrap();
    store.keep("a", &one_row(1)).await.unwrap();
    store.put("key", b"value", Duration::from_secs(60)).await.unwrap();
    Recorder::close(&store).await;
    let mut file = open(&folder).await;
    let page = "SELECT rootpage FROM sqlite_schema WHERE name = 'usage_rows'";
    let page = usize::try_from(integers(&mut file, page).await[0]).unwrap();
    file.close().await.unwrap();
    let path = folder.file("gateway.db");
    let mut bytes = fs::read(&path).unwrap();
    bytes[(page - 1) * 4_096..page * 4_096].fill(0xff);
    fs::write(&path, &bytes).unwrap();
    let store = SqliteStore::open(&folder.url(), Role::Both).await.unwrap();
    let error = store.keep("a", &one_row(2)).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Failed);
    assert!(error.message.contains("is damaged"), "{error}");
    // What is whole goes on.
    assert_eq!(store.get("key").await.unwrap(), Some(b"value".to_vec()));
    assert!(!store.is_away());
}

#[tokio::test]
async fn another_programs_database_is_refused_and_left_alone() {
    let folder = Folder::new();
    fs::write(folder.file("gateway.db"), "").unwrap();
    execute(&folder, "CREATE TABLE notes (text TEXT); INSERT INTO notes VALUES ('mine')").await;
    let error = refused(&folder.url()).await;
    assert!(error.message.contains("another program's database"), "{error}");
    assert_eq!(integers(&mut open(&folder).await, "SELECT COUNT(*) FROM sqlite_schema").await, [1]);
}

#[tokio::test]
async fn a_newer_schema_is_refused_with_both_versions_unless_it_can_be_read() {
    let folder = Folder::new();
    Recorder::close(&SqliteStore::open(&folder.url(), Role::Both).await.unwrap()).await;
    execute(&folder, "UPDATE schema_info SET version = 99, readable_by = 98").await;
    let error = refused(&folder.url()).await;
    for part in ["version 99", "version 98", "program's is 1", "Update the program", "gateway.db"] {
        assert!(error.message.contains(part), "{error}");
    }
    execute(
        &folder,
        "UPDATE schema_info SET readable_by = 1; ALTER TABLE usage_rows ADD COLUMN later TEXT; \
         CREATE TABLE later (a TEXT)",
    )
    .await;
    let store = SqliteStore::open(&folder.url(), Role::Both).await.unwrap();
    store.keep("a", &one_row(1)).await.unwrap();
    let mut file = open(&folder).await;
    assert_rolled_up(&mut file).await;
    assert_eq!(integers(&mut file, "SELECT version FROM schema_info").await, [99]);
}

#[cfg(unix)]
#[tokio::test]
async fn a_missing_folder_is_made_and_only_this_user_may_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let path = folder.file("a").join("b").join("gateway.db");
    let store = SqliteStore::open(&format!("sqlite://{}", path.display()), Role::Both).await.unwrap();
    store.keep("a", &one_row(1)).await.unwrap();
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    assert_eq!(mode(&path), 0o600);
    for beside in ["gateway.db-wal", "gateway.db-shm"] {
        assert_eq!(mode(&path.with_file_name(beside)), 0o600, "{beside}");
    }
}

#[tokio::test]
async fn a_place_that_cannot_be_written_to_is_told() {
    let folder = Folder::new();
    fs::write(folder.file("file"), "").unwrap();
    let in_a_file = format!("{}/gateway.db", folder.file("file").display());
    for path in ["/proc/gateway/gateway.db", &in_a_file] {
        let error = refused(&format!("sqlite:{path}")).await;
        assert_eq!(error.kind, StoreErrorKind::Failed);
        assert!(error.message.contains("Name a place that this user may write to"), "{error}");
    }
    let error = refused(&format!("sqlite:{}", folder.file("").display())).await;
    assert!(error.message.contains("is a folder"), "{error}");
}

#[tokio::test]
async fn an_address_that_names_no_file_is_told() {
    for (url, part) in [
        ("sqlite::memory:", "write \"memory:\""),
        ("sqlite:", "a file is missing"),
        ("sqlite:a.db?mode=ro", "parameters"),
        ("postgres://host/db", "begins with \"sqlite:\""),
    ] {
        let error = refused(url).await;
        assert!(error.message.contains(part), "{error}");
    }
}

/// The disk is full for this process alone: no file of it may become larger.
#[cfg(target_os = "linux")]
#[tokio::test]
#[ignore = "a child of the test here"]
async fn child_writes_until_the_disk_is_full() {
    use std::io::Read;
    let Ok(path) = std::env::var("GATEWAY_CHILD_FILE") else { return };
    let store = SqliteStore::open(&format!("sqlite:{path}"), Role::Both).await.unwrap();
    let many = |from: u64| {
        let rows = (from..from + 50).map(|number| row(number, now_ms())).collect();
        Arc::new(Batch { rows, charges: Vec::new() })
    };
    let mut kept = 0;
    let error = loop {
        match store.keep("a", &many(kept)).await {
            Ok(_) => kept += 50,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind, StoreErrorKind::Failed, "{error}");
    assert!(error.message.contains(&path) && error.message.contains("free space"), "{error}");
    assert!(!store.is_away());
    assert!(store.keep("a", &many(kept)).await.is_err());
    println!("full {kept}");
    std::io::stdin().read_exact(&mut [0]).unwrap();
    store.keep("a", &many(kept)).await.unwrap();
    println!("\nkept {}", kept + 50);
    Recorder::close(&store).await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_full_disk_fails_calls_and_loses_nothing_and_writing_goes_on_after_it() {
    use std::io::{BufRead, BufReader, Write};
    use std::process::{Command, Stdio};
    let folder = Folder::new();
    Recorder::close(&SqliteStore::open(&folder.url(), Role::Both).await.unwrap()).await;
    // Blocks of 1,024 bytes. A process that ignores the signal gets an error from its write.
    let limited = "trap '' XFSZ; ulimit -S -f 600; exec \"$0\" --exact child_writes_until_the_disk_is_full --ignored --nocapture";
    let mut child = Command::new("bash")
        .args(["-c", limited])
        .arg(std::env::current_exe().unwrap())
        .env("GATEWAY_CHILD_FILE", folder.file("gateway.db"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut kept = |word: &str| -> i64 {
        let number = lines.find_map(|line| line.split_once(word).and_then(|(_, kept)| kept.parse().ok()));
        number.unwrap_or_else(|| panic!("the child has not said \"{word}\""))
    };
    let at_first = kept("full ");
    assert!(at_first > 0);
    let mut file = open(&folder).await;
    assert_eq!(integers(&mut file, "SELECT COUNT(*) FROM usage_rows").await, [at_first]);
    let raised =
        Command::new("prlimit").args(["--fsize=unlimited", "--pid", &child.id().to_string()]).status();
    assert!(raised.unwrap().success());
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    assert_eq!(kept("kept "), at_first + 50);
    assert!(child.wait().unwrap().success());
    assert_eq!(integers(&mut file, "SELECT COUNT(*) FROM usage_rows").await, [at_first + 50]);
    assert_eq!(sqlite::text(&mut file, "PRAGMA integrity_check").await, "ok");
    assert_rolled_up(&mut file).await;
}

/// Waits at most so long; what a busy machine adds.
const BOUND: Duration = Duration::from_millis(150 + 150);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_file_delays_few_calls_and_is_found_again() {
    let folder = Folder::new();
    let store = SqliteStore::open(&folder.url(), Role::Both).await.unwrap();
    store.put("key", b"value", Duration::from_secs(60)).await.unwrap();
    let mut other = open(&folder).await;
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let batch = one_row(1);
    for call in 0..3 {
        assert!(!store.is_away(), "after {call} calls");
        let begun = Instant::now();
        let error = store.keep("a", &batch).await.unwrap_err();
        assert!(begun.elapsed() < BOUND, "{:?}", begun.elapsed());
        assert_eq!(error.kind, StoreErrorKind::Away);
        assert!(error.message.contains("another process keeps"), "{error}");
    }
    assert!(store.is_away());
    for _ in 0..100 {
        let begun = Instant::now();
        assert_eq!(store.keep("a", &batch).await.unwrap_err().kind, StoreErrorKind::Away);
        assert!(begun.elapsed() < Duration::from_millis(100));
    }
    assert_eq!(store.get("key").await.unwrap(), Some(b"value".to_vec()), "reading waits for no writer");
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    let released = Instant::now();
    while store.is_away() {
        assert!(released.elapsed() < Duration::from_secs(2));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    store.keep("a", &batch).await.unwrap();
    assert_eq!(integers(&mut other, "SELECT COUNT(*) FROM usage_rows").await, [1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_calls_at_a_locked_file_wait_no_longer_than_one() {
    let folder = Folder::new();
    let store = SqliteStore::open(&folder.url(), Role::Both).await.unwrap();
    let mut other = open(&folder).await;
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let batches: Vec<Arc<Batch>> = (0..200).map(one_row).collect();
    let begun = Instant::now();
    let kept = futures::future::join_all(batches.iter().map(|batch| store.keep("a", batch))).await;
    assert!(begun.elapsed() < BOUND, "{:?}", begun.elapsed());
    assert!(kept.iter().all(|kept| kept.as_ref().is_err_and(|error| error.kind == StoreErrorKind::Away)));
}
