//! Budgets: `gateway.budgets.json`.

use std::time::Duration;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, IntoDeserializer, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::calendar::{CalendarWindow, WindowSpan};
use super::values::{null_as_default, number, whole_number};
use super::words::words;

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
    /// By the id of the key that a server's client calls with: calls in process have none.
    Key,
    /// By the team of that key.
    Team,
}

/// The time that is counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum BudgetWindow {
    /// A single call: its estimate is checked before anything is sent.
    Request,
    /// Rolling, as are the next two: it begins with its first call.
    Hour,
    Day,
    /// 30 days.
    Month,
    Calendar(CalendarWindow),
}

/// The windows that are one word.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WindowWord {
    Request,
    Hour,
    Day,
    Month,
}

impl From<WindowWord> for BudgetWindow {
    fn from(word: WindowWord) -> Self {
        match word {
            WindowWord::Request => Self::Request,
            WindowWord::Hour => Self::Hour,
            WindowWord::Day => Self::Day,
            WindowWord::Month => Self::Month,
        }
    }
}

impl BudgetWindow {
    /// Of a rolling window; of one of the calendar, how long it mostly is. `None` for [`BudgetWindow::Request`].
    pub fn duration(&self) -> Option<Duration> {
        let hours = match self {
            Self::Request => return None,
            Self::Hour => 1,
            Self::Day => 24,
            Self::Month => 30 * 24,
            Self::Calendar(window) => return Some(window.usual_duration()),
        };
        Some(Duration::from_secs(hours * 3600))
    }

    /// The calendar's window that contains a moment, in milliseconds since the Unix epoch. `None`: the windows are others.
    pub fn calendar_span(&self, moment: i64) -> Option<WindowSpan> {
        match self {
            Self::Calendar(window) => Some(window.span_at(moment)),
            Self::Request | Self::Hour | Self::Day | Self::Month => None,
        }
    }
}

impl<'de> Deserialize<'de> for BudgetWindow {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_any(WordOrCalendar)
    }
}

/// Read as it comes, so that faults have their path.
struct WordOrCalendar;

impl<'de> Visitor<'de> for WordOrCalendar {
    type Value = BudgetWindow;

    fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "one of {} or {{unit, timeZone}}", words::<WindowWord>().join(", "))
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<Self::Value, E> {
        WindowWord::deserialize(word.into_deserializer()).map(BudgetWindow::from)
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Self::Value, A::Error> {
        CalendarWindow::deserialize(MapAccessDeserializer::new(fields)).map(BudgetWindow::Calendar)
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
