//! What is asked: the conversation as a list of items, and the settings.

use serde_json::{Map, Value, json};

use super::ResponsesWire;
use crate::openai::{self, Dialect, is_reasoning_model};
use crate::places::{Piece, pieces};
use crate::settings::CallSettings;
use crate::wire::Mode;
use gateway_model::ProviderCall;
use gateway_model::request::file_name;
use gateway_model::{ChatRequest, Content, Message, Part, Role};

/// OpenAI's bounds for `metadata`, and for the name of a user.
const METADATA_PAIRS: usize = 16;
const METADATA_KEY: usize = 64;
const METADATA_VALUE: usize = 512;
const USER: usize = 64;

impl ResponsesWire {
    pub(super) fn fields(&self, settings: &mut CallSettings<'_>, mode: Mode) -> Map<String, Value> {
        let (call, request) = (settings.call(), settings.request());
        let mut body = Map::new();
        let mut field = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                body.insert(name.to_owned(), value);
            }
        };
        field("model", Some(json!(call.model)));
        field("input", Some(Value::Array(self.input(request))));
        field("stream", mode.is_stream().then(|| json!(true)));
        field("store", Some(json!(false)));
        field("include", reasons(call).then(|| json!(["reasoning.encrypted_content"])));
        field("max_output_tokens", settings.max_tokens().map(Value::from));
        field("temperature", settings.temperature().map(Value::from));
        field("top_p", settings.top_p().map(Value::from));
        field("reasoning", self.reasoning(settings));
        let (tools, choice) = self.chat.tools(settings);
        field("tools", (!tools.is_empty()).then(|| tools.into_iter().map(tool).collect()));
        field("tool_choice", choice.map(|choice| flat(choice, "function")));
        let format = self.chat.format(settings);
        field("text", format.map(|format| json!({ "format": flat(format, "json_schema") })));
        let user = settings.user_id().filter(|user| user.chars().count() <= USER);
        field(self.user, user.filter(|_| !self.user.is_empty()).map(|user| json!(user)));
        field("metadata", metadata(request));
        body
    }

    fn reasoning(&self, settings: &mut CallSettings<'_>) -> Option<Value> {
        let effort = if self.chat.dialect.reasoning_effort { settings.reasoning_effort() } else { None }?;
        Some(match effort {
            "none" => json!({ "effort": effort }),
            // Without a summary there is no text of the reasoning at all.
            _ => json!({ "effort": effort, "summary": "auto" }),
        })
    }

    fn input(&self, request: &ChatRequest) -> Vec<Value> {
        let words = self.chat.instruction(request).or_else(|| self.chat.json_word(request));
        let mut instruction = words.map(|text| json!({ "role": "system", "content": text }));
        let mut input = Vec::new();
        let Value::Array(sources) = request.openai_messages_value() else { return input };
        for (message, source) in request.messages.iter().zip(&sources) {
            // Beside the other instructions.
            if !message.role.is_instruction() {
                input.extend(instruction.take());
            }
            push_items(message, source, &self.chat.dialect, &mut input);
        }
        input.extend(instruction);
        input
    }
}

/// Whether the model may reason: only then may its reasoning be asked for, as other models refuse that.
fn reasons(call: &ProviderCall) -> bool {
    let request = &call.request;
    request.reasoning_effort.is_some()
        || (is_reasoning_model(&call.model) && !call.model.contains("-chat"))
        || request.messages.iter().any(|message| reasoning_items(message).next().is_some())
}

/// The reasoning of a turn that can go back: with its content, as without `store` the vendor has kept nothing of it.
fn reasoning_items(message: &Message) -> impl Iterator<Item = &Value> {
    message.reasoning_details.iter().filter(|item| is_reasoning(item))
}

fn is_reasoning(item: &Value) -> bool {
    let encrypted = item["encrypted_content"].as_str().is_some_and(|text| !text.is_empty());
    let open = item["content"].as_array().is_some_and(|parts| !parts.is_empty());
    item["type"] == "reasoning" && (encrypted || open)
}

fn is_phase(item: &Value) -> bool {
    item["type"] == "message" && item["phase"].is_string()
}

/// A message as items; `source` is the message in the form of chat completions.
fn push_items(message: &Message, source: &Value, dialect: &Dialect, into: &mut Vec<Value>) {
    let content = &source["content"];
    match message.role {
        Role::Tool => into.push(json!({
            "type": "function_call_output",
            "call_id": message.tool_call_id.as_deref().unwrap_or_default(),
            "output": output(&message.content, content),
        })),
        Role::Assistant => {
            push_turn(message, content, into);
        }
        role => {
            let known = role != Role::Developer || dialect.developer_role;
            let role = if known { role } else { Role::System };
            let content = match content {
                Value::Array(_) => Value::Array(parts(content, "input_text")),
                text => text.clone(),
            };
            into.push(json!({ "role": role.as_str(), "content": content }));
        }
    }
}

