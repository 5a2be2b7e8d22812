//! OpenAI chat completions, spoken by OpenRouter and most compatible services too.
//!
//! Source: OpenAI's API reference, "Chat" and "Streaming" (`POST /chat/completions`).

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::ProviderCall;
use super::wire::{Count, First, PlainText, Presence, StreamDecoder, Text, Wire, error_text, usage_of};
use crate::error::GatewayError;
use crate::model::{
    Answer, ChatRequest, FinishReason, OtherContent, ResponseFormat, StreamEvent, TokenUsage, Tool,
    ToolCallAssembly, ToolCallDelta, ToolChoice, json,
};

pub struct OpenAiWire;

impl Wire for OpenAiWire {
    const PATH: &'static str = "/chat/completions";

    fn body(&self, call: &ProviderCall, stream: bool) -> Result<Vec<u8>, GatewayError> {
        let broken = |error: serde_json::Error| {
            GatewayError::internal(format!("the request could not be written: {error}"))
        };
        let request = &call.request;
        let mut body =
            Vec::with_capacity(request.openai_messages.as_ref().map_or(0, |raw| raw.get().len()) + 256);
        body.extend_from_slice(b"{\"model\":");
        serde_json::to_writer(&mut body, &call.model).map_err(broken)?;
        body.extend_from_slice(b",\"messages\":");
        match &request.openai_messages {
            Some(raw) => body.extend_from_slice(raw.get().as_bytes()),
            None => serde_json::to_writer(&mut body, &request.openai_messages_value()).map_err(broken)?,
        }
        if stream {
            body.extend_from_slice(b",\"stream\":true,\"stream_options\":{\"include_usage\":true}");
        }
        if let Some(max_tokens) = call.max_tokens {
            body.extend_from_slice(b",\"max_tokens\":");
            body.extend_from_slice(max_tokens.to_string().as_bytes());
        }
        if let Some(temperature) = request.temperature {
            body.extend_from_slice(b",\"temperature\":");
            serde_json::to_writer(&mut body, &temperature).map_err(broken)?;
        }
        for (name, value) in options(request) {
            body.extend_from_slice(b",\"");
            body.extend_from_slice(name.as_bytes());
            body.extend_from_slice(b"\":");
            serde_json::to_writer(&mut body, &value).map_err(broken)?;
        }
        body.push(b'}');
        Ok(body)
    }

    fn answer(&self, body: &[u8]) -> Result<Answer, String> {
        let whole: Whole = json::parse(body).map_err(|error| not_an_answer(body, &error))?;
        if let Some(error) = whole.error.filter(|error| !error.is_null()) {
            return Err(error_text(&error));
        }
        let choice =
            whole.choices.unwrap_or_default().into_iter().next().ok_or("the answer has no choices")?;
        let finish_reason = choice.finish_reason.word().map(str::to_owned);
        let message = choice.message.ok_or("the answer has no choices")?;
        let mut calls = ToolCallAssembly::default();
        message.tool_calls.unwrap_or_default().into_iter().for_each(|call| calls.push(call.into()));
        Ok(Answer {
            content: message.content.map(PlainText::into_string).unwrap_or_default(),
            model: whole.model.unwrap_or_default(),
            finish_reason,
            tool_calls: calls.finish(),
            reasoning: message
                .reasoning_content
                .or(message.reasoning)
                .map(PlainText::into_string)
                .unwrap_or_default(),
            reasoning_details: Vec::new(),
            usage: whole.usage.and_then(|usage| usage.counts()),
            total_tokens: None,
        })
    }

    fn decoder(&self) -> Box<dyn StreamDecoder> {
        Box::<OpenAiDecoder>::default()
    }
}

/// The fields that few requests set, in OpenAI's words and always in this order.
fn options(request: &ChatRequest) -> Vec<(&'static str, Value)> {
    let mut fields = Vec::new();
    let mut set = |name, value: Option<Value>| fields.extend(value.map(|value| (name, value)));
    set("top_p", request.top_p.map(Into::into));
    set("stop", (!request.stop.is_empty()).then(|| json!(request.stop)));
    set("seed", request.seed.map(Into::into));
    set("presence_penalty", request.presence_penalty.map(Into::into));
    set("frequency_penalty", request.frequency_penalty.map(Into::into));
    set("reasoning_effort", request.reasoning_effort.as_deref().map(Into::into));
    set("tools", (!request.tools.is_empty()).then(|| request.tools.iter().map(tool).collect()));
    set("tool_choice", request.tool_choice.as_ref().map(tool_choice));
    set("response_format", request.response_format.as_ref().map(response_format));
    set("user", request.user_id.as_deref().map(Into::into));
    fields
}

