//! Messages as turns of content blocks.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::documents::is_text;
use crate::places::{Piece, pieces};
use gateway_model::error::GatewayError;
use gateway_model::{Content, Message, Part, Role};

/// Characters of a document's name.
const MAX_NAME: usize = 200;
/// Stands for a result that is empty, which is refused.
const NO_RESULT: &str = "(empty)";

pub struct Writer<'a> {
    /// For errors.
    pub provider: &'a str,
    /// Marks for the prompt cache are set.
    pub caches: bool,
    pub documents: Documents,
    /// Of the model; `None`: unknown.
    pub vendor: Option<&'a str>,
}

impl Writer<'_> {
    /// User and assistant turns, which must take turns: messages of one side in a row share one. Results of tools are
    /// part of the user's.
    pub fn turns(&mut self, messages: &[Message]) -> Result<Vec<Value>, GatewayError> {
        let mut turns: Vec<(&str, Vec<Value>)> = Vec::new();
        for (index, message) in messages.iter().enumerate() {
            let mut blocks = Vec::new();
            let role = match message.role {
                Role::System | Role::Developer => continue,
                Role::Assistant => "assistant",
                Role::User | Role::Tool => "user",
            };
            match message.role {
                Role::Tool => self.result(index, message, &mut blocks)?,
                _ => self.content(index, message, &mut blocks)?,
            }
            match turns.last_mut() {
                Some((last, content)) if *last == role => content.append(&mut blocks),
                // A message of blanks: there is no block for it.
                _ if blocks.is_empty() => {}
                _ => turns.push((role, blocks)),
            }
        }
        for (_, content) in &mut turns {
            add_text_to_document(content);
        }
        Ok(turns.into_iter().map(|(role, content)| json!({ "role": role, "content": content })).collect())
    }

    /// What a message says and calls.
    pub fn content(
        &mut self,
        index: usize,
        message: &Message,
        into: &mut Vec<Value>,
    ) -> Result<(), GatewayError> {
        // Reasoning goes back unchanged, as its signature covers each byte, and in its place.
        let mut place = 0;
        for piece in pieces(message, |block| is_thought(block, self.vendor)) {
            match piece {
                Piece::Text(text) => into.extend(text_block(text)),
                Piece::Part(part) => {
                    into.extend(self.block(index, place, part)?);
                    place += 1;
                    if is_marked(part) {
                        self.cache(into);
                    }
                }
                Piece::Block(thought) => into.push(thought),
                Piece::Call(call) => {
                    let input = call.parsed_arguments().unwrap_or_default();
                    into.push(json!({
                        "toolUse": { "toolUseId": call.id, "name": call.name, "input": input },
                    }));
                }
            }
        }
        if message.cache_control {
            self.cache(into);
        }
        Ok(())
    }

    fn result(&mut self, index: usize, message: &Message, into: &mut Vec<Value>) -> Result<(), GatewayError> {
        let mut marked = message.cache_control;
        let mut content = match &message.content {
            Content::Parts(parts) => {
                marked |= parts.iter().any(is_marked);
                let mut blocks = Vec::new();
                for (place, part) in parts.iter().enumerate() {
                    blocks.extend(self.block(index, place, part)?);
                }
                blocks
            }
            content => text_block(&content.text()).into_iter().collect(),
        };
        if content.is_empty() {
            content.push(json!({ "text": NO_RESULT }));
        }
        let id = message.tool_call_id.as_deref().unwrap_or_default();
        let mut result = json!({ "toolUseId": id, "content": content });
        if message.is_error {
            result["status"] = json!("error");
        }
        into.push(json!({ "toolResult": result }));
        // A mark has no place inside a result.
        if marked {
            self.cache(into);
        }
        Ok(())
    }

    /// Marks the prompt up to here for the cache.
    fn cache(&self, into: &mut Vec<Value>) {
        if self.caches && into.last().is_some_and(|last| last.get("cachePoint").is_none()) {
            into.push(json!({ "cachePoint": { "type": "default" } }));
        }
    }

    /// `None`: nothing to say.
    fn block(&mut self, index: usize, place: usize, part: &Part) -> Result<Option<Value>, GatewayError> {
        let refused = |what: &str| {
            let problem = format!("provider \"{}\" does not take {what}", self.provider);
            GatewayError {
                provider: Some(self.provider.to_owned()),
                ..GatewayError::invalid_request(&format!("messages[{index}].content[{place}]"), problem)
            }
        };
        Ok(match part {
            Part::Text { text, .. } => text_block(text),
            Part::ImageUrl { url, .. } => {
                let name = url
                    .strip_prefix("s3://")
                    .ok_or_else(|| refused("image parts by URL, other than s3:// ones"))?;
                let extension = name.rsplit('.').next().unwrap_or_default();
                let format = image_format(&extension.to_ascii_lowercase()).ok_or_else(|| {
                    refused("image parts on S3 whose names do not end in .png, .jpeg, .gif or .webp")
                })?;
                Some(json!({ "image": { "format": format, "source": { "s3Location": { "uri": url } } } }))
            }
            Part::ImageData { data, mime_type, .. } => {
                let kind = mime_type.strip_prefix("image/").unwrap_or_default();
                let format =
                    image_format(kind).ok_or_else(|| refused(&format!("image parts of type {mime_type}")))?;
                Some(json!({ "image": { "format": format, "source": { "bytes": data } } }))
            }
            Part::File { data, mime_type, name, .. } => {
                let format = document_format(mime_type)
                    .ok_or_else(|| refused(&format!("file parts of type {mime_type}")))?;
                let name = self.documents.name(name.as_deref().unwrap_or_default());
                let source = json!({ "bytes": data });
                Some(json!({ "document": { "format": format, "name": name, "source": source } }))
            }
            Part::Audio { .. } | Part::Other { .. } => None,
        })
    }
}

