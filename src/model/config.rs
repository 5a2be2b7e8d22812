//! Configuration as it is used: what the three files hold, once checked.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};

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
    pub base_url: Option<String>,
    pub enabled: Option<bool>,
    pub default_model: Option<String>,
    #[serde(default, deserialize_with = "null_as_default")]
    pub models: Vec<String>,
    /// Milliseconds for one attempt; for a stream, for the wait for each next byte.
    #[serde(default, deserialize_with = "whole_number")]
    pub timeout_ms: Option<u64>,
    pub retry: Option<RetryConfig>,
    pub auth: AuthConfig,
    #[serde(default, deserialize_with = "null_as_default")]
    pub headers: BTreeMap<String, String>,
    /// Bytes; longer answers are refused while reading. 32 MiB by default.
    #[serde(default, deserialize_with = "whole_number")]
    pub max_response_bytes: Option<u64>,
    /// Milliseconds after which a stream that nobody reads is closed. Five minutes by default.
    #[serde(default, deserialize_with = "whole_number")]
    pub stream_idle_ms: Option<u64>,
}

impl ProviderConfig {
    /// The model of a call that names none: the entry's default, else the first it lists.
    pub fn fallback_model(&self) -> Option<&str> {
        self.default_model.as_deref().or_else(|| self.models.first().map(String::as_str))
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetryConfig {
    /// Attempts in all; 1 by default.
    pub max_attempts: Option<u32>,
    /// Milliseconds before the second attempt, doubled for each one after; 500 by default.
    #[serde(default, deserialize_with = "whole_number")]
    pub backoff_ms: Option<u64>,
    /// Milliseconds; a longer `Retry-After` ends the attempt. 60,000 by default.
    #[serde(default, deserialize_with = "whole_number")]
    pub max_retry_after_ms: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AuthType {
    ApiKey,
    Bearer,
    None,
    CustomHeader,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuthConfig {
    #[serde(rename = "type")]
    pub kind: AuthType,
    pub env_var: Option<String>,
    pub header_name: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteRule {
    pub name: String,
    #[serde(default)]
    pub priority: f64,
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
    pub name: String,
    pub steps: Vec<FallbackStep>,
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
    /// Never raised by a failure.
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
    pub max_cost_usd: Option<f64>,
    /// Fraction of a limit (0 to 1) from which on the policy warns.
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
fn null_as_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(input: D) -> Result<T, D::Error> {
    Option::deserialize(input).map(Option::unwrap_or_default)
}

/// JavaScript has one kind of number: `1e21` and `2.5` are whole enough, what is below zero is not.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn whole_number<'de, D: Deserializer<'de>>(input: D) -> Result<Option<u64>, D::Error> {
    match Option::<f64>::deserialize(input)? {
        Some(number) if number < 0.0 => Err(serde::de::Error::custom("must be 0 or more")),
        number => Ok(number.map(|number| number as u64)),
    }
}
