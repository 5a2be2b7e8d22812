//! Idle connections, kept for the next request.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use http::HeaderMap;

use super::connection::Connection;

/// How long a connection is kept whose server says nothing of it: common load balancers close theirs after 60 s.
pub(super) const IDLE_LIMIT: Duration = Duration::from_secs(55);
/// No server's word keeps a connection for longer.
const LONGEST: Duration = Duration::from_secs(10 * 60);
/// How long before the server's own end a connection is given up: a request on its way then would be lost.
const MARGIN: Duration = Duration::from_secs(1);
/// How often dead and old connections are closed.
const SWEEP: Duration = Duration::from_secs(5);

struct Idle {
    connection: Connection,
    until: Instant,
}

impl Idle {
    fn is_over(&self) -> bool {
        self.until <= Instant::now()
    }
}

/// How long a connection may be idle after an answer with these headers: as `Keep-Alive: timeout=SECONDS` says, less a
/// margin of a second, or of half of it where it is shorter than two.
pub(super) fn idle_limit(headers: &HeaderMap) -> Duration {
    let seconds = headers.get_all("keep-alive").iter().find_map(|value| {
        value.to_str().ok()?.split(',').find_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            let is_timeout = name.trim().eq_ignore_ascii_case("timeout");
            value.trim().trim_matches('"').parse::<u64>().ok().filter(|_| is_timeout)
        })
    });
    seconds.map_or(IDLE_LIMIT, |seconds| {
        let told = Duration::from_secs(seconds).min(LONGEST);
        told - MARGIN.min(told / 2)
    })
}

#[derive(Default)]
struct Connections {
    /// By origin, the least recently used first.
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
            if !idle.is_over() && idle.connection.is_ready() {
                return Some(idle.connection);
            }
        }
    }

    /// Keeps a connection whose response was read to its end for as long as `limit`, if it can take another request.
    pub fn give_back(self: &Arc<Self>, origin: &Arc<str>, mut connection: Connection, limit: Duration) {
        if limit.is_zero() || !connection.is_ready() {
            return;
        }
        let idle = Idle { connection, until: Instant::now() + limit };
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

    /// Closes connections that were idle for too long, or that their servers have closed. False once none is left.
    fn close_old(&self) -> bool {
        let mut old = Vec::new();
        let mut connections = self.lock();
        for list in connections.idle.values_mut() {
            old.extend(list.extract_if(.., |idle| idle.is_over() || !idle.connection.is_ready()));
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
        tokio::time::sleep(SWEEP).await;
        if !pool.upgrade().is_some_and(|pool| pool.close_old()) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn the_servers_keep_alive_says_how_long_a_connection_is_kept() {
        let kept = |value: &'static str| {
            idle_limit(&HeaderMap::from_iter([(
                http::HeaderName::from_static("keep-alive"),
                HeaderValue::from_static(value),
            )]))
        };
        assert_eq!(kept("timeout=5"), Duration::from_secs(4));
        assert_eq!(kept("max=100, Timeout = 30"), Duration::from_secs(29));
        assert_eq!(kept("timeout=1"), Duration::from_millis(500));
        assert_eq!(kept("timeout=0"), Duration::ZERO);
        assert_eq!(kept("timeout=18446744073709551615"), LONGEST - MARGIN);
        for silent in ["", "max=100", "timeout=soon"] {
            assert_eq!(kept(silent), IDLE_LIMIT);
        }
        assert_eq!(idle_limit(&HeaderMap::new()), IDLE_LIMIT);
    }
}
