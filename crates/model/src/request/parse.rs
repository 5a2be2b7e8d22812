//! Reads a request from JSON. Lists of plain messages, the usual case, are read straight into their types; any
//! other list goes through values, which keeps what was written and tells the path of a fault.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, de::Error};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::{ChatRequest, openai, options};
use crate::error::GatewayError;
use crate::message::{Content, Message, Part, Role, base64_data_url};
use crate::tools::ToolCall;

const ROLES: &str = "must be one of: system, developer, user, assistant, tool";
pub(super) const A_STRING: &str = "must be a string";
pub(super) const AN_ARRAY: &str = "must be an array";
pub(super) const AN_OBJECT: &str = "must be an object";
const MESSAGES: &str = "must be a non-empty array";

/// The fields of a request, unread.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields<'a> {
    #[serde(borrow)]
    messages: Option<&'a RawValue>,
    model: Option<&'a RawValue>,
    task_type: Option<&'a RawValue>,
    feature: Option<&'a RawValue>,
    user_tier: Option<&'a RawValue>,
    sensitivity: Option<&'a RawValue>,
    max_tokens: Option<&'a RawValue>,
    temperature: Option<&'a RawValue>,
    top_p: Option<&'a RawValue>,
    stop: Option<&'a RawValue>,
    seed: Option<&'a RawValue>,
    presence_penalty: Option<&'a RawValue>,
    frequency_penalty: Option<&'a RawValue>,
    reasoning_effort: Option<&'a RawValue>,
    tools: Option<&'a RawValue>,
    tool_choice: Option<&'a RawValue>,
    response_format: Option<&'a RawValue>,
    user_id: Option<&'a RawValue>,
    metadata: Option<&'a RawValue>,
    provider_options: Option<&'a RawValue>,
    timeout_ms: Option<&'a RawValue>,
    cache: Option<&'a RawValue>,
}

pub fn request(text: &str) -> Read<ChatRequest> {
    // An array would be read as a structure's fields in their order.
    if !text.trim_start().starts_with('{') {
        let not_object = |_: Value| Fault::new("request", AN_OBJECT);
        return Err(serde_json::from_str(text).map_or_else(not_json, not_object));
    }
    let fields: Fields<'_> = serde_json::from_str(text).map_err(not_json)?;
    let raw = fields.messages.ok_or_else(|| Fault::new("messages", MESSAGES))?;
    let (messages, is_wire) = messages(raw.get())?;
    let tools = options::tools(fields.tools)?;
    Ok(ChatRequest {
        tool_choice: options::tool_choice(fields.tool_choice, &tools)?,
        tools,
        caller: 0,
        openai_messages: is_wire.then(|| raw.to_owned()),
        messages,
        model: string("model", fields.model)?,
        task_type: string("taskType", fields.task_type)?,
        feature: string("feature", fields.feature)?,
        user_tier: string("userTier", fields.user_tier)?,
        sensitivity: string("sensitivity", fields.sensitivity)?,
        max_tokens: count("maxTokens", fields.max_tokens)?,
        temperature: number("temperature", fields.temperature)?,
        top_p: number("topP", fields.top_p)?,
        stop: options::stop(fields.stop)?,
        seed: scalar("seed", fields.seed, "must be a whole number")?,
        presence_penalty: number("presencePenalty", fields.presence_penalty)?,
        frequency_penalty: number("frequencyPenalty", fields.frequency_penalty)?,
        reasoning_effort: string("reasoningEffort", fields.reasoning_effort)?,
        response_format: options::response_format(fields.response_format)?,
        user_id: string("userId", fields.user_id)?,
        metadata: scalar("metadata", fields.metadata, AN_OBJECT)?,
        provider_options: options::provider_options(fields.provider_options)?,
        timeout_ms: count("timeoutMs", fields.timeout_ms)?,
        cache: options::cache(fields.cache)?,
    })
}

#[allow(clippy::needless_pass_by_value)]
pub(super) fn not_json(error: serde_json::Error) -> Fault {
    Fault { path: "request".to_owned(), problem: Cow::Owned(format!("is not valid JSON: {error}")) }
}

