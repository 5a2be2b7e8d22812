//! What a wire format has to say: its requests, its answers, its stream.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::embeddings::EmbeddingFormat;
use gateway_model::ProviderCall;
use gateway_model::error::GatewayError;
use gateway_model::{Answer, Feature, ResponseFormat, StreamEvent, TokenUsage};
use gateway_transport::sse::SseReader;
use gateway_transport::{Endpoint, Frames};

/// A wire format: JSON over HTTP, streamed as events.
pub trait Wire: Send + Sync + 'static {
    /// Each request is signed ([`Wire::sign`]).
    fn signs(&self) -> bool {
        false
    }

    /// The path of chat calls below the base URL.
    fn path(&self) -> Cow<'static, str>;

    /// The path of this very call, for formats that name the model or the streaming in it.
    fn path_of(&self, _call: &ProviderCall, _stream: bool) -> Option<String> {
        None
    }

    /// The format itself sees to the call's `responseFormat`; otherwise the model is asked in words, and its answer is
    /// checked.
    fn keeps_format(&self, _call: &ProviderCall, _stream: bool) -> bool {
        true
    }

    /// Whether the format has words for a feature; a request that needs others is refused before it is sent.
    fn supports(&self, feature: Feature) -> bool {
        feature != Feature::OpenAiParts
    }

    fn body(&self, call: &ProviderCall, stream: bool) -> Result<Vec<u8>, GatewayError>;

    /// Reads a whole answer; the error says what is wrong with it.
    fn answer(&self, body: &[u8]) -> Result<Answer, String>;

    fn decoder(&self) -> Box<dyn StreamDecoder>;

    /// How a streamed body is divided into events; `max_event_bytes` bounds each of them.
    fn frames(&self, max_event_bytes: usize) -> Frames {
        Frames::ServerSentEvents(SseReader::new(max_event_bytes))
    }

    /// Signs one attempt, in its headers.
    fn sign(&self, _endpoint: &mut Endpoint, _body: &[u8]) -> Result<(), GatewayError> {
        Ok(())
    }

    /// The status that an error means, where the body says more than the status it came with.
    fn error_status(&self, status: u16, _body: &str) -> u16 {
        status
    }

    /// The wait that an error's body asks for, where the headers ask for none.
    fn asked_wait(&self, _body: &str) -> Option<Duration> {
        None
    }

    /// How texts become vectors; `None`: the format has no such thing.
    fn embeddings(&self) -> Option<&dyn EmbeddingFormat> {
        None
    }

    /// The path of the list of models; `None`: the service has none.
    fn models_path(&self) -> Option<Cow<'static, str>> {
        None
    }

    /// Reads the ids of a list of models; the error says what is wrong with it.
    fn models(&self, body: &[u8]) -> Result<Vec<String>, String> {
        model_ids(body, "data", "id")
    }
}

/// The field `id` of each object in the list `list`.
pub(super) fn model_ids(body: &[u8], list: &str, id: &str) -> Result<Vec<String>, String> {
    let whole: serde_json::Value =
        serde_json::from_slice(body).map_err(|error| not_an_answer(body, &error))?;
    // A few services answer with the bare list.
    let models = whole.get(list).unwrap_or(&whole).as_array().ok_or("the list of models is missing")?;
    Ok(models.iter().filter_map(|model| model.get(id)?.as_str().map(str::to_owned)).collect())
}

/// Why a 200 could not be read, for people: HTML, nothing, or cut JSON.
pub(super) fn not_an_answer(body: &[u8], error: &serde_json::Error) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(120)]);
    let begins = text.trim_start();
    if begins.is_empty() {
        "the answer is empty".to_owned()
    } else if error.is_eof() {
        "the answer's JSON is cut short".to_owned()
    } else {
        format!("the answer is not the JSON expected ({error}): {begins}")
    }
}

/// Asks for the answer's form in words.
pub(super) fn format_instruction(format: &ResponseFormat) -> String {
    let only = "Answer with JSON alone: no other text, no code fence.";
    match format {
        ResponseFormat::Json => format!("{only} The answer is one JSON object."),
        ResponseFormat::Schema { schema, .. } => {
            format!(
                "{only} The answer follows this JSON Schema: {}",
                serde_json::Value::Object(schema.clone())
            )
        }
    }
}

