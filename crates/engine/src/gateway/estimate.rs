//! Estimates what a call may use before it runs, and counts what it used where its provider does not report it.

use std::sync::{Arc, OnceLock};

use crate::budget::CallEstimate;
use crate::routing::TokenEstimator;
use gateway_model::added_words::{FAILED_RESULT, FIRST_TURN, FOLLOWS_SCHEMA, JSON_ALONE, RESULT_OF_CALL};
use gateway_model::config::UnknownPrice;
use gateway_model::{
    ChatRequest, Content, Message, OptionBounds, ResponseFormat, Role, TokenUsage, UsageSource, Usd,
};
use gateway_pricing::tokens::{Counted, Tokenizer};
use gateway_pricing::{Asked, PriceBook, tokens};

/// Output assumed for a call that sets no `maxTokens`, where a rule bounds the cost.
const ASSUMED_OUTPUT: u64 = 256;

/// What goes in.
enum Prompt {
    Chat(Arc<ChatRequest>, Further),
    /// Texts to be made vectors of, and options: nothing comes out but the vectors.
    Texts(Arc<[String]>, Further),
}

/// What is sent beside messages and tools, as text: the answer's schema, the caller's options, and words that some vendors'
/// formats need.
type Further = Vec<String>;

fn further(request: &ChatRequest) -> Further {
    let mut texts = Vec::new();
    if request.response_format.is_some() {
        texts.push(format!("{JSON_ALONE} {FOLLOWS_SCHEMA}"));
    }
    for message in request.messages.iter().filter(|message| needs_words(message)) {
        let id = message.tool_call_id.as_deref().unwrap_or_default();
        texts.push(format!("{FAILED_RESULT} {RESULT_OF_CALL} {id}"));
    }
    // A request for vectors has no messages at all.
    if !request.messages.is_empty() && request.messages.iter().all(|message| message.role != Role::User) {
        texts.push(FIRST_TURN.to_owned());
    }
    if let Some(ResponseFormat::Schema { name, schema, .. }) = &request.response_format {
        texts.push(format!("{name} {}", serde_json::to_string(schema).unwrap_or_default()));
    }
    for options in request.provider_options.iter().flat_map(|options| options.values()) {
        texts.push(options.to_string());
    }
    texts
}

/// Whether a tool's result may get words of ours.
fn needs_words(message: &Message) -> bool {
    message.role == Role::Tool && (message.is_error || matches!(message.content, Content::Parts(_)))
}

fn wire<'a>(request: &'a ChatRequest, further: &'a [String]) -> tokens::Prompt<'a> {
    tokens::Prompt { messages: &request.messages, tools: &request.tools, further }
}

impl Prompt {
    fn upper_bound(&self) -> u64 {
        match self {
            Self::Chat(request, further) => tokens::prompt_upper_bound(&wire(request, further)),
            Self::Texts(texts, further) => {
                tokens::texts_upper_bound(texts).saturating_add(tokens::texts_upper_bound(further))
            }
        }
    }

    fn count(&self, tokenizer: Tokenizer, counted: &Counted) -> u64 {
        match self {
            Self::Chat(request, further) => tokenizer.count_prompt(&wire(request, further), counted),
            Self::Texts(texts, further) => {
                let along = tokenizer.count_texts(further, &Counted::default());
                tokenizer.count_texts(texts, counted).saturating_add(along)
            }
        }
    }

    fn max_tokens(&self) -> Option<u64> {
        match self {
            Self::Chat(request, _) => request.max_tokens,
            Self::Texts(..) => Some(0),
        }
    }

    fn option_bounds(&self, family: &str) -> OptionBounds {
        match self {
            Self::Chat(request, _) => OptionBounds::of(request.provider_options.as_ref(), family),
            Self::Texts(..) => OptionBounds::of(None, family),
        }
    }
}

/// Whether counting may load a vocabulary, which takes some 100 ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loading {
    Allowed,
    /// The upper bound stands for the count until the vocabulary is there.
    Background,
}

/// A prompt whose tokens are counted once with each vocabulary, and only when a limit could be met.
pub struct PromptEstimate {
    prompt: Prompt,
    loading: Loading,
    upper_bound: u64,
    counted: Counted,
    prices: PriceBook,
}

impl PromptEstimate {
    pub fn new(request: Arc<ChatRequest>) -> Self {
        let further = further(&request);
        Self::of(Prompt::Chat(request, further))
    }

    /// `request`: what the texts are embedded with.
    pub fn of_texts(texts: Arc<[String]>, request: &ChatRequest) -> Self {
        Self::of(Prompt::Texts(texts, further(request)))
    }

    fn of(prompt: Prompt) -> Self {
        Self {
            upper_bound: prompt.upper_bound(),
            prompt,
            loading: Loading::Allowed,
            counted: Counted::default(),
            prices: PriceBook::default(),
        }
    }

    /// The same, at the prices of a gateway.
    pub fn at_prices(self, prices: &PriceBook) -> Self {
        Self { prices: prices.clone(), ..self }
    }

    /// Never waits for a vocabulary: the upper bound stands for a count until it is loaded, which begins in the background.
    pub fn without_waiting(self) -> Self {
        Self { loading: Loading::Background, ..self }
    }

    /// The estimate for a call of this prompt to `model`.
    pub fn on(self: &Arc<Self>, Asked { entry, family, model }: Asked<'_>) -> ModelEstimate {
        ModelEstimate {
            entry: entry.to_owned(),
            prompt: self.clone(),
            counted: OnceLock::new(),
            option_bounds: self.prompt.option_bounds(family),
            family: family.to_owned(),
            model: model.to_owned(),
        }
    }

