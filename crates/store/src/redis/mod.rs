//! State in Redis, shared by all processes that use it: one server, or a cluster.
//!
//! Each counter, bucket and board is one key, and what is done with it one script: Redis does it at once, and a cluster needs no
//! two keys on one node. Redis' clock decides when windows end and leases lapse.

mod address;
mod announce;
mod board;
mod bucket;
mod counter;
mod dial;
mod link;
mod reply;
mod scan;
mod script;
mod supervisor;
mod trouble;

use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use gateway_engine::state::{CounterState, Exchange, LEASE, Notice, StateStore, StoreError, Take, Taken};
use redis::Value;

pub use self::announce::Say;

use self::address::Address;
use self::dial::Dialer;
use self::link::{BOUND, Link};
use self::reply::Malformed;
use self::script::Request;

/// Steps and takes that are sent at once; what is more has its own time, as they are a few milliseconds of Redis' together.
const MOST_AT_ONCE: usize = 256;

/// Values that are larger would hold up what waits behind them on the connection.
const LARGEST_VALUE: usize = 1 << 20;

/// What a store of state in Redis is made with.
pub struct RedisSettings {
    /// How long a lease holds after its last renewal.
    pub lease: Duration,
    /// Certificates of authorities that are trusted beside the public ones, as PEM.
    pub extra_roots: Option<Vec<u8>>,
    /// Where lines go that say that the store is away, and back: one a minute.
    pub say: Say,
}

impl RedisSettings {
    pub fn new(say: Say) -> Self {
        Self { lease: LEASE, extra_roots: None, say }
    }
}

/// State in Redis.
pub struct RedisStore {
    link: Link,
    lease_ms: u64,
}

impl RedisStore {
    /// `url`: `redis://`, `rediss://`, `redis+cluster://` or `rediss+cluster://`. It connects with its first call, and fails here
    /// only for a URL that is malformed.
    pub fn new(url: &str, settings: RedisSettings) -> Result<Self, StoreError> {
        let address = Address::parse(url)?;
        let dialer = Dialer::new(&address, settings.extra_roots.as_deref(), BOUND)
            .map_err(|error| StoreError::failed(&address.name, address.redact(&error.to_string())))?;
        let lease_ms = u64::try_from(settings.lease.as_millis()).unwrap_or(u64::MAX);
        Ok(Self { link: Link::new(address, dialer, settings.say), lease_ms })
    }

    fn read<T>(&self, reply: Result<T, Malformed>) -> Result<T, StoreError> {
        let message = "it gave a reply that Redis does not give; check what answers at this address";
        reply.map_err(|Malformed| StoreError::failed(self.link.name(), message))
    }

    /// Sends one request that may be repeated.
    async fn ask(&self, request: Request) -> Result<Value, StoreError> {
        let mut values = self.link.send(&[request], true).await?;
        self.read(values.pop().ok_or(Malformed))
    }
}

fn value_key(key: &str) -> String {
    format!("gw:v:{key}")
}

impl StateStore for RedisStore {
    fn exchange<'a>(
        &'a self,
        node: &'a str,
        steps: &'a [Exchange],
    ) -> BoxFuture<'a, Result<Vec<CounterState>, StoreError>> {
        async move {
            let mut states = Vec::with_capacity(steps.len());
            for steps in steps.chunks(MOST_AT_ONCE) {
                let requests: Vec<_> =
                    steps.iter().map(|step| counter::exchange(node, step, self.lease_ms)).collect();
                for value in &self.link.send(&requests, true).await? {
                    states.push(self.read(counter::state(value))?);
                }
            }
            Ok(states)
        }
        .boxed()
    }

    fn counters<'a>(
        &'a self,
        node: &'a str,
        prefix: &'a str,
        most: usize,
    ) -> BoxFuture<'a, Result<Vec<(String, CounterState)>, StoreError>> {
        self.found(node, prefix, most).boxed()
    }

    fn take<'a>(&'a self, takes: &'a [Take]) -> BoxFuture<'a, Result<Vec<Taken>, StoreError>> {
        async move {
            let mut taken = vec![Taken::All; takes.len()];
            // A take from no bucket is none.
            let (at, requests): (Vec<_>, Vec<_>) = takes
                .iter()
                .enumerate()
                .filter_map(|(at, take)| bucket::request(take).map(|request| (at, request)))
                .unzip();
            for (at, requests) in at.chunks(MOST_AT_ONCE).zip(requests.chunks(MOST_AT_ONCE)) {
                // What was taken by a call whose reply was lost would be taken twice.
                let values = self.link.send(requests, false).await?;
                for (at, value) in at.iter().zip(&values) {
                    taken[*at] = self.read(bucket::taken(value))?;
                }
            }
            Ok(taken)
        }
        .boxed()
    }

    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>, StoreError>> {
        async move {
            match self.ask(Request::plain("GET", &value_key(key))).await? {
                Value::BulkString(value) => Ok(Some(value)),
                Value::Nil => Ok(None),
                _ => self.read(Err(Malformed)),
            }
        }
        .boxed()
    }

    fn put<'a>(
        &'a self,
        key: &'a str,
        value: &'a [u8],
        lasts: Duration,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        async move {
            let lasts = u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX).min(1 << 40);
            let request = if lasts == 0 || value.len() > LARGEST_VALUE {
                // An older value must not stand for this one.
                Request::plain("UNLINK", &value_key(key))
            } else {
                Request::plain("SET", &value_key(key)).arg(value).arg("PX").arg(lasts)
            };
            self.ask(request).await.map(drop)
        }
        .boxed()
    }

    fn post<'a>(&'a self, board: &'a str, notice: &'a Notice) -> BoxFuture<'a, Result<(), StoreError>> {
        async move { self.ask(board::post(board, notice)).await.map(drop) }.boxed()
    }

    fn notices<'a>(&'a self, board: &'a str) -> BoxFuture<'a, Result<Vec<Notice>, StoreError>> {
        async move {
            let value = self.ask(board::read(board)).await?;
            self.read(board::notices(&value))
        }
        .boxed()
    }

    fn is_away(&self) -> bool {
        self.link.is_away()
    }

    fn name(&self) -> &str {
        self.link.name()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.link.close().boxed()
    }
}