/// A model's name as one segment of a path: everything that has a meaning there is escaped.
pub(super) fn path_segment(name: &str) -> String {
    const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    utf8_percent_encode(name, ESCAPED).to_string()
}

/// Turns the upstream's events into ours.
pub trait StreamDecoder: Send {
    /// Reads one event. An error is the upstream's own report of a failure.
    fn event(&mut self, name: Option<&str>, data: &str, into: &mut Vec<StreamEvent>) -> Result<(), String>;

    /// The upstream has said that nothing follows.
    fn is_done(&self) -> bool;

    /// The body may end here: the answer is complete.
    fn may_end(&self) -> bool;
}

/// A JSON string, borrowed where it holds no escapes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Text<'a>(pub Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct AnyText;
        impl<'de> Visitor<'de> for AnyText {
            type Value = Text<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        input.deserialize_str(AnyText)
    }
}

/// Text that is a string, or a list of parts with `text` in some of them. A number or a truth value is the text that
/// some service's JSON writer took for one; anything else reads as none.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct PlainText {
    text: String,
    /// Few have any.
    thinking: Option<Box<str>>,
}

impl PlainText {
    pub fn into_string(self) -> String {
        self.text
    }

    /// What its parts hold under `thinking` (Mistral's reasoning models).
    pub fn take_thinking(&mut self) -> String {
        self.thinking.take().map(String::from).unwrap_or_default()
    }

    fn of(text: impl Into<String>) -> Self {
        Self { text: text.into(), thinking: None }
    }
}

impl<'de> Deserialize<'de> for PlainText {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        struct Part {
            text: Option<String>,
            thinking: Option<PlainText>,
        }
        struct StringOrParts;
        impl<'de> Visitor<'de> for StringOrParts {
            type Value = PlainText;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a string or a list of parts")
            }
            fn visit_unit<E>(self) -> Result<PlainText, E> {
                Ok(PlainText::default())
            }
            fn visit_str<E>(self, text: &str) -> Result<PlainText, E> {
                Ok(PlainText::of(text))
            }
            fn visit_string<E>(self, text: String) -> Result<PlainText, E> {
                Ok(PlainText::of(text))
            }
            fn visit_bool<E>(self, value: bool) -> Result<PlainText, E> {
                Ok(PlainText::of(value.to_string()))
            }
            fn visit_i64<E>(self, number: i64) -> Result<PlainText, E> {
                Ok(PlainText::of(number.to_string()))
            }
            fn visit_u64<E>(self, number: u64) -> Result<PlainText, E> {
                Ok(PlainText::of(number.to_string()))
            }
            fn visit_f64<E>(self, number: f64) -> Result<PlainText, E> {
                // As JSON writes it: `1.0` stays so.
                Ok(PlainText::of(serde_json::Value::from(number).to_string()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<PlainText, A::Error> {
                let (mut text, mut thinking) = (String::new(), String::new());
                while let Some(part) = parts.next_element::<Part>()? {
                    text.push_str(part.text.as_deref().unwrap_or_default());
                    thinking.push_str(part.thinking.as_ref().map_or("", |thinking| &thinking.text));
                }
                Ok(PlainText { text, thinking: (!thinking.is_empty()).then(|| thinking.into()) })
            }
            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<PlainText, A::Error> {
                while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(PlainText::default())
            }
        }
        input.deserialize_any(StringOrParts)
    }
}

/// The first of a list; `null` and an empty list have none.
#[derive(Debug)]
pub(super) struct First<T>(pub Option<T>);

impl<T> Default for First<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for First<T> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct ListOrNull<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for ListOrNull<T> {
            type Value = First<T>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a list")
            }
            fn visit_unit<E>(self) -> Result<First<T>, E> {
                Ok(First(None))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<First<T>, A::Error> {
                let first = list.next_element()?;
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(First(first))
            }
        }
        input.deserialize_any(ListOrNull(PhantomData))
    }
}

/// Whether a field holds anything: `null`, `""`, `[]` and `{}` do not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Presence(pub bool);

