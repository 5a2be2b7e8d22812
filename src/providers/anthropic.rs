//! Anthropic messages.
//!
//! Source: Anthropic's API reference, "Messages" and "Streaming messages" (`POST /v1/messages`).

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::ProviderCall;
use super::wire::{Count, PlainText, StreamDecoder, Wire, error_text, usage_of};
use crate::error::GatewayError;
use crate::model::{Answer, Content, FinishReason, Message, Part, Role, StreamEvent, TokenUsage};

pub const VERSION: &str = "2023-06-01";
/// Anthropic requires a bound; this one stands in where the caller sets none.
const DEFAULT_MAX_TOKENS: u64 = 4096;

pub struct AnthropicWire;

impl Wire for AnthropicWire {
    const PATH: &'static str = "/v1/messages";

    fn body(&self, call: &ProviderCall, stream: bool) -> Result<Vec<u8>, GatewayError> {
        let request = &call.request;
        let mut body = Map::new();
        body.insert("model".into(), json!(call.model));
        body.insert("messages".into(), Value::Array(turns(&request.messages)));
        body.insert("max_tokens".into(), json!(call.max_tokens.unwrap_or(DEFAULT_MAX_TOKENS)));
        if stream {
            body.insert("stream".into(), json!(true));
        }
        if let Some(temperature) = request.temperature {
            body.insert("temperature".into(), json!(temperature));
        }
        if let Some(system) = system(&request.messages) {
            body.insert("system".into(), system);
        }
        serde_json::to_vec(&body)
            .map_err(|error| GatewayError::internal(format!("the request could not be written: {error}")))
    }

    fn answer(&self, body: &[u8]) -> Result<Answer, String> {
        let whole: Whole =
            crate::model::json::parse(body).map_err(|error| super::openai::not_an_answer(body, &error))?;
        if let Some(error) = whole.error.filter(|error| !error.is_null()) {
            return Err(error_text(&error));
        }
        let blocks = whole.content.ok_or("the answer has no content")?;
        Ok(Answer {
            content: blocks
                .into_iter()
                .filter(|block| block.kind == "text")
                .filter_map(|block| block.text)
                .collect(),
            model: whole.model.unwrap_or_default(),
            usage: whole.usage.and_then(|usage| usage.counts()),
            total_tokens: None,
        })
    }

    fn decoder(&self) -> Box<dyn StreamDecoder> {
        Box::<AnthropicDecoder>::default()
    }
}

/// All system text, in order: a string, or blocks where one of them is marked for the prompt cache.
fn system(messages: &[Message]) -> Option<Value> {
    let instructions: Vec<&Message> =
        messages.iter().filter(|message| message.role.is_instruction()).collect();
    if instructions.is_empty() {
        return None;
    }
    let marked = |message: &&&Message| {
        message.cache_control
            || matches!(&message.content, Content::Parts(parts)
                if parts.iter().any(|part| matches!(part, Part::Text { cache_control: true, .. })))
    };
    if instructions.iter().any(|message| marked(&message)) {
        return Some(Value::Array(instructions.iter().flat_map(|message| blocks(message)).collect()));
    }
    let texts: Vec<String> = instructions.iter().map(|message| message.content.text()).collect();
    Some(Value::String(texts.join("\n\n")))
}

/// User and assistant turns. Results of tools are part of the user's turn; those of one round share it.
fn turns(messages: &[Message]) -> Vec<Value> {
    let mut turns: Vec<Value> = Vec::new();
    let mut in_results = false;
    for message in messages.iter().filter(|message| !message.role.is_instruction()) {
        if message.role == Role::Tool {
            let result = json!({
                "type": "tool_result",
                "tool_use_id": message.tool_call_id.as_deref().unwrap_or_default(),
                "content": message.content.text(),
            });
            let open =
                turns.last_mut().filter(|_| in_results).and_then(|turn| turn["content"].as_array_mut());
            match open {
                Some(results) => results.push(result),
                None => turns.push(json!({"role": "user", "content": [result]})),
            }
            in_results = true;
            continue;
        }
        in_results = false;
        let role = if message.role == Role::Assistant { "assistant" } else { "user" };
        let content = match &message.content {
            Content::Text(text) if message.tool_calls.is_empty() && !message.cache_control => json!(text),
            _ => Value::Array(blocks(message)),
        };
        turns.push(json!({"role": role, "content": content}));
    }
    turns
}

