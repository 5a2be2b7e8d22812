//! Configuration as it is used: what the three files hold, once checked.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// The whole configuration of a gateway.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct GatewayConfig {
    pub providers: Vec<ProviderConfig>,
    pub routes: Vec<RouteRule>,
    #[serde(rename = "fallbackChains", default, deserialize_with = "null_as_default")]
    pub fallback_chains: Vec<FallbackChain>,
    #[serde(default, deserialize_with = "null_as_default")]
    pub budgets: Vec<BudgetPolicy>,
}

/// One provider entry.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProviderConfig {
    pub name: String,
    /// The family: `openai`, `anthropic`, …
    pub provider: String,
    #[serde(default, deserialize_with = "filled")]
    pub base_url: Option<String>,
    #[serde(default, deserialize_with = "unless_false")]
    pub enabled: Option<bool>,
    pub default_model: Option<String>,
    #[serde(default, deserialize_with = "null_as_default")]
    pub models: Vec<String>,
    /// Milliseconds for one attempt; for a stream, for the wait for each next byte.
    #[serde(default, deserialize_with = "whole_number")]
    pub timeout_ms: Option<u64>,
    pub retry: Option<RetryConfig>,
    #[serde(default, deserialize_with = "null_as_default")]
    pub auth: AuthConfig,
    #[serde(default, deserialize_with = "header_values")]
    pub headers: BTreeMap<String, String>,
    /// Bytes; longer answers are refused while reading. 32 MiB by default.
    #[serde(default, deserialize_with = "whole_number")]
    pub max_response_bytes: Option<u64>,
    /// Milliseconds after which a stream that nobody reads is closed. Five minutes by default.
    #[serde(default, deserialize_with = "whole_number")]
    pub stream_idle_ms: Option<u64>,
    /// What only one family understands.
    #[serde(default, deserialize_with = "null_as_default")]
    pub options: ProviderOptions,
    /// Sends the entry's calls through Cloudflare AI Gateway; an explicit `baseUrl` wins.
    #[serde(default)]
    pub cloudflare_gateway: Option<CloudflareGateway>,
}

