//! Opens with the call, ends with it however it ends: settles the budget and writes the log, once.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use serde_json::Value;

use super::Observer;
use crate::budget::{BudgetUsage, Reservation};
use gateway_model::error::{ErrorKind, Failure, HEDGE_LOST};
use gateway_model::{
    AttemptRecord, FinishReason, GatewayResponse, TokenUsage, ToolCall, UsageLog, UsageSource, Usd,
};

/// What is known of a call before it runs.
pub struct Start {
    pub request_id: String,
    pub started: Instant,
    pub observer: Arc<dyn Observer>,
    pub reservation: Option<Reservation>,
    /// The rule that matched, its provider and its model: what a failure's entry carries.
    pub route_rule: String,
    pub provider: String,
    pub model: String,
    pub feature: Option<String>,
    pub user_tier: Option<String>,
}

/// Who answered, and what it came to.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    pub provider: String,
    pub model: String,
    pub content: String,
    /// The upstream's own word.
    pub finish_reason: Option<String>,
    pub tool_calls: Vec<ToolCall>,
    pub reasoning: String,
    pub reasoning_details: Vec<Value>,
    pub usage: TokenUsage,
    pub total_tokens: Option<u64>,
    pub cost: Usd,
    pub latency_ms: u64,
    pub fallback_triggered: bool,
    pub fallback_from: Option<String>,
    pub degraded: bool,
    pub cached: bool,
    /// What the answer would have cost.
    pub saved: Option<Usd>,
    pub attempts: Vec<AttemptRecord>,
}

impl Outcome {
    fn total_tokens(&self) -> u64 {
        self.total_tokens.unwrap_or_else(|| self.usage.total())
    }

    /// Whatever the upstream calls it, an answer with calls has stopped for them.
    fn finish_reason(&self) -> Option<String> {
        if !self.tool_calls.is_empty() {
            return Some("tool_calls".to_owned());
        }
        self.finish_reason.as_deref().map(FinishReason::normalised)
    }

    /// The caller's answer.
    pub fn into_response(self, request_id: String) -> GatewayResponse {
        GatewayResponse {
            request_id,
            total_tokens: self.total_tokens(),
            finish_reason: self.finish_reason(),
            tool_calls: self.tool_calls.into_iter().map(Into::into).collect(),
            reasoning: self.reasoning,
            reasoning_details: self.reasoning_details,
            provider: self.provider,
            model: self.model,
            content: self.content,
            input_tokens: self.usage.input,
            output_tokens: self.usage.output,
            estimated_cost_usd: self.cost.dollars(),
            latency_ms: self.latency_ms,
            fallback_triggered: self.fallback_triggered,
            fallback_from: self.fallback_from,
            cache_read_tokens: self.usage.cache_read,
            cache_write_tokens: self.usage.cache_write,
            reasoning_tokens: self.usage.reasoning,
            usage_source: self.usage.source,
            cached: self.cached,
            degraded: self.degraded,
            attempts: self.attempts,
        }
    }
}

/// The open record of a call. Dropping it unended (a panic, a runtime that stops) returns the reservation and logs an abort.
pub struct CallRecord {
    start: Option<Start>,
}

impl CallRecord {
    pub fn open(start: Start) -> Self {
        Self { start: Some(start) }
    }

    /// A record of which nobody is told.
    pub fn detached() -> Self {
        Self { start: None }
    }

    /// Ends the call with what it used. `error_code` is set when it failed or was aborted on the way.
    pub fn end(mut self, outcome: &Outcome, error_code: Option<&str>) {
        if let Some(start) = self.start.take() {
            start.settle(outcome, error_code);
        }
    }

    /// Tells of a hedge loser: what it has cost is billed, too.
    pub fn hedge_lost(&self, provider: &str, model: &str, usage: TokenUsage, cost: Usd) -> Option<UsageLog> {
        let start = self.start.as_ref()?;
        if let Some(reservation) = &start.reservation {
            reservation.record_further(BudgetUsage {
                input_tokens: usage.input,
                output_tokens: usage.output,
                cost,
            });
        }
        Some(UsageLog {
            provider: provider.to_owned(),
            model: model.to_owned(),
            input_tokens: usage.input,
            output_tokens: usage.output,
            total_tokens: usage.total(),
            estimated_cost_usd: cost.dollars(),
            usage_source: usage.source,
            ..start.failure(HEDGE_LOST)
        })
    }

