//! What a call may use: known by cheap bounds first, counted when a decision needs it.

use super::amount::{Amount, Range};
use gateway_model::Usd;
use gateway_model::config::{Enforcement, UnknownPrice};

/// Estimates what a call may use. Counting is expensive; it happens only when a limit could be reached.
pub trait CallEstimate: Send + Sync {
    /// The model that will answer.
    fn model(&self) -> &str;

    /// Cheap, and never below [`CallEstimate::input_tokens`].
    fn input_upper_bound(&self) -> u64;

    /// Counts the prompt. May be called several times, from several threads: the implementor caches the count.
    fn input_tokens(&self) -> u64;

    /// As [`CallEstimate::input_tokens`], for callers that cannot wait; `None`: counting would take a while.
    fn input_tokens_now(&self) -> Option<u64> {
        Some(self.input_tokens())
    }

    /// The request's own bound on its output tokens.
    fn max_tokens(&self) -> Option<u64>;

    /// The output tokens that may come where each answer was to have `bound` at most: options of the request may ask for more,
    /// and for several answers. Never below `bound`.
    fn sent_output(&self, bound: u64) -> u64 {
        bound
    }

    /// Whether the price of the model is known; [`CallEstimate::cost`] is zero where it is not.
    fn is_priced(&self) -> bool {
        true
    }

    /// Whether the entry wants its models refused under a limit in dollars where their price is not known.
    fn is_refused_unpriced(&self) -> bool {
        false
    }

    /// What this many tokens cost; more tokens never cost less.
    fn cost(&self, input: u64, output: u64) -> Usd;
}

/// More than any call costs.
const MAX_DOLLARS: f64 = 1e12;

/// A call's output tokens.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outputs {
    pub expected: u64,
    /// At least `expected`.
    pub bound: u64,
}

/// How a policy reckons with calls.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    pub enforcement: Enforcement,
    pub unknown_price: Option<UnknownPrice>,
}

impl Terms {
    /// A usage, or an estimate of one, as the policy counts it.
    pub fn count(self, amount: Amount, is_priced: bool) -> Amount {
        match self.unknown_price {
            Some(UnknownPrice::Rate { input, output }) if !is_priced => {
                let dollars = (amount.input as f64 * input + amount.output as f64 * output) / 1e3;
                Amount { cost: Usd::from_dollars(dollars.min(MAX_DOLLARS)), ..amount }
            }
            _ => amount,
        }
    }
}

/// What a call reserves.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReservationAmount {
    pub outputs: Outputs,
    expected: Range,
    bound: Range,
    /// The prompt was counted: the ranges are single figures.
    pub counted: bool,
    pub is_priced: bool,
}

impl ReservationAmount {
    /// From bounds, without counting the prompt.
    pub fn bounded(call: &dyn CallEstimate, outputs: Outputs) -> Self {
        Self::between(call, outputs, 0, call.input_upper_bound(), false)
    }

    /// Counts the prompt.
    pub fn counted(call: &dyn CallEstimate, outputs: Outputs) -> Self {
        let input = call.input_tokens();
        Self::between(call, outputs, input, input, true)
    }

    /// [`Self::counted`], as far as that takes no time.
    pub fn counted_now(call: &dyn CallEstimate, outputs: Outputs) -> Option<Self> {
        let input = call.input_tokens_now()?;
        Some(Self::between(call, outputs, input, input, true))
    }

    /// What a policy of these terms reserves: `strict` the bound, others what is expected.
    pub fn under(&self, terms: Terms) -> Range {
        let range = if terms.enforcement == Enforcement::Strict { self.bound } else { self.expected };
        let count = |amount| terms.count(amount, self.is_priced);
        Range { low: count(range.low), high: count(range.high) }
    }

    fn between(call: &dyn CallEstimate, outputs: Outputs, low: u64, high: u64, counted: bool) -> Self {
        // Sums of reservations must not saturate, or returning them would not lead back to zero.
        let most = Usd::from_dollars(MAX_DOLLARS);
        let amount = |input: u64, output: u64| Amount {
            input: input.into(),
            output: output.into(),
            either: 0,
            cost: call.cost(input, output).clamp(Usd::ZERO, most),
        };
        let range = |output: u64| {
            let low_amount = amount(low, output);
            Range { low: low_amount, high: if low == high { low_amount } else { amount(high, output) } }
        };
        let expected = range(outputs.expected);
        let bound = if outputs.bound == outputs.expected { expected } else { range(outputs.bound) };
        Self { outputs, expected, bound, counted, is_priced: call.is_priced() }
    }
}
