//! The stream: content in blocks, `messageStop`, then the counts in `metadata`, which the body ends with.

use crate::read_error::ReadError;
use gateway_model::error::UpstreamReport;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::answer::WireUsage;
use crate::lenient::shape::Kind::{Content, Number, Object, Text, Word};
use crate::lenient::shape::{self, Shape};
use crate::places::Place;
use crate::wire::StreamDecoder;
use gateway_model::{FinishReason, StreamEvent, ToolCallDelta};
use gateway_transport::event_stream::ERROR;

/// Of all events: their fields have the same types wherever they have the same names.
const EVENT: &Shape = &[
    ("contentBlockIndex", Number),
    ("start", Object),
    ("start.toolUse", Object),
    ("start.toolUse.toolUseId", Text),
    ("start.toolUse.name", Text),
    ("delta.text", Content),
    ("delta.toolUse", Object),
    ("delta.toolUse.input", Content),
    ("delta.reasoningContent", Object),
    ("delta.reasoningContent.text", Content),
    ("delta.reasoningContent.signature", Word),
    ("stopReason", Word),
    ("usage", Object),
];

#[derive(Default)]
pub struct BedrockDecoder {
    /// Text and signature of the reasoning under way, to be kept as a block.
    reasoning: Option<Reasoning>,
    /// What came so far.
    place: Place,
    stopped: bool,
}

#[derive(Default)]
struct Reasoning {
    place: Place,
    text: String,
    signature: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Start {
    content_block_index: Option<u64>,
    start: Option<StartedBlock>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StartedBlock {
    tool_use: Option<StartedCall>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StartedCall {
    tool_use_id: Option<String>,
    name: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Delta {
    content_block_index: Option<u64>,
    delta: Option<BlockDelta>,
}

/// One of these.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BlockDelta {
    text: Option<String>,
    tool_use: Option<CallDelta>,
    reasoning_content: Option<ReasoningDelta>,
}

#[derive(Deserialize)]
struct CallDelta {
    input: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReasoningDelta {
    text: Option<String>,
    signature: Option<String>,
    redacted_content: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stop {
    stop_reason: Option<String>,
}

#[derive(Deserialize)]
struct Metadata {
    usage: Option<WireUsage>,
}

fn parse<T: for<'de> Deserialize<'de> + Send>(name: &str, data: &str) -> Result<T, ReadError> {
    shape::read(data.as_bytes(), EVENT)
        .map_err(|error| format!("an event {name} is not the JSON expected ({error})").into())
}

impl BedrockDecoder {
    fn push_delta(&mut self, index: Option<u64>, delta: BlockDelta, into: &mut Vec<StreamEvent>) {
        if let Some(text) = delta.text {
            if !text.is_empty() {
                self.place.text += text.len();
                into.push(StreamEvent::text(text));
            }
            return;
        }
        if let Some(arguments) = delta.tool_use.and_then(|call| call.input) {
            into.push(StreamEvent::ToolCall(ToolCallDelta { index, arguments, ..ToolCallDelta::default() }));
        }
        let Some(part) = delta.reasoning_content else { return };
        if part.text.is_some() || part.signature.is_some() {
            let reasoning =
                self.reasoning.get_or_insert(Reasoning { place: self.place, ..Reasoning::default() });
            if let Some(signature) = part.signature {
                reasoning.signature.get_or_insert_default().push_str(&signature);
            }
            let text = part.text.unwrap_or_default();
            if !text.is_empty() {
                reasoning.text.push_str(&text);
                into.push(StreamEvent::Reasoning(text));
            }
        }
        if let Some(redacted) = part.redacted_content {
            let block = json!({ "reasoningContent": { "redactedContent": redacted } });
            into.push(StreamEvent::ReasoningDetails(vec![self.place.note(block)]));
        }
    }

    /// The block of reasoning that has ended.
    fn reasoned(&mut self) -> Option<StreamEvent> {
        let Reasoning { place, text, signature } = self.reasoning.take()?;
        let mut block = Map::from_iter([("text".to_owned(), json!(text))]);
        if let Some(signature) = signature {
            block.insert("signature".into(), json!(signature));
        }
        let block = json!({ "reasoningContent": { "reasoningText": block } });
        Some(StreamEvent::ReasoningDetails(vec![place.note(block)]))
    }
}

impl StreamDecoder for BedrockDecoder {
    fn event(
        &mut self,
        name: Option<&str>,
        data: &str,
        into: &mut Vec<StreamEvent>,
    ) -> Result<(), ReadError> {
        match name {
            Some(name @ "contentBlockStart") => {
                let Start { content_block_index: index, start } = parse(name, data)?;
                if let Some(call) = start.and_then(|start| start.tool_use) {
                    self.place.calls += 1;
                    let StartedCall { tool_use_id: id, name } = call;
                    into.push(StreamEvent::ToolCall(ToolCallDelta {
                        index,
                        id,
                        name,
                        ..ToolCallDelta::default()
                    }));
                }
            }
            Some(name @ "contentBlockDelta") => {
                let Delta { content_block_index: index, delta } = parse(name, data)?;
                if let Some(delta) = delta {
                    self.push_delta(index, delta, into);
                }
            }
            Some("contentBlockStop") => into.extend(self.reasoned()),
            Some(name @ "messageStop") => {
                let Stop { stop_reason } = parse(name, data)?;
                into.extend(self.reasoned());
                self.stopped = true;
                into.push(StreamEvent::finish(FinishReason::of(stop_reason)));
            }
            Some(name @ "metadata") => {
                let Metadata { usage } = parse(name, data)?;
                into.extend(usage.and_then(WireUsage::counts).map(StreamEvent::Usage));
            }
            Some(name) if name == ERROR || name.ends_with("Exception") => {
                let said = UpstreamReport::read(data);
                if name == ERROR {
                    return Err(said.into());
                }
                let message = format!("{name}: {}", said.message);
                return Err(UpstreamReport { message, ..said }.named(name).into());
            }
            _ => {}
        }
        Ok(())
    }

    /// Counts follow the end of the message: the body says when it is over.
    fn is_done(&self) -> bool {
        false
    }

    fn may_end(&self) -> bool {
        self.stopped
    }
}
