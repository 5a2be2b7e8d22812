//! What images, files and sounds cost in tokens, as their vendors document it, and what else of a message is sent than its
//! text. Upper bounds: an image is taken to be as large as its vendor reads one.

use std::borrow::Cow;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::Value;

use gateway_model::{Content, Message, Part};

/// Tokens of an image whose model documents no cost.
const ANY_IMAGE: u64 = 2_000;

/// By a part of the model's name, the first that fits: tokens of the largest image that the vendor reads, others being scaled
/// down. OpenAI: a base and up to eight tiles, or 1,536 patches times a factor. Anthropic: 28 × 28 pixels each, up to 1,568 or
/// 4,784 (`Tokenizer` tells which). Google: up to 1,120, or 258 for each tile of 768 × 768 pixels, of which 16 are assumed.
const IMAGES: [(&str, u64); 13] = [
    ("gpt-4o-mini", 2_833 + 8 * 5_667),
    ("gpt-4o", 85 + 8 * 170),
    ("gpt-4.1-mini", 2_489),
    ("gpt-4.1-nano", 3_779),
    ("gpt-4", 85 + 8 * 170),
    ("gpt-5-mini", 2_489),
    ("gpt-5-nano", 3_779),
    ("gpt-5.", 12_000),
    ("gpt-5", 85 + 8 * 170),
    ("o4-mini", 2_642),
    ("o3", 75 + 8 * 150),
    ("gemini", 16 * 258),
    ("gemma", 1_120),
];

/// [`IMAGES`]' highest.
pub(super) const MOST_IMAGE: u64 = 2_833 + 8 * 5_667;

/// Tokens of a page of a PDF: its text (up to 3,000) and its picture (up to 1,600).
const PAGE: u64 = 4_600;

/// Bytes of a PDF that its shortest page takes in a count.
const PAGE_MARK: &[u8] = b"/Type/Page";

/// Tokens of a second of sound, and the fewest bytes that a second takes.
const SOUND_SECOND: u64 = 32;
const SOUND_BYTES: u64 = 2_000;

/// Bytes. Longer ids of calls than vendors make count as text.
const ID: usize = 64;

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Tokens of the largest image on a model, whose name is in lower case.
pub(super) fn image_tokens(model: &str, newer_claude: bool) -> u64 {
    if model.contains("claude") {
        return if newer_claude { 4_784 } else { 1_600 };
    }
    IMAGES.iter().find(|(name, _)| model.contains(name)).map_or(ANY_IMAGE, |(_, tokens)| *tokens)
}

/// Images of a message.
pub(super) fn images(message: &Message) -> u64 {
    parts(message).filter(|part| matches!(part, Part::ImageUrl { .. } | Part::ImageData { .. })).count()
        as u64
}

/// Tokens of files and sounds that are no text.
pub(super) fn document_tokens(message: &Message, bound: Bound) -> u64 {
    parts(message)
        .map(|part| match part {
            Part::File { mime_type, data, .. } if !is_text(mime_type) => file_tokens(mime_type, data, bound),
            Part::Audio { data, .. } => (decoded_len(data).saturating_mul(SOUND_SECOND) / SOUND_BYTES)
                .max(super::tokens::ATTACHMENT_TOKENS),
            Part::Other { .. } => super::tokens::ATTACHMENT_TOKENS,
            _ => 0,
        })
        .sum()
}

/// How closely to look at a file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Bound {
    /// By its length alone.
    Cheap,
    Counted,
}

fn file_tokens(mime_type: &str, data: &str, bound: Bound) -> u64 {
    let length = decoded_len(data);
    if !mime_type.contains("pdf") {
        return length.max(super::tokens::ATTACHMENT_TOKENS);
    }
    let hidden = length.saturating_add(PAGE);
    if bound == Bound::Cheap {
        return hidden.saturating_mul(PAGE / PAGE_MARK.len() as u64);
    }
    match decode(data).map(|bytes| pages(&bytes)) {
        // Pages may be compressed away: as many tokens as bytes, then.
        None | Some(0) => hidden,
        Some(pages) => pages.saturating_mul(PAGE),
    }
}

/// Marks of pages, which have a blank after the key or none; `/Pages` is the tree above them.
fn pages(bytes: &[u8]) -> u64 {
    let key = b"/Type";
    let is_page = |at: &usize| {
        let rest = bytes.get(at + key.len()..).unwrap_or_default().trim_ascii_start();
        rest.strip_prefix(b"/Page").is_some_and(|after| !after.first().is_some_and(u8::is_ascii_alphanumeric))
    };
    let keys = bytes.windows(key.len()).enumerate().filter(|(_, window)| window == key).map(|(at, _)| at);
    keys.filter(is_page).count() as u64
}