impl ProviderConfig {
    /// The model of a call that names none: the entry's default, else the first it lists.
    pub fn fallback_model(&self) -> Option<&str> {
        self.default_model.as_deref().or_else(|| self.models.first().map(String::as_str))
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProviderOptions {
    /// `mock`: milliseconds before each token of a stream; 0 by default.
    #[serde(default, deserialize_with = "whole_number")]
    pub delay_ms: Option<u64>,
    /// `openai`, `azure`: `"responses"` asks through the Responses API instead of chat completions.
    #[serde(default, deserialize_with = "filled")]
    pub api: Option<String>,
    /// `azure`: the `api-version` of each address; none by default, as the `/openai/v1` addresses need none.
    #[serde(default, deserialize_with = "filled")]
    pub api_version: Option<String>,
    /// `azure`: the deployment that the older addresses (`/openai/deployments/NAME/…`) name in place of a model.
    #[serde(default, deserialize_with = "filled")]
    pub deployment: Option<String>,
    /// `azure`: the resource's name, where there is no `baseUrl`.
    #[serde(default, deserialize_with = "filled")]
    pub resource: Option<String>,
    /// `bedrock`: the AWS region; otherwise `AWS_REGION`, `AWS_DEFAULT_REGION`, `us-east-1`.
    #[serde(default, deserialize_with = "filled")]
    pub region: Option<String>,
    /// `workers-ai`: the Cloudflare account.
    #[serde(default, deserialize_with = "filled")]
    pub account_id: Option<String>,
}

/// Where Cloudflare AI Gateway stands in for the vendor's own address.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CloudflareGateway {
    pub account_id: String,
    pub gateway_id: String,
    /// The environment variable of the token of an authenticated gateway.
    #[serde(default, deserialize_with = "filled")]
    pub token_env_var: Option<String>,
    /// Seconds that answers are kept in its cache.
    #[serde(default, deserialize_with = "whole_number")]
    pub cache_ttl: Option<u64>,
    /// Its cache is passed by.
    #[serde(default, deserialize_with = "null_as_default")]
    pub skip_cache: bool,
    /// The address before the account, where it is not Cloudflare's own.
    #[serde(default, deserialize_with = "filled")]
    pub base_url: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetryConfig {
    /// Attempts in all; 1 by default.
    #[serde(default, deserialize_with = "small_number")]
    pub max_attempts: Option<u32>,
    /// Milliseconds before the second attempt, doubled for each one after; 500 by default.
    #[serde(default, deserialize_with = "whole_number")]
    pub backoff_ms: Option<u64>,
    /// Milliseconds; a longer `Retry-After` ends the attempt. 60,000 by default.
    #[serde(default, deserialize_with = "whole_number")]
    pub max_retry_after_ms: Option<u64>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AuthType {
    #[default]
    ApiKey,
    Bearer,
    None,
    CustomHeader,
}

/// Where the key of a provider is found. Families of a program's own need none of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuthConfig {
    #[serde(rename = "type", default, deserialize_with = "null_as_default")]
    pub kind: AuthType,
    /// The environment variable of the key; where only `envVars` is written, its first.
    pub env_var: Option<String>,
    #[serde(default, deserialize_with = "null_as_default")]
    pub env_vars: Vec<String>,
    pub header_name: Option<String>,
}

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
}

/// A rule matches when each field that is set equals the request's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteMatch {
    pub task_type: Option<String>,
    pub user_tier: Option<String>,
    pub sensitivity: Option<String>,
    pub feature: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteTarget {
    pub provider: String,
    pub model: Option<String>,
    pub fallback_chain: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteConstraints {
    /// US dollars: the rule is passed over when the estimate is higher.
    #[serde(default, deserialize_with = "number")]
    pub max_cost_usd: Option<f64>,
    /// The rule is passed over when the prompt is longer.
    #[serde(default, deserialize_with = "whole_number")]
    pub max_input_tokens: Option<u64>,
    /// Milliseconds for the whole call, retries and fallbacks included.
    #[serde(default, deserialize_with = "whole_number")]
    pub max_latency_ms: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct FallbackChain {
    #[serde(default, deserialize_with = "null_as_default")]
    pub name: String,
    pub steps: Vec<FallbackStep>,
    #[serde(default, deserialize_with = "null_as_default")]
    pub execution: ChainExecution,
}

/// Who goes down a chain.
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
    /// Failures of the step before that lead here; empty: any.
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
    /// Never raised by a failure; so is any word that is not known.
    #[serde(other)]
    Manual,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BudgetPolicy {
    pub name: String,
    pub scope: BudgetScope,
    pub window: BudgetWindow,
    #[serde(default, deserialize_with = "null_as_default")]
    pub limits: BudgetLimits,
    pub enforcement: Enforcement,
    /// With `strict` enforcement: the output bound of a call that sets no `maxTokens`; 4,096 by default.
    #[serde(default, deserialize_with = "whole_number")]
    pub max_output_tokens_per_call: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct BudgetScope {
    #[serde(rename = "type")]
    pub kind: ScopeKind,
    /// Limits the policy to one value; without it each value has a count of its own.
    pub key: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScopeKind {
    Global,
    /// By the request's `userTier`.
    User,
    Feature,
    Model,
}

/// Rolling windows: each starts with its first call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BudgetWindow {
    /// One call: checked against its estimate before anything is sent.
    Request,
    Hour,
    Day,
    /// 30 days.
    Month,
}

impl BudgetWindow {
    /// `None` for [`BudgetWindow::Request`].
    pub fn duration(self) -> Option<Duration> {
        let hours = match self {
            Self::Request => return None,
            Self::Hour => 1,
            Self::Day => 24,
            Self::Month => 30 * 24,
        };
        Some(Duration::from_secs(hours * 3600))
    }
}

/// 0 and absent mean no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BudgetLimits {
    #[serde(default, deserialize_with = "whole_number")]
    pub max_input_tokens: Option<u64>,
    #[serde(default, deserialize_with = "whole_number")]
    pub max_output_tokens: Option<u64>,
    #[serde(default, deserialize_with = "whole_number")]
    pub max_total_tokens: Option<u64>,
    /// US dollars.
    #[serde(default, deserialize_with = "number")]
    pub max_cost_usd: Option<f64>,
    /// Fraction of a limit (0 to 1) from which on the policy warns.
    #[serde(default, deserialize_with = "number")]
    pub warn_at: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Enforcement {
    /// Warns only.
    Soft,
    /// Refuses calls once the limit is passed.
    Hard,
    /// Refuses a call that could pass the limit.
    Strict,
}

/// `null` counts as unset.
fn null_as_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    input: D,
) -> Result<T, D::Error> {
    Option::deserialize(input).map(Option::unwrap_or_default)
}

/// JavaScript takes `"5000"` for a number where one is needed, and settings often come from the environment.
struct NumberVisitor;

impl<'de> Visitor<'de> for NumberVisitor {
    type Value = Option<f64>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a number")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Some(number))
    }

    #[allow(clippy::cast_precision_loss)]
    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Some(number as f64))
    }

