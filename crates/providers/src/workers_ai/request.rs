//! Requests: OpenAI's messages and tools, with Workers AI's own words around them.

use serde::Serialize;
use serde_json::{Value, json};

use crate::openai::tool_json;
use crate::settings::CallSettings;
use crate::wire::{Mode, format_instruction};
use gateway_model::{ChatRequest, ResponseFormat, Role, ToolChoice};

/// The fields, in the order in which they go out.
#[derive(Serialize)]
pub struct Body<'a> {
    messages: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<i64>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    stop: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    tools: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<Value>,
}

/// The body of a request. JSON mode does not stream: there the answer's form is asked for in words.
pub fn body<'a>(settings: &mut CallSettings<'a>, mode: Mode) -> Body<'a> {
    let request = settings.request();
    // JSON mode tries to keep to a schema, and may fail.
    let format = settings.response_format_without_strict();
    Body {
        messages: messages(request, format.filter(|_| mode.is_stream())),
        stream: mode.is_stream().then_some(true),
        max_tokens: settings.max_tokens(),
        temperature: settings.temperature(),
        top_p: settings.top_p(),
        top_k: settings.top_k(),
        frequency_penalty: settings.frequency_penalty(),
        presence_penalty: settings.presence_penalty(),
        seed: settings.seed(),
        stop: settings.stop(),
        tools: offered_tools(settings),
        tool_choice: settings.tool_choice().map(tool_choice),
        response_format: format.filter(|_| !mode.is_stream()).map(response_format),
    }
}

/// In OpenAI's form, but for what Workers AI does not take: a role `developer`, a `content` of null.
fn messages(request: &ChatRequest, in_words: Option<&ResponseFormat>) -> Value {
    let mut messages = request.openai_messages_value();
    if let Value::Array(messages) = &mut messages {
        for (message, wire) in request.messages.iter().zip(messages.iter_mut()) {
            if message.role == Role::Developer {
                wire["role"] = json!("system");
            }
            if wire["content"].is_null() {
                wire["content"] = json!("");
            }
        }
        if let Some(format) = in_words {
            let after = request.messages.iter().take_while(|message| message.role.is_instruction()).count();
            messages.insert(after, json!({"role": "system", "content": format_instruction(format)}));
        }
    }
    messages
}

/// The tools that are offered. No `tool_choice` names one tool: it is the only one that is offered then, and some tool
/// must be called.
fn offered_tools(settings: &mut CallSettings<'_>) -> Option<Value> {
    let tools = settings.tools();
    if tools.is_empty() {
        return None;
    }
    let named = match settings.tool_choice() {
        Some(ToolChoice::Named(name)) => Some(name),
        _ => None,
    };
    let offered = tools.iter().filter(|tool| named.is_none_or(|name| tool.name == *name));
    Some(offered.map(tool_json).collect())
}

fn tool_choice(choice: &ToolChoice) -> &'static str {
    match choice {
        ToolChoice::Auto => "auto",
        ToolChoice::None => "none",
        ToolChoice::Required | ToolChoice::Named(_) => "required",
    }
}

/// The schema stands where OpenAI has a name beside it.
fn response_format(format: &ResponseFormat) -> Value {
    match format {
        ResponseFormat::Json => json!({"type": "json_object"}),
        ResponseFormat::Schema { schema, .. } => json!({"type": "json_schema", "json_schema": schema}),
    }
}
