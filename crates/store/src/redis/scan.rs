//! The list of counters, by walking through the keys of all masters.

use std::collections::BTreeSet;
use std::time::Duration;

use gateway_engine::state::{CounterState, StoreError};
use redis::Value;
use redis::cluster_routing::{MultipleNodeRoutingInfo, RoutingInfo, SingleNodeRoutingInfo};
use tokio::time::Instant;

use super::RedisStore;
use super::counter::{self, PREFIX};
use super::reply::{Malformed, array, text};
use super::script::Request;

/// Keys that Redis looks at in one step: less than a millisecond of its time.
const STEP: u32 = 1_000;

/// A walk through a very large database ends without a result.
const LONGEST_WALK: Duration = Duration::from_secs(5);

/// Counters that are read at once.
const BATCH: usize = 100;

/// Where the walk through one master stands.
struct Walk {
    node: RoutingInfo,
    cursor: String,
}

impl RedisStore {
    pub(super) async fn found(
        &self,
        node: &str,
        prefix: &str,
        most: usize,
    ) -> Result<Vec<(String, CounterState)>, StoreError> {
        let keys = self.keys(prefix, most).await?;
        let mut found = Vec::with_capacity(keys.len());
        for batch in keys.chunks(BATCH) {
            let requests: Vec<_> = batch.iter().map(|key| counter::look(node, key)).collect();
            let values = self.link.send(&requests, true).await?;
            for (key, value) in batch.iter().zip(&values) {
                // One that went meanwhile is left out.
                if !matches!(value, Value::Nil) {
                    found.push((key.clone(), self.read(counter::state(value))?));
                }
            }
        }
        Ok(found)
    }

    async fn keys(&self, prefix: &str, most: usize) -> Result<Vec<String>, StoreError> {
        let pattern = format!("{PREFIX}{}*", escaped(prefix));
        let latest = Instant::now() + LONGEST_WALK;
        let mut keys = BTreeSet::new();
        let masters = RoutingInfo::MultiNode((MultipleNodeRoutingInfo::AllMasters, None));
        let mut walks = vec![Walk { node: masters, cursor: "0".into() }];
        while !walks.is_empty() && keys.len() < most {
            if Instant::now() > latest {
                let message = "its counters were not found within 5 s among very many keys; give the gateway a database of its own";
                return Err(StoreError::failed(self.link.name(), message));
            }
            let requests: Vec<_> = walks.iter().map(|walk| walk.request(&pattern)).collect();
            let values = self.link.send(&requests, true).await?;
            let mut next = Vec::new();
            for (walk, value) in walks.iter().zip(&values) {
                for (node, value) in self.read(by_node(&walk.node, value))? {
                    let (cursor, found) = self.read(step(value))?;
                    keys.extend(found);
                    if cursor != "0" {
                        next.push(Walk { node, cursor });
                    }
                }
            }
            walks = next;
        }
        Ok(keys.into_iter().take(most).collect())
    }
}

impl Walk {
    fn request(&self, pattern: &str) -> Request {
        Request::plain("SCAN", &self.cursor)
            .arg("MATCH")
            .arg(pattern)
            .arg("COUNT")
            .arg(STEP)
            .on(self.node.clone())
    }
}

/// The replies of a cluster's masters come with their addresses; the walk goes on with each of them.
fn by_node<'a>(asked: &RoutingInfo, value: &'a Value) -> Result<Vec<(RoutingInfo, &'a Value)>, Malformed> {
    match value {
        Value::Map(nodes) => nodes
            .iter()
            .map(|(address, value)| {
                let (host, port) = text(address)?.rsplit_once(':').ok_or(Malformed)?;
                let port = port.parse().map_err(|_| Malformed)?;
                let node = SingleNodeRoutingInfo::ByAddress { host: host.into(), port };
                Ok((RoutingInfo::SingleNode(node), value))
            })
            .collect(),
        _ => Ok(vec![(asked.clone(), value)]),
    }
}

/// The next cursor, and the keys without their prefix.
fn step(value: &Value) -> Result<(String, Vec<String>), Malformed> {
    let [cursor, keys] = array(value)? else { return Err(Malformed) };
    let keys = array(keys)?.iter().filter_map(|key| text(key).ok()?.strip_prefix(PREFIX).map(str::to_owned));
    Ok((text(cursor)?.into(), keys.collect()))
}

/// Signs that mean something in a pattern mean themselves.
fn escaped(prefix: &str) -> String {
    let mut escaped = String::with_capacity(prefix.len());
    for sign in prefix.chars() {
        if matches!(sign, '*' | '?' | '[' | ']' | '^' | '\\') {
            escaped.push('\\');
        }
        escaped.push(sign);
    }
    escaped
}
