//! The caller's request: read from JSON, checked field by field.

use serde_json::value::RawValue;

use super::message::{Message};

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
}
