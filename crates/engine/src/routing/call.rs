//! What every attempt of a call shares.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::attempt_log::AttemptLog;
use super::retry_budget::{RetryBudget, RetryToken};
use gateway_model::{ChatRequest, ProviderCall, TokenUsage, Usd};
use gateway_pricing::{self as pricing, tokens::Tokenizer};

#[derive(Clone)]
pub struct CallOptions {
    pub request: Arc<ChatRequest>,
    /// The request's `maxTokens`, or the cap a strict budget sets.
    pub max_tokens: Option<u64>,
    /// Of the whole call, retries and fallbacks included.
    pub deadline: Option<Instant>,
    pub attempts: Arc<AttemptLog>,
    /// Bounds attempts after the first; `None`: they are not bounded.
    pub retry_budget: Option<Arc<RetryBudget>>,
    pub estimator: Arc<dyn TokenEstimator>,
}

impl CallOptions {
    pub fn new(request: Arc<ChatRequest>, estimator: Arc<dyn TokenEstimator>) -> Self {
        Self {
            max_tokens: request.max_tokens,
            request,
            deadline: None,
            attempts: Arc::default(),
            retry_budget: None,
            estimator,
        }
    }

    /// What a provider is asked in an attempt; `timeout` in place of its own.
    pub fn provider_call(&self, model: String, timeout: Option<Duration>) -> ProviderCall {
        ProviderCall {
            request: self.request.clone(),
            model,
            max_tokens: self.max_tokens,
            timeout,
            deadline: self.deadline,
        }
    }

    pub(super) fn is_late(&self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// Takes one further attempt out of the retry budget; `None`: it is used up.
    pub(super) fn withdraw_retry(&self) -> Option<RetryToken<'_>> {
        match &self.retry_budget {
            Some(budget) => budget.withdraw(),
            None => Some(RetryToken::free()),
        }
    }
}

/// Estimates what a call may use. Counting tokens costs, so that it is done only when somebody asks.
pub trait TokenEstimator: Send + Sync {
    /// The prompt's tokens.
    fn input_tokens(&self, tokenizer: Tokenizer) -> u64;

    /// A bound on the prompt's tokens with any tokenizer, known without counting.
    fn input_upper_bound(&self) -> u64;

    /// As many as the answer may have; where nothing bounds it, as many as are assumed.
    fn output_tokens(&self) -> u64;

    /// The prompt's tokens on `model`, and the answer's, which count for `most_output` at most.
    fn tokens(&self, model: &str, most_output: u64) -> u64 {
        self.input_tokens(Tokenizer::of(model)).saturating_add(self.output_tokens().min(most_output))
    }

    /// US dollars.
    fn cost(&self, family: &str, model: &str) -> f64 {
        cost(family, model, self.input_tokens(Tokenizer::of(model)), self.output_tokens())
    }

    /// US dollars; `None`: the model's price is not known.
    fn known_cost(&self, family: &str, model: &str) -> Option<f64> {
        let usage = TokenUsage::new(self.input_tokens(Tokenizer::of(model)), self.output_tokens());
        pricing::known_cost(family, model, &usage).map(Usd::dollars)
    }

    /// Checks that the prompt has at most `max` tokens on `model`.
    ///
    /// # Errors
    /// The tokens it has.
    fn input_tokens_within(&self, model: &str, max: u64) -> Result<(), u64> {
        if self.input_upper_bound() <= max {
            return Ok(());
        }
        let counted = self.input_tokens(Tokenizer::of(model));
        if counted <= max { Ok(()) } else { Err(counted) }
    }

    /// Checks that the call costs at most `max` US dollars on `model`.
    ///
    /// # Errors
    /// The estimated cost.
    fn cost_within(&self, family: &str, model: &str, max: f64) -> Result<(), f64> {
        if cost(family, model, self.input_upper_bound(), self.output_tokens()) <= max {
            return Ok(());
        }
        let counted = self.cost(family, model);
        if counted <= max { Ok(()) } else { Err(counted) }
    }
}

fn cost(family: &str, model: &str, input: u64, output: u64) -> f64 {
    pricing::cost(family, model, &TokenUsage::new(input, output)).dollars()
}
