//! Client keys, channels and the audit in an SQLite file.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod admin_contract;
mod sqlite;

use std::sync::Arc;

use admin_contract::Place;
use gateway_store::sqlite::{Role, SqliteStore};
use sqlite::Folder;

impl Place for Folder {
    type Records = SqliteStore;

    async fn open(&self) -> Arc<SqliteStore> {
        Arc::new(SqliteStore::open(&self.url(), Role::Records).await.unwrap())
    }
}

async fn place() -> Option<Folder> {
    Some(Folder::new())
}

admin_contract!(place);