    /// Ends a call that was refused before any provider was asked: it has no entry.
    pub fn discard(mut self) {
        self.start = None;
    }

    /// Ends a call that nobody answered: nothing is billed.
    pub fn fail(mut self, failure: &Failure) {
        if let Some(start) = self.start.take() {
            start.fail(failure.log_code());
        }
    }
}

impl Drop for CallRecord {
    fn drop(&mut self) {
        if let Some(start) = self.start.take() {
            let kind = if std::thread::panicking() { ErrorKind::Internal } else { ErrorKind::Aborted };
            start.fail(kind.code());
        }
    }
}

impl Start {
    fn settle(mut self, outcome: &Outcome, error_code: Option<&str>) {
        if let Some(reservation) = self.reservation.take() {
            let warnings = reservation.settle(BudgetUsage {
                input_tokens: outcome.usage.input,
                output_tokens: outcome.usage.output,
                cost: outcome.cost,
            });
            for warning in warnings {
                self.observer.warning(format!("[budget-warn] {warning}"));
            }
        }
        self.observer.usage(UsageLog {
            timestamp: timestamp(),
            request_id: self.request_id,
            provider: outcome.provider.clone(),
            model: outcome.model.clone(),
            route_rule: self.route_rule,
            feature: self.feature,
            user_tier: self.user_tier,
            success: error_code.is_none(),
            input_tokens: outcome.usage.input,
            output_tokens: outcome.usage.output,
            cache_read_tokens: outcome.usage.cache_read,
            cache_write_tokens: outcome.usage.cache_write,
            total_tokens: outcome.total_tokens(),
            estimated_cost_usd: outcome.cost.dollars(),
            latency_ms: outcome.latency_ms,
            fallback_triggered: outcome.fallback_triggered,
            fallback_from: outcome.fallback_from.clone(),
            error_code: error_code.map(str::to_owned),
            usage_source: outcome.usage.source,
            cached: outcome.cached,
            degraded: outcome.degraded,
            saved_usd: outcome.saved.map(Usd::dollars),
        });
    }

    fn fail(self, error_code: &str) {
        // The reservation goes back as `self` is dropped.
        self.observer.usage(self.failure(error_code));
    }

    fn failure(&self, error_code: &str) -> UsageLog {
        UsageLog {
            timestamp: timestamp(),
            request_id: self.request_id.clone(),
            provider: self.provider.clone(),
            model: self.model.clone(),
            route_rule: self.route_rule.clone(),
            feature: self.feature.clone(),
            user_tier: self.user_tier.clone(),
            success: false,
            input_tokens: 0,
            output_tokens: 0,
            cache_read_tokens: None,
            cache_write_tokens: None,
            total_tokens: 0,
            estimated_cost_usd: 0.0,
            latency_ms: latency_ms(self.started),
            fallback_triggered: false,
            fallback_from: None,
            error_code: Some(error_code.to_owned()),
            usage_source: UsageSource::Reported,
            cached: false,
            degraded: false,
            saved_usd: None,
        }
    }
}

/// Whole milliseconds since a call's start.
pub fn latency_ms(started: Instant) -> u64 {
    let elapsed = started.elapsed().as_secs_f64() * 1e3;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let whole = elapsed.round() as u64;
    whole
}

thread_local! {
    /// The second that was written last, and how.
    static SECOND: RefCell<(i64, String)> = const { RefCell::new((i64::MIN, String::new())) };
}

/// Now, in RFC 3339 with milliseconds. Most calls share their second with another.
fn timestamp() -> String {
    let now = Timestamp::now();
    let (second, millisecond) = (now.as_second(), now.subsec_millisecond());
    SECOND.with_borrow_mut(|(last, text)| {
        if *last != second {
            *last = second;
            *text = now.strftime("%Y-%m-%dT%H:%M:%S").to_string();
        }
        format!("{text}.{millisecond:03}Z")
    })
}
