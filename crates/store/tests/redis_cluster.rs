//! State in a Redis Cluster: what every store does, over three masters.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, dead_code)]

mod redis_server;
mod state_contract;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use gateway_engine::state::StateStore;
use gateway_store::redis::{RedisSettings, RedisStore};
use redis_server::Cluster;
use state_contract::{charge, fresh, hourly, step};

/// One for all tests that run at once; it ends with the last of them.
fn cluster() -> Option<Arc<Cluster>> {
    static CLUSTER: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());
    let mut shared = CLUSTER.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if let Some(cluster) = shared.upgrade() {
        return Some(cluster);
    }
    let cluster = Arc::new(Cluster::start()?);
    *shared = Arc::downgrade(&cluster);
    Some(cluster)
}

/// A store that keeps its cluster.
struct Held {
    store: RedisStore,
    _cluster: Arc<Cluster>,
}

impl std::ops::Deref for Held {
    type Target = dyn StateStore;

    fn deref(&self) -> &Self::Target {
        &self.store
    }
}

async fn open(lease: Duration) -> Option<Held> {
    let cluster = cluster()?;
    let settings = RedisSettings { lease, ..RedisSettings::new(Arc::new(|line| eprintln!("{line}"))) };
    let store = RedisStore::new(&cluster.url(), settings).unwrap();
    Some(Held { store, _cluster: cluster })
}

state_contract!(open);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_spread_over_all_masters() {
    let Some(held) = open(state_contract::LONG_LEASE).await else { return };
    let prefix = fresh("");
    let keys: BTreeSet<_> = (0..60).map(|at| format!("{prefix}{at}")).collect();
    for key in &keys {
        let counter = gateway_engine::state::Counter { key: key.as_str().into(), ..hourly() };
        step(&*held, "a", charge(&counter, [1; 4], 1)).await;
    }
    let mut masters = 0;
    for node in &held._cluster.nodes {
        let found: Vec<String> =
            redis::cmd("KEYS").arg(format!("gw:c:{prefix}*")).query(&mut node.connection()).unwrap();
        masters += usize::from(!found.is_empty());
    }
    assert_eq!(masters, 3);
    let found = held.counters("a", &prefix, 100).await.unwrap();
    assert_eq!(found.into_iter().map(|(key, _)| key).collect::<BTreeSet<_>>(), keys);
}
