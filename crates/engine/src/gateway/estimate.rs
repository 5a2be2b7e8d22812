//! Estimates what a call may use before it runs, and counts what it used where its provider does not report it.

use std::sync::{Arc, OnceLock};

use crate::budget::CallEstimate;
use crate::routing::TokenEstimator;
use gateway_model::{ChatRequest, TokenUsage, UsageSource, Usd};
use gateway_pricing::tokens::{Counted, Tokenizer};
use gateway_pricing::{self as pricing, tokens};

/// Output assumed for a call that sets no `maxTokens`, where a rule bounds the cost.
const ASSUMED_OUTPUT: u64 = 256;

/// What goes in.
enum Prompt {
    Chat(Arc<ChatRequest>),
    /// Texts to be made vectors of: nothing comes out but these.
    Texts(Arc<[String]>),
}

impl Prompt {
    fn upper_bound(&self) -> u64 {
        match self {
            Self::Chat(request) => tokens::prompt_upper_bound(&request.messages, &request.tools),
            Self::Texts(texts) => tokens::texts_upper_bound(texts),
        }
    }

    fn count(&self, tokenizer: Tokenizer, counted: &Counted) -> u64 {
        match self {
            Self::Chat(request) => tokenizer.count_prompt(&request.messages, &request.tools, counted),
            Self::Texts(texts) => tokenizer.count_texts(texts, counted),
        }
    }

    fn max_tokens(&self) -> Option<u64> {
        match self {
            Self::Chat(request) => request.max_tokens,
            Self::Texts(_) => Some(0),
        }
    }
}

/// A prompt whose tokens are counted once with each vocabulary, and only when a limit could be met.
pub struct PromptEstimate {
    prompt: Prompt,
    upper_bound: u64,
    counted: Counted,
}

impl PromptEstimate {
    pub fn new(request: Arc<ChatRequest>) -> Self {
        Self::of(Prompt::Chat(request))
    }

    pub fn of_texts(texts: Arc<[String]>) -> Self {
        Self::of(Prompt::Texts(texts))
    }

    fn of(prompt: Prompt) -> Self {
        Self { upper_bound: prompt.upper_bound(), prompt, counted: Counted::default() }
    }

    /// The estimate for a call of this prompt to `model`.
    pub fn on(self: &Arc<Self>, family: &str, model: &str) -> ModelEstimate {
        ModelEstimate {
            prompt: self.clone(),
            counted: OnceLock::new(),
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
        self.prompt.count(tokenizer, &self.counted)
    }

    fn input_upper_bound(&self) -> u64 {
        self.upper_bound
    }

    fn output_tokens(&self) -> u64 {
        self.prompt.max_tokens().unwrap_or(ASSUMED_OUTPUT)
    }
}

/// A prompt and the model it goes to.
pub struct ModelEstimate {
    prompt: Arc<PromptEstimate>,
    counted: OnceLock<u64>,
    family: String,
    model: String,
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

    fn max_tokens(&self) -> Option<u64> {
        self.prompt.prompt.max_tokens()
    }

    fn cost(&self, input: u64, output: u64) -> Usd {
        pricing::cost(&self.family, &self.model, &TokenUsage::new(input, output))
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
            tokens::count_prompt(model, &request.messages, &request.tools),
            tokens::count_text(model, output),
        )
    }
}
