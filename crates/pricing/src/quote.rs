//! Estimates what a call would cost at each of many models, for strategies that compare them: no look-up for each call.

use super::cache::{self, Edition};
use super::rates::{ATTO_PER_DOLLAR, Rates, Tier};
use super::{ModelPricing, catalogue};

/// The state of prices at this moment. Quotes of an earlier one may be out of date: a price was registered, or one of
/// the catalogue's has changed with the hour.
pub fn edition() -> Edition {
    cache::edition()
}

/// A model's rates, kept for estimates. Exact to the last digits of a float; bills use [`super::cost`].
#[derive(Debug, Clone, Default)]
pub struct Quote {
    /// In attodollars, as all rates here: as floats these have no fractions, so that sums of them are exact.
    request: f64,
    base: Rate,
    /// Ascending: the rate holds for prompts of more tokens than its number.
    long_prompts: Box<[(u64, Rate)]>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Rate {
    input: f64,
    output: f64,
}

impl Quote {
    /// `None`: the model has no known price. `family` and `model` are those of [`super::cost`].
    pub fn of(family: &str, model: &str) -> Option<Self> {
        let known = cache::with_rates(family, model, false, |rates| Self::from(rates));
        // A self-hosted server costs nothing.
        known.or_else(|| catalogue::is_local(family).then(Self::default))
    }

    /// The same for prompts of any length.
    pub(super) fn flat(pricing: ModelPricing) -> Self {
        Self::from(&Rates::flat(pricing, None))
    }

    /// US dollars per 1,000 input and output tokens of short prompts.
    pub fn per_1k(&self) -> (f64, f64) {
        let dollars = |atto: f64| atto * 1e3 / ATTO_PER_DOLLAR;
        (dollars(self.base.input), dollars(self.base.output))
    }

    /// US dollars.
    #[allow(clippy::cast_precision_loss)]
    pub fn dollars(&self, input: u64, output: u64) -> f64 {
        let above = self.long_prompts.iter().rev().find(|(above, _)| input > *above);
        let rate = above.map_or(&self.base, |(_, rate)| rate);
        (self.request + input as f64 * rate.input + output as f64 * rate.output) / ATTO_PER_DOLLAR
    }
}

#[allow(clippy::cast_precision_loss)]
impl From<&Rates> for Quote {
    fn from(rates: &Rates) -> Self {
        let rate = |tier: &Tier| Rate { input: tier.input as f64, output: tier.output as f64 };
        Self {
            request: rates.request as f64,
            base: rate(&rates.base),
            long_prompts: rates.long_prompts.iter().map(|(above, tier)| (*above, rate(tier))).collect(),
        }
    }
}