    #[allow(clippy::cast_precision_loss)]
    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Some(number as f64))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        match text.trim() {
            "" => Ok(None),
            text => match text.parse::<f64>() {
                Ok(number) if number.is_finite() => Ok(Some(number)),
                _ => Err(E::custom("must be a number")),
            },
        }
    }
}

fn number<'de, D: Deserializer<'de>>(input: D) -> Result<Option<f64>, D::Error> {
    input.deserialize_any(NumberVisitor)
}

fn number_or_zero<'de, D: Deserializer<'de>>(input: D) -> Result<f64, D::Error> {
    number(input).map(Option::unwrap_or_default)
}

/// `1e21` and `2.5` are whole enough, what is below zero is not.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn whole_number<'de, D: Deserializer<'de>>(input: D) -> Result<Option<u64>, D::Error> {
    match number(input)? {
        Some(number) if number < 0.0 => Err(D::Error::custom("must be a number of 0 or more")),
        number => Ok(number.map(|number| number as u64)),
    }
}

fn small_number<'de, D: Deserializer<'de>>(input: D) -> Result<Option<u32>, D::Error> {
    Ok(whole_number(input)?.map(|number| u32::try_from(number).unwrap_or(u32::MAX)))
}

/// Empty text counts as unset.
fn filled<'de, D: Deserializer<'de>>(input: D) -> Result<Option<String>, D::Error> {
    Ok(Option::deserialize(input)?.filter(|text: &String| !text.is_empty()))
}

/// Only `false` itself switches something off.
fn unless_false<'de, D: Deserializer<'de>>(input: D) -> Result<Option<bool>, D::Error> {
    Ok(Option::<Value>::deserialize(input)?.map(|value| value != Value::Bool(false)))
}

/// `fetch` takes numbers and booleans as header values.
fn header_values<'de, D: Deserializer<'de>>(input: D) -> Result<BTreeMap<String, String>, D::Error> {
    let headers = Option::<BTreeMap<String, Value>>::deserialize(input)?.unwrap_or_default();
    let read = |(name, value)| match value {
        Value::Null => None,
        Value::String(text) => Some(Ok((name, text))),
        Value::Number(_) | Value::Bool(_) => Some(Ok((name, value.to_string()))),
        Value::Array(_) | Value::Object(_) => Some(Err(D::Error::custom("must map names to strings"))),
    };
    headers.into_iter().filter_map(read).collect()
}
