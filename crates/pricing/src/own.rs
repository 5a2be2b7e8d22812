//! The built-in price table.

use super::ModelPricing;

/// Model, input, output: US dollars per 1,000 tokens.
pub(super) const TABLE: [(&str, f64, f64); 14] = [
    ("gpt-4o", 0.0025, 0.01),
    ("gpt-4o-mini", 0.00015, 0.0006),
    ("gpt-4-turbo", 0.01, 0.03),
    ("gpt-4", 0.03, 0.06),
    ("gpt-3.5-turbo", 0.0005, 0.0015),
    ("o1", 0.015, 0.06),
    ("o1-mini", 0.003, 0.012),
    ("o3-mini", 0.0011, 0.0044),
    ("claude-3-opus-20240229", 0.015, 0.075),
    ("claude-3-sonnet-20240229", 0.003, 0.015),
    ("claude-3-haiku-20240307", 0.00025, 0.00125),
    ("claude-3.5-sonnet-20241022", 0.003, 0.015),
    ("claude-sonnet-4-20250514", 0.003, 0.015),
    ("claude-4-opus-20250918", 0.015, 0.075),
];

const ALIASES: [(&str, &str); 4] = [
    ("claude-3-opus", "claude-3-opus-20240229"),
    ("claude-3-sonnet", "claude-3-sonnet-20240229"),
    ("claude-3-haiku", "claude-3-haiku-20240307"),
    ("claude-3.5-sonnet", "claude-3.5-sonnet-20241022"),
];

pub(super) fn pricing(model: &str) -> Option<ModelPricing> {
    TABLE.iter().find(|(name, ..)| *name == model).map(|&(_, input_per_1k_tokens, output_per_1k_tokens)| {
        ModelPricing { input_per_1k_tokens, output_per_1k_tokens }
    })
}

/// The dated name that a short one stands for.
pub(super) fn alias(model: &str) -> Option<&'static str> {
    ALIASES.iter().find(|(alias, _)| *alias == model).map(|&(_, name)| name)
}
