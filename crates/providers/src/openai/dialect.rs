//! How compatible services depart from OpenAI.

use super::models::{is_reasoning_model, names_older_model};
use crate::fit::{DocumentForm, IdRule, Prefill, ResultMedia, RootRule, TurnRules};
use gateway_model::{Feature, ResponseFormat};

/// One service's way of speaking. [`Dialect::OPENAI`] is the standard that rows of the catalogue depart from.
#[derive(Debug, Clone, Copy)]
pub struct Dialect {
    pub max_tokens: MaxTokens,
    /// Takes `stream_options`, and sends usage only to those who ask for it.
    pub stream_options: bool,
    /// Knows the role `developer`; elsewhere it goes out as `system`.
    pub developer_role: bool,
    pub response_format: FormatSupport,
    pub tool_choice: ChoiceSupport,
    /// The field for the seed; empty: there is none.
    pub seed: &'static str,
    /// The word of `tool_choice` for "some tool must be called"; empty: there is none.
    pub required_choice: &'static str,
    /// Takes `top_k`.
    pub top_k: bool,
    /// Takes `presence_penalty` and `frequency_penalty`.
    pub penalties: bool,
    /// The field that names the caller's user; empty: there is none.
    pub user: &'static str,
    /// `reasoning_effort` is understood.
    pub reasoning_effort: bool,
    /// Reasoning tokens come beside `completion_tokens`, not within them.
    pub reasoning_apart: bool,
    /// Models' reasoning may stand in the text, between `<think>` and `</think>`.
    pub think_tags: bool,
    /// `usage.cost` is what the call cost, in dollars.
    pub reports_cost: bool,
    /// The field in which a turn's blocks of reasoning come back; empty: there is none.
    pub reasoning_details: &'static str,
    /// Whether a turn's reasoning comes back in `reasoning_content`.
    pub reasoning_content: ReasoningContent,
    /// The ids of tool calls that it takes.
    pub ids: IdRule,
    /// Where images and documents of a tool's result go.
    pub result_media: ResultMedia,
    pub documents: DocumentForm,
    /// The order of turns that it takes.
    pub turns: TurnRules,
    /// The field on a last turn of the assistant's, which the answer is to go on from; empty: it needs none.
    pub prefill: &'static str,
    pub schemas: RootRule,
    /// Texts to stop at that it takes, at most.
    pub stops: usize,
    pub max_temperature: f64,
    /// Parts of the names of models whose temperature and `top_p` are fixed, and of those that take no penalties and no `stop`.
    pub fixed_sampling: &'static [&'static str],
    pub no_penalties: &'static [&'static str],
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
    /// The same, where names are the user's own: a name that says nothing may stand for either, and the models of today
    /// take `max_completion_tokens`.
    ByDeployment,
}

/// What the service makes of `reasoning_content` in a turn of the model's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReasoningContent {
    /// It does not know the field.
    Unread,
    /// It likes to have it back.
    Read,
    /// It refuses a turn with calls that comes without.
    Required,
}

/// What the service makes of `response_format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FormatSupport {
    /// `json_object` and `json_schema`.
    Schema,
    /// `json_object` alone: a schema is asked for in words.
    Object,
    /// `json_schema` alone: JSON of any form is asked for in words.
    SchemaAlone,
    /// The same, and the schema stands there without a name or `strict`.
    BareSchema,
    /// Nothing: the model is asked in words.
    None,
}

/// What the service makes of `tool_choice`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChoiceSupport {
    /// A word, or the object that names a tool.
    Full,
    /// A word. Where one tool must be called, it is the only one that is offered.
    Words,
    /// Nothing but `auto`. Tools that must not be called are not offered.
    Auto,
}

impl FormatSupport {
    /// There is a field for this form; otherwise the model is asked in words.
    pub fn has(self, format: &ResponseFormat) -> bool {
        match format {
            ResponseFormat::Json => matches!(self, Self::Schema | Self::Object),
            ResponseFormat::Schema { .. } => {
                matches!(self, Self::Schema | Self::SchemaAlone | Self::BareSchema)
            }
        }
    }
}