/// A turn of the model: reasoning, texts and calls in their places, and what its texts were (`phase`).
fn push_turn(message: &Message, content: &Value, into: &mut Vec<Value>) {
    let mut phase: Option<Value> = None;
    // Parts in the form of chat completions, as far as they are sent.
    let mut sources = content.as_array().into_iter().flatten();
    let mut said: Vec<Value> = Vec::new();
    let say = |said: &mut Vec<Value>, phase: &Option<Value>, into: &mut Vec<Value>| {
        if !said.is_empty() {
            let mut item = json!({ "role": "assistant", "content": std::mem::take(said) });
            if let Some(phase) = phase {
                item["phase"] = phase.clone();
            }
            into.push(item);
        }
    };
    for piece in pieces(message, |block| is_reasoning(block) || is_phase(block)) {
        match piece {
            Piece::Text(text) => said.push(json!({ "type": "output_text", "text": text })),
            Piece::Part(_) => said.extend(sources.next().map(|source| part(source, "output_text"))),
            Piece::Block(mut block) if is_phase(&block) => {
                say(&mut said, &phase, into);
                phase = Some(block["phase"].take());
            }
            Piece::Block(block) => {
                say(&mut said, &phase, into);
                into.push(block);
            }
            Piece::Call(call) => {
                say(&mut said, &phase, into);
                let arguments = if call.arguments.is_empty() { "{}" } else { &call.arguments };
                into.push(json!({
                    "type": "function_call", "call_id": call.id, "name": call.name, "arguments": arguments,
                }));
            }
        }
    }
    say(&mut said, &phase, into);
}

/// The result of a tool: text, unless it holds more than that.
fn output(content: &Content, source: &Value) -> Value {
    match content {
        Content::Parts(list) if list.iter().any(|part| !matches!(part, Part::Text { .. })) => {
            Value::Array(parts(source, "input_text"))
        }
        content => json!(content.text()),
    }
}

fn parts(content: &Value, text_kind: &str) -> Vec<Value> {
    content.as_array().into_iter().flatten().map(|source| part(source, text_kind)).collect()
}

/// A part in the form of chat completions; what has no form of its own here goes out as it is.
fn part(source: &Value, text_kind: &str) -> Value {
    match source["type"].as_str() {
        Some("text") => json!({ "type": text_kind, "text": source["text"] }),
        Some("image_url") => {
            let image = &source["image_url"];
            let url = if image.is_string() { image } else { &image["url"] };
            let mut part = json!({ "type": "input_image", "image_url": url });
            if let Some(detail) = image.get("detail").filter(|detail| !detail.is_null()) {
                part["detail"] = detail.clone();
            }
            part
        }
        Some("file") => {
            let mut part = flat(json!({ "type": "input_file", "file": source["file"] }), "file");
            if part.get("filename").is_none()
                && let Some(data) = part["file_data"].as_str()
            {
                part["filename"] = json!(file_name(data));
            }
            part
        }
        _ => source.clone(),
    }
}

/// A tool. Functions are strict here unless they say otherwise; ours are not.
fn tool(tool: &gateway_model::Tool) -> Value {
    let mut wire = flat(openai::tool_json(tool), "function");
    wire["strict"] = json!(tool.strict.unwrap_or(false));
    wire
}

/// What chat completions put into an object of its own stands beside `type` here.
fn flat(mut value: Value, inner: &str) -> Value {
    let fields = value.as_object_mut().and_then(|outer| outer.shift_remove(inner));
    if let (Some(outer), Some(Value::Object(fields))) = (value.as_object_mut(), fields) {
        outer.extend(fields);
    }
    value
}

