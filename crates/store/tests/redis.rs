//! State in Redis: what every store does, on one server.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, dead_code)]

mod redis_server;
mod state_contract;

use std::sync::Arc;
use std::time::Duration;

use gateway_engine::state::StateStore;
use gateway_store::redis::{RedisSettings, RedisStore};

async fn open(lease: Duration) -> Option<Box<dyn StateStore>> {
    let url = redis_server::running_url()?;
    let settings = RedisSettings { lease, ..RedisSettings::new(Arc::new(|line| eprintln!("{line}"))) };
    Some(Box::new(RedisStore::new(&url, settings).unwrap()))
}

state_contract!(open);
