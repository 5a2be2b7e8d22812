//! How compatible services depart from OpenAI.

use crate::model::Feature;

/// One service's way of speaking. [`Dialect::OPENAI`] is the standard that rows of the catalogue depart from.
#[derive(Debug, Clone, Copy)]
pub struct Dialect {
    pub max_tokens: MaxTokens,
    /// Takes `stream_options`, and sends usage only to those who ask for it.
    pub stream_options: bool,
    /// Knows the role `developer`; elsewhere it goes out as `system`.
    pub developer_role: bool,
    pub response_format: FormatSupport,
    /// The field for the seed; empty: there is none.
    pub seed: &'static str,
    /// The word of `tool_choice` for "some tool must be called"; empty: there is none.
    pub required_choice: &'static str,
    /// The field that names the caller's user; empty: there is none.
    pub user: &'static str,
    /// `reasoning_effort` is understood.
    pub reasoning_effort: bool,
    /// Reasoning tokens come beside `completion_tokens`, not within them.
    pub reasoning_apart: bool,
    /// What the service cannot do.
    pub refuses: &'static [Feature],
    /// Texts that one request for embeddings may hold; 0: the service has none.
    pub embedding_inputs: usize,
    /// The path of the list of models; empty: there is none.
    pub models_path: &'static str,
}

/// The field that bounds the answer's length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaxTokens {
    /// `max_tokens`.
    Classic,
    /// `max_completion_tokens`.
    Completion,
    /// `max_completion_tokens` for OpenAI's reasoning models, which refuse the older word; `max_tokens` for all others,
    /// of which some know no other.
    ByModel,
}

/// What the service makes of `response_format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FormatSupport {
    /// `json_object` and `json_schema`.
    Schema,
    /// `json_object` alone: a schema is asked for in words.
    Object,
    /// Nothing: the model is asked in words.
    None,
}

impl Dialect {
    pub const OPENAI: Self = Self {
        max_tokens: MaxTokens::ByModel,
        stream_options: true,
        developer_role: true,
        response_format: FormatSupport::Schema,
        seed: "seed",
        required_choice: "required",
        user: "user",
        reasoning_effort: true,
        reasoning_apart: false,
        refuses: &[],
        embedding_inputs: 2048,
        models_path: "/models",
    };

    /// A service that follows the standard in all but OpenAI's latest words.
    pub const COMPATIBLE: Self =
        Self { max_tokens: MaxTokens::Classic, developer_role: false, embedding_inputs: 0, ..Self::OPENAI };
}

impl MaxTokens {
    pub fn field(self, model: &str) -> &'static str {
        match self {
            Self::Completion => "max_completion_tokens",
            Self::ByModel if is_reasoning_model(model) => "max_completion_tokens",
            Self::Classic | Self::ByModel => "max_tokens",
        }
    }
}

/// OpenAI's o-series and everything from GPT-5 on; a maker's name may stand before it.
pub fn is_reasoning_model(model: &str) -> bool {
    let name = model.rsplit('/').next().unwrap_or(model);
    let number = |prefix: &str| {
        let rest = name.strip_prefix(prefix)?;
        let digits = rest.find(|other: char| !other.is_ascii_digit()).unwrap_or(rest.len());
        rest[..digits].parse::<u32>().ok()
    };
    number("o").is_some() || number("gpt-").is_some_and(|version| version >= 5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasoning_models_have_a_word_of_their_own_for_the_answers_length() {
        for model in
            ["o1", "o1-mini", "o3-mini-2025-01-31", "gpt-5", "gpt-5.1-codex", "openai/o4-mini", "gpt-10"]
        {
            assert_eq!(MaxTokens::ByModel.field(model), "max_completion_tokens", "{model}");
        }
        for model in
            ["gpt-4o", "gpt-4.1-mini", "gpt-3.5-turbo", "omni", "gpt-oss-120b", "chatgpt-4o-latest", ""]
        {
            assert_eq!(MaxTokens::ByModel.field(model), "max_tokens", "{model}");
        }
    }
}