fn parts(message: &Message) -> impl Iterator<Item = &Part> {
    match &message.content {
        Content::Parts(parts) => parts.as_slice(),
        Content::Text(_) | Content::Empty => &[],
    }
    .iter()
}

fn is_text(mime_type: &str) -> bool {
    let mime_type = mime_type.to_ascii_lowercase();
    let subtypes = ["json", "xml", "yaml", "javascript", "x-sh", "sql", "toml", "csv"];
    mime_type.starts_with("text/")
        || mime_type.strip_prefix("application/").is_some_and(|kind| {
            subtypes.iter().any(|subtype| {
                kind == *subtype || kind.ends_with(&format!("+{subtype}")) || kind == format!("x-{subtype}")
            })
        })
}

fn decoded_len(data: &str) -> u64 {
    data.len() as u64 / 4 * 3 + 3
}

fn decode(data: &str) -> Option<Vec<u8>> {
    let data: Cow<'_, str> =
        if data.contains(['-', '_']) { data.replace('-', "+").replace('_', "/").into() } else { data.into() };
    LENIENT.decode(&*data).ok()
}

/// Texts of a message that are sent beside its content and its calls: a name, a refusal, reasoning, calls in older forms, the
/// text of files.
pub(super) fn further_texts(message: &Message, bound: Bound) -> Vec<Cow<'_, str>> {
    let mut texts = Vec::new();
    for part in parts(message) {
        if let Part::File { mime_type, data, .. } = part
            && is_text(mime_type)
        {
            let bytes = if bound == Bound::Counted { decode(data) } else { None };
            let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
            texts.push(text.map_or(Cow::Borrowed(data.as_str()), Cow::Owned));
        }
    }
    let Some(source) = &message.source else {
        texts.extend(message.reasoning_details.iter().map(|block| Cow::Owned(block.to_string())));
        return texts;
    };
    for (key, value) in source {
        match (key.as_str(), value) {
            ("role" | "cacheControl" | "toolCalls", _) | (_, Value::Null | Value::Bool(_)) => {}
            ("content", Value::Array(content)) => {
                content.iter().for_each(|part| part_texts(part, &mut texts))
            }
            ("content", _) => {}
            ("tool_calls", Value::Array(calls)) => {
                let others = calls.iter().filter(|call| call.get("function").is_none());
                texts.extend(others.map(|call| Cow::Owned(call.to_string())));
            }
            ("tool_call_id" | "toolCallId", Value::String(id)) if id.len() <= ID => {}
            (_, Value::String(text)) => texts.push(Cow::Borrowed(text)),
            (_, other) => texts.push(Cow::Owned(other.to_string())),
        }
    }
    for call in &message.tool_calls {
        texts.extend(
            [Some(&call.id), call.signature.as_ref()]
                .into_iter()
                .flatten()
                .filter(|id| id.len() > ID)
                .map(|id| Cow::Borrowed(id.as_str())),
        );
    }
    texts
}

/// Texts of a part beside what it is read as.
fn part_texts<'a>(part: &'a Value, texts: &mut Vec<Cow<'a, str>>) {
    let Some(part) = part.as_object() else { return };
    let kind = part.get("type").and_then(Value::as_str).unwrap_or_default();
    for (key, value) in part {
        let is_read = matches!(
            key.as_str(),
            "type"
                | "data"
                | "url"
                | "mimeType"
                | "cacheControl"
                | "cache_control"
                | "image_url"
                | "input_audio"
                | "file"
                | "video_url"
        ) || (key == "text" && kind == "text");
        match value {
            Value::String(text) if !is_read => texts.push(Cow::Borrowed(text)),
            Value::Object(_) | Value::Array(_) if !is_read => texts.push(Cow::Owned(value.to_string())),
            _ => {}
        }
    }
}

/// At least as many tokens as [`further_texts`] have, without reading files.
pub(super) fn further_bytes(message: &Message) -> u64 {
    if message.source.is_none() && message.reasoning_details.is_empty() && parts(message).next().is_none() {
        return 0;
    }
    further_texts(message, Bound::Cheap).iter().map(|text| text.len() as u64).sum()
}
