//! What a message says in its caller's own words alone: keys and parts of OpenAI's form that have no place in ours go
//! out to services that know them, and may change the answer.

use serde_json::{Map, Value};

use super::digest::{Digest, Keys};
use gateway_model::{Content, Part};

const MESSAGE: [&str; 9] = [
    "role",
    "content",
    "tool_calls",
    "toolCalls",
    "tool_call_id",
    "toolCallId",
    "isError",
    "reasoningDetails",
    "cacheControl",
];

/// Writes what `content` and the message's other fields do not hold. Of a message that is wholly in our terms, that is
/// the same as of one without a source.
pub fn rest(digest: &mut Digest, content: &Content, source: Option<&Map<String, Value>>) {
    let Some(source) = source else {
        others(digest, None, &[]);
        digest.length(0);
        digest.length(0);
        return;
    };
    others(digest, Some(source), &MESSAGE);
    let parts = match content {
        Content::Parts(parts) => parts.as_slice(),
        Content::Text(_) | Content::Empty => &[],
    };
    let written = source.get("content").and_then(Value::as_array).into_iter().flatten();
    rests(digest, written.enumerate().map(|(at, value)| part(parts.get(at), value)));
    let calls = source.get("tool_calls").and_then(Value::as_array).into_iter().flatten();
    rests(digest, calls.map(call));
}

/// What is left of a part or a call.
enum Rest<'a> {
    Whole(&'a Value),
    Keys { outer: Others<'a>, inner: Others<'a> },
}

/// The keys of an object but these.
#[derive(Clone, Copy)]
struct Others<'a> {
    object: Option<&'a Map<String, Value>>,
    known: &'a [&'a str],
}

impl<'a> Others<'a> {
    fn of(object: Option<&'a Map<String, Value>>, known: &'a [&'a str]) -> Self {
        Self { object, known }
    }

    fn entries(self) -> impl Iterator<Item = (&'a String, &'a Value)> {
        self.object.into_iter().flatten().filter(move |(key, _)| !self.known.contains(&key.as_str()))
    }
}

impl Rest<'_> {
    fn is_empty(&self) -> bool {
        match self {
            Self::Whole(_) => false,
            Self::Keys { outer, inner } => outer.entries().chain(inner.entries()).next().is_none(),
        }
    }
}

/// Each rest after its place in the list, counted from 1; 0 ends the list.
fn rests<'a>(digest: &mut Digest, rests: impl Iterator<Item = Rest<'a>>) {
    for (at, rest) in rests.enumerate().filter(|(_, rest)| !rest.is_empty()) {
        digest.length(at + 1);
        match rest {
            Rest::Whole(value) => {
                digest.tag(0);
                digest.value(value, Keys::AsWritten);
            }
            Rest::Keys { outer, inner } => {
                digest.tag(1);
                others(digest, outer.object, outer.known);
                others(digest, inner.object, inner.known);
            }
        }
    }
    digest.length(0);
}

fn others(digest: &mut Digest, object: Option<&Map<String, Value>>, known: &[&str]) {
    let mut entries: Vec<_> = Others::of(object, known).entries().collect();
    entries.sort_unstable_by_key(|(key, _)| *key);
    digest.list(&entries, |digest, (key, value)| {
        digest.text(key);
        digest.value(value, Keys::AsWritten);
    });
}

/// A part as it was written, and what was read of it.
fn part<'a>(read: Option<&Part>, written: &'a Value) -> Rest<'a> {
    let (Some(part), Some(read)) = (written.as_object(), read) else { return Rest::Whole(written) };
    let within = |key: &str, known| Others::of(part.get(key).and_then(Value::as_object), known);
    let none = Others::of(None, &[]);
    let (outer, inner): (&[&str], _) = match (part.get("type").and_then(Value::as_str), read) {
        (Some("text"), Part::Text { .. }) => (&["type", "text", "cacheControl"], none),
        (Some("image_url"), Part::ImageUrl { .. } | Part::ImageData { .. }) => {
            (&["type", "image_url", "cacheControl"], within("image_url", &["url"]))
        }
        // Of an image with both, its data was read.
        (Some("image"), Part::ImageData { .. }) if part.get("data").is_some_and(|data| !data.is_null()) => {
            (&["type", "data", "mimeType", "cacheControl"], none)
        }
        (Some("image"), Part::ImageUrl { .. } | Part::ImageData { .. }) => {
            (&["type", "url", "cacheControl"], none)
        }
        (Some("file"), Part::File { .. }) if part.get("file").is_some_and(Value::is_object) => {
            (&["type", "file", "cacheControl"], within("file", &["file_data", "filename"]))
        }
        (Some("file"), Part::File { .. }) => (&["type", "data", "mimeType", "name", "cacheControl"], none),
        (Some("input_audio"), Part::Audio { .. }) => {
            (&["type", "input_audio", "cacheControl"], within("input_audio", &["data", "format"]))
        }
        (Some("audio"), Part::Audio { .. }) => (&["type", "data", "mimeType", "cacheControl"], none),
        _ => return Rest::Whole(written),
    };
    Rest::Keys { outer: Others::of(Some(part), outer), inner }
}

/// A call in OpenAI's form. Only calls of functions are read.
fn call(written: &Value) -> Rest<'_> {
    let function = written.get("function").and_then(Value::as_object);
    let (Some(call), Some(function)) = (written.as_object(), function) else { return Rest::Whole(written) };
    if !function.get("name").is_some_and(Value::is_string) {
        return Rest::Whole(written);
    }
    let is_plain = call.get("type").is_none_or(|kind| kind == "function");
    let known: &[&str] = if is_plain { &["id", "type", "function"] } else { &["id", "function"] };
    Rest::Keys {
        outer: Others::of(Some(call), known),
        inner: Others::of(Some(function), &["name", "arguments"]),
    }
}
