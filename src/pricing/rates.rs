//! Exact arithmetic on prices.

use super::ModelPricing;
use crate::model::{TokenUsage, Usd};

/// Femtodollars (10⁻¹⁵ USD) per token: published prices have at most nine decimals per million tokens.
pub(super) type Femto = i128;

const FEMTO_PER_DOLLAR: f64 = 1e15;
const FEMTO_PER_PICO: Femto = 1_000;

/// Prices that hold for prompts of some length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tier {
    pub input: Femto,
    pub output: Femto,
    pub cache_read: Femto,
    pub cache_write: Femto,
}

/// What a model costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rates {
    /// For each call, whatever its tokens.
    pub request: Femto,
    pub base: Tier,
    /// Ascending: the tier holds for prompts of more input tokens than its number.
    pub long_prompts: Box<[(u64, Tier)]>,
}

impl Rates {
    /// The rates of a registered or built-in price; `model` is what the catalogue has for the same name.
    pub fn flat(pricing: ModelPricing, model: Option<&Rates>) -> Self {
        let input = femto(pricing.input_per_1k_tokens / 1e3);
        let cached = |rate: fn(&Tier) -> Femto| match model.map(|rates| &rates.base) {
            Some(tier) if tier.input > 0 => {
                input.saturating_mul(rate(tier)).saturating_add(tier.input / 2) / tier.input
            }
            _ => input,
        };
        let base = Tier {
            input,
            output: femto(pricing.output_per_1k_tokens / 1e3),
            cache_read: cached(|tier| tier.cache_read),
            cache_write: cached(|tier| tier.cache_write),
        };
        Self { request: 0, base, long_prompts: Box::default() }
    }

    pub fn cost(&self, usage: &TokenUsage) -> Usd {
        let tier = self.long_prompts.iter().rev().find(|(above, _)| usage.input > *above);
        let tier = tier.map_or(&self.base, |(_, tier)| tier);
        let read = usage.cache_read.unwrap_or(0).min(usage.input);
        let write = usage.cache_write.unwrap_or(0).min(usage.input - read);
        let total = [
            (usage.input - read - write, tier.input),
            (read, tier.cache_read),
            (write, tier.cache_write),
            (usage.output, tier.output),
        ]
        .into_iter()
        .fold(self.request, |sum, (tokens, rate)| {
            sum.saturating_add(rate.saturating_mul(Femto::from(tokens)))
        });
        usd(total)
    }

    #[allow(clippy::cast_precision_loss)]
    pub fn base_pricing(&self) -> ModelPricing {
        let per_1k = |rate: Femto| rate as f64 / (FEMTO_PER_DOLLAR / 1e3);
        ModelPricing {
            input_per_1k_tokens: per_1k(self.base.input),
            output_per_1k_tokens: per_1k(self.base.output),
        }
    }
}

/// The nearest femtodollar; what is not a number is 0.
#[allow(clippy::cast_possible_truncation)]
pub(super) fn femto(dollars: f64) -> Femto {
    (dollars * FEMTO_PER_DOLLAR).round() as Femto
}

/// The nearest picodollar.
#[allow(clippy::cast_precision_loss)]
fn usd(femto: Femto) -> Usd {
    // Whole dollars and the rest apart: each survives the way through a float exactly. A 128-bit division is slow
    // and hardly ever needed.
    let (dollars, pico) = match i64::try_from(femto.saturating_add(FEMTO_PER_PICO / 2)) {
        Ok(femto) => {
            let pico = femto.div_euclid(1_000);
            (pico / 1_000_000_000_000, pico % 1_000_000_000_000)
        }
        Err(_) => {
            let pico = femto / FEMTO_PER_PICO;
            return Usd::from_dollars((pico / 1_000_000_000_000) as f64)
                + Usd::from_dollars((pico % 1_000_000_000_000) as f64 / 1e12);
        }
    };
    Usd::from_dollars(dollars as f64) + Usd::from_dollars(pico as f64 / 1e12)
}
