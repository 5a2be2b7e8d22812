//! The stream: chunks of one choice, usage in the last of them, then `[DONE]`.

use serde::Deserialize;
use serde_json::Value;

use super::Dialect;
use super::answer::{WireCall, WireUsage};
use crate::model::{FinishReason, OtherContent, StreamEvent, json};
use crate::providers::wire::{First, PlainText, Presence, StreamDecoder, Text, error_text};

pub struct OpenAiDecoder {
    dialect: Dialect,
    model: String,
    finished: bool,
    done: bool,
}

impl OpenAiDecoder {
    pub fn new(dialect: Dialect) -> Self {
        Self { dialect, model: String::new(), finished: false, done: false }
    }
}

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow)]
    model: Option<Text<'a>>,
    #[serde(default)]
    choices: First<ChunkChoice>,
    usage: Option<WireUsage>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct ChunkChoice {
    delta: Option<Delta>,
    #[serde(default)]
    finish_reason: FinishReason,
}

#[derive(Deserialize)]
struct Delta {
    content: Option<PlainText>,
    reasoning_content: Option<PlainText>,
    reasoning: Option<PlainText>,
    tool_calls: Option<Vec<WireCall>>,
    #[serde(default)]
    refusal: Presence,
}

impl Delta {
    fn other_content(&mut self) -> Option<Box<OtherContent>> {
        let reasoning = self.reasoning_content.take().or(self.reasoning.take()).map(PlainText::into_string);
        let reasoning = reasoning.unwrap_or_default();
        let tool_calls = self.tool_calls.take().unwrap_or_default();
        if reasoning.is_empty() && tool_calls.is_empty() && !self.refusal.0 {
            return None;
        }
        let tool_calls = tool_calls.into_iter().map(Into::into).collect();
        Some(Box::new(OtherContent { reasoning, tool_calls, ..OtherContent::default() }))
    }
}

impl StreamDecoder for OpenAiDecoder {
    fn event(&mut self, name: Option<&str>, data: &str, into: &mut Vec<StreamEvent>) -> Result<(), String> {
        if data == "[DONE]" {
            self.done = true;
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
        if let Some(error) = chunk.error.filter(|error| !error.is_null()) {
            return Err(error_text(&error));
        }
        let mut event = StreamEvent {
            usage: chunk.usage.and_then(|usage| usage.counts(&self.dialect)),
            ..StreamEvent::default()
        };
        if let Some(Text(model)) = chunk.model
            && model != self.model
        {
            self.model = model.into_owned();
            event.model = Some(self.model.clone());
        }
        if let First(Some(choice)) = chunk.choices {
            if let Some(mut delta) = choice.delta {
                event.other = delta.other_content();
                event.delta = delta.content.map(PlainText::into_string).unwrap_or_default();
            }
            self.finished |= choice.finish_reason.word().is_some();
            event.finish_reason = choice.finish_reason;
        }
        into.push(event);
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.done
    }

    fn may_end(&self) -> bool {
        self.done || self.finished
    }
}
