//! What arrives while an answer streams.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::tools::ToolCallDelta;
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

/// A field that is there: a word, or `null`.
impl<'de> Deserialize<'de> for FinishReason {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        Ok(Option::<String>::deserialize(input)?.map_or(Self::Null, Self::Word))
    }
}

impl FinishReason {
    /// The same words for every vendor: `stop`, `length`, `tool_calls`, `content_filter`, and `error` where the model wrote
    /// what its own service could not read; what has no such meaning stays as it is, in small letters.
    pub fn normalised(word: &str) -> String {
        let word = word.to_ascii_lowercase();
        let known = match word.as_str() {
            "stop" | "end_turn" | "stop_sequence" | "eos" | "eos_token" | "complete" | "completed"
            | "finished" => "stop",
            "length"
            | "max_tokens"
            | "max_output_tokens"
            | "model_length"
            | "model_context_window_exceeded" => "length",
            "tool_calls" | "tool_call" | "tool_use" | "function_call" => "tool_calls",
            "content_filter"
            | "content_filtered"
            | "refusal"
            | "safety"
            | "recitation"
            | "blocklist"
            | "prohibited_content"
            | "spii"
            | "image_safety"
            | "image_prohibited_content"
            | "image_recitation"
            | "model_armor"
            | "guardrail_intervened"
            | "sensitive" => "content_filter",
            "malformed_function_call"
            | "unexpected_tool_call"
            | "too_many_tool_calls"
            | "missing_thought_signature"
            | "malformed_response" => "error",
            _ => return word,
        };
        known.to_owned()
    }

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
    /// Content other than text.
    pub other: Option<Box<OtherContent>>,
    /// The event only keeps books (counts, the model's name): readers of text see no chunk for it.
    pub bookkeeping: bool,
}

/// What an event may carry beside text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OtherContent {
    /// Text of the model's reasoning.
    pub reasoning: String,
    /// Blocks of reasoning as a whole, in their vendor's own form.
    pub reasoning_details: Vec<Value>,
    pub tool_calls: Vec<ToolCallDelta>,
}

impl StreamEvent {
    /// An event of content that is not text: readers of text see no chunk for it.
    pub fn other(other: OtherContent) -> Self {
        Self { other: Some(Box::new(other)), bookkeeping: true, ..Self::default() }
    }

    pub fn text(delta: impl Into<String>) -> Self {
        Self { delta: delta.into(), ..Self::default() }
    }

    /// Whether the answer has begun with this event: a stream is committed to its provider here.
    pub fn is_content(&self) -> bool {
        !self.delta.is_empty() || self.other.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_all_vendors_mean_the_same() {
        for (word, meaning) in [
            ("end_turn", "stop"),
            ("STOP", "stop"),
            ("MAX_TOKENS", "length"),
            ("tool_use", "tool_calls"),
            ("PROHIBITED_CONTENT", "content_filter"),
            ("IMAGE_RECITATION", "content_filter"),
            ("MALFORMED_FUNCTION_CALL", "error"),
            ("OTHER", "other"),
            ("pause_turn", "pause_turn"),
        ] {
            assert_eq!(FinishReason::normalised(word), meaning, "{word}");
        }
    }
}
