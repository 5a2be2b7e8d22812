//! What every attempt of a call shares.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::attempt_admission::{AttemptAdmission, AttemptRefusal, Standing};
use super::attempt_log::AttemptLog;
use super::charges::{Charge, Charged, Charges};
use super::retry_budget::{RetryBudget, RetryToken};
use crate::budget::{BudgetWarning, Reservation};
use gateway_model::config::UnknownPrice;
use gateway_model::{ChatRequest, Provider, ProviderCall, TokenUsage, UsageSource, Usd};
use gateway_pricing::{Asked, PriceBook, tokens::Tokenizer};

#[derive(Clone)]
pub struct CallOptions {
    pub request: Arc<ChatRequest>,
    /// Of the whole call, retries and fallbacks included.
    pub deadline: Option<Instant>,
    /// The request's own `timeoutMs`, where that is the deadline: what it cuts short says nothing about the target.
    pub callers_deadline: Option<Instant>,
    pub attempts: Arc<AttemptLog>,
    /// What attempts that failed were charged nevertheless.
    pub charges: Arc<Charges>,
    /// Bounds attempts after the first; `None`: they are not bounded.
    pub retry_budget: Option<Arc<RetryBudget>>,
    pub estimator: Arc<dyn TokenEstimator>,
    /// Asked before each attempt; `None`: nothing limits what attempts may use.
    pub admission: Option<Arc<dyn AttemptAdmission>>,
}

impl CallOptions {
    pub fn new(request: Arc<ChatRequest>, estimator: Arc<dyn TokenEstimator>) -> Self {
        Self {
            request,
            deadline: None,
            callers_deadline: None,
            attempts: Arc::default(),
            charges: Arc::default(),
            retry_budget: None,
            estimator,
            admission: None,
        }
    }

    /// What a provider is asked in an attempt; `timeout` in place of its own, `output_cap` where the request sets no bound.
    pub fn provider_call(
        &self,
        model: String,
        timeout: Option<Duration>,
        output_cap: Option<u64>,
    ) -> ProviderCall {
        ProviderCall {
            max_tokens: self.request.max_tokens.or(output_cap),
            request: self.request.clone(),
            model,
            timeout,
            deadline: self.deadline,
            sent: Default::default(),
        }
    }

    /// Notes what an attempt was charged at `entry`, to be billed when the call ends; gives what it cost.
    pub(super) fn charge(
        &self,
        entry: &str,
        provider: &Arc<dyn Provider>,
        model: &str,
        charged: Charged,
    ) -> Usd {
        let Charged { usage, reservation, cut } = charged;
        // Nobody has the rejected answer to count what was not reported of it.
        let usage = usage.completed(TokenUsage::default());
        let cost = self.estimator.prices().cost(Asked { entry, family: provider.family(), model }, &usage);
        let (provider, model) = (provider.clone(), model.to_owned());
        let counted = Vec::new();
        self.charges.push(Charge { provider, model, reservation, counted, usage, cost, cut });
        cost
    }

    /// The call's prompt as counted, without an answer.
    pub(super) fn prompt_of(&self, model: &str) -> TokenUsage {
        let input = self.estimator.input_tokens(Tokenizer::of(model));
        TokenUsage { source: UsageSource::Estimated, ..TokenUsage::new(input, 0) }
    }

    /// Reserves what an attempt at this entry's model may use; `None`: nothing has to be reserved.
    ///
    /// # Errors
    /// Why it is not to be sent.
    pub(super) async fn admit(&self, asked: Asked<'_>) -> Result<Option<Reservation>, AttemptRefusal> {
        let Some(admission) = &self.admission else { return Ok(None) };
        match admission.admit_shared(asked) {
            Some(admitted) => admitted.await,
            None => admission.admit(asked),
        }
    }

    /// [`CallOptions::admit`] by what is known here: for tries that cannot wait.
    pub(super) fn admit_now(&self, asked: Asked<'_>) -> Result<Option<Reservation>, AttemptRefusal> {
        self.admission.as_ref().map_or(Ok(None), |admission| admission.admit(asked))
    }

    /// Prints warnings of budgets.
    pub(super) fn warn(&self, warnings: &[BudgetWarning]) {
        if let Some(admission) = &self.admission {
            admission.warn(warnings);
        }
    }

    /// Nothing was sent: each attempt that was asked for was refused.
    pub fn is_refused(&self) -> bool {
        self.admission.as_ref().is_some_and(|admission| admission.standing() != Standing::Open)
    }

    /// No further attempt is to be asked for.
    pub(super) fn is_closed(&self) -> bool {
        self.admission.as_ref().is_some_and(|admission| admission.standing() == Standing::Closed)
    }

    /// The caller had less patience than the entry.
    pub(super) fn is_past_callers_deadline(&self) -> bool {
        self.callers_deadline.is_some_and(|deadline| Instant::now() >= deadline)
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

    /// The prices that calls are estimated at.
    fn prices(&self) -> &PriceBook;

    /// US dollars.
    fn cost(&self, asked: Asked<'_>) -> f64 {
        self.known_cost(asked).unwrap_or(0.0)
    }

    /// US dollars; `None`: the model's price is not known.
    fn known_cost(&self, asked: Asked<'_>) -> Option<f64> {
        let usage = TokenUsage::new(self.input_tokens(Tokenizer::of(asked.model)), self.output_tokens());
        self.prices().known_cost(asked, &usage).map(Usd::dollars)
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

    /// Checks that the call costs at most `max` US dollars. A model without a known price counts as free, unless its entry
    /// refuses such models.
    ///
    /// # Errors
    /// The estimated cost.
    fn cost_within(&self, asked: Asked<'_>, max: f64) -> Result<(), f64> {
        let most = TokenUsage::new(self.input_upper_bound(), self.output_tokens());
        match self.prices().known_cost(asked, &most) {
            None if self.prices().unknown_price(asked.entry) == Some(UnknownPrice::Refuse) => {
                Err(f64::INFINITY)
            }
            None => Ok(()),
            Some(cost) if cost.dollars() <= max => Ok(()),
            Some(_) => {
                let counted = self.cost(asked);
                if counted <= max { Ok(()) } else { Err(counted) }
            }
        }
    }
}
