//! The stream: chunks of one choice, usage in the last of them, then `[DONE]`.

use serde::Deserialize;
use serde_json::Value;

use super::Dialect;
use super::answer::{WireCall, WireUsage};
use super::reasoning::BlockAssembly;
use crate::lenient::{BorrowedText, FirstItem, IsFilled, TextOrParts, error_text, find_reported_failure};
use crate::wire::StreamDecoder;
use gateway_model::{FinishReason, StreamEvent, TextChunk, json};

pub struct OpenAiDecoder {
    dialect: Dialect,
    model: String,
    /// Blocks of reasoning that are handed on whole, when the answer ends.
    blocks: BlockAssembly,
    finished: bool,
    done: bool,
}

impl OpenAiDecoder {
    pub fn new(dialect: Dialect) -> Self {
        Self { dialect, model: String::new(), blocks: BlockAssembly::default(), finished: false, done: false }
    }
}

// What few chunks have is boxed: a chunk is moved often while it is read.
#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow)]
    model: Option<BorrowedText<'a>>,
    #[serde(default)]
    choices: FirstItem<ChunkChoice>,
    usage: Option<Box<WireUsage>>,
    error: Option<Box<Value>>,
    x_groq: Option<Box<GroqNotes>>,
}

#[derive(Deserialize)]
struct ChunkChoice {
    delta: Option<Delta>,
    #[serde(default)]
    finish_reason: FinishReason,
    /// Moonshot's place for it.
    usage: Option<Box<WireUsage>>,
    error: Option<Box<Value>>,
}

/// What Groq adds to its first chunk and to its last.
#[derive(Deserialize)]
struct GroqNotes {
    usage: Option<Box<WireUsage>>,
    error: Option<Box<Value>>,
}

#[derive(Deserialize)]
struct Delta {
    content: Option<TextOrParts>,
    reasoning_content: Option<Box<TextOrParts>>,
    reasoning: Option<Box<TextOrParts>>,
    reasoning_details: Option<Vec<Value>>,
    tool_calls: Option<Vec<WireCall>>,
    #[serde(default)]
    refusal: IsFilled,
}

impl Delta {
    /// Hands on what it holds beside text.
    fn push_other(&mut self, into: &mut Vec<StreamEvent>) {
        let reasoning = match self.reasoning_content.take().or(self.reasoning.take()) {
            Some(reasoning) => reasoning.into_string(),
            None => self.content.as_mut().map(TextOrParts::take_thinking).unwrap_or_default(),
        };
        if !reasoning.is_empty() {
            into.push(StreamEvent::Reasoning(reasoning));
        }
        let calls = self.tool_calls.take().unwrap_or_default();
        into.extend(calls.into_iter().map(|call| StreamEvent::ToolCall(call.into())));
        if self.refusal.0 {
            into.push(StreamEvent::Opaque);
        }
    }
}

impl OpenAiDecoder {
    /// Hands on the blocks of reasoning that are whole now.
    fn push_blocks(&mut self, into: &mut Vec<StreamEvent>) {
        let blocks = self.blocks.take();
        if !blocks.is_empty() {
            into.push(StreamEvent::ReasoningDetails(blocks));
        }
    }
}

impl StreamDecoder for OpenAiDecoder {
    fn event(&mut self, name: Option<&str>, data: &str, into: &mut Vec<StreamEvent>) -> Result<(), String> {
        if data == "[DONE]" {
            self.done = true;
            self.push_blocks(into);
            return Ok(());
        }
        let replaced;
        let mut chunk = serde_json::from_str::<Chunk<'_>>(data);
        if chunk.is_err()
            && let Some(text) = json::replace_lone(data)
        {
            replaced = text;
            chunk = serde_json::from_str(&replaced);
        }
        let Ok(chunk) = chunk else {
            // Stray lines between good events are passed over, but a named error is one whatever its shape.
            return if name == Some("error") { Err(data.to_owned()) } else { Ok(()) };
        };
        let (groq_usage, groq_error) = chunk.x_groq.map_or((None, None), |notes| (notes.usage, notes.error));
        let (choice_usage, choice_error, choice) = match chunk.choices.0 {
            Some(mut choice) => (choice.usage.take(), choice.error.take(), Some(choice)),
            None => (None, None, None),
        };
        if let Some(error) = chunk.error.or(choice_error).or(groq_error).filter(|error| !error.is_null()) {
            return Err(error_text(&error));
        }
        let usage = chunk.usage.or(choice_usage).or(groq_usage);
        let usage = usage.and_then(|usage| usage.counts(&self.dialect));
        if choice.is_none()
            && usage.is_none()
            && let Some(problem) =
                serde_json::from_str(data).ok().and_then(|body| find_reported_failure(&body))
        {
            return Err(problem);
        }
        let mut text = TextChunk::default();
        if let Some(BorrowedText(model)) = chunk.model
            && model != self.model
        {
            self.model = model.into_owned();
            text.model = Some(self.model.clone());
        }
        if let Some(choice) = choice {
            if let Some(mut delta) = choice.delta {
                delta.push_other(into);
                for part in delta.reasoning_details.unwrap_or_default() {
                    self.blocks.push(part);
                }
                text.delta = delta.content.map(TextOrParts::into_string).unwrap_or_default();
            }
            if choice.finish_reason.word().is_some() {
                self.finished = true;
                self.push_blocks(into);
            }
            text.finish_reason = choice.finish_reason;
        }
        into.push(StreamEvent::Text(text));
        into.extend(usage.map(StreamEvent::Usage));
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.done
    }

    fn may_end(&self) -> bool {
        self.done || self.finished
    }
}
