//! The contract of a state store, held by an SQLite file.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod state_contract;

use std::path::Path;
use std::time::Duration;

use gateway_engine::state::StateStore;
use gateway_store::sqlite::{Options, Role, SqliteStore};
use uuid::Uuid;

/// A file of its own for each test, in the folder of the build.
async fn open(lease: Duration) -> Option<Box<dyn StateStore>> {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("state-{}.db", Uuid::new_v4()));
    let options = Options { lease, ..Options::default() };
    let store = SqliteStore::open_with(&format!("sqlite:{}", path.display()), Role::State, options).await;
    Some(Box::new(store.unwrap()))
}

state_contract!(open);