impl Dialect {
    pub const OPENAI: Self = Self {
        max_tokens: MaxTokens::ByModel,
        stream_options: true,
        developer_role: true,
        response_format: FormatSupport::Schema,
        tool_choice: ChoiceSupport::Full,
        seed: "seed",
        required_choice: "required",
        top_k: false,
        penalties: true,
        user: "user",
        reasoning_effort: true,
        reasoning_apart: false,
        think_tags: false,
        reports_cost: false,
        reasoning_details: "",
        reasoning_content: ReasoningContent::Unread,
        ids: IdRule::AtMost(40),
        result_media: ResultMedia::Behind,
        documents: DocumentForm::File,
        turns: TurnRules::NONE,
        prefill: "",
        schemas: RootRule::PlainObject,
        stops: 4,
        max_temperature: 2.0,
        fixed_sampling: &[],
        no_penalties: &[],
        refuses: &[],
        embedding_inputs: 2048,
        models_path: "/models",
    };

    /// Deployments have names of the user's own.
    pub const AZURE: Self = Self { max_tokens: MaxTokens::ByDeployment, ..Self::OPENAI };

    /// A service that follows the standard in all but OpenAI's latest words.
    pub const COMPATIBLE: Self = Self {
        max_tokens: MaxTokens::Classic,
        developer_role: false,
        ids: IdRule::Any,
        think_tags: true,
        schemas: RootRule::Object,
        stops: usize::MAX,
        embedding_inputs: 0,
        ..Self::OPENAI
    };

    /// "OpenAI Compatibility": two fields are errors there.
    pub const CEREBRAS: Self =
        Self { max_tokens: MaxTokens::Completion, penalties: false, ..Self::COMPATIBLE };
    /// "Compatibility API". `stream_options` is an error; the last chunk has the usage.
    pub const COHERE: Self =
        Self { stream_options: false, user: "", max_temperature: 1.0, ..Self::COMPATIBLE };
    /// "JSON Output": an object, no schema. "Thinking Mode": reasoning that led to calls comes back with them.
    pub const DEEPSEEK: Self = Self {
        response_format: FormatSupport::Object,
        reasoning_content: ReasoningContent::Required,
        ..Self::COMPATIBLE
    };
    /// "API Reference": `max_tokens` is deprecated.
    pub const GROQ: Self = Self { max_tokens: MaxTokens::Completion, stops: 4, ..Self::COMPATIBLE };
    /// Hosts of models whose own services want their reasoning back.
    pub const HOSTING_REASONERS: Self =
        Self { reasoning_content: ReasoningContent::Read, ..Self::COMPATIBLE };
    /// llama-server reads `tool_choice` as a word, and all the settings of its own completions.
    pub const LLAMA_CPP: Self = Self { tool_choice: ChoiceSupport::Words, top_k: true, ..Self::COMPATIBLE };
    /// Both limits are errors that name what is allowed.
    pub const LM_STUDIO: Self = Self {
        response_format: FormatSupport::SchemaAlone,
        tool_choice: ChoiceSupport::Words,
        top_k: true,
        ..Self::COMPATIBLE
    };
    /// "ChatCompletion v2": `response_format` is for a model of the past.
    pub const MINIMAX: Self =
        Self { response_format: FormatSupport::None, max_temperature: 1.0, ..Self::COMPATIBLE };
    /// "Chat Completion": fields that it does not know are errors. Each stream ends with the usage.
    pub const MISTRAL: Self = Self {
        stream_options: false,
        seed: "random_seed",
        required_choice: "any",
        user: "",
        ids: IdRule::Nine,
        max_temperature: 1.5,
        result_media: ResultMedia::Inside,
        documents: DocumentForm::DocumentUrl,
        turns: TurnRules { user_first: true, bridges: true, no_blanks: true, ..TurnRules::NONE },
        prefill: "prefix",
        ..Self::COMPATIBLE
    };
    /// "Tool Use": no `required`. "Thinking": reasoning that led to calls comes back with them.
    pub const MOONSHOT: Self = Self {
        max_tokens: MaxTokens::Completion,
        response_format: FormatSupport::Object,
        required_choice: "",
        prefill: "partial",
        max_temperature: 1.0,
        fixed_sampling: &["kimi-k2.5", "kimi-k2.6", "kimi-k2.7", "kimi-k3"],
        reasoning_content: ReasoningContent::Required,
        ..Self::COMPATIBLE
    };
    /// NIM's schemas are closed, and have no user.
    pub const NVIDIA: Self = Self { user: "", ..Self::COMPATIBLE };
    /// "OpenAI compatibility" lists what is not read.
    pub const OLLAMA: Self =
        Self { required_choice: "", tool_choice: ChoiceSupport::Auto, user: "", ..Self::COMPATIBLE };
    pub const OPENROUTER: Self = Self {
        developer_role: true,
        reasoning_details: "reasoning_details",
        reports_cost: true,
        top_k: true,
        ..Self::COMPATIBLE
    };
    /// "Sonar API": searches instead of calling tools. Each chunk has the usage so far.
    pub const PERPLEXITY: Self = Self {
        stream_options: false,
        response_format: FormatSupport::BareSchema,
        seed: "",
        user: "",
        documents: DocumentForm::FileUrl,
        turns: TurnRules {
            user_first: true,
            alternate: true,
            no_blanks: true,
            prefill: Prefill::Refused,
            ..TurnRules::NONE
        },
        refuses: &[Feature::Tools],
        models_path: "",
        ..Self::COMPATIBLE
    };
    /// MiMo, as DeepSeek does, has its reasoning back with the calls that it led to.
    pub const XIAOMI: Self = Self { reasoning_content: ReasoningContent::Required, ..Self::COMPATIBLE };
    /// "Reasoning": its tokens are counted beside the answer's.
    pub const XAI: Self =
        Self { reasoning_apart: true, no_penalties: &["grok-4", "grok-3-mini"], ..Self::COMPATIBLE };
    /// "Chat Completion": `auto` alone; no seed; `user_id` is bound in its length. Each stream ends with the usage.
    pub const ZHIPU: Self = Self {
        stream_options: false,
        response_format: FormatSupport::Object,
        tool_choice: ChoiceSupport::Auto,
        reasoning_content: ReasoningContent::Read,
        turns: TurnRules { user_first: true, ..TurnRules::NONE },
        stops: 1,
        max_temperature: 1.0,
        seed: "",
        required_choice: "",
        user: "",
        ..Self::COMPATIBLE
    };
}

