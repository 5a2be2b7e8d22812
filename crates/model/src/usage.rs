//! The tokens of one call, and its entry in the usage log.

use serde::Serialize;
use serde_json::{Map, Value};

use super::money::Usd;
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
    /// What the provider says that it charged, in picodollars: see [`TokenUsage::cost`].
    pub charged: Option<u64>,
    pub source: UsageSource,
    /// What the provider did not report: 0 here, until the gateway has counted it.
    pub unreported: Option<Side>,
}

/// A call's prompt or its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Input,
    Output,
}

impl TokenUsage {
    pub fn new(input: u64, output: u64) -> Self {
        Self { input, output, ..Self::default() }
    }

    /// Of counts of which one may not have been reported; `None`: neither was.
    pub fn known(input: Option<u64>, output: Option<u64>) -> Option<Self> {
        let unreported = match (input, output) {
            (None, None) => return None,
            (None, Some(_)) => Some(Side::Input),
            (Some(_), None) => Some(Side::Output),
            (Some(_), Some(_)) => None,
        };
        Some(Self { unreported, ..Self::new(input.unwrap_or_default(), output.unwrap_or_default()) })
    }

    /// What the provider says that it charged.
    pub fn cost(&self) -> Option<Usd> {
        self.charged.map(Usd::from_picodollars)
    }

    /// The same, with what was not reported as the gateway has `counted` it.
    #[must_use]
    pub fn completed(self, counted: Self) -> Self {
        let cached = self.cache_read.unwrap_or(0).saturating_add(self.cache_write.unwrap_or(0));
        let (input, output) = match self.unreported {
            None => return self,
            Some(Side::Input) => (counted.input.max(cached), self.output),
            Some(Side::Output) => (self.input, counted.output.max(self.reasoning.unwrap_or(0))),
        };
        Self { input, output, source: UsageSource::Estimated, unreported: None, ..self }
    }

    /// The same, where `total` is what the provider says that it comes to: what the counts leave out is output.
    #[must_use]
    pub fn with_total(self, total: Option<u64>) -> Self {
        let rest = total.and_then(|total| total.checked_sub(self.total())).unwrap_or(0);
        match self.unreported {
            None => Self { output: self.output.saturating_add(rest), ..self },
            Some(Side::Output) if total.is_some() => {
                Self { output: self.output.saturating_add(rest), unreported: None, ..self }
            }
            Some(Side::Input) if total.is_some() => {
                Self { input: self.input.saturating_add(rest), unreported: None, ..self }
            }
            Some(_) => self,
        }
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
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// As the request has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Map<String, Value>>,
}
