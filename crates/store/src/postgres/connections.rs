//! A few connections, opened when they are needed. One that failed, or was not waited for, is closed and never used again.

use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gateway_engine::state::StoreError;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};
use tokio::sync::{OnceCell, Semaphore};
use tokio::time::{Instant, timeout};

use super::address::Address;
use super::fault;
use super::migrate::migrate;

const MOST: usize = 4;
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// How long a migration may take, with the wait for that of another process.
const MIGRATE_WITHIN: Duration = Duration::from_secs(60);
/// How often a database that is away is asked again on behalf of readers.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// Of a connection that was not used for so long, nobody knows whether the other side still has it.
const IDLE: Duration = Duration::from_secs(60);
/// How much longer than its client a server waits.
const AFTER_CLIENT: Duration = Duration::from_secs(1);
/// How often a transaction that gave way to another one is tried again.
const TRIES: usize = 8;

/// What is done in one transaction, and may be done again.
pub(super) trait Work: Sync {
    type Done: Send;

    /// What it may take, with all it waits for.
    const WITHIN: Duration;

    fn run(
        &self,
        connection: &mut PgConnection,
    ) -> impl Future<Output = Result<Self::Done, sqlx::Error>> + Send;
}

pub(super) struct Connections {
    pub address: Address,
    idle: Mutex<Vec<(PgConnection, Instant)>>,
    places: Semaphore,
    /// Whether the schema is known to be the program's.
    schema: OnceCell<()>,
    /// Since the last try failed.
    away_since: Mutex<Option<Instant>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Connections {
    pub fn new(address: Address) -> Self {
        Self {
            address,
            idle: Mutex::default(),
            places: Semaphore::new(MOST),
            schema: OnceCell::new(),
            away_since: Mutex::default(),
        }
    }

    pub fn is_away(&self) -> bool {
        lock(&self.away_since).is_some()
    }

    /// Does work that somebody waits for: a database that was found away just now is not asked again.
    pub async fn ask<W: Work>(&self, work: &W) -> Result<W::Done, StoreError> {
        if lock(&self.away_since).is_some_and(|since| since.elapsed() < ASK_EVERY) {
            let message = "does not answer; it is asked again every second";
            return Err(StoreError::away(self.address.name.clone(), message));
        }
        self.transact(work).await
    }

    /// Does work in a transaction.
    pub async fn transact<W: Work>(&self, work: &W) -> Result<W::Done, StoreError> {
        let outcome = timeout(W::WITHIN, self.tried(work)).await.unwrap_or_else(|_| {
            let message = format!("did not answer within {} ms", W::WITHIN.as_millis());
            Err(StoreError::away(self.address.name.clone(), message))
        });
        self.note(&outcome);
        outcome
    }

    async fn tried<W: Work>(&self, work: &W) -> Result<W::Done, StoreError> {
        let told = |error: sqlx::Error| fault::store_error(&self.address.name, &error);
        // It is never closed.
        let _place = self.places.acquire().await.ok();
        let mut connection = self.connection().await?;
        let begin = begin(W::WITHIN);
        let mut tries = 0;
        loop {
            match once(&mut connection, &begin, work).await {
                Ok(done) => {
                    lock(&self.idle).push((connection, Instant::now()));
                    return Ok(done);
                }
                Err(error) if fault::gave_way(&error) && tries < TRIES => {
                    tries += 1;
                    connection.execute("ROLLBACK").await.map_err(told)?;
                    let pause = rand::random_range(1..10 << tries.min(5));
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                }
                Err(error) => return Err(told(error)),
            }
        }
    }

    fn note<T>(&self, outcome: &Result<T, StoreError>) {
        let away = outcome.as_ref().is_err_and(fault::is_away);
        *lock(&self.away_since) = away.then(Instant::now);
        if away {
            lock(&self.idle).clear();
        }
    }

    async fn connection(&self) -> Result<PgConnection, StoreError> {
        let kept = {
            let mut idle = lock(&self.idle);
            idle.retain(|(_, since)| since.elapsed() < IDLE);
            idle.pop()
        };
        match kept {
            Some((connection, _)) => Ok(connection),
            None => self.connect().await,
        }
    }

    async fn connect(&self) -> Result<PgConnection, StoreError> {
        let name = &self.address.name;
        let options = self.address.options.clone().disable_statement_logging();
        let told = |error: sqlx::Error| fault::store_error(name, &error);
        let mut connection = timeout(CONNECT_WITHIN, options.connect())
            .await
            .map_err(|_| {
                let within = CONNECT_WITHIN.as_millis();
                StoreError::away(name.clone(), format!("did not accept a connection within {within} ms"))
            })?
            .map_err(told)?;
        self.schema.get_or_try_init(|| migrate(&mut connection, name)).await?;
        Ok(connection)
    }

    /// Connects, and brings the schema up to date where it is not.
    pub async fn prepare(&self) -> Result<(), StoreError> {
        let outcome = match timeout(MIGRATE_WITHIN, self.connection()).await {
            Ok(Ok(connection)) => {
                lock(&self.idle).push((connection, Instant::now()));
                Ok(())
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Err(StoreError::away(
                self.address.name.clone(),
                "did not finish the migration of its schema in time",
            )),
        };
        self.note(&outcome);
        outcome
    }

    pub async fn close(&self) {
        let idle = std::mem::take(&mut *lock(&self.idle));
        for (connection, _) in idle {
            let _ = timeout(Duration::from_secs(1), connection.close()).await;
        }
    }
}

async fn once<W: Work>(connection: &mut PgConnection, begin: &str, work: &W) -> Result<W::Done, sqlx::Error> {
    connection.execute(AssertSqlSafe(begin)).await?;
    let done = work.run(connection).await?;
    connection.execute("COMMIT").await?;
    Ok(done)
}

/// A server whose client has gone gives up what it holds, a little after the client does: at the same moment, a database that
/// is silent would at times be told as one that hung up.
fn begin(within: Duration) -> String {
    let limit = (within + AFTER_CLIENT).as_millis();
    format!(
        "BEGIN; SET LOCAL statement_timeout = {limit}; SET LOCAL lock_timeout = {limit}; \
         SET LOCAL idle_in_transaction_session_timeout = {limit}; SET LOCAL client_min_messages = warning"
    )
}