/// The caller's notes, as far as they are texts of a length that the vendor takes.
fn metadata(request: &ChatRequest) -> Option<Value> {
    let fits = |text: &str, most: usize| text.chars().count() <= most;
    let pairs: Map<String, Value> = request
        .metadata
        .iter()
        .flatten()
        .filter(|(key, value)| {
            fits(key, METADATA_KEY) && value.as_str().is_some_and(|value| fits(value, METADATA_VALUE))
        })
        .take(METADATA_PAIRS)
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    (!pairs.is_empty()).then_some(Value::Object(pairs))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::openai::{FormatSupport, OpenAiWire};

    fn fields(dialect: Dialect, model: &str, request: &Value) -> Map<String, Value> {
        let request = ChatRequest::from_json(&request.to_string()).unwrap();
        let call = ProviderCall {
            max_tokens: request.max_tokens,
            request: Arc::new(request),
            model: model.to_owned(),
            timeout: None,
            deadline: None,
            sent: Default::default(),
        };
        ResponsesWire { chat: OpenAiWire::new(dialect), user: dialect.user }
            .fields(&mut CallSettings::new(&call), Mode::Full)
    }

    #[test]
    fn parts_keep_what_they_say() {
        let request = json!({"messages": [
            {"role": "user", "content": [
                {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "low"}},
                {"type": "image", "data": "AA==", "mimeType": "image/png"},
                {"type": "file", "file": {"file_id": "file-1"}},
                {"type": "file", "data": "BB==", "mimeType": "application/pdf"},
                {"type": "file", "data": "BB==", "mimeType": "text/plain"},
            ]},
            {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
        ]});
        assert_eq!(
            fields(Dialect::OPENAI, "gpt-4.1", &request)["input"],
            json!([
                {"role": "user", "content": [
                    {"type": "input_image", "image_url": "https://x/y.png", "detail": "low"},
                    {"type": "input_image", "image_url": "data:image/png;base64,AA=="},
                    {"type": "input_file", "file_id": "file-1"},
                    {"type": "input_file", "file_data": "data:application/pdf;base64,BB==", "filename": "file.pdf"},
                    {"type": "input_file", "file_data": "data:text/plain;base64,BB==", "filename": "file.txt"},
                ]},
                {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
            ])
        );
    }

    #[test]
    fn reasoning_is_asked_for_only_where_there_can_be_some() {
        let plain = json!({"messages": [{"role": "user", "content": "Hi"}]});
        let asked = |model: &str| fields(Dialect::OPENAI, model, &plain).contains_key("include");
        assert!(asked("o4-mini") && asked("gpt-5.1") && asked("openai/gpt-5"));
        assert!(!asked("gpt-4o") && !asked("gpt-5-chat-latest") && !asked("my-deployment"));
        let mut effort = plain.clone();
        effort["reasoningEffort"] = json!("none");
        let body = fields(Dialect::OPENAI, "my-deployment", &effort);
        assert!(body.contains_key("include"));
        assert_eq!(body["reasoning"], json!({"effort": "none"}));
    }

    #[test]
    fn reasoning_of_which_nothing_came_along_stays_behind() {
        let request = json!({"messages": [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Hello", "reasoningDetails": [
                {"type": "reasoning", "id": "rs_1", "summary": []},
                {"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": null},
                {"type": "reasoning", "id": "rs_3", "summary": [], "content": [{"type": "reasoning_text", "text": "t"}]},
                {"type": "thinking", "thinking": "t", "signature": "s"},
            ]},
            {"role": "user", "content": "Go on"},
        ]});
        let body = fields(Dialect::OPENAI, "gpt-oss-120b", &request);
        let ids: Vec<&Value> = body["input"].as_array().unwrap().iter().map(|item| &item["id"]).collect();
        assert_eq!(ids, [&Value::Null, &json!("rs_3"), &Value::Null, &Value::Null]);
    }

    #[test]
    fn a_dialect_is_spoken_here_too() {
        let dialect = Dialect { response_format: FormatSupport::Object, user: "", ..Dialect::COMPATIBLE };
        let request = json!({
            "messages": [{"role": "developer", "content": "Be terse."}, {"role": "user", "content": "Hi"}],
            "responseFormat": {"jsonSchema": {"type": "object"}}, "userId": "u",
        });
        let body = fields(dialect, "m", &request);
        let input = body["input"].as_array().unwrap();
        assert_eq!(input[0], json!({"role": "system", "content": "Be terse."}));
        assert_eq!((&input[1]["role"], input.len()), (&json!("system"), 3));
        assert!(!body.contains_key("user") && !body.contains_key(""));
    }

    #[test]
    fn notes_that_the_vendor_would_refuse_are_left_out() {
        let request = json!({
            "messages": [{"role": "user", "content": "Hi"}], "userId": "u".repeat(65),
            "metadata": {"order": "17", "count": 3, "long": "x".repeat(513), "k".repeat(65): "v", "nested": {}},
        });
        let body = fields(Dialect::OPENAI, "gpt-4.1", &request);
        assert_eq!(body["metadata"], json!({"order": "17"}));
        assert!(!body.contains_key("user"));
    }
}
