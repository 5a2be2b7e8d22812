//! The stream: blocks that open, grow and close, and counts that replace each other.

use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::WireUsage;
use crate::lenient::{TextOrParts, error_text};
use crate::wire::StreamDecoder;
use gateway_model::{FinishReason, OtherContent, StreamEvent, ToolCallDelta};

#[derive(Default)]
pub struct AnthropicDecoder {
    usage: WireUsage,
    /// Blocks of thinking under way, each to be kept as a whole.
    thinking: Vec<(Option<u64>, Value)>,
    /// The caller's tools that are being called; the vendor's own write arguments, too.
    calls: Vec<Option<u64>>,
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
    ContentBlockStop {
        index: Option<u64>,
    },
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
    text: Option<TextOrParts>,
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
                self.calls.push(index);
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
                self.thinking.push((index, block));
                OtherContent { reasoning, ..OtherContent::default() }
            }
            // A tool of the vendor's own, its result, or what is not known yet.
            _ => return,
        };
        into.push(StreamEvent::other(other));
    }

    /// What a part of a block holds beside text; none for blocks that are passed over.
    fn other(&mut self, index: Option<u64>, delta: BlockDelta) -> Option<OtherContent> {
        let mut other = OtherContent::default();
        if let Some(arguments) = delta.partial_json {
            if !self.calls.contains(&index) {
                return None;
            }
            other.tool_calls.push(ToolCallDelta { index, arguments, ..ToolCallDelta::default() });
        } else if delta.thinking.is_none() && delta.signature.is_none() {
            return None;
        }
        let block = self.thinking.iter_mut().find(|(of, _)| *of == index).map(|(_, block)| block);
        if let Some(block) = block {
            for (field, text) in [("thinking", &delta.thinking), ("signature", &delta.signature)] {
                if let Some(text) = text {
                    block[field] = json!(format!("{}{text}", block[field].as_str().unwrap_or_default()));
                }
            }
        }
        other.reasoning = delta.thinking.unwrap_or_default();
        Some(other)
    }
}

impl StreamDecoder for AnthropicDecoder {
    fn event(&mut self, name: Option<&str>, data: &str, into: &mut Vec<StreamEvent>) -> Result<(), String> {
        let Ok(event) = gateway_model::json::parse::<Event>(data.as_bytes()) else {
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
                into.extend(self.other(index, delta).map(StreamEvent::other));
            }
            Event::ContentBlockStop { index } => {
                self.calls.retain(|of| *of != index);
                if let Some(at) = self.thinking.iter().position(|(of, _)| *of == index) {
                    let (_, block) = self.thinking.remove(at);
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
