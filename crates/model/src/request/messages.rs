//! Reads a request's messages. Lists of plain messages, the usual case, are read straight into their types; any other
//! list goes through values, which keeps what was written and tells the path of an error.

use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, de::Error};
use serde_json::{Map, Value};

use super::openai;
use super::parts::{cache_control, part};
use super::read::{AN_ARRAY, AN_OBJECT, FieldError, Read, not_json, set, text};
use crate::json;
use crate::message::{Content, Message, Role};
use crate::tools::ToolCall;

pub const ROLES: &str = "must be one of: system, developer, user, assistant, tool";
pub const MESSAGES: &str = "must be a non-empty array";

/// The messages, and whether each is in OpenAI's own form.
pub fn messages(text: &str) -> Read<(Vec<Message>, bool)> {
    if let Ok(plain) = serde_json::from_str::<Vec<Plain>>(text)
        && !plain.is_empty()
    {
        return Ok((plain.into_iter().map(|message| message.0).collect(), true));
    }
    let list = match json::parse_nested(text.as_bytes()).map_err(not_json)? {
        Value::Array(list) if !list.is_empty() => list,
        _ => return Err(FieldError::new("messages", MESSAGES)),
    };
    let mut is_wire = true;
    let read = |(index, value)| {
        let read = match value {
            Value::Object(mut source) => {
                is_wire = !mend_arguments(&mut source) && is_wire && openai::is_wire(&source);
                message(source)
            }
            _ => Err(FieldError::new("", AN_OBJECT)),
        };
        read.map_err(|error| error.inside(format_args!("messages[{index}]")))
    };
    let messages = list.into_iter().enumerate().map(read).collect::<Read<Vec<_>>>()?;
    answers_calls(&messages)?;
    Ok((messages, is_wire))
}

/// Replaces halves of surrogate pairs that arguments escape in their own text; whether there were any.
fn mend_arguments(message: &mut Map<String, Value>) -> bool {
    let mut mended = false;
    let mut mend = |arguments: &mut Value| {
        if let Some(replaced) = arguments.as_str().and_then(json::replace_lone) {
            *arguments = Value::String(replaced);
            mended = true;
        }
    };
    for call in message.get_mut("tool_calls").and_then(Value::as_array_mut).into_iter().flatten() {
        call.pointer_mut("/function/arguments").into_iter().for_each(&mut mend);
    }
    for call in message.get_mut("toolCalls").and_then(Value::as_array_mut).into_iter().flatten() {
        ["/arguments", "/rawArguments"]
            .into_iter()
            .for_each(|path| call.pointer_mut(path).into_iter().for_each(&mut mend));
    }
    mended
}

/// Each tool message answers a call of a turn before it: providers refuse any other.
fn answers_calls(messages: &[Message]) -> Read<()> {
    let mut called = HashSet::new();
    for (index, message) in messages.iter().enumerate() {
        called.extend(message.tool_calls.iter().map(|call| call.id.as_str()));
        if message.role != Role::Tool {
            continue;
        }
        let error = |problem| Err(FieldError::new(format!("messages[{index}].toolCallId"), problem));
        match message.tool_call_id.as_deref() {
            None => return error("must name the call that the message answers"),
            Some(id) if !called.contains(id) => {
                return error("answers no call of an assistant message before it");
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

fn message(mut source: Map<String, Value>) -> Read<Message> {
    let role = source.get("role").and_then(Value::as_str).and_then(Role::parse);
    let role = role.ok_or_else(|| FieldError::new(".role", ROLES))?;
    if let (2, Some(Value::String(text))) = (source.len(), source.get_mut("content")) {
        return Ok(Message::plain(role, std::mem::take(text)));
    }
    Ok(Message {
        role,
        content: content(role, source.get("content"))?,
        tool_calls: tool_calls(&source)?,
        tool_call_id: tool_call_id(&source)?,
        is_error: is_error(role, &source)?,
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
                |(index, value)| part(value).map_err(|error| error.inside(format_args!(".content[{index}]")));
            Ok(Content::Parts(list.iter().enumerate().map(read).collect::<Read<_>>()?))
        }
        None | Some(Value::Null) if role == Role::Assistant => Ok(Content::Empty),
        _ => Err(FieldError::new(".content", "must be a string or an array of parts")),
    }
}

fn is_error(role: Role, message: &Map<String, Value>) -> Read<bool> {
    match set(message, "isError") {
        None => Ok(false),
        Some(Value::Bool(is_error)) => Ok(*is_error && role == Role::Tool),
        Some(_) => Err(FieldError::new(".isError", "must be true or false")),
    }
}

fn reasoning_details(message: &Map<String, Value>) -> Read<Vec<Value>> {
    match set(message, "reasoningDetails") {
        None => Ok(Vec::new()),
        Some(Value::Array(blocks)) if blocks.iter().all(Value::is_object) => Ok(blocks.clone()),
        Some(_) => Err(FieldError::new(".reasoningDetails", "must be the array that an answer gave")),
    }
}

fn tool_calls(message: &Map<String, Value>) -> Read<Vec<ToolCall>> {
    if let Some(calls) = set(message, "tool_calls") {
        let calls = calls.as_array().ok_or_else(|| FieldError::new(".tool_calls", AN_ARRAY))?;
        return Ok(calls.iter().filter_map(wire_call).collect());
    }
    let Some(calls) = set(message, "toolCalls") else { return Ok(Vec::new()) };
    let calls = calls.as_array().ok_or_else(|| FieldError::new(".toolCalls", AN_ARRAY))?;
    let read =
        |(index, value)| own_call(value).map_err(|error| error.inside(format_args!(".toolCalls[{index}]")));
    calls.iter().enumerate().map(read).collect()
}

/// A call in OpenAI's form; other kinds than functions have no meaning here and go out as they are.
fn wire_call(call: &Value) -> Option<ToolCall> {
    let function = call.get("function")?;
    Some(ToolCall {
        id: call.get("id").and_then(Value::as_str).unwrap_or_default().to_owned(),
        name: function.get("name")?.as_str()?.to_owned(),
        arguments: function.get("arguments").map(arguments).unwrap_or_default(),
        // Google's place for it in this form.
        signature: call["extra_content"]["google"]["thought_signature"].as_str().map(str::to_owned),
    })
}

fn own_call(value: &Value) -> Read<ToolCall> {
    let call = value.as_object().ok_or_else(|| FieldError::new("", AN_OBJECT))?;
    let arguments =
        match set(call, "rawArguments").filter(|raw| raw.is_string()).or_else(|| set(call, "arguments")) {
            None => "{}".to_owned(),
            Some(value @ (Value::String(_) | Value::Object(_))) => arguments(value),
            Some(_) => return Err(FieldError::new(".arguments", "must be an object or a string")),
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