/// Whether the model takes a block as reasoning of its own. Claude refuses what it has not signed.
pub fn is_thought(block: &Value, vendor: Option<&str>) -> bool {
    let reasoning = &block["reasoningContent"];
    let is_signed = || {
        reasoning["redactedContent"].is_string()
            || reasoning["reasoningText"]["signature"].as_str().is_some_and(|text| !text.is_empty())
    };
    reasoning.is_object() && (vendor != Some("anthropic") || is_signed())
}

/// A document alone is refused: a text must stand beside it.
fn add_text_to_document(content: &mut Vec<Value>) {
    let has = |kind: &str| content.iter().any(|block| block.get(kind).is_some());
    if has("document") && !has("text") {
        content.insert(0, json!({ "text": "See the attached document." }));
    }
}

/// Blank text is refused by Bedrock.
fn text_block(text: &str) -> Option<Value> {
    (!text.trim().is_empty()).then(|| json!({ "text": text }))
}

fn is_marked(part: &Part) -> bool {
    match part {
        Part::Text { cache_control, .. }
        | Part::ImageUrl { cache_control, .. }
        | Part::ImageData { cache_control, .. }
        | Part::File { cache_control, .. } => *cache_control,
        Part::Audio { .. } | Part::Other { .. } => false,
    }
}

fn image_format(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "png" => "png",
        "jpeg" | "jpg" => "jpeg",
        "gif" => "gif",
        "webp" => "webp",
        _ => return None,
    })
}

fn document_format(mime_type: &str) -> Option<&'static str> {
    // Parameters, a charset say, do not matter.
    Some(match mime_type.split(';').next().unwrap_or_default().trim() {
        "application/pdf" => "pdf",
        "text/csv" => "csv",
        "application/msword" => "doc",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document" => "docx",
        "application/vnd.ms-excel" => "xls",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet" => "xlsx",
        "text/html" => "html",
        "text/plain" => "txt",
        "text/markdown" | "text/x-markdown" => "md",
        other if is_text(other) => "txt",
        _ => return None,
    })
}

/// The names of a request's documents: of letters, digits, single spaces, `-`, `()` and `[]`, and no two alike.
#[derive(Default)]
pub struct Documents(HashSet<String>);

impl Documents {
    fn name(&mut self, given: &str) -> String {
        let mut name = String::new();
        for c in given.chars().take(MAX_NAME) {
            let c = match c {
                c if c.is_ascii_alphanumeric() || "()[]".contains(c) => c,
                c if c.is_whitespace() => ' ',
                _ => '-',
            };
            if !(name.ends_with(c) && (c == ' ' || c == '-')) {
                name.push(c);
            }
        }
        let name = name.trim_matches([' ', '-']);
        let name = if name.is_empty() { "document" } else { name };
        let mut unique = name.to_owned();
        let mut number = 1;
        while self.0.contains(&unique) {
            number += 1;
            let tail = format!(" ({number})");
            let head = &name[..name.len().min(MAX_NAME - tail.len())];
            unique = format!("{}{tail}", head.trim_end());
        }
        self.0.insert(unique.clone());
        unique
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_have_plain_names_and_no_two_alike() {
        let mut documents = Documents::default();
        for (given, expected) in [
            ("report.pdf", "report-pdf"),
            ("report.pdf", "report-pdf (2)"),
            ("report.pdf", "report-pdf (3)"),
            ("Q3  results\t[final] (1).xlsx", "Q3 results [final] (1)-xlsx"),
            ("a__b..c", "a-b-c"),
            ("отчёт.pdf", "pdf"),
            ("отчёт", "document"),
            ("", "document (2)"),
            (" - ", "document (3)"),
        ] {
            assert_eq!(documents.name(given), expected, "{given}");
        }
        let long = "x".repeat(300);
        assert_eq!(documents.name(&long), "x".repeat(200));
        assert_eq!(documents.name(&long), format!("{} (2)", "x".repeat(196)));
    }
}
