//! The prices of one gateway: those of its configuration, then the ones that the whole process has.

use std::collections::HashMap;
use std::sync::Arc;

use super::quote::Quote;
use super::{ModelPricing, known_cost};
use gateway_model::config::{ModelPrices, Settings, UnknownPrice};
use gateway_model::{TokenUsage, Usd};

/// What is asked: a model of a family, at an entry. Empty where it is not known.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    pub entry: &'a str,
    pub family: &'a str,
    pub model: &'a str,
}

/// The prices of a gateway. Cheap to clone; nothing is looked up in it where the configuration has no prices of its own.
#[derive(Debug, Clone, Default)]
pub struct PriceBook(Option<Arc<Own>>);

/// What a configuration says of prices.
#[derive(Debug, Default)]
struct Own {
    models: HashMap<String, ModelPrices>,
    /// By entry.
    unknown: HashMap<String, UnknownPrice>,
}

impl PriceBook {
    /// `entries`: what each entry says of models without a known price.
    pub fn new<'a>(settings: &Settings, entries: impl Iterator<Item = (&'a str, UnknownPrice)>) -> Self {
        let models = settings.prices.clone().into_iter().collect();
        let own = Own { models, unknown: entries.map(|(name, price)| (name.to_owned(), price)).collect() };
        Self((!own.models.is_empty() || !own.unknown.is_empty()).then(|| Arc::new(own)))
    }

    /// What a call costs that the upstream says `reported` answered, in place of the model that was asked: under that name
    /// where it has a price, else as the one that was asked. Zero where neither has one.
    pub fn bill(&self, asked: Asked<'_>, reported: &str, usage: &TokenUsage) -> Usd {
        if let Some(charged) = usage.cost() {
            return charged;
        }
        let names = [reported, asked.model];
        let own = self.0.as_ref().and_then(|own| names.iter().find_map(|name| own.models.get(*name)));
        own.map(|prices| cost_at(prices, usage))
            .or_else(|| known_cost(asked.family, reported, usage))
            .or_else(|| known_cost(asked.family, asked.model, usage))
            .or_else(|| self.unknown_cost(asked.entry, usage))
            .unwrap_or(Usd::ZERO)
    }

    /// `None`: the model has no known price, and the entry names none.
    pub fn known_cost(&self, asked: Asked<'_>, usage: &TokenUsage) -> Option<Usd> {
        if let Some(charged) = usage.cost() {
            return Some(charged);
        }
        self.prices(asked.model)
            .map(|prices| cost_at(prices, usage))
            .or_else(|| known_cost(asked.family, asked.model, usage))
            .or_else(|| self.unknown_cost(asked.entry, usage))
    }

    /// [`PriceBook::known_cost`], zero where it is not known.
    pub fn cost(&self, asked: Asked<'_>, usage: &TokenUsage) -> Usd {
        self.known_cost(asked, usage).unwrap_or(Usd::ZERO)
    }

    /// What the entry says of a model without a known price; `None`: nothing.
    pub fn unknown_price(&self, entry: &str) -> Option<UnknownPrice> {
        self.0.as_ref()?.unknown.get(entry).copied()
    }

    /// `None`: the model has no known price, and the entry names none.
    pub fn quote(&self, asked: Asked<'_>) -> Option<Quote> {
        let flat = |input: f64, output: f64| {
            Quote::flat(ModelPricing { input_per_1k_tokens: input, output_per_1k_tokens: output })
        };
        if let Some(prices) = self.prices(asked.model) {
            return Some(flat(prices.input_per_1k_tokens, prices.output_per_1k_tokens));
        }
        Quote::of(asked.family, asked.model).or_else(|| match self.unknown_price(asked.entry)? {
            UnknownPrice::Rate { input, output } => Some(flat(input, output)),
            UnknownPrice::Free => Some(flat(0.0, 0.0)),
            UnknownPrice::Refuse => None,
        })
    }

    /// The quote that [`PriceBook::bill`] reckons with.
    pub fn billed_quote(&self, asked: Asked<'_>, reported: &str) -> Option<Quote> {
        let known = |model| Quote::of(asked.family, model);
        let has_own = self.prices(reported).is_some();
        let reported = Asked { model: reported, ..asked };
        if has_own { self.quote(reported) } else { known(reported.model).or_else(|| self.quote(asked)) }
    }

    fn prices(&self, model: &str) -> Option<&ModelPrices> {
        self.0.as_ref()?.models.get(model)
    }

    fn unknown_cost(&self, entry: &str, usage: &TokenUsage) -> Option<Usd> {
        match self.unknown_price(entry)? {
            UnknownPrice::Rate { input, output } => {
                Some(dollars(usage.input, input) + dollars(usage.output, output))
            }
            UnknownPrice::Free => Some(Usd::ZERO),
            UnknownPrice::Refuse => None,
        }
    }
}

