//! Brings a file to the program's schema: under the file's write lock, in one transaction.

use std::time::Duration;

use sqlx::{Row, SqliteConnection};
use tokio::time::Instant;

use super::fault;
use super::script::{Script, rows};
use crate::schema::{self, Migration, SchemaInfo, TooNew};

pub(super) const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    name: "initial",
    sql: include_str!("../../migrations/sqlite/0001_initial.sql"),
    readable_by: 1,
}];

/// How long the migration of another process is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) enum MigrationError {
    TooNew(TooNew),
    /// Tables, but none of ours.
    Foreign,
    Step(&'static str, sqlx::Error),
    Database(sqlx::Error),
}

impl From<sqlx::Error> for MigrationError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

/// Does what the file lacks. One that lacks nothing is read only.
pub(super) async fn migrate(
    connection: &mut SqliteConnection,
    migrations: &[Migration],
) -> Result<(), MigrationError> {
    let found = info(connection).await?;
    if schema::missing(migrations, found).map_err(MigrationError::TooNew)?.is_empty() {
        return Ok(());
    }
    begin(connection).await?;
    let done = steps(connection, migrations).await;
    if done.is_err() {
        let mut script = Script::default();
        script.statement("ROLLBACK");
        // Where SQLite has ended the transaction by itself, there is none.
        drop(script.run(connection).await);
    }
    done
}

/// Takes the write lock; another process that migrates at the same time is waited for.
async fn begin(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match run(connection, "BEGIN IMMEDIATE").await {
            Err(error) if fault::is_busy(&error) && Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            done => return done,
        }
    }
}

/// All in the transaction that was begun.
async fn steps(connection: &mut SqliteConnection, migrations: &[Migration]) -> Result<(), MigrationError> {
    let found = info(connection).await?;
    let steps = schema::missing(migrations, found).map_err(MigrationError::TooNew)?;
    for step in steps {
        run(connection, step.sql).await.map_err(|error| MigrationError::Step(step.name, error))?;
    }
    if let Some(SchemaInfo { version, readable_by }) = schema::after(steps, found) {
        run(
            connection,
            "CREATE TABLE IF NOT EXISTS schema_info \
             (id INTEGER PRIMARY KEY CHECK (id = 1), version INTEGER NOT NULL, readable_by INTEGER NOT NULL)",
        )
        .await?;
        let mut script = Script::default();
        script.statement("INSERT OR REPLACE INTO schema_info (id, version, readable_by) VALUES (1, ?, ?)");
        script.bind(version)?;
        script.bind(readable_by)?;
        script.run(connection).await?;
    }
    run(connection, "COMMIT").await?;
    Ok(())
}

/// What the file says of its schema; `None`: it is empty.
async fn info(connection: &mut SqliteConnection) -> Result<Option<SchemaInfo>, MigrationError> {
    let mut script = Script::default();
    script.statement("SELECT name = 'schema_info' FROM sqlite_schema WHERE type = 'table'");
    let tables = rows(&mut script.run(connection).await?, 0);
    if tables.is_empty() {
        return Ok(None);
    }
    let ours = tables.iter().filter_map(|row| row.try_get::<bool, _>(0).ok()).any(|is_ours| is_ours);
    if !ours {
        return Err(MigrationError::Foreign);
    }
    let mut script = Script::default();
    script.statement("SELECT version, readable_by FROM schema_info");
    let found = rows(&mut script.run(connection).await?, 0);
    let Some(row) = found.first() else { return Err(MigrationError::Foreign) };
    Ok(Some(SchemaInfo { version: row.try_get(0)?, readable_by: row.try_get(1)? }))
}

async fn run(connection: &mut SqliteConnection, sql: &str) -> Result<(), sqlx::Error> {
    let mut script = Script::default();
    script.statement(sql);
    script.run(connection).await.map(drop)
}
