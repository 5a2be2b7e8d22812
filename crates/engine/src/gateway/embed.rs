//! Embeddings: the pipeline of a call, with vectors in place of an answer.

use std::sync::Arc;

use super::admission::Admitted;
use super::outcome::{self, price};
use super::{CallContext, Gateway, PromptEstimate, failed, kept, unless_cancelled};
use crate::routing::fallback;
use crate::routing::operation::Embed;
use crate::usage::latency_ms;
use gateway_model::error::Failure;
use gateway_model::{Billing, Delivery, EmbedRequest, EmbedResponse, TokenUsage, UsageSource};
use gateway_pricing::tokens;

impl Gateway {
    /// A vector for each text, in their order. Routed, budgeted and logged as [`Gateway::chat`] is.
    ///
    /// # Errors
    /// As [`Gateway::chat`]; a provider without embeddings is `invalid_request`, and a chain passes it over.
    pub async fn embed(&self, request: EmbedRequest, context: CallContext) -> Result<EmbedResponse, Failure> {
        let EmbedRequest { inputs, dimensions, common } = request;
        let cancel = context.cancel.clone();
        let estimate = Arc::new(PromptEstimate::of_texts(inputs.clone(), &common).at_prices(&self.prices));
        let plan = self.plan(common, estimate, &context)?;
        let Admitted { decision, options, mut record, request_id, started } =
            self.admit(plan, context.observer);
        let texts = Embed { inputs: inputs.clone(), dimensions };
        let run = fallback::embed(&decision, &self.providers, &options, &texts);
        let mut routed = match unless_cancelled(&cancel, run).await {
            Ok(routed) => routed,
            Err(failure) => {
                return Err(failed(record, failure, &request_id, &options, &context.gateway_observer).await);
            }
        };
        self.bill_others(&mut record, &mut routed, &options, &context.gateway_observer, |model| {
            counted(model.to_owned(), inputs.clone())
        });
        let (vectors, mut outcome) = outcome::split(routed, &options);
        outcome.answer.model = vectors.model;
        outcome.usage = match vectors.input_tokens {
            Some(tokens) => TokenUsage::new(tokens, 0),
            None => counted(outcome.asked_model.clone(), inputs).await,
        };
        outcome.cost = price(&outcome, &outcome.usage, &self.prices);
        let delivery = Delivery { request_id, latency_ms: latency_ms(started), billing: Billing::Own };
        let figures = outcome.figures(delivery);
        kept(record.end(&outcome, figures.clone(), None)).await;
        Ok(EmbedResponse {
            request_id: figures.request_id,
            vectors: vectors.vectors,
            provider: figures.provider,
            model: figures.model,
            input_tokens: figures.input_tokens,
            estimated_cost_usd: figures.estimated_cost_usd,
            usage_source: figures.usage_source,
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
