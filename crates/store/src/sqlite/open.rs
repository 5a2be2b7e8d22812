//! Connections to the file, and what is checked before the first use.

use std::fs;
use std::path::Path;
use std::time::Duration;

use gateway_engine::state::StoreError;
use rusqlite::OpenFlags;
use sqlx::sqlite::{SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, SqliteConnection};
use tokio::time::Instant;

use super::fault;
use super::location::Location;
use super::migrate::{MIGRATIONS, MigrationError, migrate};

/// How long opening waits for a file that is locked.
const PATIENCE: Duration = Duration::from_secs(5);

/// Pages of the log after which a writer itself moves them into the file. The housekeeping does it before, so that no call
/// waits for the disk; this is for when it cannot.
const CHECKPOINT: i64 = 50_000;

/// Statements that stay prepared on each connection.
const STATEMENTS: usize = 256;

/// A file that the program may work on.
pub(super) async fn prepare(location: &Location) -> Result<(), StoreError> {
    location.prepare()?;
    let told = |error: &sqlx::Error| fault::store_error(&location.name, &location.path, error);
    let mut connection = connect_at_first(&location.path).await.map_err(|error| told(&error))?;
    let done = migrate(&mut connection, MIGRATIONS).await;
    drop(sqlx::Connection::close(connection).await);
    let path = location.path.display();
    let failed = |text: String| StoreError::failed(location.name.clone(), text);
    done.map_err(|error| match error {
        MigrationError::TooNew(too_new) => failed(format!("\"{path}\": {too_new}")),
        MigrationError::Foreign => failed(format!(
            "\"{path}\" is another program's database. Name another file; this one was not changed"
        )),
        MigrationError::Step(name, error) => failed(format!(
            "the migration \"{name}\" of \"{path}\" failed: {error}. The file was not changed: start the previous version \
             of the program on it, and report this"
        )),
        MigrationError::Database(error) => told(&error),
    })
}

/// Turning a new file to WAL takes a lock that SQLite does not wait for by itself.
async fn connect_at_first(path: &Path) -> Result<SqliteConnection, sqlx::Error> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut options = options(path, PATIENCE);
        // It is said once, and writes to the file.
        if fs::metadata(path).is_ok_and(|file| file.len() == 0) {
            options = options.auto_vacuum(SqliteAutoVacuum::Incremental);
        }
        match options.connect().await {
            Err(error) if fault::is_busy(&error) && Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            opened => return opened,
        }
    }
}

/// Opens the file. A locked one is waited for so long with each statement.
pub(super) async fn connect(path: &Path, patience: Duration) -> Result<SqliteConnection, sqlx::Error> {
    options(path, patience).connect().await
}

fn options(path: &Path, patience: Duration) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(patience)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal)
        .pragma("wal_autocheckpoint", CHECKPOINT.to_string())
        .statement_cache_capacity(STATEMENTS)
        .row_buffer_size(1_024)
        .thread_name(|number| format!("gateway-sqlite-{number}"))
        .disable_statement_logging()
}

/// Opens the file for what is done many times a second, or with many rows: on the caller's own thread.
pub(super) fn in_place(path: &Path, patience: Duration) -> Result<rusqlite::Connection, rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = rusqlite::Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(patience)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT)?;
    Ok(connection)
}

/// The same, for reading alone.
pub(super) fn to_read(path: &Path, patience: Duration) -> Result<rusqlite::Connection, rusqlite::Error> {
    let connection = in_place(path, patience)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

/// Opens the file for reading.
pub(super) async fn connect_to_read(
    path: &Path,
    patience: Duration,
) -> Result<SqliteConnection, sqlx::Error> {
    let mut connection = connect(path, patience).await?;
    let mut script = super::script::Script::default();
    script.statement("PRAGMA query_only = ON");
    script.run(&mut connection).await?;
    Ok(connection)
}
