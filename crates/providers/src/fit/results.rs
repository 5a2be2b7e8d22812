//! Results of tools, for receivers that take text alone in them.

use std::borrow::Cow;

use gateway_model::added_words::{FAILED_RESULT, RESULT_OF_CALL};
use gateway_model::{Content, Message, Part, Role};
use serde_json::{Map, Value, json};

/// How a receiver is told that a tool failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorForm {
    /// It has a field.
    Field,
    /// In the result's own words.
    Words,
}

/// Where images and documents of a tool's result go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResultMedia {
    /// They are part of the result.
    Inside,
    /// Into a turn of the user's behind the results.
    Behind,
}

const SEE_BELOW: &str = "The result is attached below.";

/// Says in words that a tool failed.
pub fn say_errors(messages: &[Message]) -> Cow<'_, [Message]> {
    let is_untold = |message: &Message| message.is_error && !tells_error(&message.content);
    if !messages.iter().any(is_untold) {
        return Cow::Borrowed(messages);
    }
    let mut fitted = messages.to_vec();
    for message in fitted.iter_mut().filter(|message| is_untold(message)) {
        match &mut message.content {
            Content::Text(text) => {
                text.insert_str(0, &format!("{FAILED_RESULT} "));
                let text = json!(text);
                rewrite(message, text);
            }
            Content::Parts(parts) => {
                parts.insert(0, Part::Text { text: FAILED_RESULT.to_owned(), cache_control: false });
                let written =
                    message.source.as_mut().and_then(|source| source.get_mut("content")?.as_array_mut());
                if let Some(written) = written {
                    written.insert(0, text_part(FAILED_RESULT));
                }
            }
            Content::Empty => {}
        }
    }
    Cow::Owned(fitted)
}

/// A text such as `Error: no such file` or `{"error": …}` says so by itself.
fn tells_error(content: &Content) -> bool {
    let head: String = content.text().chars().take(16).collect();
    head.to_ascii_lowercase().contains("error")
}

/// Moves what is no text out of the results, behind the last of its round.
pub fn move_media(messages: &[Message]) -> Cow<'_, [Message]> {
    let has_media = |message: &Message| {
        message.role == Role::Tool
            && matches!(&message.content, Content::Parts(parts) if parts.iter().any(|part| !is_text(part)))
    };
    if !messages.iter().any(has_media) {
        return Cow::Borrowed(messages);
    }
    let mut fitted = Vec::with_capacity(messages.len() + 1);
    let mut moved = Moved::default();
    for message in messages {
        if message.role != Role::Tool {
            fitted.extend(moved.take());
        }
        fitted.push(if has_media(message) { moved.part_from(message) } else { message.clone() });
    }
    fitted.extend(moved.take());
    Cow::Owned(fitted)
}

/// What was moved out of the results of a round.
#[derive(Default)]
struct Moved {
    parts: Vec<Part>,
    written: Vec<Value>,
}

impl Moved {
    /// The message with its texts alone.
    fn part_from(&mut self, message: &Message) -> Message {
        let mut rest = message.clone();
        let Content::Parts(parts) = &message.content else { return rest };
        let source = message.source.as_ref().and_then(|source| source.get("content")?.as_array());
        let written = |at: usize| source.and_then(|list| list.get(at)).cloned().unwrap_or(Value::Null);
        let note = format!("{RESULT_OF_CALL} {}:", message.tool_call_id.as_deref().unwrap_or_default());
        self.push(Part::Text { text: note.clone(), cache_control: false }, text_part(&note));
        let (mut texts, mut written_texts) = (Vec::new(), Vec::new());
        for (at, part) in parts.iter().enumerate() {
            if is_text(part) {
                texts.push(part.clone());
                written_texts.push(written(at));
            } else {
                self.push(part.clone(), written(at));
            }
        }
        if texts.is_empty() {
            rest.content = Content::Text(SEE_BELOW.to_owned());
            rewrite(&mut rest, json!(SEE_BELOW));
        } else {
            rest.content = Content::Parts(texts);
            rewrite(&mut rest, Value::Array(written_texts));
        }
        rest
    }

    fn push(&mut self, part: Part, written: Value) {
        self.parts.push(part);
        self.written.push(written);
    }

    /// The turn that holds what was moved so far.
    fn take(&mut self) -> Option<Message> {
        if self.parts.is_empty() {
            return None;
        }
        let content = Content::Parts(std::mem::take(&mut self.parts));
        let written = std::mem::take(&mut self.written);
        let source = Map::from_iter([
            ("role".to_owned(), json!("user")),
            ("content".to_owned(), Value::Array(written)),
        ]);
        Some(Message { content, source: Some(source), ..Message::plain(Role::User, "") })
    }
}

fn is_text(part: &Part) -> bool {
    matches!(part, Part::Text { .. })
}

pub fn text_part(text: &str) -> Value {
    json!({ "type": "text", "text": text })
}

/// Changes what a message's source says its content is.
pub fn rewrite(message: &mut Message, content: Value) {
    if let Some(source) = &mut message.source {
        source.insert("content".to_owned(), content);
    }
}
