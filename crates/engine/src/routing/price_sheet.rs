//! What a call would cost at each member of a pool. Prices and tokenizers of all members are looked up once for many calls,
//! and a prompt is counted once for each vocabulary: a pick asks every member.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::call::TokenEstimator;
use super::member::Member;
use gateway_pricing::tokens::Tokenizer;
use gateway_pricing::{self as pricing, Asked, Edition, PriceBook, Quote};

/// Models are the callers' input: so many have a sheet of their own at a time.
const MAX_SHEETS: usize = 64;
/// Bytes. A model of a longer name has its sheet for one call only.
const MAX_NAME: usize = 256;

/// The prices of all members, for calls that ask for one and the same model.
#[derive(Default)]
struct PriceSheet {
    /// All different, as prices are: many members may offer one model.
    tokenizers: Vec<Tokenizer>,
    prices: Vec<Price>,
    /// By member, the index of its price; `None`: it is not known.
    members: Vec<Option<usize>>,
}

struct Price {
    /// Index of its tokenizer.
    tokenizer: usize,
    quote: Quote,
}

impl PriceSheet {
    fn new(members: &[Member], asked: Option<&str>, book: &PriceBook) -> Self {
        let mut sheet = Self::default();
        let mut indices = HashMap::new();
        for member in members {
            let family = member.entry.provider.family();
            let model = member.model(asked);
            // Members share a price, unless their entries say what unknown models cost.
            let entry = if book.unknown_price(&member.name).is_some() { &*member.name } else { "" };
            let key = Asked { entry, family, model };
            let index = *indices.entry((entry, family, model)).or_insert_with(|| sheet.add(key, book));
            sheet.members.push(index);
        }
        sheet
    }

    fn add(&mut self, asked: Asked<'_>, book: &PriceBook) -> Option<usize> {
        let quote = book.quote(asked)?;
        let tokenizer = Tokenizer::of(asked.model);
        let index = self.tokenizers.iter().position(|known| *known == tokenizer).unwrap_or_else(|| {
            self.tokenizers.push(tokenizer);
            self.tokenizers.len() - 1
        });
        self.prices.push(Price { tokenizer: index, quote });
        Some(self.prices.len() - 1)
    }

    /// Counts the prompt with each vocabulary that a member has.
    fn costs(&self, call: &dyn TokenEstimator) -> Vec<f64> {
        let inputs: Vec<u64> =
            self.tokenizers.iter().map(|tokenizer| call.input_tokens(*tokenizer)).collect();
        let output = call.output_tokens();
        let dollars = |price: &Price| {
            let input = inputs.get(price.tokenizer);
            input.map_or(f64::INFINITY, |input| price.quote.dollars(*input, output))
        };
        let prices: Vec<f64> = self.prices.iter().map(dollars).collect();
        let of_member = |index: &Option<usize>| index.and_then(|index| prices.get(index).copied());
        self.members.iter().map(|index| of_member(index).unwrap_or(f64::INFINITY)).collect()
    }
}

/// The sheets of a pool by the model that is asked for, while prices stay the same.
#[derive(Default)]
pub(super) struct PriceSheets {
    book: PriceBook,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// Of the prices in all sheets.
    edition: Option<Edition>,
    sheets: HashMap<Box<str>, Arc<PriceSheet>>,
}

impl PriceSheets {
    pub(super) fn new(book: &PriceBook) -> Self {
        Self { book: book.clone(), kept: Mutex::default() }
    }

    fn sheet(&self, members: &[Member], asked: Option<&str>) -> Arc<PriceSheet> {
        // One sheet is enough where no member looks at what is asked for.
        let asked = asked.filter(|_| members.iter().any(Member::follows_request));
        let name = asked.unwrap_or_default();
        let edition = Some(pricing::edition());
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.edition != edition {
            *kept = Kept { edition, sheets: HashMap::new() };
        }
        if let Some(sheet) = kept.sheets.get(name) {
            return sheet.clone();
        }
        let sheet = Arc::new(PriceSheet::new(members, asked, &self.book));
        if name.len() <= MAX_NAME {
            if kept.sheets.len() >= MAX_SHEETS {
                kept.sheets.clear();
            }
            kept.sheets.insert(name.into(), sheet.clone());
        }
        sheet
    }