    fn count(&self, model: &str) -> u64 {
        self.input_tokens(Tokenizer::of(model))
    }
}

impl TokenEstimator for PromptEstimate {
    fn input_tokens(&self, tokenizer: Tokenizer) -> u64 {
        if self.loading == Loading::Background && !tokenizer.is_loaded() {
            tokenizer.load_in_background();
            return self.upper_bound;
        }
        self.prompt.count(tokenizer, &self.counted)
    }

    fn prices(&self) -> &PriceBook {
        &self.prices
    }

    fn input_upper_bound(&self) -> u64 {
        self.upper_bound
    }

    fn output_tokens(&self) -> u64 {
        let bound = self.prompt.max_tokens().unwrap_or(ASSUMED_OUTPUT);
        match &self.prompt {
            Prompt::Chat(request, _) => {
                OptionBounds::of_any(request.provider_options.as_ref()).sent_output(bound)
            }
            Prompt::Texts(..) => bound,
        }
    }
}

/// A prompt and the model it goes to.
pub struct ModelEstimate {
    prompt: Arc<PromptEstimate>,
    counted: OnceLock<u64>,
    option_bounds: OptionBounds,
    entry: String,
    family: String,
    model: String,
}

impl ModelEstimate {
    fn asked(&self) -> Asked<'_> {
        Asked { entry: &self.entry, family: &self.family, model: &self.model }
    }
}

impl CallEstimate for ModelEstimate {
    fn model(&self) -> &str {
        &self.model
    }

    fn input_upper_bound(&self) -> u64 {
        self.prompt.upper_bound
    }

    fn input_tokens(&self) -> u64 {
        *self.counted.get_or_init(|| self.prompt.count(&self.model))
    }

    fn input_tokens_now(&self) -> Option<u64> {
        let tokenizer = Tokenizer::of(&self.model);
        if self.counted.get().is_none() && !tokenizer.is_loaded() {
            tokenizer.load_in_background();
            return None;
        }
        Some(self.input_tokens())
    }

    fn max_tokens(&self) -> Option<u64> {
        self.prompt.prompt.max_tokens()
    }

    fn sent_output(&self, bound: u64) -> u64 {
        self.option_bounds.sent_output(bound)
    }

    fn is_refused_unpriced(&self) -> bool {
        self.prompt.prices.unknown_price(&self.entry) == Some(UnknownPrice::Refuse)
    }

    fn is_priced(&self) -> bool {
        self.prompt.prices.known_cost(self.asked(), &TokenUsage::new(0, 0)).is_some()
    }

    fn cost(&self, input: u64, output: u64) -> Usd {
        self.prompt.prices.cost(self.asked(), &TokenUsage::new(input, output))
    }
}

/// Counts a call's text, for a provider that gave no counts. Off the runtime's workers: a vocabulary may have to load.
pub fn estimated_usage(
    model: &str,
    request: &Arc<ChatRequest>,
    output: &str,
) -> impl Future<Output = TokenUsage> + Send + use<> {
    let (model, request, output) = (model.to_owned(), request.clone(), output.to_owned());
    async move {
        tokio::task::spawn_blocking(move || count_usage(&model, &request, &output)).await.unwrap_or_default()
    }
}

/// [`estimated_usage`], where nobody can wait.
pub fn count_usage(model: &str, request: &ChatRequest, output: &str) -> TokenUsage {
    TokenUsage {
        source: UsageSource::Estimated,
        ..TokenUsage::new(
            Tokenizer::of(model).count_prompt(&wire(request, &further(request)), &Counted::default()),
            tokens::count_text(model, output),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn estimate(request: &serde_json::Value) -> ModelEstimate {
        let request = ChatRequest::from_json(&request.to_string()).unwrap();
        Arc::new(PromptEstimate::new(Arc::new(request))).on(Asked {
            entry: "p",
            family: "openai",
            model: "gpt-4o",
        })
    }

    #[test]
    fn schemas_and_options_count_as_input() {
        let words = "word ".repeat(1_000);
        let messages = serde_json::json!([{ "role": "user", "content": "x" }]);
        for request in [
            serde_json::json!({ "messages": messages, "responseFormat": { "jsonSchema": { "description": words } } }),
            serde_json::json!({ "messages": messages,
                "providerOptions": { "openai": { "prediction": { "type": "content", "content": words } } } }),
        ] {
            let estimate = estimate(&request);
            let counted = estimate.input_tokens();
            assert!((1_000..=estimate.input_upper_bound()).contains(&counted), "{counted}: {request}");
        }
    }

    #[test]
    fn options_that_let_more_come_out_count_as_output() {
        let of = |options: serde_json::Value| {
            let request = serde_json::json!({ "messages": [{ "role": "user", "content": "x" }], "maxTokens": 10,
                "providerOptions": { "openai": options, "gemini": { "candidateCount": 9 } } });
            estimate(&request).sent_output(10)
        };
        assert_eq!(of(serde_json::json!({ "max_completion_tokens": 500 })), 500);
        assert_eq!(of(serde_json::json!({ "n": 3 })), 30);
        assert_eq!(of(serde_json::json!({ "max_tokens": 20, "n": 3, "best_of": 4 })), 80);
        assert_eq!(of(serde_json::json!({ "seed": 3 })), 10);
    }
}
