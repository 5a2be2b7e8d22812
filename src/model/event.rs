//! What arrives while an answer streams.

use super::usage::TokenUsage;

/// The upstream's own word for why it stopped.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum FinishReason {
    /// The event has no such field.
    #[default]
    Absent,
    /// The field is there and `null`: not finished yet.
    Null,
    Word(String),
}

impl FinishReason {
    pub fn word(&self) -> Option<&str> {
        match self {
            Self::Word(word) => Some(word),
            Self::Absent | Self::Null => None,
        }
    }
}

/// One event of a stream, whatever the wire it came over. A whole answer is its events folded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StreamEvent {
    /// Text of the answer; empty in events that carry something else.
    pub delta: String,
    /// The model, when the event names it.
    pub model: Option<String>,
    pub finish_reason: FinishReason,
    /// Counts so far; a later event replaces them.
    pub usage: Option<TokenUsage>,
    /// The event carries content other than text: reasoning, part of a tool call, a refusal.
    pub other_content: bool,
    /// The event only keeps books (counts, the model's name): readers of text see no chunk for it.
    pub bookkeeping: bool,
}

impl StreamEvent {
    pub fn text(delta: impl Into<String>) -> Self {
        Self { delta: delta.into(), ..Self::default() }
    }

    /// Whether the answer has begun with this event: a stream is committed to its provider here.
    pub fn is_content(&self) -> bool {
        !self.delta.is_empty() || self.other_content
    }
}
