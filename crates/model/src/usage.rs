//! Tokens of one call, and the record that is written of it.

use serde::Serialize;

/// Where token counts come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum UsageSource {
    #[default]
    Reported,
    /// The provider gave no counts: the gateway counted the text itself.
    Estimated,
}

impl UsageSource {
    pub fn is_reported(&self) -> bool {
        *self == Self::Reported
    }
}

/// Tokens of one call. Cache reads and writes are part of `input`, reasoning is part of `output`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TokenUsage {
    pub input: u64,
    pub output: u64,
    pub cache_read: Option<u64>,
    pub cache_write: Option<u64>,
    /// Of the tokens written, those that the cache keeps for an hour, which cost more.
    pub cache_write_1h: Option<u64>,
    pub reasoning: Option<u64>,
    pub source: UsageSource,
}

impl TokenUsage {
    pub fn new(input: u64, output: u64) -> Self {
        Self { input, output, ..Self::default() }
    }

    pub fn total(&self) -> u64 {
        self.input.saturating_add(self.output)
    }
}

/// One line of the usage log: written exactly once for each call that reached a provider.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UsageLog {
    /// RFC 3339, UTC, milliseconds.
    pub timestamp: String,
    pub request_id: String,
    pub provider: String,
    pub model: String,
    pub route_rule: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub feature: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_tier: Option<String>,
    pub success: bool,
    pub input_tokens: u64,
    pub output_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_read_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_write_tokens: Option<u64>,
    pub total_tokens: u64,
    /// US dollars.
    pub estimated_cost_usd: f64,
    /// Milliseconds from the call's start to its end.
    pub latency_ms: u64,
    pub fallback_triggered: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback_from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_code: Option<String>,
    #[serde(skip_serializing_if = "UsageSource::is_reported")]
    pub usage_source: UsageSource,
    /// Answered from the cache, or with an identical call's answer.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cached: bool,
    /// A chain's fixed reply.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub degraded: bool,
    /// US dollars that a cached answer would have cost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub saved_usd: Option<f64>,
}
