//! State and records in one SQLite file: durable, and shared by the processes of a machine.
//!
//! One connection writes ([`writer`]): what arrives together is one transaction ([`transaction`]). Others only read. The file
//! is in WAL mode with `synchronous=NORMAL`: what was acknowledged survives the death of the process; of a machine that loses
//! its power, the last moments may be lost, and the file stays whole.
//!
//! What is done many times a second, or with many rows, runs in place by rusqlite: on the writer's thread ([`writer`]), or where
//! blocking is allowed ([`scan`]). Migrations, secrets and what an operator changes go by sqlx, and share their statements with
//! PostgreSQL. Both drive the one SQLite that is linked.

mod admin;
mod administration;
mod bucket;
mod counter;
mod fault;
mod keeper;
mod ledger;
mod location;
mod migrate;
mod open;
mod reader;
mod rollup;
mod rows;
mod scan;
mod script;
mod secrets;
mod series;
mod state;
mod stored;
mod sweep;
mod transaction;
mod usage;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use gateway_engine::records::{Batch, Kept, Lag, Recorder};
use gateway_engine::state::{LEASE, StoreError};

use gateway_model::config::Retention;

use administration::Administration;
use keeper::{Keeper, Sweeper};
use location::Location;
use reader::Reader;
use scan::Scanner;
use transaction::{Done, Work};
use writer::{PATIENCE, Shared, Writer};

/// What a file is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    State,
    Records,
    /// Rows, roll-ups and charges go in one transaction.
    Both,
}

/// How a file is used.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How long a lease holds.
    pub lease: Duration,
    /// How long rows stay.
    pub retention: Retention,
}

impl Default for Options {
    fn default() -> Self {
        Self { lease: LEASE, retention: Retention::default() }
    }
}

/// A store in an SQLite file.
pub struct SqliteStore {
    role: Role,
    shared: Arc<Shared>,
    writer: Arc<Writer>,
    keeper: Keeper,
    sweeper: Sweeper,
    /// Of values, counters and notices.
    state: Scanner,
    /// Of secrets.
    secrets: Reader,
    /// Of administration: whether a key was revoked is asked all the time, and does not wait for reports.
    administered: Reader,
    /// Of sums.
    reports: Scanner,
    administration: Administration,
}

impl SqliteStore {
    /// Opens the file of `url` (`sqlite:PATH`), and makes it where it is missing. Needs a Tokio runtime, now and later.
    pub async fn open(url: &str, role: Role) -> Result<Self, StoreError> {
        Self::open_with(url, role, Options::default()).await
    }

    /// The same, with other [`Options`].
    pub async fn open_with(url: &str, role: Role, options: Options) -> Result<Self, StoreError> {
        let location = Location::of(url)?;
        open::prepare(&location).await?;
        let shared = Arc::new(Shared::new(location.name, location.path, options.lease));
        let writer = Arc::new(Writer::start(Arc::clone(&shared)).await?);
        let sweeper = Sweeper {
            writer: Arc::downgrade(&writer),
            shared: Arc::clone(&shared),
            retention: options.retention,
        };
        Ok(Self {
            role,
            writer,
            keeper: Keeper::start(sweeper.clone()),
            sweeper,
            state: Scanner::new(Arc::clone(&shared)),
            secrets: Reader::new(Arc::clone(&shared)),
            administered: Reader::new(Arc::clone(&shared)),
            reports: Scanner::new(Arc::clone(&shared)),
            administration: Administration::new(Arc::clone(&shared)),
            shared,
        })
    }

    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// Deletes now what has lapsed, as the housekeeping does each minute: in small steps, between which calls are served.
    pub async fn sweep(&self) -> Result<(), StoreError> {
        let told = |error: sqlx::Error| self.shared.error(&error);
        let mut connection = open::connect(&self.shared.path, PATIENCE / 2).await.map_err(told)?;
        let swept = self.sweeper.pass(&mut connection).await;
        drop(sqlx::Connection::close(connection).await);
        swept
    }

    async fn shut(&self) {
        self.keeper.close().await;
        self.writer.close().await;
        self.state.close().await;
        self.secrets.close().await;
        self.administered.close().await;
        self.reports.close().await;
        self.administration.close().await;
    }
}

impl Recorder for SqliteStore {
    fn keep<'a>(&'a self, node: &'a str, batch: &'a Arc<Batch>) -> BoxFuture<'a, Result<Kept, StoreError>> {
        async move {
            let work = Work::Keep { node: node.to_owned(), batch: Arc::clone(batch), role: self.role };
            let done = self.writer.work_out(work).await?;
            Ok(match (self.role, done) {
                (Role::Records, _) => Kept::Rows,
                (_, Done::Kept(states)) => Kept::Applied(states),
                _ => Kept::Applied(Vec::new()),
            })
        }
        .boxed()
    }

    /// What is kept is in the file.
    fn lag(&self) -> Lag {
        Lag::default()
    }

    fn close(&self) -> BoxFuture<'_, Lag> {
        self.shut().map(|()| Lag::default()).boxed()
    }
}