/// A message as content blocks; the cache mark of a message is set on its last block.
fn blocks(message: &Message) -> Vec<Value> {
    let mut blocks: Vec<Value> = match &message.content {
        Content::Text(text) if text.is_empty() => Vec::new(),
        Content::Text(text) => vec![json!({"type": "text", "text": text})],
        Content::Parts(parts) => parts.iter().filter_map(block).collect(),
        Content::Empty => Vec::new(),
    };
    for call in &message.tool_calls {
        let input = serde_json::from_str::<Value>(&call.arguments).ok().filter(Value::is_object);
        blocks.push(json!({"type": "tool_use", "id": call.id, "name": call.name, "input": input.unwrap_or_else(|| json!({}))}));
    }
    if message.cache_control
        && let Some(Value::Object(last)) = blocks.last_mut()
    {
        last.insert("cache_control".into(), json!({"type": "ephemeral"}));
    }
    blocks
}

fn block(part: &Part) -> Option<Value> {
    Some(match part {
        Part::Text { text, cache_control: false } => json!({"type": "text", "text": text}),
        Part::Text { text, cache_control: true } => {
            json!({"type": "text", "text": text, "cache_control": {"type": "ephemeral"}})
        }
        Part::ImageUrl { url } => json!({"type": "image", "source": {"type": "url", "url": url}}),
        Part::ImageData { data, mime_type } => {
            json!({"type": "image", "source": {"type": "base64", "media_type": mime_type, "data": data}})
        }
        Part::Other { .. } => return None,
    })
}

#[derive(Deserialize)]
struct Whole {
    model: Option<String>,
    content: Option<Vec<Block>>,
    usage: Option<WireUsage>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Block {
    #[serde(rename = "type")]
    kind: String,
    text: Option<String>,
}

#[derive(Deserialize, Default, Clone, Copy)]
struct WireUsage {
    input_tokens: Option<Count>,
    output_tokens: Option<Count>,
    cache_read_input_tokens: Option<Count>,
    cache_creation_input_tokens: Option<Count>,
}

impl WireUsage {
    /// Anthropic's `input_tokens` leaves cached tokens out; ours has them in.
    fn counts(self) -> Option<TokenUsage> {
        let usage = usage_of(self.input_tokens, self.output_tokens)?;
        let nonzero = |count: Option<Count>| count.map(Count::get).filter(|count| *count > 0);
        let (read, write) =
            (nonzero(self.cache_read_input_tokens), nonzero(self.cache_creation_input_tokens));
        Some(TokenUsage {
            input: usage.input + read.unwrap_or(0) + write.unwrap_or(0),
            cache_read: read,
            cache_write: write,
            ..usage
        })
    }

    /// Later counts replace earlier ones, field by field; they are never added.
    fn replaced_by(self, later: Self) -> Self {
        Self {
            input_tokens: later.input_tokens.or(self.input_tokens),
            output_tokens: later.output_tokens.or(self.output_tokens),
            cache_read_input_tokens: later.cache_read_input_tokens.or(self.cache_read_input_tokens),
            cache_creation_input_tokens: later
                .cache_creation_input_tokens
                .or(self.cache_creation_input_tokens),
        }
    }
}

#[derive(Default)]
struct AnthropicDecoder {
    usage: WireUsage,
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
        content_block: StartedBlock,
    },
    ContentBlockDelta {
        delta: BlockDelta,
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
struct StartedBlock {
    #[serde(rename = "type")]
    kind: String,
    text: Option<PlainText>,
}

#[derive(Deserialize)]
struct BlockDelta {
    text: Option<PlainText>,
}

#[derive(Deserialize)]
struct MessageChange {
    stop_reason: Option<String>,
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
            Event::ContentBlockStart { content_block: StartedBlock { kind, text } } => {
                let text = text.map(PlainText::into_string).unwrap_or_default();
                if kind != "text" {
                    into.push(StreamEvent {
                        other_content: true,
                        bookkeeping: true,
                        ..StreamEvent::default()
                    });
                } else if !text.is_empty() {
                    into.push(StreamEvent::text(text));
                }
            }
            Event::ContentBlockDelta { delta: BlockDelta { text: Some(text) } } => {
                into.push(StreamEvent::text(text.into_string()));
            }
            Event::ContentBlockDelta { .. } => {
                into.push(StreamEvent { other_content: true, bookkeeping: true, ..StreamEvent::default() });
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
