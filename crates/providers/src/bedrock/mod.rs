//! Amazon Bedrock's Converse API, one format for the models of many vendors.
//!
//! Source: the Amazon Bedrock API reference, "Converse" and "ConverseStream" (`POST /model/MODEL/converse`).

mod answer;
mod blocks;
mod embeddings;
mod setup;
mod sign;
mod stream;

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use super::anthropic::Plan;
use super::embeddings::EmbeddingFormat;
use super::wire::{StreamDecoder, Wire, format_instruction, path_segment};
use gateway_model::ProviderCall;
use gateway_model::error::GatewayError;
use gateway_model::{Answer, ChatRequest, Feature, Message, Role, Tool, ToolChoice};
use gateway_transport::event_stream::EventStreamReader;
use gateway_transport::{Endpoint, Frames};

use blocks::{Documents, Writer};
pub use setup::{MODELS, key_variable, region, siblings, variables};
pub use sign::Signer;

/// Pairs of `requestMetadata`, and the length of each key and value in characters.
const MAX_METADATA: usize = 16;
const MAX_METADATA_TEXT: usize = 256;
/// Where tools must be named, but none may be called.
const NO_TOOLS: &str = "Answer in words: do not call a tool.";

pub struct BedrockWire {
    /// The entry's name, for errors.
    pub provider: String,
    /// `None`: requests go out unsigned.
    pub signer: Option<Signer>,
}

impl Wire for BedrockWire {
    fn signs(&self) -> bool {
        true
    }

    fn path(&self) -> Cow<'static, str> {
        Cow::Borrowed("")
    }

    fn path_of(&self, call: &ProviderCall, stream: bool) -> Option<String> {
        let operation = if stream { "converse-stream" } else { "converse" };
        Some(format!("/model/{}/{operation}", path_segment(&call.model)))
    }

    fn keeps_format(&self, _: &ProviderCall, _stream: bool) -> bool {
        false
    }

    fn supports(&self, feature: Feature) -> bool {
        !matches!(feature, Feature::Audio | Feature::OpenAiParts)
    }

    fn body(&self, call: &ProviderCall, _stream: bool) -> Result<Vec<u8>, GatewayError> {
        let request = &call.request;
        let vendor = vendor(&call.model);
        let tools = Tools::of(request);
        let mut writer = Writer {
            provider: &self.provider,
            // Models of other vendors refuse a request with cache points.
            caches: vendor.is_none_or(|vendor| ["anthropic", "amazon"].contains(&vendor)),
            documents: Documents::default(),
        };
        let mut body = Map::new();
        body.insert("messages".into(), Value::Array(writer.turns(&request.messages)?));
        let system = system(request, &mut writer, tools.forbidden)?;
        if !system.is_empty() {
            body.insert("system".into(), Value::Array(system));
        }
        let plan = (vendor == Some("anthropic")).then(|| Plan::new(&call.model, request, call.max_tokens));
        let inference = inference(call, plan.as_ref());
        if !inference.is_empty() {
            body.insert("inferenceConfig".into(), Value::Object(inference));
        }
        if let Some(config) = tools.config {
            body.insert("toolConfig".into(), config);
        }
        let mut additional = Map::new();
        if let Some(plan) = &plan {
            plan.write(&mut additional);
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

    fn answer(&self, body: &[u8]) -> Result<Answer, String> {
        answer::answer(body)
    }

    fn decoder(&self) -> Box<dyn StreamDecoder> {
        Box::<stream::BedrockDecoder>::default()
    }

    fn frames(&self, max_event_bytes: usize) -> Frames {
        Frames::EventStream(EventStreamReader::new(max_event_bytes))
    }

    fn sign(&self, endpoint: &mut Endpoint, body: &[u8]) -> Result<(), GatewayError> {
        match &self.signer {
            Some(signer) => signer.sign(endpoint, body),
            None => Ok(()),
        }
    }

    fn embeddings(&self) -> Option<&dyn EmbeddingFormat> {
        Some(self)
    }
}

/// The vendor that a model's id names: `us.anthropic.claude-…` is Anthropic's. The ARNs of provisioned models and of
/// application inference profiles name none.
fn vendor(model: &str) -> Option<&str> {
    let id = model.rsplit('/').next()?;
    let (first, rest) = id.split_once('.')?;
    // A geography stands before the vendor in the id of an inference profile.
    let geography = ["us", "eu", "apac", "global", "us-gov", "jp", "au", "ca", "in", "sa", "me", "af"];
    if geography.contains(&first) { rest.split('.').next() } else { Some(first) }
}

/// All system text, in order, then what is asked for in words.
fn system(
    request: &ChatRequest,
    writer: &mut Writer<'_>,
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
    let format = request.response_format.as_ref().map(format_instruction);
    let words = format.into_iter().chain(no_tools.then(|| NO_TOOLS.to_owned()));
    blocks.extend(words.map(|text| json!({ "text": text })));
    Ok(blocks)
}

fn inference(call: &ProviderCall, plan: Option<&Plan>) -> Map<String, Value> {
    let request = &call.request;
    let mut config = Map::new();
    // Thinking needs a bound that leaves room for it.
    let thinks = plan.filter(|_| request.reasoning_effort.is_some());
    if let Some(max_tokens) = thinks.map(|plan| plan.max_tokens).or(call.max_tokens) {
        config.insert("maxTokens".into(), json!(max_tokens));
    }
    if let Some(temperature) = plan.map_or(request.temperature, |plan| plan.temperature(request)) {
        config.insert("temperature".into(), json!(temperature));
    }
    if let Some(top_p) = plan.map_or(request.top_p, |plan| plan.top_p(request)) {
        config.insert("topP".into(), json!(top_p));
    }
    if !request.stop.is_empty() {
        config.insert("stopSequences".into(), json!(request.stop));
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
    fn of(request: &ChatRequest) -> Self {
        let called: Vec<&str> = called(&request.messages);
        let forbidden = request.tools.is_empty() || request.tool_choice == Some(ToolChoice::None);
        if forbidden && called.is_empty() {
            return Self { config: None, forbidden: false };
        }
        let tools: Vec<Value> = if request.tools.is_empty() {
            let schema = json!({ "type": "object", "properties": {} });
            let spec = |name| json!({ "toolSpec": { "name": name, "inputSchema": { "json": schema } } });
            called.into_iter().map(spec).collect()
        } else {
            request.tools.iter().map(tool).collect()
        };
        let mut config = Map::from_iter([("tools".to_owned(), Value::Array(tools))]);
        if let Some(choice) = request.tool_choice.as_ref().filter(|_| !forbidden).and_then(tool_choice) {
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

fn tool(tool: &Tool) -> Value {
    let mut spec = Map::from_iter([("name".to_owned(), json!(tool.name))]);
    // It may be left out, but not be empty.
    if let Some(description) = tool.description.as_ref().filter(|text| !text.trim().is_empty()) {
        spec.insert("description".into(), json!(description));
    }
    spec.insert("inputSchema".into(), json!({ "json": tool.parameters }));
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
fn metadata(request: &ChatRequest) -> Map<String, Value> {
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

#[cfg(test)]
mod tests;
