//! The stream: blocks that open, grow and close, and counts that replace each other.

use crate::read_error::ReadError;
use gateway_model::error::UpstreamReport;
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{WireUsage, answer};
use crate::lenient::shape::Kind::{Content, Number, Object, Objects, Word};
use crate::lenient::shape::{self, Shape};
use crate::lenient::{TextOrParts, is_reported, unreadable_event};
use crate::places::Place;
use crate::wire::StreamDecoder;
use gateway_model::{Answer, FinishReason, StreamEvent, ToolCallDelta};

/// Of all events: their fields have the same types wherever they have the same names.
const EVENT: &Shape = &[
    ("index", Number),
    ("message.model", Word),
    ("message.content", Objects),
    ("message.usage", Object),
    ("message.usage.cache_creation", Object),
    ("message.usage.output_tokens_details", Object),
    ("delta.partial_json", Content),
    ("delta.thinking", Content),
    ("delta.signature", Word),
    ("delta.stop_reason", Word),
    ("usage", Object),
    ("usage.cache_creation", Object),
    ("usage.output_tokens_details", Object),
];

#[derive(Default)]
pub struct AnthropicDecoder {
    usage: WireUsage,
    /// Blocks of thinking under way, each to be kept as a whole.
    thinking: Vec<(Option<u64>, Value)>,
    /// The caller's tools that are being called, each with the input that it began with: parts that follow replace it. The
    /// vendor's own tools write arguments, too.
    calls: Vec<(Option<u64>, Option<Value>)>,
    /// What came so far.
    place: Place,
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
    /// Of a turn that goes on.
    content: Option<Vec<Value>>,
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
    fn begin_block(&mut self, index: Option<u64>, block: Value) -> Option<StreamEvent> {
        let text = |key: &str| block[key].as_str().unwrap_or_default().to_owned();
        match block["type"].as_str() {
            Some("text") => {
                let text = text("text");
                self.place.text += text.len();
                Some(text).filter(|text| !text.is_empty()).map(StreamEvent::text)
            }
            Some("tool_use") => {
                let input = block.get("input").filter(|input| is_reported(input)).cloned();
                self.calls.push((index, input));
                self.place.calls += 1;
                Some(StreamEvent::ToolCall(ToolCallDelta {
                    index,
                    id: Some(text("id")),
                    name: Some(text("name")),
                    ..ToolCallDelta::default()
                }))
            }
            Some("thinking" | "redacted_thinking") => {
                let reasoning = text("thinking");
                self.thinking.push((index, self.place.note(block)));
                Some(StreamEvent::Reasoning(reasoning))
            }
            // A tool of the vendor's own, its result, or what is not known yet.
            _ => None,
        }
    }

    fn end_block(&mut self, index: Option<u64>, into: &mut Vec<StreamEvent>) {
        if let Some(at) = self.calls.iter().position(|(of, _)| *of == index) {
            let (_, begun_with) = self.calls.remove(at);
            into.extend(begun_with.map(|input| {
                StreamEvent::ToolCall(ToolCallDelta {
                    index,
                    arguments: input.to_string(),
                    ..ToolCallDelta::default()
                })
            }));
        }
        if let Some(at) = self.thinking.iter().position(|(of, _)| *of == index) {
            let (_, block) = self.thinking.remove(at);
            into.push(StreamEvent::ReasoningDetails(vec![block]));
        }
    }

    /// What a part of a block holds beside text; none for blocks that are passed over.
    fn part_of_block(&mut self, index: Option<u64>, delta: BlockDelta) -> Option<StreamEvent> {
        if let Some(arguments) = delta.partial_json {
            let (_, begun_with) = self.calls.iter_mut().find(|(of, _)| *of == index)?;
            if !arguments.is_empty() {
                *begun_with = None;
            }
            let part = ToolCallDelta { index, arguments, ..ToolCallDelta::default() };
            return Some(StreamEvent::ToolCall(part));
        }
        if delta.thinking.is_none() && delta.signature.is_none() {
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
        Some(StreamEvent::Reasoning(delta.thinking.unwrap_or_default()))
    }
}

impl StreamDecoder for AnthropicDecoder {
    fn event(
        &mut self,
        name: Option<&str>,
        data: &str,
        into: &mut Vec<StreamEvent>,
    ) -> Result<(), ReadError> {
        let Ok(event) = shape::read::<Event>(data.as_bytes(), EVENT) else {
            return unreadable_event(name, data);
        };
        match event {
            Event::MessageStart { message } => {
                self.usage = message.usage.unwrap_or_default();
                into.extend(message.model.map(StreamEvent::Model));
                into.extend(self.usage.counts().map(StreamEvent::Usage));
                for block in message.content.unwrap_or_default() {
                    into.extend(self.begin_block(None, block));
                    self.end_block(None, into);
                }
            }
            Event::ContentBlockStart { index, content_block } => {
                into.extend(self.begin_block(index, content_block));
            }
            Event::ContentBlockDelta { delta: BlockDelta { text: Some(text), .. }, .. } => {
                let text = text.into_string();
                self.place.text += text.len();
                into.push(StreamEvent::text(text));
            }
            Event::ContentBlockDelta { index, delta } => {
                into.extend(self.part_of_block(index, delta));
            }
            Event::ContentBlockStop { index } => self.end_block(index, into),
            Event::MessageDelta { delta, usage } => {
                self.usage = self.usage.replaced_by(usage.unwrap_or_default());
                let reason = delta.and_then(|delta| delta.stop_reason).filter(|reason| !reason.is_empty());
                self.stopped |= reason.is_some();
                into.push(StreamEvent::finish(FinishReason::of(reason)));
                into.extend(self.usage.counts().map(StreamEvent::Usage));
            }
            Event::MessageStop => self.done = true,
            Event::Error { error } => return Err(UpstreamReport::of(&error).into()),
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

    fn whole(&self, body: &[u8]) -> Result<Answer, ReadError> {
        answer(body)
    }
}
