//! Budgets: `gateway.budgets.json`.

use std::time::Duration;

use serde::Deserialize;

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
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct BudgetScope {
    #[serde(rename = "type")]
    pub kind: ScopeKind,
    /// Limits the policy to one value; without it each value is counted separately.
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
    /// Fraction of a limit (0 to 1) from which the policy warns.
    #[serde(default, deserialize_with = "number")]
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
