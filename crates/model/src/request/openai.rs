//! Messages in OpenAI's wire form.

use std::borrow::Cow;

use serde::Serialize;
use serde::ser::{SerializeSeq, Serializer};
use serde_json::{Map, Value, json};

use super::ChatRequest;
use crate::message::{Content, Message, Part};
use crate::tools::ToolCall;

/// Keys of our own form, which OpenAI's wire does not know.
const OWN_KEYS: [&str; 5] = ["toolCalls", "toolCallId", "isError", "cacheControl", "reasoningDetails"];

/// The messages of a request as they go out to OpenAI-like services; made for JSON text.
#[derive(Debug, Clone, Copy)]
pub struct OpenAiMessages<'a> {
    request: &'a ChatRequest,
}

impl<'a> OpenAiMessages<'a> {
    pub(super) fn new(request: &'a ChatRequest) -> Self {
        Self { request }
    }
}

#[derive(Serialize)]
struct PlainMessage<'a> {
    role: &'a str,
    content: &'a str,
}

impl Serialize for OpenAiMessages<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Some(raw) = &self.request.openai_messages {
            return raw.serialize(serializer);
        }
        let messages = &self.request.messages;
        let mut list = serializer.serialize_seq(Some(messages.len()))?;
        for message in messages {
            match &message.source {
                Some(source) if is_wire(source) => list.serialize_element(source)?,
                _ => match message.plain_text() {
                    Some(content) => {
                        list.serialize_element(&PlainMessage { role: message.role.as_str(), content })?
                    }
                    None => list.serialize_element(&wire_message(message))?,
                },
            }
        }
        list.end()
    }
}

/// Whether a message is in OpenAI's own form.
pub fn is_wire(message: &Map<String, Value>) -> bool {
    !OWN_KEYS.iter().any(|key| message.contains_key(*key))
        && message.get("content").and_then(Value::as_array).is_none_or(|parts| parts.iter().all(is_wire_part))
}

fn is_wire_part(part: &Value) -> bool {
    match part["type"].as_str() {
        Some("image" | "audio") => false,
        Some("file") => part.get("data").is_none(),
        _ => part.get("cacheControl").is_none(),
    }
}

/// One message in OpenAI's form.
pub fn wire_message(message: &Message) -> Value {
    match &message.source {
        None => from_data(message),
        Some(source) if is_wire(source) => Value::Object(source.clone()),
        Some(source) => from_source(message, source),
    }
}

/// For a message that was not written by a caller.
fn from_data(message: &Message) -> Value {
    let content = match &message.content {
        Content::Text(text) => json!(text),
        Content::Parts(parts) => Value::Array(parts.iter().filter_map(data_part).collect()),
        Content::Empty => Value::Null,
    };
    let mut wire =
        Map::from_iter([("role".to_owned(), json!(message.role.as_str())), ("content".to_owned(), content)]);
    if !message.tool_calls.is_empty() {
        wire.insert("tool_calls".to_owned(), message.tool_calls.iter().map(wire_call).collect());
    }
    if let Some(id) = &message.tool_call_id {
        wire.insert("tool_call_id".to_owned(), json!(id));
    }
    Value::Object(wire)
}

fn data_part(part: &Part) -> Option<Value> {
    Some(match part {
        Part::Text { text, .. } => json!({ "type": "text", "text": text }),
        Part::ImageUrl { url, .. } => json!({ "type": "image_url", "image_url": { "url": url } }),
        Part::ImageData { data, mime_type, .. } => {
            json!({ "type": "image_url", "image_url": { "url": data_url(mime_type, data) } })
        }
        Part::File { data, mime_type, name, .. } => file(name.as_deref(), &data_url(mime_type, data)),
        Part::Audio { data, mime_type } => input_audio(data, mime_type),
        Part::Other { .. } => return None,
    })
}

