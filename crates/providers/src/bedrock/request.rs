//! Requests: system text, turns, tools, inference settings.

use serde_json::{Map, Value, json};

use super::blocks::{Documents, Writer, is_thought};
use super::vendor;
use crate::anthropic::{self, Plan};
use crate::settings::CallSettings;
use crate::wire::format_instruction;
use gateway_model::error::GatewayError;
use gateway_model::{ChatRequest, Message, ProviderCall, Role, Tool, ToolChoice};

/// Pairs of `requestMetadata`, and the length of each key and value in characters.
pub(super) const MAX_METADATA: usize = 16;
const MAX_METADATA_TEXT: usize = 256;
const NOT_STRICT: &str = "Left out: this model is not kept to this schema.";
/// Where tools must be named, but none may be called.
const NO_TOOLS: &str = "Answer in words: do not call a tool.";

/// The body of a request; `provider` is the entry's name, for errors.
pub fn body(settings: &mut CallSettings<'_>, provider: &str) -> Result<Vec<u8>, GatewayError> {
    let (call, request) = (settings.call(), settings.request());
    let vendor = vendor(&call.model);
    let tools = Tools::new(settings);
    let mut writer = Writer {
        provider,
        // Models of other vendors refuse a request with cache points.
        caches: vendor.is_none_or(|vendor| ["anthropic", "amazon"].contains(&vendor)),
        documents: Documents::default(),
        vendor,
    };
    let mut body = Map::new();
    body.insert("messages".into(), Value::Array(writer.turns(&request.messages)?));
    let native = native_format(call);
    let format = if native.is_some() {
        settings.response_format();
        None
    } else {
        settings.response_format_without_strict().map(format_instruction)
    };
    let system = system(request, &mut writer, format, tools.forbidden)?;
    if !system.is_empty() {
        body.insert("system".into(), Value::Array(system));
    }
    let plan = (vendor == Some("anthropic")).then(|| Plan::new(settings, |block| is_thought(block, vendor)));
    let inference = inference(settings, plan.as_ref());
    if !inference.is_empty() {
        body.insert("inferenceConfig".into(), Value::Object(inference));
    }
    if let Some(config) = tools.config {
        body.insert("toolConfig".into(), config);
    }
    if let Some(schema) = native {
        // The schema is a text here.
        let schema =
            json!({ "jsonSchema": { "name": "answer", "schema": Value::Object(schema).to_string() } });
        body.insert(
            "outputConfig".into(),
            json!({ "textFormat": { "type": "json_schema", "structure": schema } }),
        );
    }
    let mut additional = Map::new();
    additional.extend(effort(settings, vendor));
    if let Some(plan) = &plan {
        plan.write(&mut additional);
        additional.extend(plan.top_k(settings).map(|top_k| ("top_k".to_owned(), json!(top_k))));
    }
    if vendor == Some("amazon") && call.model.contains("nova") {
        let config = settings.top_k().map(|top_k| json!({ "topK": top_k }));
        additional.extend(config.map(|config| ("inferenceConfig".to_owned(), config)));
    }
    if !additional.is_empty() {
        body.insert("additionalModelRequestFields".into(), Value::Object(additional));
    }
    let metadata = metadata(request);
    if !metadata.is_empty() {
        body.insert("requestMetadata".into(), Value::Object(metadata));
    }
    serde_json::to_vec(&body).map_err(GatewayError::unwritable)
}

/// The schema that the vendor keeps the answer to; `None`: it is asked for in words.
fn native_format(call: &ProviderCall) -> Option<Map<String, Value>> {
    let is_claude = vendor(&call.model) == Some("anthropic");
    is_claude.then(|| anthropic::native_format(&call.request, &call.model)).flatten()
}

/// How much a model is to think, of vendors other than Anthropic.
fn effort(settings: &mut CallSettings<'_>, vendor: Option<&str>) -> Option<(String, Value)> {
    let model = settings.call().model.as_str();
    let is_nova = vendor == Some("amazon") && model.contains("nova-2");
    if !is_nova && !matches!(vendor, Some("openai" | "qwen" | "moonshot" | "moonshotai")) {
        return None;
    }
    let effort = settings.reasoning_effort()?;
    // Nova refuses all of these beside its highest effort.
    let has_settings = settings.call().max_tokens.is_some()
        || settings.sampling().temperature.is_some()
        || settings.sampling().top_p.is_some();
    let word = match effort {
        "high" | "xhigh" | "max" if is_nova && has_settings => "medium",
        "none" if is_nova => return Some(("reasoningConfig".to_owned(), json!({ "type": "disabled" }))),
        "none" | "minimal" => "low",
        "low" | "medium" | "high" => effort,
        "xhigh" | "max" => "high",
        _ => "medium",
    };
    if word != effort {
        settings.warn("reasoningEffort", format!("Sent as `{word}`, the nearest that this model knows."));
    }
    Some(match is_nova {
        true => ("reasoningConfig".to_owned(), json!({ "type": "enabled", "maxReasoningEffort": word })),
        false => ("reasoning_effort".to_owned(), json!(word)),
    })
}

