//! BorrowedText, as a JSON string or as a list of parts.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A JSON string, borrowed where it holds no escapes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BorrowedText<'a>(pub Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for BorrowedText<'a> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct AnyText;
        impl<'de> Visitor<'de> for AnyText {
            type Value = BorrowedText<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(BorrowedText(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(BorrowedText(Cow::Owned(text.to_owned())))
            }
        }
        input.deserialize_str(AnyText)
    }
}

/// Text that is a string, or a list of parts with `text` in some of them. A number or a truth value is the text that
/// some service's JSON writer took for one; anything else reads as none.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct TextOrParts {
    text: String,
    /// Few have any.
    thinking: Option<Box<str>>,
}

impl TextOrParts {
    pub fn into_string(self) -> String {
        self.text
    }

    /// What its parts hold under `thinking` (Mistral's reasoning models).
    pub fn take_thinking(&mut self) -> String {
        self.thinking.take().map(String::from).unwrap_or_default()
    }

    /// This text, and the other behind it.
    pub fn and(mut self, other: Self) -> Self {
        self.text.push_str(&other.text);
        self.thinking = self.thinking.or(other.thinking);
        self
    }

    fn of(text: impl Into<String>) -> Self {
        Self { text: text.into(), thinking: None }
    }
}

impl<'de> Deserialize<'de> for TextOrParts {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        struct Part {
            text: Option<String>,
            thinking: Option<TextOrParts>,
        }
        struct StringOrParts;
        impl<'de> Visitor<'de> for StringOrParts {
            type Value = TextOrParts;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a string or a list of parts")
            }
            fn visit_unit<E>(self) -> Result<TextOrParts, E> {
                Ok(TextOrParts::default())
            }
            fn visit_str<E>(self, text: &str) -> Result<TextOrParts, E> {
                Ok(TextOrParts::of(text))
            }
            fn visit_string<E>(self, text: String) -> Result<TextOrParts, E> {
                Ok(TextOrParts::of(text))
            }
            fn visit_bool<E>(self, value: bool) -> Result<TextOrParts, E> {
                Ok(TextOrParts::of(value.to_string()))
            }
            fn visit_i64<E>(self, number: i64) -> Result<TextOrParts, E> {
                Ok(TextOrParts::of(number.to_string()))
            }
            fn visit_u64<E>(self, number: u64) -> Result<TextOrParts, E> {
                Ok(TextOrParts::of(number.to_string()))
            }
            fn visit_f64<E>(self, number: f64) -> Result<TextOrParts, E> {
                // As JSON writes it: `1.0` stays so.
                Ok(TextOrParts::of(serde_json::Value::from(number).to_string()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<TextOrParts, A::Error> {
                let (mut text, mut thinking) = (String::new(), String::new());
                while let Some(part) = parts.next_element::<Part>()? {
                    text.push_str(part.text.as_deref().unwrap_or_default());
                    thinking.push_str(part.thinking.as_ref().map_or("", |thinking| &thinking.text));
                }
                Ok(TextOrParts { text, thinking: (!thinking.is_empty()).then(|| thinking.into()) })
            }
            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<TextOrParts, A::Error> {
                while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(TextOrParts::default())
            }
        }
        input.deserialize_any(StringOrParts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn text_comes_in_many_forms() {
        let read = |json: serde_json::Value| {
            let mut text: TextOrParts = serde_json::from_value(json).unwrap();
            (text.take_thinking(), text.into_string())
        };
        let plain = |text: &str| (String::new(), text.to_owned());
        assert_eq!(read(json!("a")), plain("a"));
        assert_eq!(read(json!([{"text": "a"}, {"type": "x"}, {"text": "b"}])), plain("ab"));
        assert_eq!(read(json!(42)), plain("42"));
        assert_eq!(read(json!(-1)), plain("-1"));
        assert_eq!(read(json!(1.0)), plain("1.0"));
        assert_eq!(read(json!(true)), plain("true"));
        assert_eq!(read(json!(null)), plain(""));
        assert_eq!(read(json!({"a": [1]})), plain(""));
        let thought =
            json!([{"type": "thinking", "thinking": [{"type": "text", "text": "t"}]}, {"text": "a"}]);
        assert_eq!(read(thought), ("t".to_owned(), "a".to_owned()));
    }
}