pub(super) fn scalar<T: DeserializeOwned>(
    path: &str,
    raw: Option<&RawValue>,
    problem: &'static str,
) -> Read<Option<T>> {
    raw.map(|raw| serde_json::from_str(raw.get())).transpose().map_err(|_| Fault::new(path, problem))
}

fn number(path: &str, raw: Option<&RawValue>) -> Read<Option<f64>> {
    scalar(path, raw, "must be a number")
}

pub(super) fn string(path: &str, raw: Option<&RawValue>) -> Read<Option<String>> {
    scalar(path, raw, A_STRING)
}

/// JavaScript has one kind of number: `1e3` is whole.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
pub(super) fn count(path: &str, raw: Option<&RawValue>) -> Read<Option<u64>> {
    let problem = "must be a whole number of 1 or more";
    match scalar::<f64>(path, raw, problem)? {
        Some(number) if number < 1.0 || number.fract() != 0.0 => Err(Fault::new(path, problem)),
        number => Ok(number.map(|number| number as u64)),
    }
}

/// The messages, and whether each is in OpenAI's own form.
fn messages(json: &str) -> Read<(Vec<Message>, bool)> {
    if let Ok(plain) = serde_json::from_str::<Vec<Plain>>(json)
        && !plain.is_empty()
    {
        return Ok((plain.into_iter().map(|message| message.0).collect(), true));
    }
    let list = match serde_json::from_str(json).map_err(not_json)? {
        Value::Array(list) if !list.is_empty() => list,
        _ => return Err(Fault::new("messages", MESSAGES)),
    };
    let mut is_wire = true;
    let read = |(index, value)| {
        let read = match value {
            Value::Object(source) => {
                is_wire = is_wire && openai::is_wire(&source);
                message(source)
            }
            _ => Err(Fault::new("", AN_OBJECT)),
        };
        read.map_err(|fault| fault.inside(format_args!("messages[{index}]")))
    };
    let messages = list.into_iter().enumerate().map(read).collect::<Read<Vec<_>>>()?;
    answers_calls(&messages)?;
    Ok((messages, is_wire))
}

