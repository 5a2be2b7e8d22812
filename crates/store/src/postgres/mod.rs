//! Records in PostgreSQL. Rows come from a journal ([`crate::journal`]), so that nobody waits for the database.
//!
//! Several processes write to one database. Each transaction takes its locks in the order of their keys (its journal's mark, rows,
//! sums), and is tried again when it had to give way. Operations are bounded in time here and at the server.

mod address;
mod admin;
mod apply;
mod connections;
mod fault;
mod migrate;
mod prune;
mod rows;
mod secrets;
mod series;
mod usage;

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use gateway_engine::records::{UsageQuery, UsageReader, UsageSums};
use gateway_engine::state::StoreError;
use gateway_model::config::Retention;
use tokio::runtime::Handle;

use crate::journal::{BatchSink, Numbered};
use address::Address;
use connections::Connections;
use series::KnownSeries;

/// Usage, client keys, channels and audit in a PostgreSQL database.
pub struct PostgresRecords {
    connections: Arc<Connections>,
    /// Of administration: whether a key was revoked is asked all the time, and does not wait for reports.
    administration: Connections,
    known: KnownSeries,
}

impl PostgresRecords {
    /// Of `postgres://USER:PASSWORD@HOST:PORT/DATABASE`. Connects when there is something to do.
    pub fn new(url: &str) -> Result<Self, StoreError> {
        Ok(Self {
            connections: Arc::new(Connections::new(Address::of(url)?)),
            administration: Connections::new(Address::of(url)?),
            known: KnownSeries::default(),
        })
    }

    /// Connects and brings the schema up to date, which otherwise happens with the first work. For a start that wants to
    /// tell a database that is away from one that will never do.
    pub async fn prepare(&self) -> Result<(), StoreError> {
        self.connections.prepare().await
    }

    /// Deletes rows of calls that ended before then, in small steps, while no other process does; answers how many. Sums
    /// stay as they are.
    pub async fn prune(&self, ended_before_ms: i64) -> Result<u64, StoreError> {
        prune::prune(&self.connections, ended_before_ms).await
    }

    /// Prunes every hour, until these records are dropped.
    pub fn keep_pruning(&self, retention: Retention, runtime: &Handle) {
        runtime.spawn(prune::keep_pruning(Arc::downgrade(&self.connections), retention));
    }

    pub async fn close(&self) {
        self.connections.close().await;
        self.administration.close().await;
    }
}

impl BatchSink for PostgresRecords {
    fn apply<'a>(
        &'a self,
        journal: &'a str,
        batches: &'a [Numbered],
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        apply::apply(&self.connections, &self.known, journal, batches).boxed()
    }

    fn is_away(&self) -> bool {
        self.connections.is_away()
    }

    fn name(&self) -> &str {
        &self.connections.address.name
    }
}

impl UsageReader for PostgresRecords {
    fn usage<'a>(&'a self, query: &'a UsageQuery) -> BoxFuture<'a, Result<Vec<UsageSums>, StoreError>> {
        usage::usage(&self.connections, query).boxed()
    }
}
