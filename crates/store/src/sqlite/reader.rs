//! A connection for reading alone: it sees what was committed, and waits for no writer.

use std::sync::Arc;

use gateway_engine::state::StoreError;
use sqlx::SqliteConnection;
use tokio::sync::Mutex;

use super::open::connect_to_read;
use super::script::{Given, Script};
use super::writer::{PATIENCE, Shared};

pub(super) struct Reader {
    /// Opened with the first query.
    connection: Mutex<Option<SqliteConnection>>,
    shared: Arc<Shared>,
}

impl Reader {
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { connection: Mutex::new(None), shared }
    }

    /// What a script's statements gave, all of one moment where it is a transaction.
    pub async fn read(&self, script: Script) -> Result<Vec<Given>, StoreError> {
        let told = |error: &sqlx::Error| self.shared.error(error);
        let mut place = self.connection.lock().await;
        let mut connection = match place.take() {
            Some(connection) => connection,
            None => connect_to_read(&self.shared.path, PATIENCE / 2).await.map_err(|error| told(&error))?,
        };
        let given = script.run(&mut connection).await;
        // A reader that was dropped on its way or has failed is opened anew.
        let given = given.map_err(|error| told(&error))?;
        *place = Some(connection);
        Ok(given)
    }

    pub async fn close(&self) {
        if let Some(connection) = self.connection.lock().await.take() {
            drop(sqlx::Connection::close(connection).await);
        }
    }
}
