//! The caller's request: read from JSON, checked field by field.

mod embed;
mod messages;
mod openai;
mod options;
mod parse;
mod parts;
mod read;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::json;
use super::message::{Content, Message, Part};
use super::tools::{ResponseFormat, Tool, ToolChoice};
use crate::error::GatewayError;

pub use embed::EmbedRequest;
pub use openai::{OpenAiMessages, file_name};
pub use options::OptionBounds;
pub use parse::Setting;

/// What a caller asks. Fields that are absent or `null` are unset.
#[derive(Debug, Clone, Default)]
pub struct ChatRequest {
    pub messages: Vec<Message>,
    /// The messages as they came in, when each is in OpenAI's own wire form: they then go out to
    /// OpenAI-like services byte for byte.
    pub openai_messages: Option<Box<RawValue>>,
    pub model: Option<String>,
    pub task_type: Option<String>,
    pub feature: Option<String>,
    pub user_tier: Option<String>,
    pub sensitivity: Option<String>,
    pub max_tokens: Option<u64>,
    pub temperature: Option<f64>,
    pub top_p: Option<f64>,
    /// The model chooses among so many of the likeliest tokens.
    pub top_k: Option<u64>,
    /// Texts at which the model stops.
    pub stop: Vec<String>,
    pub seed: Option<i64>,
    pub presence_penalty: Option<f64>,
    pub frequency_penalty: Option<f64>,
    /// How much a reasoning model is to think: `low`, `medium`, `high`, or another word the model knows.
    pub reasoning_effort: Option<String>,
    pub tools: Vec<Tool>,
    pub tool_choice: Option<ToolChoice>,
    /// `None`: free text.
    pub response_format: Option<ResponseFormat>,
    /// The caller's user.
    pub user_id: Option<String>,
    /// The caller's own notes on the call.
    pub metadata: Option<Map<String, Value>>,
    /// By family: fields that go into the wire body as they are.
    pub provider_options: Option<Map<String, Value>>,
    /// Of the whole call, retries and fallbacks included.
    pub timeout_ms: Option<u64>,
    /// Whether an answer may come from the cache; `None`: as the settings say.
    pub cache: Option<CacheWish>,
    /// Entries of a pool in the order in which a strategy of the program's own wants them asked; empty: it was not asked.
    pub pool_order: Vec<String>,
    /// Fields that are not known and close to one that is: what was written, and what was probably meant.
    pub near_misses: Vec<(String, &'static str)>,
    /// The JavaScript call this belongs to, by which its custom providers are found; not part of the JSON. 0 in Rust.
    pub js_call_id: u32,
}

/// A caller's word on the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheWish {
    /// Neither the cache nor another call's answer.
    No,
    /// Milliseconds that the answer is kept; the settings' where there are none.
    Yes { ttl_ms: Option<u64> },
}

/// What not every provider can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feature {
    Tools,
    Images,
    Files,
    Audio,
    Embeddings,
    /// Parts of OpenAI's own form that mean nothing elsewhere: a file that lies with OpenAI, a video.
    OpenAiParts,
}

impl Feature {
    /// The error of a provider that cannot do it: nothing is sent, and a chain goes on.
    pub fn refused_by(self, provider: &str) -> GatewayError {
        let feature = match self {
            Self::Tools => "tools",
            Self::Images => "image parts",
            Self::Files => "file parts",
            Self::Audio => "audio parts",
            Self::Embeddings => "requests for embeddings",
            Self::OpenAiParts => "parts that only OpenAI's own form has (file_id, video_url)",
        };
        let problem = format!("provider \"{provider}\" does not take {feature}");
        GatewayError {
            provider: Some(provider.to_owned()),
            ..GatewayError::invalid_request("request", &problem)
        }
    }
}

impl ChatRequest {
    /// The features that a provider must have to answer this.
    pub fn features(&self) -> impl Iterator<Item = Feature> {
        let tools = (!self.tools.is_empty()).then_some(Feature::Tools);
        let parts = self.messages.iter().filter_map(|message| match &message.content {
            Content::Parts(parts) => Some(parts),
            _ => None,
        });
        tools.into_iter().chain(parts.flatten().filter_map(|part| match part {
            Part::ImageUrl { .. } | Part::ImageData { .. } => Some(Feature::Images),
            Part::File { .. } => Some(Feature::Files),
            Part::Audio { .. } => Some(Feature::Audio),
            Part::Other { kind } if kind != "refusal" => Some(Feature::OpenAiParts),
            Part::Text { .. } | Part::Other { .. } => None,
        }))
    }

    /// Reads the JSON text of a request; fields it does not know are ignored. Halves of surrogate pairs, which
    /// JavaScript strings may hold and UTF-8 may not, become U+FFFD.
    ///
    /// # Errors
    /// `invalid_request`, with the path of the field at fault: `messages[1].content[0].text`; also for JSON that is nested more
    /// than 1,000 deep.
    pub fn from_json(text: &str) -> Result<Self, GatewayError> {
        let read = parse::request(text).or_else(|error| match json::replace_lone(text) {
            Some(text) => parse::request(&text),
            None => Err(error),
        });
        read.map_err(|error| match json::is_too_deep(text.as_bytes()) {
            true => GatewayError::invalid_request("request", "must not be nested more than 1,000 deep"),
            false => error.into(),
        })
    }

    /// The messages as OpenAI's wire writes them, to be put in a body: as they came in where that is possible.
    pub fn to_openai_messages(&self) -> OpenAiMessages<'_> {
        OpenAiMessages::new(self)
    }

    /// The messages in OpenAI's wire form: those in ours are converted, the others are as they were written.
    pub fn openai_messages_value(&self) -> Value {
        Value::Array(self.messages.iter().map(openai::wire_message).collect())
    }
}