/// Each tool message answers a call of a turn before it: providers refuse any other.
fn answers_calls(messages: &[Message]) -> Read<()> {
    let mut called = HashSet::new();
    for (index, message) in messages.iter().enumerate() {
        called.extend(message.tool_calls.iter().map(|call| call.id.as_str()));
        if message.role != Role::Tool {
            continue;
        }
        let fault = |problem| Err(Fault::new(format!("messages[{index}].toolCallId"), problem));
        match message.tool_call_id.as_deref() {
            None => return fault("must name the call that the message answers"),
            Some(id) if !called.contains(id) => {
                return fault("answers no call of an assistant message before it");
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// A message that is a role and a text, nothing more.
struct Plain(Message);

impl<'de> Deserialize<'de> for Plain {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_map(PlainVisitor)
    }
}

struct PlainVisitor;

impl<'de> Visitor<'de> for PlainVisitor {
    type Value = Plain;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a role and a text")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Plain, A::Error> {
        let (mut role, mut content) = (None, None);
        while let Some(key) = map.next_key::<&str>()? {
            match key {
                "role" => role = Role::parse(map.next_value()?),
                "content" => content = Some(map.next_value::<String>()?),
                _ => return Err(A::Error::custom("not plain")),
            }
        }
        match (role, content) {
            (Some(role), Some(content)) => Ok(Plain(Message::plain(role, content))),
            _ => Err(A::Error::custom("not plain")),
        }
    }
}

/// What is wrong, and where.
pub struct Fault {
    path: String,
    problem: Cow<'static, str>,
}

pub(super) type Read<T> = Result<T, Fault>;

impl From<Fault> for GatewayError {
    fn from(fault: Fault) -> Self {
        Self::invalid_request(&fault.path, fault.problem)
    }
}

impl Fault {
    pub(super) fn new(path: impl Into<String>, problem: &'static str) -> Self {
        Self { path: path.into(), problem: Cow::Borrowed(problem) }
    }

    pub(super) fn inside(self, place: fmt::Arguments<'_>) -> Self {
        Self { path: format!("{place}{}", self.path), ..self }
    }
}

fn message(mut source: Map<String, Value>) -> Read<Message> {
    let role = source.get("role").and_then(Value::as_str).and_then(Role::parse);
    let role = role.ok_or_else(|| Fault::new(".role", ROLES))?;
    if let (2, Some(Value::String(text))) = (source.len(), source.get_mut("content")) {
        return Ok(Message::plain(role, std::mem::take(text)));
    }
    Ok(Message {
        role,
        content: content(role, source.get("content"))?,
        tool_calls: tool_calls(&source)?,
        tool_call_id: tool_call_id(&source)?,
        reasoning_details: reasoning_details(&source)?,
        cache_control: cache_control(&source)?,
        source: Some(source),
    })
}

fn content(role: Role, content: Option<&Value>) -> Read<Content> {
    match content {
        Some(Value::String(text)) => Ok(Content::Text(text.clone())),
        Some(Value::Array(list)) => {
            let read =
                |(index, value)| part(value).map_err(|fault| fault.inside(format_args!(".content[{index}]")));
            Ok(Content::Parts(list.iter().enumerate().map(read).collect::<Read<_>>()?))
        }
        None | Some(Value::Null) if role == Role::Assistant => Ok(Content::Empty),
        _ => Err(Fault::new(".content", "must be a string or an array of parts")),
    }
}

fn part(value: &Value) -> Read<Part> {
    let part = value.as_object().ok_or_else(|| Fault::new("", AN_OBJECT))?;
    let kind = text(part, "type")?;
    Ok(match kind {
        "text" => Part::Text { text: text(part, "text")?.to_owned(), cache_control: cache_control(part)? },
        "image_url" => Part::image(image_url(part)?, cache_control(part)?),
        "image" => match set(part, "data") {
            Some(_) => Part::ImageData {
                data: base64(part)?,
                mime_type: text(part, "mimeType")?.to_owned(),
                cache_control: cache_control(part)?,
            },
            None => Part::image(url(part)?, cache_control(part)?),
        },
        "file" if set(part, "file").is_none() => Part::File {
            data: base64(part)?,
            mime_type: text(part, "mimeType")?.to_owned(),
            name: set(part, "name").map(|_| text(part, "name").map(str::to_owned)).transpose()?,
            cache_control: cache_control(part)?,
        },
        "audio" => Part::Audio { data: base64(part)?, mime_type: text(part, "mimeType")?.to_owned() },
        "input_audio" => wire_audio(part).unwrap_or_else(|| Part::Other { kind: kind.to_owned() }),
        "file" => wire_file(part).unwrap_or_else(|| Part::Other { kind: kind.to_owned() }),
        _ if WIRE_PARTS.contains(&kind) => Part::Other { kind: kind.to_owned() },
        _ => return Err(Fault::new(".type", "must be one of: text, image, file, audio")),
    })
}

/// Parts of OpenAI's own form that have no meaning here.
const WIRE_PARTS: [&str; 2] = ["refusal", "video_url"];

/// Sound in OpenAI's form.
fn wire_audio(part: &Map<String, Value>) -> Option<Part> {
    let audio = part.get("input_audio")?;
    let format = audio.get("format")?.as_str()?;
    let mime_type = if format == "mp3" { "audio/mpeg".to_owned() } else { format!("audio/{format}") };
    Some(Part::Audio { data: audio.get("data")?.as_str()?.to_owned(), mime_type })
}

/// A document in OpenAI's form, unless it lies with OpenAI already (`file_id`).
fn wire_file(part: &Map<String, Value>) -> Option<Part> {
    let file = part.get("file")?;
    let (mime_type, data) = base64_data_url(file.get("file_data")?.as_str()?)?;
    let name = file.get("filename").and_then(Value::as_str).map(str::to_owned);
    let mime_type = mime_type.to_ascii_lowercase();
    Some(Part::File { data: data.to_owned(), mime_type, name, cache_control: false })
}

fn url(part: &Map<String, Value>) -> Read<&str> {
    let url = part.get("url").and_then(Value::as_str);
    let is_url = |url: &&str| {
        url.split_once(':').is_some_and(|(scheme, _)| {
            ["http", "https", "data", "gs", "s3"].iter().any(|known| scheme.eq_ignore_ascii_case(known))
        })
    };
    url.filter(is_url)
        .ok_or_else(|| Fault::new(".url", "must be a URL, unless the image is given in base64 as `data`"))
}

/// `data`, in base64; vendors say no more than "invalid" of what is not.
fn base64(part: &Map<String, Value>) -> Read<String> {
    let data = text(part, "data")?;
    let digits = data.trim_end_matches('=');
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_');
    if digits.is_empty() || data.len() - digits.len() > 2 || !digits.bytes().all(is_digit) {
        return Err(Fault::new(".data", "must be base64, without line breaks or a data: prefix"));
    }
    Ok(data.to_owned())
}

fn reasoning_details(message: &Map<String, Value>) -> Read<Vec<Value>> {
    match set(message, "reasoningDetails") {
        None => Ok(Vec::new()),
        Some(Value::Array(blocks)) if blocks.iter().all(Value::is_object) => Ok(blocks.clone()),
        Some(_) => Err(Fault::new(".reasoningDetails", "must be the array that an answer gave")),
    }
}

/// Some services take the URL itself where OpenAI has an object.
fn image_url(part: &Map<String, Value>) -> Read<&str> {
    let url = match set(part, "image_url") {
        Some(Value::Object(image)) => image.get("url"),
        other => other,
    };
    url.and_then(Value::as_str).ok_or_else(|| Fault::new(".image_url.url", A_STRING))
}

fn tool_calls(message: &Map<String, Value>) -> Read<Vec<ToolCall>> {
    if let Some(calls) = set(message, "tool_calls") {
        let calls = calls.as_array().ok_or_else(|| Fault::new(".tool_calls", AN_ARRAY))?;
        return Ok(calls.iter().filter_map(wire_call).collect());
    }
    let Some(calls) = set(message, "toolCalls") else { return Ok(Vec::new()) };
    let calls = calls.as_array().ok_or_else(|| Fault::new(".toolCalls", AN_ARRAY))?;
    let read =
        |(index, value)| own_call(value).map_err(|fault| fault.inside(format_args!(".toolCalls[{index}]")));
    calls.iter().enumerate().map(read).collect()
}

/// A call in OpenAI's form; other kinds than functions have no meaning here and go out as they are.
fn wire_call(call: &Value) -> Option<ToolCall> {
    let function = call.get("function")?;
    Some(ToolCall {
        id: call.get("id").and_then(Value::as_str).unwrap_or_default().to_owned(),
        name: function.get("name")?.as_str()?.to_owned(),
        arguments: function.get("arguments").map(arguments).unwrap_or_default(),
        signature: None,
    })
}

fn own_call(value: &Value) -> Read<ToolCall> {
    let call = value.as_object().ok_or_else(|| Fault::new("", AN_OBJECT))?;
    let arguments =
        match set(call, "rawArguments").filter(|raw| raw.is_string()).or_else(|| set(call, "arguments")) {
            None => "{}".to_owned(),
            Some(value @ (Value::String(_) | Value::Object(_))) => arguments(value),
            Some(_) => return Err(Fault::new(".arguments", "must be an object or a string")),
        };
    Ok(ToolCall {
        id: text(call, "id")?.to_owned(),
        name: text(call, "name")?.to_owned(),
        arguments,
        signature: set(call, "signature").map(|_| text(call, "signature").map(str::to_owned)).transpose()?,
    })
}

fn arguments(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn tool_call_id(message: &Map<String, Value>) -> Read<Option<String>> {
    for key in ["tool_call_id", "toolCallId"] {
        if set(message, key).is_some() {
            return text(message, key).map(|id| Some(id.to_owned()));
        }
    }
    Ok(None)
}

fn cache_control(holder: &Map<String, Value>) -> Read<bool> {
    match set(holder, "cacheControl") {
        None => Ok(false),
        Some(word) if word == "ephemeral" => Ok(true),
        Some(_) => Err(Fault::new(".cacheControl", "must be \"ephemeral\"")),
    }
}

/// A field that is there and not `null`.
pub(super) fn set<'a>(holder: &'a Map<String, Value>, key: &str) -> Option<&'a Value> {
    holder.get(key).filter(|value| !value.is_null())
}

pub(super) fn text<'a>(holder: &'a Map<String, Value>, key: &str) -> Read<&'a str> {
    holder.get(key).and_then(Value::as_str).ok_or_else(|| Fault::new(format!(".{key}"), A_STRING))
}

#[cfg(test)]
mod tests;
