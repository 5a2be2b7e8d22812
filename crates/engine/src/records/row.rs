//! A call's row, from its log entry.

use jiff::Timestamp;

use super::{RatesUsed, UsageRow};
use gateway_model::{UsageLog, Usd};

/// What the log entry does not say.
pub(crate) struct Beside {
    /// As in [`UsageRow::part`].
    pub part: u32,
    pub cost: Usd,
    pub saved: Usd,
    pub rates: Option<RatesUsed>,
    pub streamed: bool,
    pub first_token_ms: Option<u64>,
}

pub(crate) fn usage_row(entry: &UsageLog, beside: Beside) -> UsageRow {
    let UsageLog { call, figures } = entry;
    let Beside { part, cost, saved, rates, streamed, first_token_ms } = beside;
    UsageRow {
        request_id: figures.request_id.clone(),
        part,
        at_ms: Timestamp::now().as_millisecond(),
        provider: figures.provider.clone(),
        model: figures.model.clone(),
        route_rule: call.labels.route_rule.clone(),
        feature: call.labels.feature.clone(),
        user_tier: call.labels.user_tier.clone(),
        user_id: call.labels.user_id.clone(),
        key_id: None,
        team: None,
        metadata: call.labels.metadata.as_ref().and_then(|fields| serde_json::to_string(fields).ok()),
        success: call.success,
        error_code: call.error_code.clone(),
        input_tokens: figures.input_tokens,
        output_tokens: figures.output_tokens,
        cache_read_tokens: figures.cache_read_tokens,
        cache_write_tokens: figures.cache_write_tokens,
        reasoning_tokens: figures.reasoning_tokens,
        usage_source: figures.usage_source,
        cost: picodollars(cost),
        saved: picodollars(saved),
        rates: rates.filter(|_| figures.total_tokens > 0),
        latency_ms: figures.latency_ms,
        first_token_ms,
        streamed,
        cached: figures.cached,
        degraded: figures.degraded,
        fallback_triggered: figures.fallback_triggered,
        fallback_from: figures.fallback_from.clone(),
        attempts: figures.attempts.clone(),
    }
}

/// Far more than a call costs fits into 63 bits.
fn picodollars(cost: Usd) -> i64 {
    cost.picodollars().map_or(0, |amount| i64::try_from(amount).unwrap_or(i64::MAX))
}