/// Keys and parts in the order they were written; what OpenAI knows is left as it is.
fn from_source(message: &Message, source: &Map<String, Value>) -> Value {
    let mut wire = Map::new();
    for (key, value) in source {
        match key.as_str() {
            "cacheControl" | "reasoningDetails" | "isError" => {}
            "toolCallId" | "tool_call_id" => {
                if let Some(id) = &message.tool_call_id {
                    wire.insert("tool_call_id".to_owned(), json!(id));
                }
            }
            "toolCalls" if source.get("tool_calls").is_none_or(Value::is_null) => {
                // An empty list is refused by OpenAI.
                if !message.tool_calls.is_empty() {
                    wire.insert("tool_calls".to_owned(), message.tool_calls.iter().map(wire_call).collect());
                }
            }
            "toolCalls" => {}
            "tool_calls" if value.is_null() => {}
            "content" => {
                let parts = value.as_array().map(|parts| parts.iter().map(wire_part).collect());
                wire.insert(key.clone(), parts.map_or_else(|| value.clone(), Value::Array));
            }
            _ => {
                wire.insert(key.clone(), value.clone());
            }
        }
    }
    Value::Object(wire)
}

fn wire_call(call: &ToolCall) -> Value {
    json!({
        "id": call.id,
        "type": "function",
        "function": { "name": call.name, "arguments": call.arguments },
    })
}

fn wire_part(part: &Value) -> Value {
    if is_wire_part(part) {
        return part.clone();
    }
    match part["type"].as_str() {
        Some("image") => json!({ "type": "image_url", "image_url": { "url": image_url(part) } }),
        Some("file") => file(part["name"].as_str(), &part_data_url(part)),
        Some("audio") => input_audio(
            part["data"].as_str().unwrap_or_default(),
            part["mimeType"].as_str().unwrap_or_default(),
        ),
        _ => {
            let mut part = part.clone();
            if let Some(part) = part.as_object_mut() {
                part.shift_remove("cacheControl");
            }
            part
        }
    }
}

fn file(name: Option<&str>, data_url: &str) -> Value {
    // What comes as data must have a name.
    let name = name.map_or_else(|| Cow::Owned(file_name(data_url)), Cow::Borrowed);
    json!({ "type": "file", "file": { "filename": name, "file_data": data_url } })
}

/// A name for a file that has none; its ending tells its kind.
pub fn file_name(data_url: &str) -> String {
    let kind = data_url.strip_prefix("data:").and_then(|url| url.split([';', ',']).next());
    match kind.and_then(|kind| kind.split('/').nth(1)) {
        Some("plain") => "file.txt".to_owned(),
        Some(kind) => format!("file.{kind}"),
        None => "file".to_owned(),
    }
}

fn input_audio(data: &str, mime_type: &str) -> Value {
    json!({ "type": "input_audio", "input_audio": { "data": data, "format": audio_format(mime_type) } })
}

fn image_url(image: &Value) -> Cow<'_, str> {
    image["url"].as_str().map_or_else(|| Cow::Owned(part_data_url(image)), Cow::Borrowed)
}

fn part_data_url(part: &Value) -> String {
    let text = |key: &str| part[key].as_str().unwrap_or_default();
    data_url(text("mimeType"), text("data"))
}

fn data_url(mime_type: &str, base64: &str) -> String {
    format!("data:{mime_type};base64,{base64}")
}