fn tool(tool: &Tool) -> Value {
    let mut function = Map::from_iter([("name".to_owned(), json!(tool.name))]);
    if let Some(description) = &tool.description {
        function.insert("description".to_owned(), json!(description));
    }
    function.insert("parameters".to_owned(), Value::Object(tool.parameters.clone()));
    if let Some(strict) = tool.strict {
        function.insert("strict".to_owned(), json!(strict));
    }
    json!({ "type": "function", "function": function })
}

fn tool_choice(choice: &ToolChoice) -> Value {
    match choice {
        ToolChoice::Auto => json!("auto"),
        ToolChoice::None => json!("none"),
        ToolChoice::Required => json!("required"),
        ToolChoice::Named(name) => json!({ "type": "function", "function": { "name": name } }),
    }
}

fn response_format(format: &ResponseFormat) -> Value {
    match format {
        ResponseFormat::Json => json!({ "type": "json_object" }),
        ResponseFormat::Schema { name, schema, strict } => {
            let mut json_schema = Map::from_iter([("name".to_owned(), json!(name))]);
            json_schema.insert("schema".to_owned(), Value::Object(schema.clone()));
            if let Some(strict) = strict {
                json_schema.insert("strict".to_owned(), json!(strict));
            }
            json!({ "type": "json_schema", "json_schema": json_schema })
        }
    }
}

/// Why a 200 could not be read, for people: HTML, nothing, or cut JSON.
pub(super) fn not_an_answer(body: &[u8], error: &serde_json::Error) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(120)]);
    let begins = text.trim_start();
    if begins.is_empty() {
        "the answer is empty".to_owned()
    } else if error.is_eof() {
        "the answer's JSON is cut short".to_owned()
    } else {
        format!("the answer is not the JSON expected ({error}): {begins}")
    }
}

#[derive(Deserialize)]
struct Whole {
    model: Option<String>,
    choices: Option<Vec<Choice>>,
    usage: Option<WireUsage>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    message: Option<WireMessage>,
    #[serde(default)]
    finish_reason: FinishReason,
}

#[derive(Deserialize)]
struct WireMessage {
    content: Option<PlainText>,
    /// DeepSeek's name for reasoning; OpenRouter says `reasoning`.
    reasoning_content: Option<PlainText>,
    reasoning: Option<PlainText>,
    tool_calls: Option<Vec<WireCall>>,
}

/// A call of a tool, whole or in part.
#[derive(Deserialize)]
struct WireCall {
    index: Option<u64>,
    id: Option<String>,
    function: Option<WireFunction>,
}

#[derive(Deserialize)]
struct WireFunction {
    name: Option<String>,
    /// JSON as text; a few services send the object itself.
    arguments: Option<Value>,
}

impl From<WireCall> for ToolCallDelta {
    fn from(call: WireCall) -> Self {
        let (name, arguments) =
            call.function.map_or((None, None), |function| (function.name, function.arguments));
        Self {
            index: call.index,
            id: call.id,
            name,
            arguments: match arguments {
                None | Some(Value::Null) => String::new(),
                Some(Value::String(text)) => text,
                Some(object) => object.to_string(),
            },
            signature: None,
        }
    }
}

#[derive(Deserialize)]
struct WireUsage {
    prompt_tokens: Option<Count>,
    completion_tokens: Option<Count>,
    prompt_tokens_details: Option<PromptDetails>,
    completion_tokens_details: Option<CompletionDetails>,
}

#[derive(Deserialize)]
struct PromptDetails {
    cached_tokens: Option<Count>,
}

#[derive(Deserialize)]
struct CompletionDetails {
    reasoning_tokens: Option<Count>,
}

impl WireUsage {
    fn counts(&self) -> Option<TokenUsage> {
        let usage = usage_of(self.prompt_tokens, self.completion_tokens)?;
        let nonzero = |count: Option<Count>| count.map(Count::get).filter(|count| *count > 0);
        Some(TokenUsage {
            cache_read: nonzero(
                self.prompt_tokens_details.as_ref().and_then(|details| details.cached_tokens),
            ),
            reasoning: nonzero(
                self.completion_tokens_details.as_ref().and_then(|details| details.reasoning_tokens),
            ),
            ..usage
        })
    }
}

#[derive(Default)]
struct OpenAiDecoder {
    model: String,
    finished: bool,
    done: bool,
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
        let mut event =
            StreamEvent { usage: chunk.usage.and_then(|usage| usage.counts()), ..StreamEvent::default() };
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
