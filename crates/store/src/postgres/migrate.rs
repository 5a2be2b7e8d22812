//! Brings a database to the program's schema: under a lock that all processes ask for, in one transaction.

use gateway_engine::state::StoreError;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Executor, Row};

use super::fault;
use crate::schema::{self, Migration, SchemaInfo, TooNew};

pub(super) const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    name: "initial",
    sql: include_str!("../../migrations/postgres/0001_initial.sql"),
    readable_by: 1,
}];

enum MigrationError {
    TooNew(TooNew),
    /// Texts are not in UTF-8.
    Encoding(String),
    /// There are tables of another program.
    Foreign(String),
    Step(&'static str, sqlx::Error),
    Database(sqlx::Error),
}

impl From<sqlx::Error> for MigrationError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

pub(super) async fn migrate(connection: &mut PgConnection, name: &str) -> Result<(), StoreError> {
    run(connection, MIGRATIONS).await.map_err(|error| match error {
        MigrationError::TooNew(too_new) => StoreError::failed(name, too_new.to_string()),
        MigrationError::Encoding(encoding) => StoreError::failed(
            name,
            format!("has the encoding {encoding}, which has no place for all texts: create it with ENCODING 'UTF8'"),
        ),
        MigrationError::Foreign(table) => StoreError::failed(
            name,
            format!(
                "has a table {table} that is not this program's, and would be mistaken for its own. Name an empty database, or \
                 set a schema of its own for the user (ALTER ROLE … SET search_path). Nothing was changed"
            ),
        ),
        MigrationError::Step(step, error) => {
            let StoreError { kind, message, .. } = fault::store_error(name, &error);
            let message = format!("the migration \"{step}\" failed: {message}. Nothing was changed");
            StoreError { store: name.to_owned(), kind, message }
        }
        MigrationError::Database(error) => fault::store_error(name, &error),
    })
}

/// Does what the database lacks. One that lacks nothing is read only.
async fn run(connection: &mut PgConnection, migrations: &[Migration]) -> Result<(), MigrationError> {
    let found = info(connection).await?;
    if schema::missing(migrations, found).map_err(MigrationError::TooNew)?.is_empty() {
        return Ok(());
    }
    // What is begun and not committed is undone by the server, when this connection is closed at the latest.
    connection
        .execute("BEGIN; SET LOCAL statement_timeout = '60s'; SET LOCAL client_min_messages = warning")
        .await?;
    let done = steps(connection, migrations).await;
    connection.execute(if done.is_ok() { "COMMIT" } else { "ROLLBACK" }).await?;
    done
}

async fn steps(connection: &mut PgConnection, migrations: &[Migration]) -> Result<(), MigrationError> {
    // Until the transaction ends. Databases and schemas of one server do not wait for each other.
    connection
        .execute("SELECT pg_advisory_xact_lock(hashtext('ai-gateway schema'), hashtext(current_schema()))")
        .await?;
    let found = info(connection).await?;
    let steps = schema::missing(migrations, found).map_err(MigrationError::TooNew)?;
    if found.is_none() {
        refuse_encoding(connection).await?;
        refuse_foreign(connection).await?;
    }
    for step in steps {
        let done = sqlx::raw_sql(step.sql).execute(&mut *connection).await;
        done.map_err(|error| MigrationError::Step(step.name, error))?;
    }
    if let Some(SchemaInfo { version, readable_by }) = schema::after(steps, found) {
        connection
            .execute(
                "CREATE TABLE IF NOT EXISTS schema_info \
                 (id BIGINT PRIMARY KEY CHECK (id = 1), version BIGINT NOT NULL, readable_by BIGINT NOT NULL)",
            )
            .await?;
        sqlx::query(
            "INSERT INTO schema_info (id, version, readable_by) VALUES (1, $1, $2) \
             ON CONFLICT (id) DO UPDATE SET version = excluded.version, readable_by = excluded.readable_by",
        )
        .bind(version)
        .bind(readable_by)
        .execute(connection)
        .await?;
    }
    Ok(())
}

/// What the database says of its schema; `None`: it has none of ours.
async fn info(connection: &mut PgConnection) -> Result<Option<SchemaInfo>, MigrationError> {
    // Asked of the catalogue itself: what to_regclass says may be of before the lock was waited for.
    let there = "SELECT EXISTS (SELECT FROM pg_tables WHERE schemaname = current_schema() AND tablename = 'schema_info')";
    if !sqlx::query(there).fetch_one(&mut *connection).await?.try_get::<bool, _>(0)? {
        return Ok(None);
    }
    let read = sqlx::query("SELECT version, readable_by FROM schema_info WHERE id = 1");
    let Some(row) = read.fetch_optional(connection).await? else { return Ok(None) };
    Ok(Some(SchemaInfo { version: row.try_get(0)?, readable_by: row.try_get(1)? }))
}

async fn refuse_encoding(connection: &mut PgConnection) -> Result<(), MigrationError> {
    let encoding: String = connection.fetch_one("SHOW server_encoding").await?.try_get(0)?;
    if encoding == "UTF8" { Ok(()) } else { Err(MigrationError::Encoding(encoding)) }
}

/// Other tables beside ours are fine, but none that has the name of one of ours.
async fn refuse_foreign(connection: &mut PgConnection) -> Result<(), MigrationError> {
    let tables = "SELECT tablename::text FROM pg_tables WHERE schemaname = current_schema()";
    for row in connection.fetch_all(AssertSqlSafe(tables)).await? {
        let table: String = row.try_get(0)?;
        let ours = MIGRATIONS.iter().any(|step| step.sql.contains(&format!("CREATE TABLE {table} (")));
        if ours || table == "schema_info" {
            return Err(MigrationError::Foreign(table));
        }
    }
    Ok(())
}
