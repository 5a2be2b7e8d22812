//! The tokens of one call, and its entry in the usage log.

use serde::Serialize;

use super::outcome::CallFigures;

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
pub struct UsageLog {
    #[serde(flatten)]
    pub call: LoggedCall,
    /// The same as the answer's, where there is one.
    #[serde(flatten)]
    pub figures: CallFigures,
}

/// Of a log entry, what the call's answer does not say.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LoggedCall {
    /// RFC 3339, UTC, milliseconds.
    pub timestamp: String,
    #[serde(flatten)]
    pub labels: CallLabels,
    pub success: bool,
    /// Of a failure: the error's code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_code: Option<String>,
    /// US dollars that an answer which another call pays for would have cost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub saved_usd: Option<f64>,
}

/// What the log says of a call's request and its route.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CallLabels {
    /// The rule that matched.
    pub route_rule: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub feature: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_tier: Option<String>,
}
