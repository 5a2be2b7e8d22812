//! From a request to the body of `generateContent`.

use serde_json::{Map, Value, json};

use super::parts::{is_text_part, model_turn, parts, results};
use super::thinking::{self, Generation};
use crate::settings::CallSettings;
use crate::wire::format_instruction;
use gateway_model::ProviderCall;
use gateway_model::{Message, ResponseFormat, Role, Tool, ToolCall, ToolChoice};

/// Always the same bytes for the same call: prompt caches depend on it.
pub fn body(settings: &mut CallSettings<'_>) -> Value {
    let (call, request) = (settings.call(), settings.request());
    let mut body = Map::new();
    if let Some(instruction) = instruction(call) {
        body.insert("systemInstruction".into(), instruction);
    }
    body.insert("contents".into(), contents(&request.messages, Generation::of(&call.model)));
    let validates = Generation::of(&call.model) != Generation::WithoutThinking;
    let tools = if validates { settings.tools() } else { settings.tools_without_strict() };
    let choice = settings.tool_choice();
    // Calls are held against the schemas where the model may choose; where it must call, they are in any case.
    let is_strict = validates && tools.iter().any(|tool| tool.strict == Some(true));
    let chooses = matches!(choice, None | Some(ToolChoice::Auto));
    if !tools.is_empty() {
        let declarations: Value = tools.iter().map(declaration).collect();
        body.insert("tools".into(), json!([{"functionDeclarations": declarations}]));
        if is_strict && chooses {
            body.insert("toolConfig".into(), json!({"functionCallingConfig": {"mode": "VALIDATED"}}));
        } else if let Some(choice) = choice {
            body.insert("toolConfig".into(), json!({"functionCallingConfig": calling(choice)}));
        }
    }
    let config = config(settings);
    if !config.is_empty() {
        body.insert("generationConfig".into(), Value::Object(config));
    }
    Value::Object(body)
}

/// Whether the answer's form is a matter of the wire: before Gemini 3, a form and tools do not go together.
pub fn has_format(call: &ProviderCall) -> bool {
    call.request.response_format.is_none()
        || call.request.tools.is_empty()
        || Generation::of(&call.model) == Generation::Level
}

/// All texts of the instructions, a part for each of them.
fn instruction(call: &ProviderCall) -> Option<Value> {
    let request = &call.request;
    let instructions = request.messages.iter().filter(|message| message.role.is_instruction());
    let mut texts: Vec<Value> =
        instructions.flat_map(|message| parts(&message.content)).filter(is_text_part).collect();
    if let Some(format) = request.response_format.as_ref().filter(|_| !has_format(call)) {
        texts.push(json!({"text": format_instruction(format)}));
    }
    (!texts.is_empty()).then(|| json!({ "parts": texts }))
}

/// The turns of user and model. Results of tools are part of the user's turn; those of one round share it.
fn contents(messages: &[Message], generation: Generation) -> Value {
    let spoken: Vec<&Message> = messages.iter().filter(|message| !message.role.is_instruction()).collect();
    let mut calls: Vec<&ToolCall> = Vec::new();
    let mut turns = Vec::new();
    for round in spoken.chunk_by(|one, next| one.role == Role::Tool && next.role == Role::Tool) {
        let Some(message) = round.first() else { continue };
        let (role, parts) = match message.role {
            Role::Tool => ("user", results(round, &calls, generation)),
            Role::Assistant => {
                calls.extend(&message.tool_calls);
                ("model", model_turn(message, generation))
            }
            _ => ("user", parts(&message.content)),
        };
        // A turn without parts is refused.
        if !parts.is_empty() {
            turns.push(json!({"role": role, "parts": parts}));
        }
    }
    Value::Array(turns)
}

fn declaration(tool: &Tool) -> Value {
    let mut wire = Map::from_iter([("name".to_owned(), json!(tool.name))]);
    if let Some(description) = &tool.description {
        wire.insert("description".into(), json!(description));
    }
    // `parameters` knows a part of OpenAPI alone.
    wire.insert("parametersJsonSchema".into(), Value::Object(tool.parameters.clone()));
    Value::Object(wire)
}

fn calling(choice: &ToolChoice) -> Value {
    match choice {
        ToolChoice::Auto => json!({"mode": "AUTO"}),
        ToolChoice::None => json!({"mode": "NONE"}),
        ToolChoice::Required => json!({"mode": "ANY"}),
        ToolChoice::Named(name) => json!({"mode": "ANY", "allowedFunctionNames": [name]}),
    }
}

/// What is asked of the model beside its messages, always in this order.
fn config(settings: &mut CallSettings<'_>) -> Map<String, Value> {
    let call = settings.call();
    let mut config = Map::new();
    let mut set = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            config.insert(name.to_owned(), value);
        }
    };
    set("temperature", settings.temperature().map(Value::from));
    set("topP", settings.top_p().map(Value::from));
    set("topK", settings.top_k().map(Value::from));
    set("maxOutputTokens", settings.max_tokens().map(Value::from));
    let stop = settings.stop();
    set("stopSequences", (!stop.is_empty()).then(|| json!(stop)));
    set("seed", settings.seed().map(Value::from));
    set("presencePenalty", settings.presence_penalty().map(Value::from));
    set("frequencyPenalty", settings.frequency_penalty().map(Value::from));
    if !has_format(call) {
        settings.response_format_without_strict();
    } else if let Some(format) = settings.response_format() {
        // Schemas are kept to, `strict` or not.
        set("responseMimeType", Some(json!("application/json")));
        if let ResponseFormat::Schema { schema, .. } = format {
            set("responseJsonSchema", Some(Value::Object(schema.clone())));
        }
    }
    let effort = settings.reasoning_effort();
    set("thinkingConfig", effort.and_then(|effort| thinking::config(&call.model, effort)));
    if let Some(reason) = effort.and_then(|effort| thinking::departure(&call.model, effort)) {
        settings.warn("reasoningEffort", reason);
    }
    config
}

#[cfg(test)]
mod tests;
