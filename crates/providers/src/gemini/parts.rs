//! Messages as the parts of a turn.

use serde_json::{Map, Value, json};

use super::thinking::Generation;
use crate::documents::is_text;
use gateway_model::{Content, Message, Part, ToolCall};

pub const SIGNATURE: &str = "thoughtSignature";
/// Our own note on a part that is kept: what stood before it.
pub const AFTER: &str = "after";
/// What Google documents for calls that no Gemini made.
pub const FOREIGN: &str = "skip_thought_signature_validator";

/// What a message says; parts without a form here, and empty texts, which are refused, are left out.
pub fn parts(content: &Content) -> Vec<Value> {
    match content {
        Content::Text(text) if !text.is_empty() => vec![json!({ "text": text })],
        Content::Text(_) | Content::Empty => Vec::new(),
        Content::Parts(parts) => parts.iter().filter_map(part).collect(),
    }
}

pub fn is_text_part(part: &Value) -> bool {
    part["text"].is_string()
}

fn part(part: &Part) -> Option<Value> {
    Some(match part {
        Part::Text { text, .. } if text.is_empty() => return None,
        Part::Text { text, .. } => json!({ "text": text }),
        Part::ImageUrl { url, .. } => {
            let mut file = Map::new();
            if let Some(mime_type) = image_type(url) {
                file.insert("mimeType".into(), json!(mime_type));
            }
            file.insert("fileUri".into(), json!(url));
            json!({ "fileData": file })
        }
        // Of texts it knows some kinds alone.
        Part::File { data, mime_type, .. } if is_text(mime_type) && !mime_type.starts_with("text/") => {
            json!({"inlineData": {"mimeType": "text/plain", "data": data}})
        }
        Part::ImageData { data, mime_type, .. }
        | Part::File { data, mime_type, .. }
        | Part::Audio { data, mime_type } => json!({"inlineData": {"mimeType": mime_type, "data": data}}),
        Part::Other { .. } => return None,
    })
}

/// The media type by the ending of an address, where Gemini takes it.
fn image_type(url: &str) -> Option<&'static str> {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    let (_, extension) = path.rsplit('/').next()?.rsplit_once('.')?;
    Some(match extension.to_ascii_lowercase().as_str() {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "heic" => "image/heic",
        "heif" => "image/heif",
        _ => return None,
    })
}

/// A turn of the model: its text, its calls, and the parts that were kept, each in its old place.
pub fn model_turn(message: &Message, generation: Generation) -> Vec<Value> {
    let kept = || message.reasoning_details.iter().filter(|block| block[SIGNATURE].is_string());
    let mut parts = if kept().next().is_none() {
        let calls = message.tool_calls.iter().map(call);
        parts(&message.content).into_iter().chain(calls).collect()
    } else {
        let text = message.content.text();
        let mut turn = Turn { text: &text, at: 0, calls: &message.tool_calls, called: 0, parts: Vec::new() };
        kept().for_each(|block| turn.block(block));
        turn.text_up_to(text.len());
        turn.parts.extend(parts(&message.content).into_iter().filter(|part| !is_text_part(part)));
        turn.calls_up_to(usize::MAX);
        turn.parts
    };
    if generation == Generation::Level
        && !parts.iter().any(|part| part[SIGNATURE].is_string())
        && let Some(first) = parts.iter_mut().find(|part| part["functionCall"].is_object())
    {
        first[SIGNATURE] = json!(FOREIGN);
    }
    parts
}

/// A turn that is put together again.
struct Turn<'a> {
    text: &'a str,
    /// Bytes of the text that are in `parts`.
    at: usize,
    calls: &'a [ToolCall],
    /// Calls that are in `parts`.
    called: usize,
    parts: Vec<Value>,
}

