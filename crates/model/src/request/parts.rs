//! Reads the parts of a message's content, in our form or in OpenAI's.

use serde_json::{Map, Value};

use super::read::{A_STRING, AN_OBJECT, FieldError, Read, set, text};
use crate::message::{Part, base64_data_url};

pub fn part(value: &Value) -> Read<Part> {
    let part = value.as_object().ok_or_else(|| FieldError::new("", AN_OBJECT))?;
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
        _ => return Err(FieldError::new(".type", "must be one of: text, image, file, audio")),
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
    url.filter(is_url).ok_or_else(|| {
        FieldError::new(".url", "must be a URL, unless the image is given in base64 as `data`")
    })
}

/// `data`, in base64; vendors say no more than "invalid" of what is not.
fn base64(part: &Map<String, Value>) -> Read<String> {
    let data = text(part, "data")?;
    let digits = data.trim_end_matches('=');
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_');
    if digits.is_empty() || data.len() - digits.len() > 2 || !digits.bytes().all(is_digit) {
        return Err(FieldError::new(".data", "must be base64, without line breaks or a data: prefix"));
    }
    Ok(data.to_owned())
}

/// Some services take the URL itself where OpenAI has an object.
fn image_url(part: &Map<String, Value>) -> Read<&str> {
    let url = match set(part, "image_url") {
        Some(Value::Object(image)) => image.get("url"),
        other => other,
    };
    url.and_then(Value::as_str).ok_or_else(|| FieldError::new(".image_url.url", A_STRING))
}

pub fn cache_control(holder: &Map<String, Value>) -> Read<bool> {
    match set(holder, "cacheControl") {
        None => Ok(false),
        Some(word) if word == "ephemeral" => Ok(true),
        Some(_) => Err(FieldError::new(".cacheControl", "must be \"ephemeral\"")),
    }
}
