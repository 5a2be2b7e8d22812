//! A connection for reading alone: it sees what was committed, and waits for no writer. Rows are read in place, where blocking is
//! allowed.

use std::sync::Arc;

use gateway_engine::state::StoreError;
use rusqlite::Connection;
use tokio::sync::Mutex;

use super::open;
use super::writer::{PATIENCE, Shared};

pub(super) struct Scanner {
    /// Opened with the first scan.
    connection: Arc<Mutex<Option<Connection>>>,
    shared: Arc<Shared>,
}

impl Scanner {
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { connection: Arc::default(), shared }
    }

    /// What `work` reads. It sees what was committed, and waits for no writer.
    pub async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, rusqlite::Error> + Send + 'static,
    ) -> Result<T, StoreError> {
        let mut place = Arc::clone(&self.connection).lock_owned().await;
        let shared = Arc::clone(&self.shared);
        let reading = tokio::task::spawn_blocking(move || {
            let read = || {
                let mut connection = match place.take() {
                    Some(connection) => connection,
                    None => open::to_read(&shared.path, PATIENCE / 2)?,
                };
                let found = work(&mut connection)?;
                // One that has failed is opened anew.
                *place = Some(connection);
                Ok(found)
            };
            read().map_err(|error: rusqlite::Error| shared.error(&error))
        });
        match reading.await {
            Ok(read) => read,
            Err(error) => Err(StoreError::failed(
                self.shared.name.clone(),
                format!("\"{}\" was not read to the end: {error}", self.shared.path.display()),
            )),
        }
    }

    /// The same, bounded in time.
    pub async fn read_soon<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, rusqlite::Error> + Send + 'static,
    ) -> Result<T, StoreError> {
        match tokio::time::timeout(PATIENCE, self.read(work)).await {
            Ok(read) => read,
            Err(_) => Err(StoreError::away(
                self.shared.name.clone(),
                format!(
                    "\"{}\" was not read within {} ms: its disk is slow, or busy",
                    self.shared.path.display(),
                    PATIENCE.as_millis()
                ),
            )),
        }
    }

    pub async fn close(&self) {
        drop(self.connection.lock().await.take());
    }
}