impl Turn<'_> {
    fn text_up_to(&mut self, end: usize) {
        let end = end.min(self.text.len());
        if let Some(piece) = self.text.get(self.at..end)
            && !piece.is_empty()
        {
            self.parts.push(json!({ "text": piece }));
            self.at = end;
        }
    }

    fn calls_up_to(&mut self, end: usize) {
        let more = self.calls.iter().take(end).skip(self.called);
        self.parts.extend(more.map(call));
        self.called = self.called.max(end.min(self.calls.len()));
    }

    fn block(&mut self, block: &Value) {
        let mut block = block.clone();
        let fields = block.as_object_mut();
        let after = fields.and_then(|fields| fields.shift_remove(AFTER)).unwrap_or_default();
        let count = |name: &str| after[name].as_u64().and_then(|count| usize::try_from(count).ok());
        // What a thought says is not part of the answer's text.
        let text = block["text"].as_str().filter(|_| block["thought"] != true).map(str::to_owned);
        // Without a note, from whoever: the end of the text.
        let own = text.as_ref().map_or(0, String::len);
        let last = if text.is_some() { self.text.len().saturating_sub(own) } else { 0 };
        self.text_up_to(count("text").unwrap_or(last));
        self.calls_up_to(count("calls").unwrap_or(0));
        if let Some(text) = text {
            if self.text.get(self.at..).is_some_and(|rest| rest.starts_with(&text)) {
                self.at += own;
            } else {
                block["text"] = json!("");
            }
        }
        self.parts.push(block);
    }
}

fn call(call: &ToolCall) -> Value {
    let mut function = identified(&call.id);
    function.insert("name".into(), json!(call.name));
    function.insert("args".into(), Value::Object(call.parsed_arguments().unwrap_or_default()));
    let mut part = json!({ "functionCall": function });
    if let Some(signature) = &call.signature {
        part[SIGNATURE] = json!(signature);
    }
    part
}

/// A call's id, unless it was made up for a call that came without one: those are numbered anew in each answer.
fn identified(id: &str) -> Map<String, Value> {
    // Where a number stood for several calls, another follows.
    let is_number = |number: &str| number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
    let made_up = id.is_empty() || id.strip_prefix("call_").is_some_and(is_number);
    if made_up { Map::new() } else { Map::from_iter([("id".to_owned(), json!(id))]) }
}

/// The results of one round, in the order of their calls, of which `calls` has all so far. An image is part of its result
/// from Gemini 3 on; before, and by its address, it stands behind them.
pub fn results(round: &[&Message], calls: &[&ToolCall], generation: Generation) -> Vec<Value> {
    let id = |message: &Message| message.tool_call_id.clone().unwrap_or_default();
    let place = |message: &Message| calls.iter().rposition(|call| call.id == id(message));
    let mut round = round.to_vec();
    round.sort_by_key(|message| place(message).unwrap_or(usize::MAX));
    let mut beside = Vec::new();
    let mut results: Vec<Value> = Vec::with_capacity(round.len());
    for message in round {
        let id = id(message);
        let name = place(message).and_then(|at| calls.get(at)).map_or(&*id, |call| &*call.name);
        let mut result = identified(&id);
        result.insert("name".into(), json!(name));
        result.insert("response".into(), Value::Object(response(message)));
        let media = parts(&message.content).into_iter().filter(|part| !is_text_part(part));
        let (inside, outside): (Vec<Value>, Vec<Value>) =
            media.partition(|part| generation == Generation::Level && part["inlineData"].is_object());
        if !inside.is_empty() {
            result.insert("parts".into(), Value::Array(inside));
        }
        beside.extend(outside);
        results.push(json!({ "functionResponse": result }));
    }
    results.extend(beside);
    results
}

/// A result must be an object.
fn response(message: &Message) -> Map<String, Value> {
    let text = message.content.text();
    let key = if message.is_error { "error" } else { "result" };
    let object = gateway_model::json::parse::<Map<String, Value>>(text.as_bytes()).ok();
    object
        // What failed says so under this key.
        .filter(|object| !message.is_error || object.contains_key(key))
        .unwrap_or_else(|| Map::from_iter([(key.to_owned(), json!(text))]))
}
