//! One message of a conversation. OpenAI's wire form and ours are both understood.

use serde_json::{Map, Value};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    System,
    /// OpenAI's newer word for instructions of the application.
    Developer,
    User,
    Assistant,
    Tool,
}

impl Role {
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "system" => Self::System,
            "developer" => Self::Developer,
            "user" => Self::User,
            "assistant" => Self::Assistant,
            "tool" => Self::Tool,
            _ => return None,
        })
    }

    pub fn is_instruction(self) -> bool {
        matches!(self, Self::System | Self::Developer)
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    pub role: Role,
    pub content: Content,
    /// Calls the assistant made in this turn.
    pub tool_calls: Vec<ToolCall>,
    /// On a tool message: the call it answers.
    pub tool_call_id: Option<String>,
    /// Anthropic prompt caching, on the message as a whole.
    pub cache_control: bool,
    /// The message as the caller wrote it, unless it is plain text with a role.
    pub source: Option<Map<String, Value>>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    Text(String),
    Parts(Vec<Part>),
    /// `null`: an assistant turn that only calls tools.
    Empty,
}

impl Content {
    /// All text, parts joined without a separator.
    pub fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Parts(parts) => parts
                .iter()
                .filter_map(|part| match part {
                    Part::Text { text, .. } => Some(text.as_str()),
                    _ => None,
                })
                .collect(),
            Self::Empty => String::new(),
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    Text { text: String, cache_control: bool },
    ImageUrl { url: String },
    /// Base64.
    ImageData { data: String, mime_type: String },
    /// A part of OpenAI's wire that has no meaning of its own here; it goes out to OpenAI-like services as it is.
    Other { kind: String },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolCall {
    pub id: String,
    pub name: String,
    /// JSON text, as the model wrote it.
    pub arguments: String,
}
