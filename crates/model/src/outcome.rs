//! What a call gave, in one type: what is cached, what a stream comes to, what the caller gets and what is logged either
//! contain it or are made from it here.

use serde::Serialize;

use super::answer::{Answer, AttemptRecord};
use super::money::Usd;
use super::usage::{TokenUsage, UsageSource};

/// An answer, who gave it, and what it came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    pub answer: Answer,
    /// Name of the provider's entry, under which its health is found.
    pub entry: String,
    /// The provider's name, as answers and logs have it.
    pub provider: String,
    /// The provider's family: what its prices are looked up by.
    pub family: String,
    /// The model that was asked for; the answer's own is the one that the upstream reports.
    pub asked_model: String,
    /// As reported, or as counted where the provider gave no counts.
    pub usage: TokenUsage,
    pub cost: Usd,
    pub fallback_triggered: bool,
    /// The first provider asked, when another answered.
    pub fallback_from: Option<String>,
    /// It is a chain's `degradedReply`: nobody answered.
    pub degraded: bool,
    /// Of a call that took more than one attempt.
    pub attempts: Vec<AttemptRecord>,
}

/// Who pays for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Billing {
    /// The call itself.
    #[default]
    Own,
    /// The call that put the answer into the cache.
    Cached,
    /// The identical call that was in flight.
    Deduplicated,
}

/// What of a call's figures is its own, whoever else got the same outcome.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Delivery {
    pub request_id: String,
    /// Milliseconds from the call's start to its end.
    pub latency_ms: u64,
    pub billing: Billing,
}

/// Who answered a call and what that came to: what its answer and its log entry both say.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CallFigures {
    pub request_id: String,
    pub provider: String,
    pub model: String,
    pub input_tokens: u64,
    pub output_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_read_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_write_tokens: Option<u64>,
    /// Part of the answer alone: the log does not have it.
    #[serde(skip)]
    pub reasoning_tokens: Option<u64>,
    pub total_tokens: u64,
    /// US dollars.
    pub estimated_cost_usd: f64,
    /// Milliseconds from the call's start to its end.
    pub latency_ms: u64,
    pub fallback_triggered: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback_from: Option<String>,
    #[serde(skip_serializing_if = "UsageSource::is_reported")]
    pub usage_source: UsageSource,
    /// It was answered from the cache, or with an identical call's answer.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cached: bool,
    /// It is a chain's fixed reply: nobody answered.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub degraded: bool,
    /// Where it took more than one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<AttemptRecord>,
}

/// What the caller of `chat` gets.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayResponse {
    #[serde(flatten)]
    pub figures: CallFigures,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_tokens: Option<u64>,
    /// [Finished](Answer::finished).
    #[serde(flatten)]
    pub answer: Answer,
}

impl Outcome {
    /// The same as it was when its stream opened: nothing has been answered yet.
    pub fn before_answer(&self) -> Self {
        let answer = Answer { model: self.asked_model.clone(), ..Answer::default() };
        Self { answer, ..self.clone() }
    }

    /// The figures of a call that gets this outcome. One that another call pays for has used nothing.
    pub fn figures(&self, delivery: Delivery) -> CallFigures {
        let Delivery { request_id, latency_ms, billing } = delivery;
        let (usage, cost, total, attempts) = match billing {
            Billing::Own => (self.usage, self.cost, self.answer.total_tokens, self.attempts.clone()),
            Billing::Cached | Billing::Deduplicated => Default::default(),
        };
        let TokenUsage { input, output, cache_read, cache_write, reasoning, source, .. } = usage;
        CallFigures {
            request_id,
            provider: self.provider.clone(),
            model: self.answer.model.clone(),
            input_tokens: input,
            output_tokens: output,
            cache_read_tokens: cache_read,
            cache_write_tokens: cache_write,
            reasoning_tokens: reasoning,
            total_tokens: total.unwrap_or_else(|| usage.total()),
            estimated_cost_usd: cost.dollars(),
            latency_ms,
            fallback_triggered: self.fallback_triggered,
            fallback_from: self.fallback_from.clone(),
            usage_source: source,
            cached: billing != Billing::Own,
            degraded: self.degraded,
            attempts,
        }
    }
}

impl GatewayResponse {
    pub fn new(figures: CallFigures, answer: Answer) -> Self {
        Self { reasoning_tokens: figures.reasoning_tokens, figures, answer: answer.finished() }
    }
}
