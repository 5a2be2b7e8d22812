//! Exact arithmetic on prices.

use super::ModelPricing;
use gateway_model::{TokenUsage, Usd};

/// Attodollars (10⁻¹⁸ USD) per token: published prices have up to twelve decimals per million tokens.
pub(super) type Atto = i128;

pub(super) const ATTO_PER_DOLLAR: f64 = 1e18;
const ATTO_PER_PICO: Atto = 1_000_000;
const PICO_PER_DOLLAR: Atto = 1_000_000_000_000;

/// More than any call has. Tokens beyond this number cost nothing.
const MAX_TOKENS: u64 = 1 << 44;
/// A million dollars per token.
const MAX_RATE: Atto = 1 << 80;

/// Prices for prompts of some length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tier {
    pub input: Atto,
    pub output: Atto,
    pub cache_read: Atto,
    pub cache_write: Atto,
    /// Cache writes that are kept for an hour.
    pub cache_write_1h: Atto,
}

/// What a model costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rates {
    /// For each call, whatever its tokens.
    pub request: Atto,
    pub base: Tier,
    /// Ascending: the tier holds for prompts of more input tokens than its number.
    pub long_prompts: Box<[(u64, Tier)]>,
}

impl Rates {
    /// The rates of a registered or built-in price; `model` is what the catalogue has for the same name.
    pub fn flat(pricing: ModelPricing, model: Option<&Rates>) -> Self {
        let input = atto(pricing.input_per_1k_tokens / 1e3);
        let cached = |rate: fn(&Tier) -> Atto| match model.map(|rates| &rates.base) {
            Some(tier) if tier.input > 0 => {
                (input.saturating_mul(rate(tier)) / tier.input).clamp(-MAX_RATE, MAX_RATE)
            }
            _ => input,
        };
        let base = Tier {
            input,
            output: atto(pricing.output_per_1k_tokens / 1e3),
            cache_read: cached(|tier| tier.cache_read),
            cache_write: cached(|tier| tier.cache_write),
            cache_write_1h: cached(|tier| tier.cache_write_1h),
        };
        Self { request: 0, base, long_prompts: Box::default() }
    }

    pub fn cost(&self, usage: &TokenUsage) -> Usd {
        let tier = self.long_prompts.iter().rev().find(|(above, _)| usage.input > *above);
        let tier = tier.map_or(&self.base, |(_, tier)| tier);
        let (input, output) = (usage.input.min(MAX_TOKENS), usage.output.min(MAX_TOKENS));
        let read = usage.cache_read.unwrap_or(0).min(input);
        let write = usage.cache_write.unwrap_or(0).min(input - read);
        let write_1h = usage.cache_write_1h.unwrap_or(0).min(write);
        // No overflow: MAX_TOKENS × MAX_RATE, twice, is below the largest Atto.
        let part = |tokens: u64, rate: Atto| Atto::from(tokens) * rate;
        let total = self.request
            + part(input - read - write, tier.input)
            + part(read, tier.cache_read)
            + part(write - write_1h, tier.cache_write)
            + part(write_1h, tier.cache_write_1h)
            + part(output, tier.output);
        usd(total)
    }

    #[allow(clippy::cast_precision_loss)]
    pub fn base_pricing(&self) -> ModelPricing {
        let per_1k = |rate: Atto| rate as f64 / (ATTO_PER_DOLLAR / 1e3);
        ModelPricing {
            input_per_1k_tokens: per_1k(self.base.input),
            output_per_1k_tokens: per_1k(self.base.output),
        }
    }
}

/// The nearest attodollar; NaN is 0.
#[allow(clippy::cast_possible_truncation)]
pub(super) fn atto(dollars: f64) -> Atto {
    ((dollars * ATTO_PER_DOLLAR).round() as Atto).clamp(-MAX_RATE, MAX_RATE)
}

/// The nearest picodollar.
#[allow(clippy::cast_precision_loss)]
fn usd(atto: Atto) -> Usd {
    let rounded = atto + ATTO_PER_PICO / 2;
    // Dividing 128 bits takes long; below nine dollars 64 will do.
    let (dollars, pico) = match i64::try_from(rounded) {
        Ok(rounded) => {
            let pico = rounded.div_euclid(ATTO_PER_PICO as i64);
            (0.0, pico as f64)
        }
        Err(_) => {
            let pico = rounded.div_euclid(ATTO_PER_PICO);
            ((pico / PICO_PER_DOLLAR) as f64, (pico % PICO_PER_DOLLAR) as f64)
        }
    };
    // Whole dollars and the rest apart: each survives the way through a float exactly.
    Usd::from_dollars(dollars) + Usd::from_dollars(pico / PICO_PER_DOLLAR as f64)
}
