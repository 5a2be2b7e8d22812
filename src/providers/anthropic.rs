//! Anthropic messages.
//!
//! Source: Anthropic's API reference, "Messages" and "Streaming messages" (`POST /v1/messages`).

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::ProviderCall;
use super::wire::{
    Count, DEFAULT_MAX_TOKENS, PlainText, StreamDecoder, Wire, error_text, format_instruction, not_an_answer,
    thinking, usage_of,
};
use crate::error::GatewayError;
use crate::model::{
    Answer, ChatRequest, Content, Feature, FinishReason, Message, OtherContent, Part, Role, StreamEvent,
    TokenUsage, Tool, ToolCall, ToolCallDelta, ToolChoice,
};

pub const VERSION: &str = "2023-06-01";

pub struct AnthropicWire;

impl Wire for AnthropicWire {
    fn path(&self) -> Cow<'static, str> {
        Cow::Borrowed("/v1/messages")
    }

    fn keeps_format(&self, _: &ProviderCall) -> bool {
        false
    }

    fn supports(&self, feature: Feature) -> bool {
        !matches!(feature, Feature::Audio | Feature::Embeddings | Feature::OpenAiParts)
    }

    fn body(&self, call: &ProviderCall, stream: bool) -> Result<Vec<u8>, GatewayError> {
        let request = &call.request;
        let mut body = Map::new();
        body.insert("model".into(), json!(call.model));
        body.insert("messages".into(), Value::Array(turns(&request.messages)));
        // A bound is required.
        body.insert("max_tokens".into(), json!(call.max_tokens.unwrap_or(DEFAULT_MAX_TOKENS)));
        if stream {
            body.insert("stream".into(), json!(true));
        }
        if let Some(temperature) = request.temperature {
            body.insert("temperature".into(), json!(temperature));
        }
        if let Some(system) = system(request) {
            body.insert("system".into(), system);
        }
        options(request, &mut body);
        serde_json::to_vec(&body).map_err(GatewayError::unwritable)
    }

    fn answer(&self, body: &[u8]) -> Result<Answer, String> {
        let whole: Whole = crate::model::json::parse(body).map_err(|error| not_an_answer(body, &error))?;
        if let Some(error) = whole.error.filter(|error| !error.is_null()) {
            return Err(error_text(&error));
        }
        let mut answer = Answer::default();
        for block in whole.content.ok_or("the answer has no content")? {
            if !block.is_object() {
                return Err("a block of the answer's content is not an object".to_owned());
            }
            match block["type"].as_str() {
                Some("text") => answer.content.push_str(block["text"].as_str().unwrap_or_default()),
                Some("tool_use") => answer.tool_calls.push(ToolCall {
                    id: block["id"].as_str().unwrap_or_default().to_owned(),
                    name: block["name"].as_str().unwrap_or_default().to_owned(),
                    arguments: block.get("input").map(Value::to_string).unwrap_or_default(),
                    signature: None,
                }),
                Some("thinking" | "redacted_thinking") => {
                    answer.reasoning.push_str(block["thinking"].as_str().unwrap_or_default());
                    answer.reasoning_details.push(block);
                }
                _ => {}
            }
        }
        Ok(Answer {
            model: whole.model.unwrap_or_default(),
            finish_reason: whole.stop_reason,
            usage: whole.usage.and_then(|usage| usage.counts()),
            ..answer
        })
    }

    fn decoder(&self) -> Box<dyn StreamDecoder> {
        Box::<AnthropicDecoder>::default()
    }

    fn models_path(&self) -> Option<Cow<'static, str>> {
        Some(Cow::Borrowed("/v1/models?limit=1000"))
    }
}

/// All system text, in order: a string, or blocks where one of them is marked for the prompt cache.
fn system(request: &ChatRequest) -> Option<Value> {
    let instructions: Vec<&Message> =
        request.messages.iter().filter(|message| message.role.is_instruction()).collect();
    let format = request.response_format.as_ref().map(format_instruction);
    if instructions.is_empty() {
        return format.map(Value::String);
    }
    let marked = |message: &&&Message| {
        message.cache_control
            || matches!(&message.content, Content::Parts(parts)
                if parts.iter().any(|part| matches!(part, Part::Text { cache_control: true, .. })))
    };
    if instructions.iter().any(|message| marked(&message)) {
        let format = format.map(|text| json!({"type": "text", "text": text}));
        return Some(instructions.iter().flat_map(|message| blocks(message)).chain(format).collect());
    }
    let texts: Vec<String> =
        instructions.iter().map(|message| message.content.text()).chain(format).collect();
    Some(Value::String(texts.join("\n\n")))
}

