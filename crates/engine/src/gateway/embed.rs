//! Embeddings: the pipeline of a call, with vectors in place of an answer.

use std::sync::Arc;

use super::admission::Admitted;
use super::{CallContext, Gateway, PromptEstimate, bill_hedge_losers, failed, unless_cancelled};
use crate::routing::fallback::execute;
use crate::usage::{Outcome, latency_ms};
use gateway_model::EmbedCall;
use gateway_model::error::Failure;
use gateway_model::{EmbedRequest, EmbedResponse, TokenUsage, UsageSource};
use gateway_pricing::{self as pricing, tokens};

impl Gateway {
    /// A vector for each text, in their order. Routed, budgeted and logged as [`Gateway::chat`] is.
    ///
    /// # Errors
    /// As [`Gateway::chat`]; a provider without embeddings is `invalid_request`, and a chain passes it over.
    pub async fn embed(&self, request: EmbedRequest, context: CallContext) -> Result<EmbedResponse, Failure> {
        let EmbedRequest { inputs, dimensions, common } = request;
        let cancel = context.cancel.clone();
        let estimate = Arc::new(PromptEstimate::of_texts(inputs.clone()));
        let plan = self.plan(common, estimate)?;
        let Admitted { decision, options, record, request_id, started } =
            self.admit(plan, context.observer)?;
        let run = execute(&decision, &self.providers, &options, |step| {
            let call = EmbedCall {
                inputs: inputs.clone(),
                dimensions,
                user_id: step.call.request.user_id.clone(),
                provider_options: step.call.request.provider_options.clone(),
                caller: step.call.request.caller,
                model: step.call.model,
                timeout: step.call.timeout,
                deadline: step.call.deadline,
                gate: step.call.gate,
            };
            async move { step.provider.embed(&call).await }
        });
        let routed = match unless_cancelled(&cancel, run).await {
            Ok(routed) => routed,
            Err(failure) => return Err(failed(record, failure, &request_id)),
        };
        let lasting = &context.lasting;
        bill_hedge_losers(&record, lasting, routed.hedge_losers, |model| {
            counted(model.to_owned(), inputs.clone())
        })
        .await;
        let vectors = routed.output;
        let usage = match vectors.input_tokens {
            Some(tokens) => TokenUsage::new(tokens, 0),
            None => counted(routed.model, inputs).await,
        };
        let outcome = Outcome {
            provider: routed.provider.name().to_owned(),
            cost: pricing::cost(routed.provider.family(), &vectors.model, &usage),
            model: vectors.model,
            usage,
            latency_ms: latency_ms(started),
            fallback_triggered: routed.fallback_triggered,
            fallback_from: routed.fallback_from,
            attempts: options.attempts.if_several(),
            ..Outcome::default()
        };
        record.end(&outcome, None);
        Ok(EmbedResponse {
            request_id,
            vectors: vectors.vectors,
            provider: outcome.provider,
            model: outcome.model,
            input_tokens: usage.input,
            estimated_cost_usd: outcome.cost.dollars(),
            usage_source: usage.source,
        })
    }
}

/// Off the runtime's workers: a vocabulary may have to load.
async fn counted(model: String, texts: Arc<[String]>) -> TokenUsage {
    let count = move || TokenUsage {
        source: UsageSource::Estimated,
        ..TokenUsage::new(tokens::count_texts(&model, &texts), 0)
    };
    tokio::task::spawn_blocking(count).await.unwrap_or_default()
}
