//! The caller's request: read from JSON, checked field by field.

mod openai;
mod parse;

use serde_json::Value;
use serde_json::value::RawValue;

use super::{json, message::Message};
use crate::error::GatewayError;

pub use openai::OpenAiMessages;

/// What a caller asks. Fields that are absent or `null` are unset.
#[derive(Debug, Clone)]
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
    /// The caller's own number for this call, by which a custom provider finds it again; not part of the JSON.
    pub caller: u32,
}

impl ChatRequest {
    /// Reads the JSON text of a request; fields it does not know are ignored. Halves of surrogate pairs, which
    /// JavaScript strings may hold and UTF-8 may not, become U+FFFD.
    ///
    /// # Errors
    /// `invalid_request`, with the path of the field at fault: `messages[1].content[0].text`.
    pub fn from_json(text: &str) -> Result<Self, GatewayError> {
        let read = parse::request(text).or_else(|fault| match json::replace_lone(text) {
            Some(text) => parse::request(&text),
            None => Err(fault),
        });
        Ok(read?)
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
