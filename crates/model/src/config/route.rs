//! Rules and chains: `gateway.routes.json`.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::values::{
    amount, count, null_as_default, number, number_or_zero, small_count, unless_false, weight, whole_number,
};

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteRule {
    #[serde(default, deserialize_with = "null_as_default")]
    pub name: String,
    /// Rules are tried from the highest to the lowest; 0 by default.
    #[serde(default, deserialize_with = "number_or_zero")]
    pub priority: f64,
    #[serde(default, deserialize_with = "unless_false")]
    pub enabled: Option<bool>,
    #[serde(rename = "match", default, deserialize_with = "null_as_default")]
    pub matches: RouteMatch,
    pub target: RouteTarget,
    #[serde(default, deserialize_with = "null_as_default")]
    pub constraints: RouteConstraints,
    #[serde(default)]
    pub hedge: Option<HedgeConfig>,
}

/// Sends a second attempt to another target if the first one takes long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HedgeConfig {
    pub after_ms: HedgeDelay,
    /// Further targets to try; 1 by default.
    #[serde(default, deserialize_with = "small_count")]
    pub max_extra: Option<u32>,
}

/// How long to wait for a target before another one is tried in parallel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HedgeDelay {
    /// Milliseconds.
    Fixed(u64),
    /// The time within which 95 % of the target's answers begin. Until that is known, calls are not hedged.
    P95,
}

impl<'de> Deserialize<'de> for HedgeDelay {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        match Value::deserialize(input)? {
            Value::String(word) if word == "p95" => Ok(Self::P95),
            value => {
                let fixed = count(value).ok().flatten().map(Self::Fixed);
                fixed.ok_or_else(|| D::Error::custom("must be a number of 1 or more, or \"p95\""))
            }
        }
    }
}

/// A rule matches when each field that is set equals the request's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteMatch {
    pub task_type: Option<String>,
    pub user_tier: Option<String>,
    pub sensitivity: Option<String>,
    pub feature: Option<String>,
    /// A pattern for the request's model: `*` stands for any text, `?` for one character.
    pub model: Option<String>,
}

/// Where a rule's calls go: one provider, or a pool of them.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", try_from = "TargetFields")]
pub struct RouteTarget {
    /// Empty for a pool.
    pub provider: String,
    pub model: Option<String>,
    /// Takes over if the target, or the whole pool, has failed.
    pub fallback_chain: Option<String>,
    pub pool: Option<PoolConfig>,
}

/// Several targets, from which a strategy picks.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PoolConfig {
    pub members: Vec<PoolMember>,
    pub strategy: StrategyName,
    /// For `consistent_hash`: the request's field whose value chooses (`userId` by default), or `metadata.NAME`.
    pub hash_key: Option<String>,
    /// For `hybrid`.
    pub weights: HybridWeights,
    /// Targets that one call may try; all of them by default.
    pub max_attempts: Option<u32>,
}

/// A target as configurations write it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TargetFields {
    provider: Option<String>,
    model: Option<String>,
    fallback_chain: Option<String>,
    #[serde(default, deserialize_with = "members")]
    pool: Option<Vec<PoolMember>>,
    #[serde(default, deserialize_with = "null_as_default")]
    strategy: StrategyName,
    #[serde(default, deserialize_with = "hash_key")]
    hash_key: Option<String>,
    #[serde(default, deserialize_with = "null_as_default")]
    weights: HybridWeights,
    #[serde(default, deserialize_with = "small_count")]
    max_attempts: Option<u32>,
}

impl TryFrom<TargetFields> for RouteTarget {
    type Error = &'static str;

    fn try_from(fields: TargetFields) -> Result<Self, Self::Error> {
        let TargetFields { provider, model, fallback_chain, pool, strategy, hash_key, weights, max_attempts } =
            fields;
        let pool = pool.map(|members| PoolConfig { members, strategy, hash_key, weights, max_attempts });
        if provider.is_none() && pool.is_none() {
            return Err("missing field `provider`");
        }
        Ok(Self { provider: provider.unwrap_or_default(), model, fallback_chain, pool })
    }
}

fn members<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Vec<PoolMember>>, D::Error> {
    match Option::<Vec<PoolMember>>::deserialize(input)? {
        Some(members) if members.is_empty() => Err(D::Error::custom("must be a non-empty array")),
        members => Ok(members),
    }
}

