//! Budgets on their own.

use napi_derive::napi;
use serde::Deserialize;

use super::errors::settled;
use gateway_engine::budget::{BudgetGuard, BudgetTracker, BudgetUsage, Scope};
use gateway_engine::config;
use gateway_model::Usd;
use gateway_model::config::BudgetPolicy;
use gateway_model::error::GatewayError;

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Figures {
    input_tokens: Option<f64>,
    output_tokens: Option<f64>,
    cost_usd: Option<f64>,
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn usage(json: &str) -> Result<BudgetUsage, GatewayError> {
    let figures: Figures = serde_json::from_str(json).map_err(|_| {
        GatewayError::invalid_request("usage", "must be {inputTokens, outputTokens, costUsd}")
    })?;
    let count = |number: Option<f64>| number.unwrap_or(0.0).max(0.0) as u64;
    Ok(BudgetUsage {
        input_tokens: count(figures.input_tokens),
        output_tokens: count(figures.output_tokens),
        cost: Usd::from_dollars(figures.cost_usd.unwrap_or(0.0)),
    })
}

fn policies(json: &str) -> Result<Vec<BudgetPolicy>, GatewayError> {
    let raw: serde_json::Value = serde_json::from_str(json)
        .map_err(|error| GatewayError::config_invalid(format_args!("not JSON: {error}")))?;
    config::budgets(&raw)
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ScopeFields {
    user_tier: Option<String>,
    feature: Option<String>,
    model: Option<String>,
    user_id: Option<String>,
    provider: Option<String>,
    key: Option<String>,
    team: Option<String>,
}

#[napi]
#[derive(Default)]
pub struct NativeBudgetTracker {
    tracker: BudgetTracker,
}

#[napi]
impl NativeBudgetTracker {
    #[napi(constructor, catch_unwind)]
    pub fn new() -> Self {
        Self::default()
    }

    /// `policy` as an array of one.
    #[napi(catch_unwind)]
    pub fn check(&self, policy: String, scope_key: String, pending: String) -> String {
        settled(one(&policy).and_then(|policy| Ok(self.tracker.check(&policy, &scope_key, usage(&pending)?))))
    }

    #[napi(catch_unwind)]
    pub fn record(&self, policy: String, scope_key: String, used: String) -> String {
        settled(one(&policy).and_then(|policy| {
            self.tracker.record(&policy, &scope_key, usage(&used)?);
            Ok(())
        }))
    }
}

fn one(policy: &str) -> Result<BudgetPolicy, GatewayError> {
    policies(policy)?.pop().ok_or_else(|| GatewayError::config_invalid("budgets: a policy is missing"))
}

#[napi]
pub struct NativeBudgetGuard {
    guard: BudgetGuard,
}

#[napi]
impl NativeBudgetGuard {
    /// Policies that cannot be used are refused when the guard is first asked.
    #[napi(constructor, catch_unwind)]
    pub fn new(budgets: String) -> napi::Result<Self> {
        let policies = policies(&budgets).map_err(|error| napi::Error::from_reason(error.message))?;
        Ok(Self { guard: BudgetGuard::new(policies) })
    }

    #[napi(catch_unwind)]
    pub fn check(&self, scope: String, estimated: String) -> String {
        settled(
            usage(&estimated).map(|estimated| with_scope(&scope, |scope| self.guard.check(scope, estimated))),
        )
    }

    #[napi(catch_unwind)]
    pub fn record(&self, scope: String, used: String) -> String {
        settled(usage(&used).map(|used| with_scope(&scope, |scope| self.guard.record(scope, used))))
    }
}

fn with_scope<T>(json: &str, work: impl FnOnce(&Scope<'_>) -> T) -> T {
    let fields: ScopeFields = serde_json::from_str(json).unwrap_or_default();
    work(&Scope {
        user_tier: fields.user_tier.as_deref(),
        feature: fields.feature.as_deref(),
        model: fields.model.as_deref(),
        user_id: fields.user_id.as_deref(),
        provider: fields.provider.as_deref(),
        key: fields.key.as_deref(),
        team: fields.team.as_deref(),
    })
}