/// All system text, in order, then what is asked for in words.
fn system(
    request: &ChatRequest,
    writer: &mut Writer<'_>,
    format: Option<String>,
    no_tools: bool,
) -> Result<Vec<Value>, GatewayError> {
    let mut blocks = Vec::new();
    for (index, message) in request.messages.iter().enumerate() {
        if message.role.is_instruction() {
            writer.content(index, message, &mut blocks)?;
        }
    }
    // Instructions are text.
    blocks.retain(|block| block.get("text").is_some() || block.get("cachePoint").is_some());
    let words = format.into_iter().chain(no_tools.then(|| NO_TOOLS.to_owned()));
    blocks.extend(words.map(|text| json!({ "text": text })));
    Ok(blocks)
}

fn inference(settings: &mut CallSettings<'_>, plan: Option<&Plan>) -> Map<String, Value> {
    let mut config = Map::new();
    // Thinking needs a bound that leaves room for it.
    let thinks = plan.filter(|_| settings.request().reasoning_effort.is_some());
    if let Some(max_tokens) = thinks.map(|plan| plan.max_tokens).or(settings.max_tokens()) {
        config.insert("maxTokens".into(), json!(max_tokens));
    }
    let temperature = match plan {
        Some(plan) => plan.temperature(settings),
        None => settings.temperature(),
    };
    if let Some(temperature) = temperature {
        config.insert("temperature".into(), json!(temperature));
    }
    let top_p = match plan {
        Some(plan) => plan.top_p(settings),
        None => settings.top_p(),
    };
    if let Some(top_p) = top_p {
        config.insert("topP".into(), json!(top_p));
    }
    let stop = settings.stop();
    if !stop.is_empty() {
        config.insert("stopSequences".into(), json!(stop));
    }
    config
}

/// `toolConfig`, and whether the model has to be told not to call any of them.
///
/// Bedrock has no word for "no tool", and refuses a conversation with calls in it that names no tools. Such a
/// conversation names those that were offered, or else called.
struct Tools {
    config: Option<Value>,
    forbidden: bool,
}

impl Tools {
    fn new(settings: &mut CallSettings<'_>) -> Self {
        let model = settings.call().model.as_str();
        let offered = settings.tools();
        for (index, tool) in offered.iter().enumerate() {
            if tool.strict == Some(true) && strict_tool(tool, model).is_none() {
                settings.warn(format!("tools[{index}].strict"), NOT_STRICT);
            }
        }
        let (offered, choice) = anthropic::told_choice(settings, offered);
        let called: Vec<&str> = called(&settings.request().messages);
        let forbidden = offered.is_empty() || choice == Some(&ToolChoice::None);
        if forbidden && called.is_empty() {
            return Self { config: None, forbidden: false };
        }
        if choice == Some(&ToolChoice::None) {
            settings.warn("toolChoice", "Asked for in the prompt: this provider has no word for it.");
        }
        let tools: Vec<Value> = if offered.is_empty() {
            let schema = json!({ "type": "object", "properties": {} });
            let spec = |name| json!({ "toolSpec": { "name": name, "inputSchema": { "json": schema } } });
            called.into_iter().map(spec).collect()
        } else {
            offered.into_iter().map(|offered| tool(offered, model)).collect()
        };
        let mut config = Map::from_iter([("tools".to_owned(), Value::Array(tools))]);
        if let Some(choice) = choice.filter(|_| !forbidden).and_then(tool_choice) {
            config.insert("toolChoice".into(), choice);
        }
        Self { config: Some(Value::Object(config)), forbidden }
    }
}

/// The names of the tools that were called so far, each once.
fn called(messages: &[Message]) -> Vec<&str> {
    let mut names = Vec::new();
    for call in messages.iter().filter(|message| message.role == Role::Assistant).flat_map(|m| &m.tool_calls)
    {
        if !names.contains(&call.name.as_str()) {
            names.push(call.name.as_str());
        }
    }
    names
}

fn strict_tool(tool: &Tool, model: &str) -> Option<Map<String, Value>> {
    (vendor(model) == Some("anthropic")).then(|| anthropic::strict_tool(tool, model)).flatten()
}

fn tool(tool: &Tool, model: &str) -> Value {
    let mut spec = Map::from_iter([("name".to_owned(), json!(tool.name))]);
    // It may be left out, but not be empty.
    if let Some(description) = tool.description.as_ref().filter(|text| !text.trim().is_empty()) {
        spec.insert("description".into(), json!(description));
    }
    let strict = strict_tool(tool, model);
    if strict.is_some() {
        spec.insert("strict".into(), json!(true));
    }
    spec.insert("inputSchema".into(), json!({ "json": strict.as_ref().unwrap_or(&tool.parameters) }));
    json!({ "toolSpec": spec })
}

fn tool_choice(choice: &ToolChoice) -> Option<Value> {
    Some(match choice {
        ToolChoice::Auto => json!({ "auto": {} }),
        ToolChoice::Required => json!({ "any": {} }),
        ToolChoice::Named(name) => json!({ "tool": { "name": name } }),
        ToolChoice::None => return None,
    })
}

/// The caller's notes that Bedrock takes into its logs: text, so many and so long. It refuses a call with others.
pub(super) fn metadata(request: &ChatRequest) -> Map<String, Value> {
    let fits = |text: &str| {
        text.chars().count() <= MAX_METADATA_TEXT
            && text.chars().all(|c| c.is_ascii_alphanumeric() || " :_@$#=/+,-.".contains(c))
    };
    let notes = request.metadata.iter().flatten();
    notes
        .filter(|(key, value)| !key.is_empty() && fits(key) && value.as_str().is_some_and(fits))
        .take(MAX_METADATA)
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}