    /// What a call would cost at each member, in dollars; infinite where the price is not known.
    pub(super) fn costs(
        &self,
        members: &[Member],
        asked: Option<&str>,
        call: &dyn TokenEstimator,
    ) -> Vec<f64> {
        self.sheet(members, asked).costs(call)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::routing::ProviderEntry;
    use gateway_model::config::ProviderConfig;
    use gateway_pricing::{ModelPricing, register_model_pricing};
    use gateway_providers::{ProviderEnv, build};
    use gateway_transport::NetworkSettings;

    /// A prompt of 1,000 tokens for an answer of 100, and how often it was counted.
    #[derive(Default)]
    struct Prompt(AtomicU64);

    impl TokenEstimator for Prompt {
        fn prices(&self) -> &PriceBook {
            static BUILT_IN: std::sync::LazyLock<PriceBook> = std::sync::LazyLock::new(PriceBook::default);
            &BUILT_IN
        }

        fn input_tokens(&self, _: Tokenizer) -> u64 {
            self.0.fetch_add(1, Ordering::Relaxed);
            1_000
        }

        fn input_upper_bound(&self) -> u64 {
            1_000
        }

        fn output_tokens(&self) -> u64 {
            100
        }
    }

    fn member(family: &str, models: &[&str], own: Option<&str>) -> Member {
        let entry = serde_json::json!({ "name": family, "provider": family, "models": models,
            "auth": { "type": "apiKey", "envVar": "KEY" } });
        let entry: ProviderConfig = serde_json::from_value(entry).unwrap();
        let env = ProviderEnv { var: &|_| Some("sk-0123456789".into()), network: NetworkSettings::default() };
        let loaded = ProviderEntry::new(build(family, &entry, &env).unwrap().unwrap(), &entry);
        Member::new(family, Arc::new(loaded), own)
    }

    #[test]
    fn members_cost_what_their_models_do() {
        let members = [
            member("openai", &["gpt-4o"], None),
            member("openai", &["gpt-4o", "gpt-4o-mini"], None),
            member("openai", &["gpt-4o"], Some("gpt-4o-mini")),
            member("mock", &["anything"], None),
            member("openai", &["a-model-that-nobody-sells"], None),
        ];
        let (sheets, prompt) = (PriceSheets::default(), Prompt::default());
        let (big, mini, free, unknown) = (0.0035, 0.00021, 0.0, f64::INFINITY);
        assert_eq!(sheets.costs(&members, None, &prompt), [big, big, mini, free, unknown]);
        // One for each price of an image; what costs nothing is counted, too.
        assert_eq!(prompt.0.into_inner(), 3);
        let prompt = Prompt::default();
        let asked = sheets.costs(&members, Some("gpt-4o-mini"), &prompt);
        assert_eq!(asked, [big, mini, mini, free, unknown], "the second lists it, the others do not");
    }

    #[test]
    fn a_price_that_is_registered_later_counts() {
        let members = [member("openai", &["priced-later"], None)];
        let (sheets, prompt) = (PriceSheets::default(), Prompt::default());
        assert_eq!(sheets.costs(&members, None, &prompt), [f64::INFINITY]);
        register_model_pricing(
            "priced-later",
            ModelPricing { input_per_1k_tokens: 1.0, output_per_1k_tokens: 2.0 },
        );
        assert_eq!(sheets.costs(&members, None, &prompt), [1.2]);
    }

    #[test]
    fn sheets_do_not_pile_up() {
        let members = [member("openai", &["gpt-4o"], None)];
        let (sheets, prompt) = (PriceSheets::default(), Prompt::default());
        for model in 0..3 * MAX_SHEETS {
            assert_eq!(sheets.costs(&members, Some(&format!("model-{model}")), &prompt), [0.0035]);
        }
        sheets.costs(&members, Some(&"long".repeat(MAX_NAME)), &prompt);
        let kept = |sheets: PriceSheets| sheets.kept.into_inner().unwrap().sheets.len();
        assert!((1..=MAX_SHEETS).contains(&kept(sheets)));
        // Members with models of their own need no more than one.
        let (members, sheets) = ([member("openai", &[], Some("gpt-4o"))], PriceSheets::default());
        for model in ["a", "b"] {
            sheets.costs(&members, Some(model), &prompt);
        }
        assert_eq!(kept(sheets), 1);
    }
}
