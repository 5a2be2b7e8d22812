//! Rates from the genai-prices catalogue.
//!
//! The crate prices single calls and keeps its rates to itself, and finding a model in it takes many comparisons.
//! So each model's rates are worked out once, from the prices of a few made-up calls.

use std::time::SystemTime;

use genai_prices::{Calculator, PriceCalculation, PriceRequest, Usage, UsageKey};

use super::rates::{Atto, Rates, Tier, atto};

/// Longer prompts than this have no tier of their own.
const LONGEST_PROMPT: u64 = 1 << 24;

/// Self-hosted servers: a vendor's price for the model says nothing about them.
const LOCAL_FAMILIES: [&str; 18] = [
    "mock",
    "docker-model-runner",
    "gpt4all",
    "jan",
    "koboldcpp",
    "llamafile",
    "xinference",
    "ollama",
    "lmstudio",
    "lm-studio",
    "vllm",
    "llamacpp",
    "llama-cpp",
    "llama.cpp",
    "localai",
    "sglang",
    "tgi",
    "local",
];

/// Families that have another name in the catalogue.
const VENDOR_NAMES: [(&str, &str); 5] = [
    ("bedrock", "aws"),
    ("gemini", "google"),
    ("minimax-intl", "minimax"),
    ("workers-ai", "cloudflare"),
    ("zhipu", "zhipuai"),
];

/// Vendors that the catalogue lists only as models of OpenRouter, at the vendor's prices, under these names.
const RESOLD: [(&str, &str); 7] = [
    ("inception", "inception"),
    ("morph", "morph"),
    ("qwen", "qwen"),
    ("qwen-intl", "qwen"),
    ("stepfun", "stepfun"),
    ("stepfun-intl", "stepfun"),
    ("xiaomi", "xiaomi"),
];

pub(super) fn is_local(family: &str) -> bool {
    LOCAL_FAMILIES.contains(&family)
}

pub(super) fn load() {
    let _ = Calculator::bundled();
}

/// What a model costs at a time of day, where the catalogue knows it. An empty `family` is an unknown one.
pub(super) fn rates(family: &str, model: &str, at: SystemTime) -> Option<Rates> {
    if LOCAL_FAMILIES.contains(&family) {
        return None;
    }
    // Google's own form of a name.
    let model = model.strip_prefix("models/").unwrap_or(model);
    let vendor = VENDOR_NAMES.iter().find(|(ours, _)| *ours == family).map_or(family, |(_, theirs)| theirs);
    at_vendor(vendor, model, at)
        .or_else(|| resold(family, model, at))
        .or_else(|| model.split_once('/').and_then(|(vendor, model)| at_vendor(vendor, model, at)))
        .or_else(|| Quote { vendor: None, model, at }.rates())
        .or_else(|| {
            if family.is_empty() && model.contains('/') { at_vendor("openrouter", model, at) } else { None }
        })
}

fn resold(family: &str, model: &str, at: SystemTime) -> Option<Rates> {
    let (_, maker) = RESOLD.iter().find(|(ours, _)| *ours == family)?;
    at_vendor("openrouter", &format!("{maker}/{model}"), at)
}

/// `None` also when the catalogue does not know the vendor.
fn at_vendor(vendor: &str, model: &str, at: SystemTime) -> Option<Rates> {
    if vendor.is_empty() {
        return None;
    }
    Calculator::bundled().find_provider(Some(vendor), None).ok()??;
    Quote { vendor: Some(vendor), model, at }.rates()
}

/// Looks up one model in the catalogue.
struct Quote<'a> {
    /// `None`: the vendor that the name implies.
    vendor: Option<&'a str>,
    model: &'a str,
    at: SystemTime,
}

impl Quote<'_> {
    fn price<const N: usize>(&self, counts: [(UsageKey, f64); N]) -> Option<PriceCalculation> {
        let usage = Usage::from(counts);
        let mut request = PriceRequest::new(self.model, &usage).with_timestamp(self.at);
        request.provider_id = self.vendor;
        Calculator::bundled().calculate(&request).ok()
    }

    fn rates(&self) -> Option<Rates> {
        let request = atto(self.price([])?.total_price);
        let base = self.tier(1)?;
        let longest = self.tier(LONGEST_PROMPT)?;
        let mut long_prompts = Vec::new();
        let (mut tier, mut start) = (base, 1);
        while tier != longest {
            let (mut below, mut above) = (start, LONGEST_PROMPT);
            while above - below > 1 {
                let middle = below.midpoint(above);
                if self.tier(middle)? == tier { below = middle } else { above = middle }
            }
            tier = self.tier(above)?;
            start = above;
            long_prompts.push((below, tier));
        }
        Some(Rates { request, base, long_prompts: long_prompts.into() })
    }

    /// The rates for prompts of this many tokens.
    #[allow(clippy::cast_precision_loss)]
    fn tier(&self, prompt: u64) -> Option<Tier> {
        let tokens = prompt as f64;
        let per_token = |dollars: f64| -> Atto { atto(dollars / tokens) };
        // The catalogue, too, counts cached tokens as part of the input.
        let cached = |key: UsageKey| {
            let price = self.price([(UsageKey::INPUT_TOKENS, tokens), (key, tokens)])?;
            Some(per_token(price.input_price))
        };
        let written = [UsageKey::INPUT_TOKENS, UsageKey::CACHE_WRITE_TOKENS, UsageKey::CACHE_WRITE_1H_TOKENS];
        let hour = self.price(written.map(|key| (key, tokens)))?;
        let plain = self.price([(UsageKey::INPUT_TOKENS, tokens), (UsageKey::OUTPUT_TOKENS, tokens)])?;
        Some(Tier {
            input: per_token(plain.input_price),
            output: per_token(plain.output_price),
            cache_read: cached(UsageKey::CACHE_READ_TOKENS)?,
            cache_write: cached(UsageKey::CACHE_WRITE_TOKENS)?,
            cache_write_1h: per_token(hour.input_price),
        })
    }
}
