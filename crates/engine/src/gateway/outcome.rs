//! From what routing gave to what the call gave.

use std::sync::Arc;

use super::estimate::estimated_usage;
use crate::routing::{CallOptions, Routed};
use gateway_model::{Answer, ChatRequest, Outcome, TokenUsage, Usd};
use gateway_pricing::{Asked, PriceBook};

/// Parts what an attempt gave from who gave it. The answer of the outcome is still empty.
pub(super) fn split<T>(routed: Routed<T>, options: &CallOptions) -> (T, Outcome) {
    let Routed {
        output,
        entry,
        provider,
        model,
        fallback_from,
        fallback_triggered,
        degraded,
        hedge_losers: _,
        reservation: _,
    } = routed;
    let outcome = Outcome {
        answer: Answer { model: model.clone(), ..Answer::default() },
        entry,
        provider: provider.name().to_owned(),
        family: provider.family().to_owned(),
        asked_model: model,
        usage: TokenUsage::default(),
        cost: Usd::ZERO,
        fallback_triggered,
        fallback_from,
        degraded,
        attempts: options.attempts.if_several(),
    };
    (output, outcome)
}

/// The outcome of a whole answer, with its price; counts the tokens that its provider did not report.
pub(super) async fn priced(routed: Routed<Answer>, options: &CallOptions) -> Outcome {
    let (answer, outcome) = split(routed, options);
    let usage = usage_of(&answer, &outcome.asked_model, &options.request).await;
    let mut outcome = Outcome { answer, usage, ..outcome };
    outcome.cost = price(&outcome, &usage, options.estimator.prices());
    outcome
}

/// The tokens of an answer: what its provider did not report is counted.
pub async fn usage_of(answer: &Answer, asked_model: &str, request: &Arc<ChatRequest>) -> TokenUsage {
    let counted = || estimated_usage(asked_model, request, &answer.output_text());
    match answer.usage {
        Some(usage) if usage.unreported.is_none() => usage,
        Some(usage) => usage.completed(counted().await),
        None => counted().await,
    }
}

/// What `usage` costs. A chain's own reply is free, also where the model has a fee for each request.
pub(super) fn price(outcome: &Outcome, usage: &TokenUsage, prices: &PriceBook) -> Usd {
    if outcome.degraded {
        return Usd::ZERO;
    }
    let asked = Asked { entry: &outcome.entry, family: &outcome.family, model: &outcome.asked_model };
    prices.bill(asked, &outcome.answer.model, usage)
}