/// The fields that few requests set, in Anthropic's words and always in this order.
fn options(request: &ChatRequest, body: &mut Map<String, Value>) {
    if let Some(top_p) = request.top_p {
        body.insert("top_p".into(), json!(top_p));
    }
    if !request.stop.is_empty() {
        body.insert("stop_sequences".into(), json!(request.stop));
    }
    if let Some(effort) = &request.reasoning_effort {
        let max_tokens = body["max_tokens"].as_u64().unwrap_or(DEFAULT_MAX_TOKENS);
        if let Some((max_tokens, thinking)) = thinking(effort, max_tokens) {
            body.insert("max_tokens".into(), json!(max_tokens));
            body.insert("thinking".into(), thinking);
        }
    }
    if !request.tools.is_empty() {
        body.insert("tools".into(), request.tools.iter().map(tool).collect());
        if let Some(choice) = &request.tool_choice {
            body.insert("tool_choice".into(), tool_choice(choice));
        }
    }
    if let Some(user) = &request.user_id {
        body.insert("metadata".into(), json!({"user_id": user}));
    }
}

fn tool(tool: &Tool) -> Value {
    let mut wire = Map::from_iter([("name".to_owned(), json!(tool.name))]);
    if let Some(description) = &tool.description {
        wire.insert("description".into(), json!(description));
    }
    wire.insert("input_schema".into(), Value::Object(tool.parameters.clone()));
    Value::Object(wire)
}

fn tool_choice(choice: &ToolChoice) -> Value {
    match choice {
        ToolChoice::Auto => json!({"type": "auto"}),
        ToolChoice::None => json!({"type": "none"}),
        ToolChoice::Required => json!({"type": "any"}),
        ToolChoice::Named(name) => json!({"type": "tool", "name": name}),
    }
}

/// User and assistant turns. Results of tools are part of the user's turn; those of one round share it.
fn turns(messages: &[Message]) -> Vec<Value> {
    let mut turns: Vec<Value> = Vec::new();
    let mut in_results = false;
    for message in messages.iter().filter(|message| !message.role.is_instruction()) {
        if message.role == Role::Tool {
            let content = match &message.content {
                Content::Parts(parts) if parts.iter().any(|part| !matches!(part, Part::Text { .. })) => {
                    parts.iter().filter_map(block).collect()
                }
                content => json!(content.text()),
            };
            let mut result = json!({
                "type": "tool_result",
                "tool_use_id": message.tool_call_id.as_deref().unwrap_or_default(),
                "content": content,
            });
            if message.cache_control {
                result["cache_control"] = json!({"type": "ephemeral"});
            }
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
            Content::Text(text)
                if message.tool_calls.is_empty()
                    && message.reasoning_details.is_empty()
                    && !message.cache_control =>
            {
                json!(text)
            }
            _ => Value::Array(blocks(message)),
        };
        turns.push(json!({"role": role, "content": content}));
    }
    turns
}

/// A message as content blocks; the cache mark of a message is set on its last block.
fn blocks(message: &Message) -> Vec<Value> {
    // Thinking comes first, and unchanged: its signature covers each byte.
    let thought = |block: &&Value| matches!(block["type"].as_str(), Some("thinking" | "redacted_thinking"));
    let mut blocks: Vec<Value> = message.reasoning_details.iter().filter(thought).cloned().collect();
    match &message.content {
        Content::Text(text) if text.is_empty() => {}
        Content::Text(text) => blocks.push(json!({"type": "text", "text": text})),
        Content::Parts(parts) => blocks.extend(parts.iter().filter_map(block)),
        Content::Empty => {}
    }
    for call in &message.tool_calls {
        let input = call.parsed_arguments().unwrap_or_default();
        blocks.push(json!({"type": "tool_use", "id": call.id, "name": call.name, "input": input}));
    }
    if message.cache_control
        && let Some(Value::Object(last)) = blocks.last_mut()
    {
        last.insert("cache_control".into(), json!({"type": "ephemeral"}));
    }
    blocks
}

fn block(part: &Part) -> Option<Value> {
    let (mut block, cached) = match part {
        Part::Text { text, cache_control } => (json!({"type": "text", "text": text}), cache_control),
        Part::ImageUrl { url, cache_control } => {
            (json!({"type": "image", "source": {"type": "url", "url": url}}), cache_control)
        }
        Part::ImageData { data, mime_type, cache_control } => {
            let source = json!({"type": "base64", "media_type": mime_type, "data": data});
            (json!({"type": "image", "source": source}), cache_control)
        }
        Part::File { data, mime_type, name, cache_control } => {
            let source = json!({"type": "base64", "media_type": mime_type, "data": data});
            let mut document = json!({"type": "document", "source": source});
            if let Some(name) = name {
                document["title"] = json!(name);
            }
            (document, cache_control)
        }
        Part::Audio { .. } | Part::Other { .. } => return None,
    };
    if *cached {
        block["cache_control"] = json!({"type": "ephemeral"});
    }
    Some(block)
}

#[derive(Deserialize)]
struct Whole {
    model: Option<String>,
    content: Option<Vec<Value>>,
    stop_reason: Option<String>,
    usage: Option<WireUsage>,
    error: Option<Value>,
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
