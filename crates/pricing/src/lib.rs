//! What calls cost, and how many tokens a text has.
//!
//! A model's price is, in this order: the one registered by the program, the built-in table's (`own`), the
//! genai-prices catalogue's (`catalogue`); a name that none has is priced by its base (`names`). Resolved rates are cached (`cache`), unknown names included, so that
//! pricing a call is a look-up and a few multiplications (`rates`). If you compare many models for each call, keep their
//! rates yourself (`quote`).

use serde::{Deserialize, Serialize};

use gateway_model::{TokenUsage, Usd};

mod attachments;
mod book;
mod cache;
mod catalogue;
mod names;
mod own;
mod quote;
mod rates;
pub mod tokens;
mod vocabularies;

pub use book::{Asked, PriceBook};
pub use cache::Edition;
pub use quote::{Quote, edition};

/// Prices of one model, in US dollars per 1,000 tokens.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelPricing {
    #[serde(rename = "inputPer1kTokens")]
    pub input_per_1k_tokens: f64,
    #[serde(rename = "outputPer1kTokens")]
    pub output_per_1k_tokens: f64,
}

/// The price of a model; `None` if it is unknown.
///
/// The catalogue's price is its base rate: what very long prompts cost more is left out. OpenRouter's form of a
/// name (`openai/gpt-4o`) is understood.
pub fn model_pricing(model: &str) -> Option<ModelPricing> {
    cache::own_pricing(model).or_else(|| cache::with_rates("", model, false, |rates| rates.base_pricing()))
}

/// Sets the price of exactly this name, for the whole process; it takes precedence over every other source.
///
/// Prices finer than 10⁻¹⁵ dollars are rounded; NaN is 0.
pub fn register_model_pricing(model: &str, pricing: ModelPricing) {
    cache::register(model, pricing);
}

/// What `input` and `output` tokens of a model cost when its provider is not known; 0 for an unknown model.
pub fn estimate_cost(model: &str, input: u64, output: u64) -> Usd {
    cost("", model, &TokenUsage::new(input, output))
}

/// What a call cost; 0 for an unknown model.
///
/// `family` is the provider's family. A vendor's family prices the name as that vendor does; families of local
/// servers (`ollama`, `vllm`, `mock`, …) have no vendor, so that only registered and built-in prices apply to them;
/// with other families the name alone decides.
///
/// Registered and built-in prices are flat; the catalogue's rise with the prompt's length where the vendor's do.
/// Cached tokens cost what the catalogue says; with a registered or built-in price, the same fraction of it that the
/// catalogue gives for the model, and the full input price where the catalogue gives none.
///
/// Takes well under a microsecond once the name is resolved. The first call for a name that needs the catalogue
/// decodes it, if [`preload`] has not: tens of milliseconds.
pub fn cost(family: &str, model: &str, usage: &TokenUsage) -> Usd {
    known_cost(family, model, usage).unwrap_or(Usd::ZERO)
}

/// [`cost`], `None` for an unknown model. Models of local servers are known: they cost nothing.
pub fn known_cost(family: &str, model: &str, usage: &TokenUsage) -> Option<Usd> {
    if let Some(charged) = usage.cost() {
        return Some(charged);
    }
    let cached = usage.cache_read.unwrap_or(0) > 0 || usage.cache_write.unwrap_or(0) > 0;
    cache::with_rates(family, model, cached, |rates| rates.cost(usage))
        .or_else(|| catalogue::is_local(family).then_some(Usd::ZERO))
}

/// Decodes the price catalogue, so that no call has to. Blocks for tens of milliseconds: meant for a background
/// thread.
pub fn preload() {
    catalogue::load();
}

#[cfg(test)]
mod tests;
