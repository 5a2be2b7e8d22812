//! The stream: content in blocks, `messageStop`, then the counts in `metadata`, which the body ends with.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::answer::WireUsage;
use crate::lenient::error_text;
use crate::wire::StreamDecoder;
use gateway_model::{FinishReason, OtherContent, StreamEvent, ToolCallDelta, json as text_json};
use gateway_transport::event_stream::ERROR;

#[derive(Default)]
pub struct BedrockDecoder {
    /// Text and signature of the reasoning under way, to be kept as a block.
    reasoning: Option<Reasoning>,
    stopped: bool,
}

#[derive(Default)]
struct Reasoning {
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

fn parse<T: for<'de> Deserialize<'de>>(name: &str, data: &str) -> Result<T, String> {
    text_json::parse(data.as_bytes())
        .map_err(|error| format!("an event {name} is not the JSON expected ({error})"))
}

impl BedrockDecoder {
    fn delta(&mut self, index: Option<u64>, delta: BlockDelta) -> Option<StreamEvent> {
        if let Some(text) = delta.text {
            return (!text.is_empty()).then(|| StreamEvent::text(text));
        }
        let mut other = OtherContent::default();
        if let Some(arguments) = delta.tool_use.and_then(|call| call.input) {
            other.tool_calls.push(ToolCallDelta { index, arguments, ..ToolCallDelta::default() });
        }
        if let Some(part) = delta.reasoning_content {
            if let Some(redacted) = part.redacted_content {
                other.reasoning_details.push(json!({ "reasoningContent": { "redactedContent": redacted } }));
            }
            if part.text.is_some() || part.signature.is_some() {
                let reasoning = self.reasoning.get_or_insert_default();
                other.reasoning = part.text.unwrap_or_default();
                reasoning.text.push_str(&other.reasoning);
                if let Some(signature) = part.signature {
                    reasoning.signature.get_or_insert_default().push_str(&signature);
                }
            }
        }
        (other != OtherContent::default()).then(|| StreamEvent::other(other))
    }

    /// The block of reasoning that has ended.
    fn reasoned(&mut self) -> Option<StreamEvent> {
        let Reasoning { text, signature } = self.reasoning.take()?;
        let mut block = Map::from_iter([("text".to_owned(), json!(text))]);
        if let Some(signature) = signature {
            block.insert("signature".into(), json!(signature));
        }
        Some(StreamEvent::other(OtherContent {
            reasoning_details: vec![json!({ "reasoningContent": { "reasoningText": block } })],
            ..OtherContent::default()
        }))
    }
}

impl StreamDecoder for BedrockDecoder {
    fn event(&mut self, name: Option<&str>, data: &str, into: &mut Vec<StreamEvent>) -> Result<(), String> {
        match name {
            Some(name @ "contentBlockStart") => {
                let Start { content_block_index: index, start } = parse(name, data)?;
                if let Some(call) = start.and_then(|start| start.tool_use) {
                    let StartedCall { tool_use_id: id, name } = call;
                    let call = ToolCallDelta { index, id, name, ..ToolCallDelta::default() };
                    into.push(StreamEvent::other(OtherContent {
                        tool_calls: vec![call],
                        ..OtherContent::default()
                    }));
                }
            }
            Some(name @ "contentBlockDelta") => {
                let Delta { content_block_index: index, delta } = parse(name, data)?;
                into.extend(delta.and_then(|delta| self.delta(index, delta)));
            }
            Some("contentBlockStop") => into.extend(self.reasoned()),
            Some(name @ "messageStop") => {
                let Stop { stop_reason } = parse(name, data)?;
                into.extend(self.reasoned());
                self.stopped = true;
                into.push(StreamEvent {
                    finish_reason: stop_reason.map_or(FinishReason::Null, FinishReason::Word),
                    ..StreamEvent::default()
                });
            }
            Some(name @ "metadata") => {
                let Metadata { usage } = parse(name, data)?;
                into.push(StreamEvent {
                    usage: usage.and_then(WireUsage::counts),
                    bookkeeping: true,
                    ..StreamEvent::default()
                });
            }
            Some(name) if name == ERROR || name.ends_with("Exception") => {
                let said = serde_json::from_str(data).map_or_else(|_| data.to_owned(), |e| error_text(&e));
                return Err(if name == ERROR { said } else { format!("{name}: {said}") });
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