impl<'de> Deserialize<'de> for Presence {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Anything;
        impl<'de> Visitor<'de> for Anything {
            type Value = bool;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("anything")
            }
            fn visit_unit<E>(self) -> Result<bool, E> {
                Ok(false)
            }
            fn visit_str<E>(self, text: &str) -> Result<bool, E> {
                Ok(!text.is_empty())
            }
            fn visit_bool<E>(self, value: bool) -> Result<bool, E> {
                Ok(value)
            }
            fn visit_i64<E>(self, _: i64) -> Result<bool, E> {
                Ok(true)
            }
            fn visit_u64<E>(self, _: u64) -> Result<bool, E> {
                Ok(true)
            }
            fn visit_f64<E>(self, _: f64) -> Result<bool, E> {
                Ok(true)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<bool, A::Error> {
                let mut any = false;
                while items.next_element::<IgnoredAny>()?.is_some() {
                    any = true;
                }
                Ok(any)
            }
            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<bool, A::Error> {
                let mut any = false;
                while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
                    any = true;
                }
                Ok(any)
            }
        }
        input.deserialize_any(Anything).map(Presence)
    }
}

/// A count as JSON has it: some services write `12.0`.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Deserialize)]
#[serde(transparent)]
pub(super) struct Count(f64);

impl Count {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub fn get(self) -> u64 {
        self.0.max(0.0) as u64
    }
}

/// A count that says something.
pub(super) fn nonzero(count: Option<Count>) -> Option<u64> {
    count.map(Count::get).filter(|count| *count > 0)
}

/// Input and output, once one of them is known.
pub(super) fn usage_of(input: Option<Count>, output: Option<Count>) -> Option<TokenUsage> {
    (input.is_some() || output.is_some())
        .then(|| TokenUsage::new(input.unwrap_or_default().get(), output.unwrap_or_default().get()))
}

/// What an upstream's error object says: `{"message": …}`, a string, or the JSON itself.
pub(super) fn error_text(error: &serde_json::Value) -> String {
    match error {
        serde_json::Value::String(text) => text.clone(),
        other => match other.get("message").and_then(serde_json::Value::as_str) {
            Some(message) => message.to_owned(),
            None => other.to_string(),
        },
    }
}

/// The failure that a body of status 200 reports, in whichever of the shapes services have for it; `None`: it reports
/// none. Asked only where an answer has nothing else to say.
pub(super) fn reported(body: &serde_json::Value) -> Option<String> {
    let filled = |name: &str| body.get(name).filter(|value| !value.is_null());
    if let Some(error) = filled("error") {
        return Some(error_text(error));
    }
    // Cloudflare's list.
    if let Some(errors) = filled("errors").and_then(serde_json::Value::as_array).filter(|all| !all.is_empty())
    {
        return Some(errors.iter().map(error_text).collect::<Vec<_>>().join("; "));
    }
    // MiniMax says 0 where all went well.
    let status = body.pointer("/base_resp/status_code").and_then(serde_json::Value::as_i64);
    if status.is_some_and(|status| status != 0) {
        return body.pointer("/base_resp/status_msg").map(error_text);
    }
    // vLLM: `{"object":"error","message":…,"code":400}`. DashScope: `{"code":"…","message":…,"request_id":…}`.
    let is_error = filled("object").is_some_and(|object| object == "error") || filled("code").is_some();
    if let Some(message) = filled("message").filter(|message| is_error && message.is_string()) {
        return Some(error_text(message));
    }
    // FastAPI's servers.
    filled("detail").map(error_text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn text_comes_in_many_forms() {
        let read = |json: serde_json::Value| {
            let mut text: PlainText = serde_json::from_value(json).unwrap();
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

    #[test]
    fn failures_are_reported_in_many_shapes() {
        for body in [
            json!({"error": {"message": "no"}}),
            json!({"error": "no"}),
            json!({"success": false, "errors": [{"code": 5007, "message": "no"}]}),
            json!({"base_resp": {"status_code": 1004, "status_msg": "no"}, "choices": null}),
            json!({"object": "error", "message": "no", "type": "BadRequestError", "param": null, "code": 400}),
            json!({"code": "InvalidApiKey", "message": "no", "request_id": "1"}),
            json!({"detail": "no"}),
        ] {
            assert_eq!(reported(&body).as_deref(), Some("no"), "{body}");
        }
        for body in [
            json!({"object": "chat.completion", "message": "fine"}),
            json!({"base_resp": {"status_code": 0, "status_msg": ""}}),
            json!({"error": null, "errors": [], "code": null, "message": "fine"}),
            json!([]),
        ] {
            assert_eq!(reported(&body), None, "{body}");
        }
    }
}
