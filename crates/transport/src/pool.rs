//! Idle connections, kept for the next request.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::connection::Connection;

/// Shorter than the keep-alive of common servers (Node: 5 s), so that few pooled connections turn out dead.
const IDLE_LIMIT: Duration = Duration::from_secs(4);

struct Idle {
    connection: Connection,
    since: Instant,
}

#[derive(Default)]
struct Connections {
    /// By origin, the longest idle first.
    idle: HashMap<Arc<str>, Vec<Idle>>,
    /// A task that closes idle connections is running.
    swept: bool,
}

#[derive(Default)]
pub(super) struct Pool(Mutex<Connections>);

impl Pool {
    /// The most recently used connection, if it still works.
    pub fn take(&self, origin: &str) -> Option<Connection> {
        loop {
            let mut idle = self.lock().idle.get_mut(origin)?.pop()?;
            // Outside the lock: it may close a socket.
            if idle.since.elapsed() < IDLE_LIMIT && idle.connection.is_ready() {
                return Some(idle.connection);
            }
        }
    }

    /// Keeps a connection whose response was read to its end, if it can take another request.
    pub fn give_back(self: &Arc<Self>, origin: &Arc<str>, mut connection: Connection) {
        if !connection.is_ready() {
            return;
        }
        let idle = Idle { connection, since: Instant::now() };
        let mut connections = self.lock();
        match connections.idle.get_mut(origin) {
            Some(list) => list.push(idle),
            None => drop(connections.idle.insert(origin.clone(), vec![idle])),
        }
        if !connections.swept {
            connections.swept = true;
            tokio::spawn(sweep(Arc::downgrade(self)));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Connections> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes connections that were idle for too long. False once none is left.
    fn close_old(&self) -> bool {
        let mut old = Vec::new();
        let mut connections = self.lock();
        for list in connections.idle.values_mut() {
            let fresh = list.partition_point(|idle| idle.since.elapsed() >= IDLE_LIMIT);
            old.extend(list.drain(..fresh));
        }
        connections.idle.retain(|_, list| !list.is_empty());
        connections.swept = !connections.idle.is_empty();
        let left = connections.swept;
        drop(connections);
        left
    }
}

async fn sweep(pool: Weak<Pool>) {
    loop {
        tokio::time::sleep(IDLE_LIMIT).await;
        if !pool.upgrade().is_some_and(|pool| pool.close_old()) {
            return;
        }
    }
}