/// OpenAI's word for a kind of audio: `mp3` or `wav`.
fn audio_format(mime_type: &str) -> &str {
    match mime_type {
        "audio/mpeg" => "mp3",
        "audio/x-wav" | "audio/wave" => "wav",
        _ => mime_type.strip_prefix("audio/").unwrap_or(mime_type),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Role;

    fn converted(messages: &Value) -> Value {
        let request = ChatRequest::from_json(&json!({ "messages": messages }).to_string()).unwrap();
        let written = serde_json::to_string(&request.to_openai_messages()).unwrap();
        let value = request.openai_messages_value();
        assert_eq!(serde_json::from_str::<Value>(&written).unwrap(), value);
        value
    }

    #[test]
    fn our_form_becomes_openais() {
        let messages = json!([
            { "role": "system", "content": "s", "cacheControl": "ephemeral" },
            { "role": "user", "name": "n", "content": [
                { "type": "text", "text": "t", "cacheControl": "ephemeral" },
                { "type": "image", "url": "https://x/y.png" },
                { "type": "image", "data": "AA==", "mimeType": "image/png" },
                { "type": "file", "data": "BB==", "mimeType": "application/pdf", "name": "a.pdf" },
                { "type": "audio", "data": "CC==", "mimeType": "audio/mpeg" },
            ] },
            { "role": "assistant", "content": null, "toolCalls": [
                { "id": "1", "name": "f", "arguments": { "b": 1, "a": [true] } },
                { "id": "2", "name": "g", "arguments": "{\"x\": 1}" },
            ] },
            { "role": "tool", "toolCallId": "1", "content": "r" },
            { "role": "assistant", "content": "plain" },
            { "role": "assistant", "content": "none", "toolCalls": [], "toolCallId": null },
        ]);
        let wire = json!([
            { "role": "system", "content": "s" },
            { "role": "user", "name": "n", "content": [
                { "type": "text", "text": "t" },
                { "type": "image_url", "image_url": { "url": "https://x/y.png" } },
                { "type": "image_url", "image_url": { "url": "data:image/png;base64,AA==" } },
                { "type": "file", "file": { "filename": "a.pdf", "file_data": "data:application/pdf;base64,BB==" } },
                { "type": "input_audio", "input_audio": { "data": "CC==", "format": "mp3" } },
            ] },
            { "role": "assistant", "content": null, "tool_calls": [
                { "id": "1", "type": "function", "function": { "name": "f", "arguments": "{\"b\":1,\"a\":[true]}" } },
                { "id": "2", "type": "function", "function": { "name": "g", "arguments": "{\"x\": 1}" } },
            ] },
            { "role": "tool", "tool_call_id": "1", "content": "r" },
            { "role": "assistant", "content": "plain" },
            { "role": "assistant", "content": "none" },
        ]);
        assert_eq!(converted(&messages), wire);
    }

    #[test]
    fn openais_own_form_is_left_beside_ours() {
        let wire = json!({ "role": "assistant", "refusal": null, "content": [{ "type": "refusal", "refusal": "no" }],
            "tool_calls": [{ "id": "1", "type": "custom", "custom": { "name": "c", "input": "x" } }] });
        let ours = json!({ "role": "assistant", "content": "r", "toolCalls": [] });
        assert_eq!(converted(&json!([wire, ours]))[0], wire);
    }

    #[test]
    fn a_list_wholly_in_openais_form_goes_out_byte_for_byte() {
        let list = r#"[ {"content":"a\u0041","role":"user"}, {"role":"assistant","content":null,"tool_calls":[
            {"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}]},
            {"role":"tool","tool_call_id":"1","content":[{"type":"text","text":"1.0"}],"x":1.0} ]"#;
        let request = ChatRequest::from_json(&format!(r#"{{"model":"m", "messages":{list}}}"#)).unwrap();
        assert_eq!(serde_json::to_string(&request.to_openai_messages()).unwrap(), list);
    }

    #[test]
    fn a_message_without_a_source_is_written_from_its_data() {
        let message = Message {
            role: Role::Tool,
            content: Content::Parts(vec![
                Part::Text { text: "t".to_owned(), cache_control: true },
                Part::image("data:image/png;base64,AA==", false),
            ]),
            tool_calls: Vec::new(),
            tool_call_id: Some("1".to_owned()),
            is_error: false,
            reasoning_details: Vec::new(),
            cache_control: false,
            source: None,
        };
        let wire = json!({ "role": "tool", "tool_call_id": "1", "content": [
            { "type": "text", "text": "t" },
            { "type": "image_url", "image_url": { "url": "data:image/png;base64,AA==" } },
        ] });
        assert_eq!(wire_message(&message), wire);
    }
}
