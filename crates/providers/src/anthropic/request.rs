//! What is asked: turns, blocks, tools.

use serde_json::{Map, Value, json};

use super::thinking::{Plan, is_from, told_choice};
use crate::documents::text_of;
use crate::native_schema;
use crate::places::{Piece, pieces};
use crate::settings::CallSettings;
use crate::wire::{Mode, format_instruction};
use gateway_model::error::GatewayError;
use gateway_model::{ChatRequest, Content, Message, Part, ResponseFormat, Role, Tool, ToolChoice};

/// The first Claude that is kept to schemas; older ones refuse the words for it.
const STRUCTURED: (u32, u32) = (4, 5);
const NOT_STRICT: &str = "Left out: this model is not kept to this schema.";

pub fn body(settings: &mut CallSettings<'_>, mode: Mode) -> Result<Vec<u8>, GatewayError> {
    let (call, request) = (settings.call(), settings.request());
    let mut body = Map::new();
    body.insert("model".into(), json!(call.model));
    body.insert("messages".into(), Value::Array(turns(&request.messages, &call.model)));
    let plan = Plan::new(settings, |block| is_thought(block, &call.model));
    body.insert("max_tokens".into(), json!(plan.max_tokens));
    if mode.is_stream() {
        body.insert("stream".into(), json!(true));
    }
    if let Some(temperature) = plan.temperature(settings) {
        body.insert("temperature".into(), json!(temperature));
    }
    let native = native_format(request, &call.model);
    let words = if native.is_some() {
        settings.response_format();
        None
    } else {
        settings.response_format_without_strict().map(format_instruction)
    };
    if let Some(system) = system(request, words, &call.model) {
        body.insert("system".into(), system);
    }
    options(settings, &plan, &mut body);
    if let Some(schema) = native {
        let config = body.entry("output_config").or_insert_with(|| json!({}));
        config["format"] = json!({"type": "json_schema", "schema": schema});
    }
    serde_json::to_vec(&body).map_err(GatewayError::unwritable)
}

/// All system text, in order, and the answer's form in words: a string, or blocks where one of them is marked for the
/// prompt cache.
fn system(request: &ChatRequest, format: Option<String>, model: &str) -> Option<Value> {
    let instructions: Vec<&Message> =
        request.messages.iter().filter(|message| message.role.is_instruction()).collect();
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
        return Some(instructions.iter().flat_map(|message| blocks(message, model)).chain(format).collect());
    }
    let texts: Vec<String> =
        instructions.iter().map(|message| message.content.text()).chain(format).collect();
    Some(Value::String(texts.join("\n\n")))
}

/// The fields that few requests set, in Anthropic's words and always in this order.
fn options(settings: &mut CallSettings<'_>, plan: &Plan, body: &mut Map<String, Value>) {
    if let Some(top_p) = plan.top_p(settings) {
        body.insert("top_p".into(), json!(top_p));
    }
    if let Some(top_k) = plan.top_k(settings) {
        body.insert("top_k".into(), json!(top_k));
    }
    let stop = settings.stop();
    if !stop.is_empty() {
        body.insert("stop_sequences".into(), json!(stop));
    }
    plan.write(body);
    let model = settings.call().model.as_str();
    let tools = settings.tools();
    for (index, tool) in tools.iter().enumerate() {
        if tool.strict == Some(true) && strict_tool(tool, model).is_none() {
            settings.warn(format!("tools[{index}].strict"), NOT_STRICT);
        }
    }
    let (tools, choice) = told_choice(settings, tools);
    if !tools.is_empty() {
        body.insert("tools".into(), tools.iter().map(|tool| self::tool(tool, model)).collect());
        if let Some(choice) = choice {
            body.insert("tool_choice".into(), tool_choice(choice));
        }
    }
    if let Some(user) = settings.user_id() {
        body.insert("metadata".into(), json!({"user_id": user}));
    }
}

/// The schema that the model's vendor keeps the answer to; `None`: it is asked for in words.
pub fn native_format(request: &ChatRequest, model: &str) -> Option<Map<String, Value>> {
    let Some(ResponseFormat::Schema { schema, strict, .. }) = &request.response_format else { return None };
    // An answer that goes on from a turn of its own is none by itself.
    let is_prefilled = request
        .messages
        .last()
        .is_some_and(|last| last.role == Role::Assistant && last.tool_calls.is_empty());
    let has_native = is_from(model, STRUCTURED) && *strict != Some(false) && !is_prefilled;
    if has_native { native_schema::closed(schema) } else { None }
}

/// The schema that the model's vendor keeps the arguments of a strict tool to; `None`: it does not.
pub fn strict_tool(tool: &Tool, model: &str) -> Option<Map<String, Value>> {
    let is_strict = tool.strict == Some(true) && is_from(model, STRUCTURED);
    if is_strict { native_schema::closed(&tool.parameters) } else { None }
}

