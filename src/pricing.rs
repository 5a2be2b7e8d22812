//! Prices.

use napi_derive::napi;

use gateway_pricing::{self as pricing, ModelPricing};

/// Dollars; 0 for an unknown model.
#[napi(catch_unwind)]
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
pub fn estimate_cost(model: String, input_tokens: f64, output_tokens: f64) -> f64 {
    pricing::estimate_cost(&model, input_tokens.max(0.0) as u64, output_tokens.max(0.0) as u64).dollars()
}

/// `[input, output]`, dollars per 1,000 tokens.
#[napi(catch_unwind)]
pub fn model_pricing(model: String) -> Option<Vec<f64>> {
    let pricing = pricing::model_pricing(&model)?;
    Some(vec![pricing.input_per_1k_tokens, pricing.output_per_1k_tokens])
}

#[napi(catch_unwind)]
pub fn set_model_pricing(model: String, input: f64, output: f64) {
    pricing::register_model_pricing(
        &model,
        ModelPricing { input_per_1k_tokens: input, output_per_1k_tokens: output },
    );
}