fn hash_key<'de, D: Deserializer<'de>>(input: D) -> Result<Option<String>, D::Error> {
    match Option::<String>::deserialize(input)? {
        Some(key) if !is_hash_key(&key) => Err(D::Error::custom(A_HASH_KEY)),
        key => Ok(key),
    }
}

pub const A_HASH_KEY: &str = "must be one of: userId, userTier, feature, taskType, model, metadata.NAME";

/// Whether `consistent_hash` can choose by this field.
pub fn is_hash_key(key: &str) -> bool {
    ["userId", "userTier", "feature", "taskType", "model"].contains(&key)
        || key.strip_prefix("metadata.").is_some_and(|name| !name.is_empty())
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct PoolMember {
    pub provider: String,
    /// By default the request's model where the provider lists it, else the provider's own.
    pub model: Option<String>,
    /// In place of the entry's weight.
    #[serde(default, deserialize_with = "weight")]
    pub weight: Option<f64>,
}

/// The name of the strategy by which a pool picks; `priority` by default.
///
/// Any text can be read as one: the engine registers the strategies, and refuses unknown names when it reads a
/// configuration.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(transparent)]
pub struct StrategyName(String);

impl StrategyName {
    /// The name as configurations write it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for StrategyName {
    fn default() -> Self {
        Self::from("priority")
    }
}

impl From<&str> for StrategyName {
    fn from(name: &str) -> Self {
        Self(name.to_owned())
    }
}

/// What each figure weighs in `hybrid`, relative to the others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(try_from = "WeightFields")]
pub struct HybridWeights {
    /// 1 by default, as the others are.
    pub cost: Option<f64>,
    pub latency: Option<f64>,
    pub quality: Option<f64>,
}

/// The weights as configurations write them.
#[derive(Deserialize)]
struct WeightFields {
    #[serde(default, deserialize_with = "amount")]
    cost: Option<f64>,
    #[serde(default, deserialize_with = "amount")]
    latency: Option<f64>,
    #[serde(default, deserialize_with = "amount")]
    quality: Option<f64>,
}

impl TryFrom<WeightFields> for HybridWeights {
    type Error = &'static str;

    fn try_from(fields: WeightFields) -> Result<Self, Self::Error> {
        let WeightFields { cost, latency, quality } = fields;
        if [cost, latency, quality] == [Some(0.0); 3] {
            return Err("in field `cost`: one of the weights must be above 0");
        }
        Ok(Self { cost, latency, quality })
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteConstraints {
    /// US dollars: the rule is skipped if the estimate is higher.
    #[serde(default, deserialize_with = "number")]
    pub max_cost_usd: Option<f64>,
    /// Tokens: the rule is skipped if the prompt is longer.
    #[serde(default, deserialize_with = "whole_number")]
    pub max_input_tokens: Option<u64>,
    /// Milliseconds for the whole call, retries and fallbacks included.
    #[serde(default, deserialize_with = "whole_number")]
    pub max_latency_ms: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FallbackChain {
    #[serde(default, deserialize_with = "null_as_default")]
    pub name: String,
    pub steps: Vec<FallbackStep>,
    #[serde(default, deserialize_with = "null_as_default")]
    pub execution: ChainExecution,
    /// The answer if all steps have failed.
    pub degraded_reply: Option<String>,
}

/// Who runs the steps of a chain.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChainExecution {
    /// The gateway itself, step by step.
    #[default]
    Gateway,
    /// Cloudflare's Universal Endpoint, in one call, where every step is reached through the same Cloudflare gateway.
    Cloudflare,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FallbackStep {
    pub provider: String,
    pub model: Option<String>,
    /// Failures of the previous step that lead here; empty: any.
    #[serde(default, deserialize_with = "null_as_default")]
    pub when: Vec<FallbackTrigger>,
    /// Milliseconds, in place of the provider's own timeout.
    #[serde(default, deserialize_with = "whole_number")]
    pub timeout_ms: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FallbackTrigger {
    Timeout,
    RateLimit,
    ProviderError,
    BudgetExceeded,
    /// Never raised by a failure. Unknown words are read as this.
    #[serde(other)]
    Manual,
}
