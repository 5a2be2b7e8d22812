//! The schema of a file is the old one or the new one, whoever dies and however many begin at once.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::sync::Arc;

mod sqlite;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use gateway_engine::records::{Batch, Recorder};
use gateway_store::sqlite::{Role, SqliteStore};
use sqlite::{Folder, assert_rolled_up, integers, now_ms, open, row};
use sqlx::Connection;

/// This program again, as the test `name` that does a child's part.
fn child(name: &str, folder: &Folder) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--ignored", "--nocapture"])
        .env("GATEWAY_CHILD_FILE", folder.file("gateway.db"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn file() -> Option<String> {
    std::env::var("GATEWAY_CHILD_FILE").ok()
}

async fn assert_works(folder: &Folder) {
    let store = SqliteStore::open(&folder.url(), Role::Both).await.unwrap();
    let batch = Arc::new(Batch { rows: vec![row(1, now_ms())], charges: Vec::new() });
    store.keep("a", &batch).await.unwrap();
    let mut file = open(folder).await;
    assert_eq!(integers(&mut file, "SELECT version, readable_by FROM schema_info").await, [1, 1]);
    assert_eq!(sqlite::text(&mut file, "PRAGMA integrity_check").await, "ok");
    assert_rolled_up(&mut file).await;
    file.close().await.unwrap();
    Recorder::close(&store).await;
}

#[tokio::test]
#[ignore = "a child of the tests here"]
async fn child_opens() {
    let Some(file) = file() else { return };
    let store = SqliteStore::open(&format!("sqlite:{file}"), Role::Both).await.unwrap();
    println!("opened");
    Recorder::close(&store).await;
}

/// All of the migration, and no end.
#[tokio::test]
#[ignore = "a child of the tests here"]
async fn child_stays_inside_the_migration() {
    use sqlx::ConnectOptions;
    use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
    let Some(file) = file() else { return };
    let options = SqliteConnectOptions::new().filename(file).create_if_missing(true);
    let mut file = options.journal_mode(SqliteJournalMode::Wal).connect().await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut file).await.unwrap();
    let migration = include_str!("../migrations/sqlite/0001_initial.sql");
    sqlx::raw_sql(migration).execute(&mut file).await.unwrap();
    println!("inside");
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_process_that_dies_inside_a_migration_leaves_the_old_schema() {
    let folder = Folder::new();
    let mut child = child("child_stays_inside_the_migration", &folder);
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line.contains("inside")));
    let mut file = open(&folder).await;
    assert_eq!(integers(&mut file, "SELECT COUNT(*) FROM sqlite_schema").await, [0]);
    file.close().await.unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_works(&folder).await;
}

#[tokio::test]
async fn a_process_that_dies_at_any_moment_leaves_a_schema_that_works() {
    for after_ms in (0..40).step_by(4) {
        let folder = Folder::new();
        let mut child = child("child_opens", &folder);
        tokio::time::sleep(Duration::from_millis(after_ms)).await;
        child.kill().unwrap();
        child.wait().unwrap();
        assert_works(&folder).await;
    }
}

#[tokio::test]
async fn processes_that_begin_at_once_migrate_once() {
    for _ in 0..3 {
        let folder = Folder::new();
        let children: Vec<Child> = (0..4).map(|_| child("child_opens", &folder)).collect();
        for child in children {
            let output = child.wait_with_output().unwrap();
            let output = String::from_utf8_lossy(&output.stdout);
            assert!(output.contains("opened"), "{output}");
        }
        assert_works(&folder).await;
    }
}
