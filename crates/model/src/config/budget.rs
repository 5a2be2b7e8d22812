//! Budgets: `gateway.budgets.json`.

use std::time::Duration;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::values::{null_as_default, number, whole_number};

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
    /// What models without a known price are; refused under `strict` by default, free otherwise.
    #[serde(default)]
    pub unknown_price: Option<UnknownPrice>,
    /// What happens while the store of the counts is away; by default calls are refused under `strict`, and counted
    /// locally otherwise.
    #[serde(default)]
    pub on_store_error: Option<OnStoreError>,
}

/// What a budget does while its store is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnStoreError {
    /// Refuses calls.
    FailClosed,
    /// Counts on in this process, and passes the counts on when the store is back.
    Local,
}

/// What a model without a known price is under a limit in dollars.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum UnknownPrice {
    Refuse,
    Free,
    /// US dollars per 1,000 tokens.
    Rate {
        input: f64,
        output: f64,
    },
}

pub const AN_UNKNOWN_PRICE: &str =
    "must be \"refuse\", \"free\" or {inputPer1kTokens, outputPer1kTokens}, both numbers of 0 or more";

impl UnknownPrice {
    /// `None`: the value is none.
    pub fn read(value: &Value) -> Option<Self> {
        let rate = |fields: &Map<String, Value>, key: &str| {
            fields.get(key)?.as_f64().filter(|rate| *rate >= 0.0 && rate.is_finite())
        };
        match value {
            Value::String(word) if word == "refuse" => Some(Self::Refuse),
            Value::String(word) if word == "free" => Some(Self::Free),
            Value::Object(fields) if fields.len() == 2 => Some(Self::Rate {
                input: rate(fields, "inputPer1kTokens")?,
                output: rate(fields, "outputPer1kTokens")?,
            }),
            _ => None,
        }
    }
}

impl<'de> Deserialize<'de> for UnknownPrice {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        Self::read(&Value::deserialize(input)?).ok_or_else(|| D::Error::custom(AN_UNKNOWN_PRICE))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct BudgetScope {
    #[serde(rename = "type")]
    pub kind: ScopeKind,
    /// Limits the policy to one value; without it each value is counted separately.
    pub key: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ScopeKind {
    Global,
    /// By the request's `userTier`.
    User,
    Feature,
    /// The model that is asked.
    Model,
    /// By the request's `userId`.
    UserId,
    /// By the name of the entry that is asked.
    Provider,
}

/// Rolling windows: each starts with its first call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BudgetWindow {
    /// A single call: its estimate is checked before anything is sent.
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
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BudgetLimits {
    #[serde(default, deserialize_with = "whole_number", skip_serializing_if = "Option::is_none")]
    pub max_input_tokens: Option<u64>,
    #[serde(default, deserialize_with = "whole_number", skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<u64>,
    #[serde(default, deserialize_with = "whole_number", skip_serializing_if = "Option::is_none")]
    pub max_total_tokens: Option<u64>,
    /// US dollars.
    #[serde(default, deserialize_with = "number", skip_serializing_if = "Option::is_none")]
    pub max_cost_usd: Option<f64>,
    /// Fraction of a limit (0 to 1) from which the policy warns.
    #[serde(default, deserialize_with = "number", skip_serializing_if = "Option::is_none")]
    pub warn_at: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Enforcement {
    /// Warns only.
    Soft,
    /// Refuses calls once the limit is exceeded.
    Hard,
    /// Refuses a call that could exceed the limit.
    Strict,
}
