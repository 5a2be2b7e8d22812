//! What arrives while an answer streams.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::answer::Warning;
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

/// A field that is there: a word, or `null`, which some services write as an empty word.
impl<'de> Deserialize<'de> for FinishReason {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        Ok(Self::of(Option::<String>::deserialize(input)?))
    }
}

impl FinishReason {
    /// Of a field that is there.
    pub fn of(word: Option<String>) -> Self {
        word.filter(|word| !word.is_empty()).map_or(Self::Null, Self::Word)
    }

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

/// One event of a stream, whatever the wire it came over. A whole answer is its events folded
/// ([`AnswerBuilder`](crate::AnswerBuilder)).
///
/// Readers match it without a catch-all, so that a new kind of event does not compile until each has decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamEvent {
    /// A chunk of the answer's text: readers of text see one for each, empty ones too.
    Text(TextChunk),
    /// Text of the model's reasoning; empty where it reasons without showing it.
    Reasoning(String),
    /// Blocks of reasoning as a whole, in their vendor's own form.
    ReasoningDetails(Vec<Value>),
    ToolCall(ToolCallDelta),
    /// Content that has no form of its own here, a refusal or an image: the answer has begun, and there is nothing to show.
    Opaque,
    /// Settings of the request that the provider did not get as they were written.
    Warnings(Vec<Warning>),
    /// The model as the upstream names it, where no chunk of text carries the name.
    Model(String),
    /// Counts so far; later ones replace them.
    Usage(TokenUsage),
}

/// A piece of text, with what the upstream said in the same breath.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TextChunk {
    pub delta: String,
    /// The model, when the chunk names it.
    pub model: Option<String>,
    pub finish_reason: FinishReason,
}

impl StreamEvent {
    pub fn text(delta: impl Into<String>) -> Self {
        Self::Text(TextChunk { delta: delta.into(), ..TextChunk::default() })
    }

    /// An empty chunk that says why the model stopped.
    pub fn finish(finish_reason: FinishReason) -> Self {
        Self::Text(TextChunk { finish_reason, ..TextChunk::default() })
    }

    /// Whether the answer has begun with this event: a stream is committed to its provider here.
    pub fn is_content(&self) -> bool {
        match self {
            Self::Text(chunk) => !chunk.delta.is_empty(),
            Self::Reasoning(_) | Self::ReasoningDetails(_) | Self::ToolCall(_) | Self::Opaque => true,
            Self::Warnings(_) | Self::Model(_) | Self::Usage(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_cheap_to_move() {
        assert!(size_of::<StreamEvent>() <= 120, "{} bytes", size_of::<StreamEvent>());
    }

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
