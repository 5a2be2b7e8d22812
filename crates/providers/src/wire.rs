//! What a wire format has to say: its requests, its answers, its stream.

use std::borrow::Cow;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::embeddings::EmbeddingFormat;
use super::lenient::describe_unreadable;
use gateway_model::ProviderCall;
use gateway_model::error::GatewayError;
use gateway_model::{Answer, Feature, ResponseFormat, StreamEvent};
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
        serde_json::from_slice(body).map_err(|error| describe_unreadable(body, &error))?;
    // A few services answer with the bare list.
    let models = whole.get(list).unwrap_or(&whole).as_array().ok_or("the list of models is missing")?;
    Ok(models.iter().filter_map(|model| model.get(id)?.as_str().map(str::to_owned)).collect())
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
