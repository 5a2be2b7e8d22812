//! Settings of the whole gateway: `gateway.settings.json`.

use std::collections::BTreeMap;

use serde::de::Error;
use serde::{Deserialize, Deserializer};

use super::user_limit::{self, UserLimit};
use super::values::{amount, count, filled, fractions, null_as_default, whole_number};

/// Settings of a gateway; all of them may be left out.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Settings {
    #[serde(default, deserialize_with = "null_as_default")]
    pub cache: CacheSettings,
    /// Identical calls in flight share one upstream call.
    #[serde(default, deserialize_with = "null_as_default")]
    pub dedupe: bool,
    /// What callers may use, each for itself.
    #[serde(default, deserialize_with = "user_limit::limits")]
    pub limits: Vec<UserLimit>,
    #[serde(default, deserialize_with = "null_as_default")]
    pub retry_budget: RetryBudget,
    /// How good a model is, 0 to 1, for pools of strategy `hybrid`; 0.5 for models that are not listed.
    #[serde(default, deserialize_with = "fractions")]
    pub quality: BTreeMap<String, f64>,
    /// By model: prices over the built-in ones.
    #[serde(default, deserialize_with = "null_as_default")]
    pub prices: BTreeMap<String, ModelPrices>,
    /// Where counters live: `memory:` (the default), `sqlite:PATH`, `redis://…`, `rediss://…` or `redis+cluster://…`.
    #[serde(default, deserialize_with = "filled")]
    pub state: Option<String>,
    /// Where records live: `sqlite:PATH` or `postgres://…`; none are kept by default.
    #[serde(default, deserialize_with = "filled")]
    pub database: Option<String>,
    /// The folder of the journal before a database, or a state, that may be away.
    #[serde(default, deserialize_with = "filled")]
    pub journal: Option<String>,
    #[serde(default, deserialize_with = "null_as_default")]
    pub retention: Retention,
    #[serde(default, deserialize_with = "null_as_default")]
    pub records: RecordSettings,
}

/// How long records are kept. Roll-ups stay for ever.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Retention {
    /// Days that usage rows stay; 30 by default.
    #[serde(default, deserialize_with = "count")]
    pub rows_days: Option<u64>,
    /// Bytes that the database may take (SQLite alone); the oldest rows go first. No bound by default.
    #[serde(default, deserialize_with = "count")]
    pub max_bytes: Option<u64>,
}

impl Retention {
    /// Days that usage rows stay.
    pub fn days(&self) -> u64 {
        self.rows_days.unwrap_or(30)
    }
}

/// How usage records wait for the database.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordSettings {
    /// Records that wait at most; 10,000 by default.
    #[serde(default, deserialize_with = "count")]
    pub queue: Option<u64>,
    #[serde(default, deserialize_with = "null_as_default")]
    pub when_full: WhenFull,
}

/// What happens when no further record can wait.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WhenFull {
    /// Further calls are refused before anything is sent.
    #[default]
    Block,
    /// The oldest record is dropped, and counted.
    DropOldest,
}

/// Prices of one model, in US dollars per 1,000 tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelPrices {
    #[serde(deserialize_with = "price")]
    pub input_per_1k_tokens: f64,
    #[serde(deserialize_with = "price")]
    pub output_per_1k_tokens: f64,
    /// Of tokens read from a prompt cache; those of other input by default.
    #[serde(default, deserialize_with = "amount")]
    pub cache_read_per_1k_tokens: Option<f64>,
    /// Of tokens written to a prompt cache; those of other input by default.
    #[serde(default, deserialize_with = "amount")]
    pub cache_write_per_1k_tokens: Option<f64>,
}

fn price<'de, D: Deserializer<'de>>(input: D) -> Result<f64, D::Error> {
    amount(input)?.ok_or_else(|| D::Error::custom("must be a number of 0 or more"))
}

/// Cached answers for identical calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CacheSettings {
    /// Off by default; a request's own `cache` takes precedence.
    #[serde(default, deserialize_with = "null_as_default")]
    pub enabled: bool,
    /// Milliseconds that an answer stays cached; 300,000 by default.
    #[serde(default, deserialize_with = "count")]
    pub ttl_ms: Option<u64>,
    /// Cached answers at most; 10,000 by default.
    #[serde(default, deserialize_with = "count")]
    pub max_entries: Option<u64>,
}

/// Token buckets, refilled over a minute; absent means no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RateLimit {
    #[serde(default, deserialize_with = "count")]
    pub requests_per_minute: Option<u64>,
    #[serde(default, deserialize_with = "count")]
    pub tokens_per_minute: Option<u64>,
}

/// How much retries (at other targets of a pool or at the same one) and hedges may add to the traffic.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetryBudget {
    /// Further attempts earned by each call; 0.15 by default.
    #[serde(default, deserialize_with = "amount")]
    pub ratio: Option<f64>,
    /// Further attempts available at the start; 30 by default.
    #[serde(default, deserialize_with = "whole_number")]
    pub reserve: Option<u64>,
}