#[allow(clippy::cast_precision_loss)]
fn dollars(tokens: u64, per_1k: f64) -> Usd {
    Usd::from_dollars(tokens as f64 * per_1k / 1e3)
}

/// Cached tokens cost as other input where the prices do not name them.
fn cost_at(prices: &ModelPrices, usage: &TokenUsage) -> Usd {
    let (read, write) = (usage.cache_read.unwrap_or(0), usage.cache_write.unwrap_or(0));
    let fresh = usage.input.saturating_sub(read).saturating_sub(write);
    let input = prices.input_per_1k_tokens;
    dollars(fresh, input)
        + dollars(read, prices.cache_read_per_1k_tokens.unwrap_or(input))
        + dollars(write, prices.cache_write_per_1k_tokens.unwrap_or(input))
        + dollars(usage.output, prices.output_per_1k_tokens)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn book() -> PriceBook {
        let settings = json!({"prices": {
            "gpt-4o": {"inputPer1kTokens": 1, "outputPer1kTokens": 2},
            "house": {"inputPer1kTokens": 1, "outputPer1kTokens": 2, "cacheReadPer1kTokens": 0.1, "cacheWritePer1kTokens": 1.5},
        }});
        let settings = serde_json::from_value(settings).unwrap();
        let entries =
            [("rated", UnknownPrice::Rate { input: 3.0, output: 4.0 }), ("free", UnknownPrice::Free)];
        PriceBook::new(&settings, entries.into_iter())
    }

    fn asked<'a>(entry: &'a str, model: &'a str) -> Asked<'a> {
        Asked { entry, family: "openai", model }
    }

    #[test]
    fn own_prices_come_before_all_others() {
        let usage = TokenUsage::new(1000, 1000);
        assert_eq!(book().cost(asked("a", "gpt-4o"), &usage).dollars(), 3.0);
        assert_eq!(book().bill(asked("a", "gpt-4o"), "gpt-4o-2024-08-06", &usage).dollars(), 3.0);
        assert_eq!(PriceBook::default().cost(asked("a", "gpt-4o"), &usage).dollars(), 0.0125);
        let quote = book().quote(asked("a", "gpt-4o")).unwrap();
        assert_eq!(quote.dollars(1000, 1000), 3.0);
    }

    #[test]
    fn cached_tokens_have_prices_of_their_own() {
        let usage =
            TokenUsage { cache_read: Some(600), cache_write: Some(200), ..TokenUsage::new(1000, 100) };
        assert_eq!(book().cost(asked("a", "house"), &usage).dollars(), 0.2 + 0.06 + 0.3 + 0.2);
        assert_eq!(book().cost(asked("a", "gpt-4o"), &usage).dollars(), 1.2);
    }

    #[test]
    fn an_entry_says_what_unknown_models_cost() {
        let usage = TokenUsage::new(1000, 1000);
        let known = |entry| book().known_cost(asked(entry, "unheard-of"), &usage).map(Usd::dollars);
        assert_eq!((known("rated"), known("free"), known("other")), (Some(7.0), Some(0.0), None));
        assert_eq!(book().quote(asked("rated", "unheard-of")).unwrap().dollars(1000, 0), 3.0);
        assert!(book().quote(asked("other", "unheard-of")).is_none());
    }

    #[test]
    fn what_was_charged_is_the_cost() {
        let usage =
            TokenUsage { charged: Usd::from_dollars(0.5).picodollars(), ..TokenUsage::new(1000, 1000) };
        assert_eq!(book().bill(asked("a", "gpt-4o"), "x", &usage).dollars(), 0.5);
    }
}
