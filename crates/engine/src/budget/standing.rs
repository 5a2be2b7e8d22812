//! How budgets stand: what is spent and reserved for each policy and scope value.

use jiff::Timestamp;
use serde::Serialize;

use super::amount::{Amount, BudgetUsage};
use super::clock::Moment;
use super::ledger::Account;
use super::window::Bucket;
use gateway_model::config::BudgetLimits;

/// One count of a policy.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BudgetStanding {
    pub policy: String,
    /// What the count is of; absent for policies of all calls together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope_value: Option<String>,
    /// In the window that runs.
    pub spent: StandingAmount,
    /// By calls in flight, as an upper bound where their prompts are not counted.
    pub reserved: StandingAmount,
    /// As configured.
    pub limits: BudgetLimits,
    /// RFC 3339, UTC; absent where no window runs: a rolling one begins with a call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window_ends_at: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StandingAmount {
    pub input_tokens: u64,
    pub output_tokens: u64,
    pub total_tokens: u64,
    /// US dollars.
    pub cost_usd: f64,
}

impl From<Amount> for StandingAmount {
    fn from(amount: Amount) -> Self {
        let BudgetUsage { input_tokens, output_tokens, cost } = amount.into();
        let total_tokens = input_tokens.saturating_add(output_tokens);
        Self { input_tokens, output_tokens, total_tokens, cost_usd: cost.dollars() }
    }
}

/// The counts of an account, by scope value: of those in use, and of the one value where the policy has only one.
pub(super) fn standings(account: &Account, now: Moment) -> Vec<BudgetStanding> {
    let Account { policy, buckets, .. } = account;
    let mut counts: Vec<(&str, Option<&Bucket>)> =
        buckets.in_use(now).map(|(key, bucket)| (&**key, Some(bucket))).collect();
    counts.sort_unstable_by_key(|(key, _)| *key);
    if counts.is_empty()
        && let Some(only) = policy.only_value()
    {
        counts.push((only, None));
    }
    counts.into_iter().map(|(key, bucket)| standing(account, key, bucket, now)).collect()
}

/// The count of one scope value.
pub(super) fn standing_of(account: &Account, key: &str, now: Moment) -> BudgetStanding {
    standing(account, key, account.buckets.get(key), now)
}

fn standing(account: &Account, key: &str, bucket: Option<&Bucket>, now: Moment) -> BudgetStanding {
    let Account { policy, buckets, .. } = account;
    let runs = bucket.and_then(|bucket| Some((bucket, buckets.ends(bucket, now)?)));
    let ends = runs.map(|(_, ends)| ends).or_else(|| buckets.ends_unused(now));
    BudgetStanding {
        policy: policy.name.clone(),
        scope_value: policy.is_scoped().then(|| key.to_owned()),
        spent: runs.map(|(bucket, _)| bucket.spent.into()).unwrap_or_default(),
        reserved: bucket.map(|bucket| (bucket.reserved.high + bucket.others).into()).unwrap_or_default(),
        limits: policy.configured,
        window_ends_at: ends.map(written),
    }
}

fn written(ms: i64) -> String {
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX).strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}