impl Dialect {
    /// Whether reasoning is kept, to be given back.
    pub fn keeps_reasoning(&self) -> bool {
        self.reasoning_content != ReasoningContent::Unread
    }
}

impl MaxTokens {
    /// Whether the service has OpenAI's own models.
    pub fn is_openais(self) -> bool {
        matches!(self, Self::ByModel | Self::ByDeployment)
    }

    pub fn field(self, model: &str) -> &'static str {
        match self {
            Self::Completion => "max_completion_tokens",
            Self::ByModel if is_reasoning_model(model) => "max_completion_tokens",
            Self::ByDeployment if !names_older_model(model) => "max_completion_tokens",
            Self::Classic | Self::ByModel | Self::ByDeployment => "max_tokens",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasoning_models_have_a_word_of_their_own_for_the_answers_length() {
        for model in [
            "o1",
            "o1-mini",
            "o3-mini-2025-01-31",
            "gpt-5",
            "gpt-5.1-codex",
            "openai/o4-mini",
            "gpt-10",
            "ft:o4-mini-2025-04-16:org::id",
            "prod-gpt5-eastus",
            "GPT-5-mini",
            "team_o3",
            "chat-gpt-5.4-prod",
        ] {
            assert_eq!(MaxTokens::ByModel.field(model), "max_completion_tokens", "{model}");
            assert_eq!(MaxTokens::ByDeployment.field(model), "max_completion_tokens", "{model}");
        }
        for model in [
            "gpt-4o",
            "gpt-4.1-mini",
            "gpt-3.5-turbo",
            "omni",
            "gpt-oss-120b",
            "chatgpt-4o-latest",
            "",
            "ft:gpt-4o-mini-2024-07-18:o3::id",
            "gpt-35-turbo",
            "gpt35-prod",
        ] {
            assert_eq!(MaxTokens::ByModel.field(model), "max_tokens", "{model}");
        }
        for model in [
            "gpt-4o",
            "prod-gpt4o",
            "gpt-35-turbo",
            "Llama-3.3-70B-Instruct",
            "DeepSeek-V3.1",
            "gpt-oss-120b",
        ] {
            assert_eq!(MaxTokens::ByDeployment.field(model), "max_tokens", "{model}");
        }
        for model in ["prod", "chat-eastus", ""] {
            assert_eq!(MaxTokens::ByDeployment.field(model), "max_completion_tokens", "{model}");
        }
    }
}
