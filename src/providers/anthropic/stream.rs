//! The stream: blocks that open, grow and close, and counts that replace each other.

use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::WireUsage;
use crate::model::{FinishReason, OtherContent, StreamEvent, ToolCallDelta};
use crate::providers::wire::{PlainText, StreamDecoder, error_text};

#[derive(Default)]
pub struct AnthropicDecoder {
    usage: WireUsage,
    /// The block of thinking under way, to be kept as a whole.
    thinking: Option<Value>,
    stopped: bool,
    done: bool,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Event {
    MessageStart {
        message: StartedMessage,
    },
    ContentBlockStart {
        index: Option<u64>,
        content_block: Value,
    },
    ContentBlockDelta {
        index: Option<u64>,
        delta: BlockDelta,
    },
    ContentBlockStop,
    MessageDelta {
        delta: Option<MessageChange>,
        usage: Option<WireUsage>,
    },
    MessageStop,
    Error {
        error: Value,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct StartedMessage {
    model: Option<String>,
    usage: Option<WireUsage>,
}

#[derive(Deserialize)]
struct BlockDelta {
    text: Option<PlainText>,
    partial_json: Option<String>,
    thinking: Option<String>,
    signature: Option<String>,
}

#[derive(Deserialize)]
struct MessageChange {
    stop_reason: Option<String>,
}

impl AnthropicDecoder {
    fn begin_block(&mut self, index: Option<u64>, block: Value, into: &mut Vec<StreamEvent>) {
        let text = |key: &str| block[key].as_str().unwrap_or_default().to_owned();
        let other = match block["type"].as_str() {
            Some("text") => {
                if !text("text").is_empty() {
                    into.push(StreamEvent::text(text("text")));
                }
                return;
            }
            Some("tool_use") => {
                let call = ToolCallDelta {
                    index,
                    id: Some(text("id")),
                    name: Some(text("name")),
                    ..ToolCallDelta::default()
                };
                OtherContent { tool_calls: vec![call], ..OtherContent::default() }
            }
            Some("thinking" | "redacted_thinking") => {
                let reasoning = text("thinking");
                self.thinking = Some(block);
                OtherContent { reasoning, ..OtherContent::default() }
            }
            _ => OtherContent::default(),
        };
        into.push(StreamEvent::other(other));
    }

    fn other(&mut self, index: Option<u64>, delta: BlockDelta) -> OtherContent {
        let mut other = OtherContent::default();
        if let Some(arguments) = delta.partial_json {
            other.tool_calls.push(ToolCallDelta { index, arguments, ..ToolCallDelta::default() });
        }
        for (field, text) in [("thinking", &delta.thinking), ("signature", &delta.signature)] {
            if let (Some(text), Some(block)) = (text, &mut self.thinking) {
                block[field] = json!(format!("{}{text}", block[field].as_str().unwrap_or_default()));
            }
        }
        other.reasoning = delta.thinking.unwrap_or_default();
        other
    }
}

impl StreamDecoder for AnthropicDecoder {
    fn event(&mut self, name: Option<&str>, data: &str, into: &mut Vec<StreamEvent>) -> Result<(), String> {
        let Ok(event) = crate::model::json::parse::<Event>(data.as_bytes()) else {
            return if name == Some("error") { Err(data.to_owned()) } else { Ok(()) };
        };
        match event {
            Event::MessageStart { message } => {
                self.usage = message.usage.unwrap_or_default();
                into.push(StreamEvent {
                    model: message.model,
                    usage: self.usage.counts(),
                    bookkeeping: true,
                    ..StreamEvent::default()
                });
            }
            Event::ContentBlockStart { index, content_block } => self.begin_block(index, content_block, into),
            Event::ContentBlockDelta { delta: BlockDelta { text: Some(text), .. }, .. } => {
                into.push(StreamEvent::text(text.into_string()));
            }
            Event::ContentBlockDelta { index, delta } => {
                into.push(StreamEvent::other(self.other(index, delta)))
            }
            Event::ContentBlockStop => {
                if let Some(block) = self.thinking.take() {
                    into.push(StreamEvent::other(OtherContent {
                        reasoning_details: vec![block],
                        ..OtherContent::default()
                    }));
                }
            }
            Event::MessageDelta { delta, usage } => {
                self.usage = self.usage.replaced_by(usage.unwrap_or_default());
                let reason = delta.and_then(|delta| delta.stop_reason);
                self.stopped |= reason.is_some();
                into.push(StreamEvent {
                    finish_reason: reason.map_or(FinishReason::Null, FinishReason::Word),
                    usage: self.usage.counts(),
                    ..StreamEvent::default()
                });
            }
            Event::MessageStop => self.done = true,
            Event::Error { error } => return Err(error_text(&error)),
            Event::Other => {}
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.done
    }

    fn may_end(&self) -> bool {
        self.done || self.stopped
    }
}
