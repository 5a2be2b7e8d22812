//! Changes by an operator: rare, and of several steps that depend on each other. They have a connection of their own, which
//! waits longer for the file than a call may.

use std::sync::Arc;
use std::time::Duration;

use gateway_engine::state::StoreError;
use sqlx::{Connection, SqliteConnection};
use tokio::sync::{Mutex, MutexGuard};

use super::open::connect;
use super::script::{Given, Script};
use super::writer::Shared;

const PATIENCE: Duration = Duration::from_secs(5);

pub(super) struct Administration {
    /// Opened with the first change.
    connection: Mutex<Option<SqliteConnection>>,
    shared: Arc<Shared>,
}

/// A transaction that nobody else writes beside. Dropped without a commit, it takes its connection along, and was never.
pub(super) struct Change<'a> {
    place: MutexGuard<'a, Option<SqliteConnection>>,
    connection: SqliteConnection,
    shared: &'a Shared,
}

impl Administration {
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { connection: Mutex::new(None), shared }
    }

    pub async fn begin(&self) -> Result<Change<'_>, StoreError> {
        let mut place = self.connection.lock().await;
        let connection = match place.take() {
            Some(connection) => connection,
            None => {
                let opened = connect(&self.shared.path, PATIENCE).await;
                opened.map_err(|error| self.shared.error(&error))?
            }
        };
        let mut change = Change { place, connection, shared: &self.shared };
        let mut script = Script::default();
        script.statement("BEGIN IMMEDIATE");
        change.run(script).await?;
        Ok(change)
    }

    pub async fn close(&self) {
        if let Some(connection) = self.connection.lock().await.take() {
            drop(connection.close().await);
        }
    }
}

impl Change<'_> {
    pub async fn run(&mut self, script: Script) -> Result<Vec<Given>, StoreError> {
        self.try_run(script).await.map_err(|error| self.shared.error(&error))
    }

    /// The same, with the database's own error.
    pub async fn try_run(&mut self, script: Script) -> Result<Vec<Given>, sqlx::Error> {
        script.run(&mut self.connection).await
    }

    /// The name of the store, in errors.
    pub fn store(&self) -> &str {
        &self.shared.name
    }

    pub async fn commit(mut self) -> Result<(), StoreError> {
        let mut script = Script::default();
        script.statement("COMMIT");
        self.run(script).await?;
        let Self { mut place, connection, .. } = self;
        *place = Some(connection);
        Ok(())
    }
}
