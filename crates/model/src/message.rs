//! One message of a conversation. It can be read from OpenAI's wire format and from ours.

use serde_json::{Map, Value};

use super::tools::ToolCall;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    System,
    /// OpenAI's newer role for instructions of the application.
    Developer,
    User,
    Assistant,
    Tool,
}

impl Role {
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "system" => Self::System,
            "developer" => Self::Developer,
            "user" => Self::User,
            "assistant" => Self::Assistant,
            "tool" => Self::Tool,
            _ => return None,
        })
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Developer => "developer",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        }
    }

    pub fn is_instruction(self) -> bool {
        matches!(self, Self::System | Self::Developer)
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    pub role: Role,
    pub content: Content,
    /// Calls the assistant made in this turn.
    pub tool_calls: Vec<ToolCall>,
    /// On a tool message: the call it answers.
    pub tool_call_id: Option<String>,
    /// On a tool message: the tool failed, and the content says how.
    pub is_error: bool,
    /// An assistant turn's reasoning in its vendor's own blocks, signatures included: it goes back to that vendor unchanged.
    pub reasoning_details: Vec<Value>,
    /// Anthropic prompt caching, on the message as a whole.
    pub cache_control: bool,
    /// The message as the caller wrote it, unless it is plain text with a role.
    pub source: Option<Map<String, Value>>,
}

impl Message {
    /// A message of a role and a text only.
    pub fn plain(role: Role, text: impl Into<String>) -> Self {
        Self {
            role,
            content: Content::Text(text.into()),
            tool_calls: Vec::new(),
            tool_call_id: None,
            is_error: false,
            reasoning_details: Vec::new(),
            cache_control: false,
            source: None,
        }
    }

    /// The text, if the message has only a role and a text.
    pub fn plain_text(&self) -> Option<&str> {
        match &self.content {
            Content::Text(text)
                if self.source.is_none() && self.tool_calls.is_empty() && self.tool_call_id.is_none() =>
            {
                Some(text)
            }
            _ => None,
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    Text(String),
    Parts(Vec<Part>),
    /// `null`: an assistant turn that only calls tools.
    Empty,
}

impl Content {
    /// All text, parts joined without a separator.
    pub fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Parts(parts) => parts
                .iter()
                .filter_map(|part| match part {
                    Part::Text { text, .. } => Some(text.as_str()),
                    _ => None,
                })
                .collect(),
            Self::Empty => String::new(),
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    Text {
        text: String,
        cache_control: bool,
    },
    ImageUrl {
        url: String,
        cache_control: bool,
    },
    /// Base64.
    ImageData {
        data: String,
        mime_type: String,
        cache_control: bool,
    },
    /// A document; base64.
    File {
        data: String,
        mime_type: String,
        name: Option<String>,
        cache_control: bool,
    },
    /// Base64.
    Audio {
        data: String,
        mime_type: String,
    },
    /// A part of OpenAI's wire format that this library does not interpret; OpenAI-like services get it unchanged.
    Other {
        kind: String,
    },
}

impl Part {
    /// An image by its URL; a `data:` URL in base64 becomes [`Part::ImageData`].
    pub fn image(url: &str, cache_control: bool) -> Self {
        match base64_data_url(url) {
            Some((mime_type, data)) => Self::ImageData {
                data: data.to_owned(),
                mime_type: mime_type.to_ascii_lowercase(),
                cache_control,
            },
            None => Self::ImageUrl { url: url.to_owned(), cache_control },
        }
    }
}

/// The MIME type, without its parameters, and the data of `data:MIME;base64,DATA`.
pub(super) fn base64_data_url(url: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = url.split_once(':')?;
    let (head, data) = rest.split_once(',')?;
    let (mime_type, encoding) = head.rsplit_once(';')?;
    let mime_type = mime_type.split(';').next().unwrap_or(mime_type);
    let is_base64 = scheme.eq_ignore_ascii_case("data") && encoding.trim().eq_ignore_ascii_case("base64");
    (is_base64 && !mime_type.is_empty()).then_some((mime_type, data))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_url_in_base64_is_an_image_of_its_own() {
        let data = |mime_type: &str| Part::ImageData {
            data: "AA==".to_owned(),
            mime_type: mime_type.to_owned(),
            cache_control: true,
        };
        assert_eq!(Part::image("data:image/png;base64,AA==", true), data("image/png"));
        assert_eq!(Part::image("DATA:image/JPEG;name=a;Base64,AA==", true), data("image/jpeg"));
        for url in [
            "https://x/y;base64,AA==",
            "data:image/svg+xml,<svg/>",
            "data:;base64,AA==",
            "data:image/png",
            "",
        ] {
            assert_eq!(Part::image(url, false), Part::ImageUrl { url: url.to_owned(), cache_control: false });
        }
    }

    #[test]
    fn role_names_are_read_as_they_are_written() {
        for role in [Role::System, Role::Developer, Role::User, Role::Assistant, Role::Tool] {
            assert_eq!(Role::parse(role.as_str()), Some(role));
        }
    }
}
