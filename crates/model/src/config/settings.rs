//! What holds for the whole gateway: `gateway.settings.json`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::values::{amount, count, fractions, null_as_default, whole_number};

/// Settings of a gateway; all of them may be left out.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Settings {
    #[serde(default, deserialize_with = "null_as_default")]
    pub cache: CacheSettings,
    /// Identical calls in flight share one upstream call.
    #[serde(default, deserialize_with = "null_as_default")]
    pub dedupe: bool,
    /// For each user (`userId`; without one, all calls together).
    #[serde(default, deserialize_with = "null_as_default")]
    pub limits: RateLimit,
    #[serde(default, deserialize_with = "null_as_default")]
    pub retry_budget: RetryBudget,
    /// How good a model is, 0 to 1, for pools of strategy `hybrid`; 0.5 where it is not told.
    #[serde(default, deserialize_with = "fractions")]
    pub quality: BTreeMap<String, f64>,
}

/// Answers that are kept for identical calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CacheSettings {
    /// Off by default; a request's own `cache` comes first.
    #[serde(default, deserialize_with = "null_as_default")]
    pub enabled: bool,
    /// Milliseconds that an answer is kept; 300,000 by default.
    #[serde(default, deserialize_with = "count")]
    pub ttl_ms: Option<u64>,
    /// Answers that are kept; 10,000 by default.
    #[serde(default, deserialize_with = "count")]
    pub max_entries: Option<u64>,
}

/// What is let through in a minute; absent means no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RateLimit {
    #[serde(default, deserialize_with = "count")]
    pub requests_per_minute: Option<u64>,
    #[serde(default, deserialize_with = "count")]
    pub tokens_per_minute: Option<u64>,
}

/// How much further attempts (at other targets of a pool, again at the same one, hedges) may add to the traffic.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetryBudget {
    /// Further attempts for each call; 0.15 by default.
    #[serde(default, deserialize_with = "amount")]
    pub ratio: Option<f64>,
    /// Further attempts that are there to begin with; 30 by default.
    #[serde(default, deserialize_with = "whole_number")]
    pub reserve: Option<u64>,
}
