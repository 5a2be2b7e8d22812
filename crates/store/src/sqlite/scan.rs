//! A connection for reading rows by the hundred thousand. The driver of the others makes a copy of each row and sends it from
//! its thread to another, which takes longer than reading it; here they are read in place, where blocking is allowed.

use std::sync::Arc;

use gateway_engine::state::StoreError;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::Mutex;

use super::fault;
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
                    None => open(&shared)?,
                };
                let found = work(&mut connection)?;
                // One that has failed is opened anew.
                *place = Some(connection);
                Ok(found)
            };
            read().map_err(|error| fault::scan_error(&shared.name, &shared.path, &error))
        });
        match reading.await {
            Ok(read) => read,
            Err(error) => Err(StoreError::failed(
                self.shared.name.clone(),
                format!("\"{}\" was not read to the end: {error}", self.shared.path.display()),
            )),
        }
    }

    pub async fn close(&self) {
        drop(self.connection.lock().await.take());
    }
}

fn open(shared: &Shared) -> Result<Connection, rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(&shared.path, flags)?;
    connection.busy_timeout(PATIENCE / 2)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}
