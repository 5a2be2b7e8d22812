//! Providers: `gateway.providers.json`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::budget::UnknownPrice;
use super::settings::RateLimit;
use super::values::{
    count, filled, header_values, null_as_default, small_count, small_number, unless_false, weight,
    whole_number,
};

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
    /// Other hosts (`name`, or `name:port`) that a redirect may carry a request to, without keys; none by default.
    #[serde(default, deserialize_with = "null_as_default")]
    pub redirect_hosts: Vec<String>,
    /// Whether HTTP/2 is spoken where the server offers it; `https:` addresses only.
    #[serde(default, deserialize_with = "null_as_default")]
    pub http2: bool,
    /// Whether the vendor sees a request's `userId`.
    #[serde(default, deserialize_with = "null_as_default")]
    pub send_user_id: SendUserId,
    /// Milliseconds after which a stream that is not read is closed. Five minutes by default.
    #[serde(default, deserialize_with = "whole_number")]
    pub stream_idle_ms: Option<u64>,
    /// Settings of single families.
    #[serde(default, deserialize_with = "null_as_default")]
    pub options: ProviderOptions,
    /// Sends the entry's calls through Cloudflare AI Gateway; an explicit `baseUrl` wins.
    #[serde(default)]
    pub cloudflare_gateway: Option<CloudflareGateway>,
    /// Its share of a pool's traffic relative to the others'; 1 by default.
    #[serde(default, deserialize_with = "weight")]
    pub weight: Option<f64>,
    /// In pools of strategy `priority`: lower numbers come first; 0 by default.
    #[serde(default, deserialize_with = "whole_number")]
    pub priority: Option<u64>,
    /// Concurrent calls; further ones wait in turn. No limit by default.
    #[serde(default, deserialize_with = "count")]
    pub max_concurrency: Option<u64>,
    #[serde(default, deserialize_with = "null_as_default")]
    pub rate_limit: RateLimit,
    /// If set, a circuit breaker applies to every call. Targets of pools always have one.
    #[serde(default)]
    pub breaker: Option<BreakerConfig>,
    #[serde(default)]
    pub health_check: Option<HealthCheck>,
    /// What models without a known price are here; comes before what a budget says.
    #[serde(default)]
    pub unknown_price: Option<UnknownPrice>,
}

/// What the vendor sees of a request's `userId`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Value")]
pub enum SendUserId {
    /// Nothing.
    #[default]
    Never,
    /// The id.
    Plain,
    /// Its SHA-256, in hexadecimal digits.
    Hashed,
}

/// What is wrong with a `sendUserId`.
pub const SEND_USER_ID: &str = "must be true, false or \"hashed\"";

impl TryFrom<Value> for SendUserId {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, Self::Error> {
        match value {
            Value::Bool(true) => Ok(Self::Plain),
            Value::Bool(false) => Ok(Self::Never),
            Value::String(word) if word == "hashed" => Ok(Self::Hashed),
            _ => Err(format!("in field `sendUserId`: {SEND_USER_ID}")),
        }
    }
}

/// When a circuit breaker opens, and for how long.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "BreakerFields")]
pub struct BreakerConfig {
    /// Failures in a row that open it; 5 by default.
    pub failure_threshold: Option<u32>,
    /// Milliseconds until the first half-open probe; 60,000 by default.
    pub cooldown_ms: Option<u64>,
    /// Half-open probes, one at a time, that must succeed to close it; 3 by default.
    pub probes_to_close: Option<u32>,
}

/// A circuit breaker as it is written.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BreakerFields {
    #[serde(default, deserialize_with = "small_count")]
    failure_threshold: Option<u32>,
    #[serde(default, deserialize_with = "whole_number")]
    cooldown_ms: Option<u64>,
    #[serde(default, deserialize_with = "small_count")]
    probes_to_close: Option<u32>,
    /// The old name of `probes_to_close`.
    #[serde(default, deserialize_with = "small_count")]
    half_open_max_requests: Option<u32>,
}

/// What is wrong with `breaker.probesToClose` where it and its old name differ.
pub const NOT_AS_THE_OLD_NAME: &str = "must equal halfOpenMaxRequests, its old name, where both are set";

impl TryFrom<BreakerFields> for BreakerConfig {
    type Error = String;

    fn try_from(fields: BreakerFields) -> Result<Self, Self::Error> {
        let BreakerFields { failure_threshold, cooldown_ms, probes_to_close, half_open_max_requests: old } =
            fields;
        if probes_to_close.is_some() && old.is_some() && probes_to_close != old {
            return Err(format!("in field `probesToClose`: {NOT_AS_THE_OLD_NAME}"));
        }
        Ok(Self { failure_threshold, cooldown_ms, probes_to_close: probes_to_close.or(old) })
    }
}

/// Active health checks, made even while no calls are made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HealthCheck {
    /// Milliseconds between two checks; 30,000 by default.
    #[serde(default, deserialize_with = "count")]
    pub interval_ms: Option<u64>,
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

/// A Cloudflare AI Gateway to use in place of the vendor's own address.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CloudflareGateway {
    pub account_id: String,
    pub gateway_id: String,
    /// The environment variable of the token of an authenticated gateway.
    #[serde(default, deserialize_with = "filled")]
    pub token_env_var: Option<String>,
    /// Seconds that its cache keeps answers.
    #[serde(default, deserialize_with = "whole_number")]
    pub cache_ttl: Option<u64>,
    /// Bypasses its cache.
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
    #[serde(default, deserialize_with = "null_as_default")]
    pub jitter: Jitter,
}

/// How waits between attempts are randomized.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Jitter {
    /// By 15 % up or down, as ai-gateway-lite does.
    #[default]
    Small,
    /// Anything from no wait to the full wait.
    Full,
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

/// Where to find a provider's key. Custom providers need none of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuthConfig {
    #[serde(rename = "type", default, deserialize_with = "null_as_default")]
    pub kind: AuthType,
    /// The environment variable of the key.
    pub env_var: Option<String>,
    /// In its place: the variables of several keys, which take turns.
    #[serde(default, deserialize_with = "null_as_default")]
    pub env_vars: Vec<String>,
    pub header_name: Option<String>,
}

impl AuthConfig {
    /// The environment variables of the keys, without duplicates; empty for an entry that sends no key or does not say
    /// where it is.
    pub fn variables(&self) -> Vec<&str> {
        let named = match &*self.env_vars {
            _ if self.kind == AuthType::None => &[],
            [] => self.env_var.as_slice(),
            several => several,
        };
        let mut variables: Vec<&str> = Vec::new();
        for name in named.iter().map(String::as_str).filter(|name| !name.is_empty()) {
            if !variables.contains(&name) {
                variables.push(name);
            }
        }
        variables
    }
}