fn tool(tool: &Tool, model: &str) -> Value {
    let mut wire = Map::from_iter([("name".to_owned(), json!(tool.name))]);
    if let Some(description) = &tool.description {
        wire.insert("description".into(), json!(description));
    }
    let strict = strict_tool(tool, model);
    let is_strict = strict.is_some();
    let schema = strict.unwrap_or_else(|| tool.parameters.clone());
    wire.insert("input_schema".into(), Value::Object(schema));
    if is_strict {
        wire.insert("strict".into(), json!(true));
    }
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
fn turns(messages: &[Message], model: &str) -> Vec<Value> {
    let mut turns: Vec<Value> = Vec::new();
    let mut in_results = false;
    for message in messages.iter().filter(|message| !message.role.is_instruction()) {
        if message.role == Role::Tool {
            let mut beside = Vec::new();
            let content = match &message.content {
                Content::Parts(parts)
                    if parts.iter().any(|part| !matches!(part, Part::Text { cache_control: false, .. })) =>
                {
                    let blocks = parts.iter().filter_map(block);
                    // The result of a tool that failed is text.
                    let (inside, outside): (Vec<Value>, Vec<Value>) =
                        blocks.partition(|block| !message.is_error || block["type"] == "text");
                    beside = outside;
                    if inside.is_empty() { json!("") } else { Value::Array(inside) }
                }
                content => json!(content.text()),
            };
            let mut result = json!({
                "type": "tool_result",
                "tool_use_id": message.tool_call_id.as_deref().unwrap_or_default(),
                "content": content,
            });
            if message.is_error {
                result["is_error"] = json!(true);
            }
            if message.cache_control {
                result["cache_control"] = json!({"type": "ephemeral"});
            }
            let open =
                turns.last_mut().filter(|_| in_results).and_then(|turn| turn["content"].as_array_mut());
            match open {
                Some(results) => {
                    // Results stand before all else.
                    let end = results.iter().position(|block| block["type"] != "tool_result");
                    results.insert(end.unwrap_or(results.len()), result);
                    results.append(&mut beside);
                }
                None => {
                    let blocks: Vec<Value> = std::iter::once(result).chain(beside).collect();
                    turns.push(json!({"role": "user", "content": blocks}));
                }
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
            _ => Value::Array(blocks(message, model)),
        };
        turns.push(json!({"role": role, "content": content}));
    }
    turns
}

/// A message as content blocks; the cache mark of a message is set on its last block.
fn blocks(message: &Message, model: &str) -> Vec<Value> {
    // Thinking goes back unchanged, as its signature covers each byte, and in its place.
    let mut blocks: Vec<Value> = Vec::new();
    for piece in pieces(message, |block| is_thought(block, model)) {
        match piece {
            Piece::Text(text) if text.trim().is_empty() => {}
            Piece::Text(text) => blocks.push(json!({"type": "text", "text": text})),
            Piece::Part(part) => blocks.extend(block(part)),
            Piece::Block(thought) => blocks.push(thought),
            Piece::Call(call) => {
                let input = call.parsed_arguments().unwrap_or_default();
                blocks.push(json!({"type": "tool_use", "id": call.id, "name": call.name, "input": input}));
            }
        }
    }
    if message.cache_control
        && let Some(Value::Object(last)) = blocks.last_mut()
    {
        last.insert("cache_control".into(), json!({"type": "ephemeral"}));
    }
    blocks
}

/// Whether the model takes a block as thinking of its own. Claude refuses what it has not signed.
fn is_thought(block: &Value, model: &str) -> bool {
    match block["type"].as_str() {
        Some("thinking") => {
            !model.contains("claude") || block["signature"].as_str().is_some_and(|text| !text.is_empty())
        }
        Some("redacted_thinking") => true,
        _ => false,
    }
}

fn block(part: &Part) -> Option<Value> {
    let (mut block, cached) = match part {
        // Blank texts are refused.
        Part::Text { text, .. } if text.trim().is_empty() => return None,
        Part::Text { text, cache_control } => (json!({"type": "text", "text": text}), cache_control),
        Part::ImageUrl { url, cache_control } => {
            (json!({"type": "image", "source": {"type": "url", "url": url}}), cache_control)
        }
        Part::ImageData { data, mime_type, cache_control } => {
            let source = json!({"type": "base64", "media_type": mime_type, "data": data});
            (json!({"type": "image", "source": source}), cache_control)
        }
        Part::File { data, mime_type, name, cache_control } => {
            let mut document = json!({"type": "document", "source": document_source(data, mime_type)});
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

/// Text goes out as text: in base64 Anthropic takes PDFs alone.
fn document_source(data: &str, mime_type: &str) -> Value {
    match text_of(data, mime_type) {
        Some(text) => json!({"type": "text", "media_type": "text/plain", "data": text}),
        None => json!({"type": "base64", "media_type": mime_type, "data": data}),
    }
}
