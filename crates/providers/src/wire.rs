//! What a wire format has to say: its requests, its answers, its stream.

use crate::read_error::ReadError;
use std::borrow::Cow;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::embeddings::EmbeddingFormat;
use super::fit::Receiver;
use super::lenient::describe_unreadable;
use super::settings::CallSettings;
use gateway_model::ProviderCall;
use gateway_model::added_words::{FOLLOWS_SCHEMA, JSON_ALONE};
use gateway_model::error::GatewayError;
use gateway_model::{Answer, Feature, ResponseFormat, StreamEvent};
use gateway_transport::sse::SseReader;
use gateway_transport::{Endpoint, Frames};

/// How an answer comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// In one piece.
    Full,
    /// As a stream of events.
    Stream,
}

impl Mode {
    pub fn is_stream(self) -> bool {
        self == Self::Stream
    }
}

/// The path of chat calls.
pub enum ChatPath {
    /// The same for every call.
    Fixed(Cow<'static, str>),
    /// It names the model, or says whether the answer is streamed.
    PerCall(fn(model: &str, mode: Mode) -> String),
}

/// Signs one attempt, in its headers.
pub trait Sign: Send + Sync {
    /// Adds the signature over `endpoint` and `body` to the endpoint's headers. `key` is the one that the program gave, where
    /// it is asked for keys.
    fn sign(&self, endpoint: &mut Endpoint, body: &[u8], key: Option<&str>) -> Result<(), GatewayError>;
}

/// A wire format: JSON over HTTP, streamed as events.
pub trait Wire: Send + Sync + 'static {
    /// Where chat calls go, below the base URL.
    fn chat_path(&self) -> ChatPath;

    /// Whether the service itself sees to the call's `responseFormat`. Otherwise the model is asked in words
    /// ([`format_instruction`]), and its answer is checked and freed of code fences.
    fn supports_json_mode(&self, _call: &ProviderCall, _mode: Mode) -> bool {
        true
    }

    /// Whether the format has words for a feature; a request that needs others is refused before it is sent.
    fn supports(&self, feature: Feature) -> bool {
        feature != Feature::OpenAiParts
    }

    /// What the service takes; calls are fitted to it before [`body`](Self::body) sees them.
    fn receiver(&self, _call: &ProviderCall) -> Receiver {
        Receiver::LENIENT
    }

    /// Writes the body of the chat call that the settings are of. Settings that it does not read become warnings.
    fn body(&self, settings: &mut CallSettings<'_>, mode: Mode) -> Result<Vec<u8>, GatewayError>;

    /// Reads a whole answer; the error says what is wrong with it.
    fn answer(&self, body: &[u8]) -> Result<Answer, ReadError>;

    /// A fresh decoder for one stream.
    fn decoder(&self) -> Box<dyn StreamDecoder>;

    /// How a streamed body is divided into events; `max_event_bytes` bounds each of them.
    fn frames(&self, max_event_bytes: usize) -> Frames {
        Frames::ServerSentEvents(SseReader::new(max_event_bytes))
    }

    /// What signs each attempt; `None`: requests go out unsigned.
    fn signer(&self) -> Option<&dyn Sign> {
        None
    }

    /// The status that an error means, where the body says more than the status it came with.
    fn error_status(&self, status: u16, _body: &str) -> u16 {
        status
    }

    /// The wait that an error's body asks for, where the headers ask for none.
    fn requested_wait(&self, _body: &str) -> Option<Duration> {
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
    fn models(&self, body: &[u8]) -> Result<Vec<String>, ReadError> {
        model_ids(body, "data", "id")
    }
}

/// The field `id` of each object in the list `list`.
pub(super) fn model_ids(body: &[u8], list: &str, id: &str) -> Result<Vec<String>, ReadError> {
    let whole: serde_json::Value =
        serde_json::from_slice(body).map_err(|error| describe_unreadable(body, &error))?;
    // A few services answer with the bare list.
    let models = whole.get(list).unwrap_or(&whole).as_array().ok_or("the list of models is missing")?;
    Ok(models.iter().filter_map(|model| model.get(id)?.as_str().map(str::to_owned)).collect())
}

/// Asks for the answer's form in words.
pub(super) fn format_instruction(format: &ResponseFormat) -> String {
    match format {
        ResponseFormat::Json => format!("{JSON_ALONE} The answer is one JSON object."),
        ResponseFormat::Schema { schema, .. } => {
            format!("{JSON_ALONE} {FOLLOWS_SCHEMA} {}", serde_json::Value::Object(schema.clone()))
        }
    }
}

/// Checks the name of a model that may become a part of a path: its dots must not climb out of the address it belongs to.
///
/// # Errors
/// `invalid_request`.
pub(super) fn check_path_name(model: &str) -> Result<(), GatewayError> {
    let climbs = |segment: &str| matches!(segment, "." | "..");
    if model.split(['/', '\\']).any(climbs) {
        let problem = format!("must not have a segment of dots alone, as {model:?} has");
        return Err(GatewayError::invalid_request("model", problem));
    }
    Ok(())
}

/// An account, a deployment: what an entry says of itself, as one segment of a path; `None`: it would climb out of it.
pub(super) fn entry_segment(name: &str) -> Option<String> {
    (!matches!(name, "" | "." | "..")).then(|| path_segment(name))
}

/// A model's name as one segment of a path: everything that has a meaning there is escaped.
pub(super) fn path_segment(name: &str) -> String {
    const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    utf8_percent_encode(name, ESCAPED).to_string()
}

/// Turns the upstream's events into ours.
pub trait StreamDecoder: Send {
    /// Reads one event. An error is the upstream's own report of a failure.
    fn event(&mut self, name: Option<&str>, data: &str, into: &mut Vec<StreamEvent>)
    -> Result<(), ReadError>;

    /// The upstream has said that nothing follows.
    fn is_done(&self) -> bool;

    /// The body may end here: the answer is complete.
    fn may_end(&self) -> bool;

    /// Reads a body that is no stream, but a whole answer: so some services answer whatever was asked for.
    fn whole(&self, _body: &[u8]) -> Result<Answer, ReadError> {
        Err("the answer is not an event stream".into())
    }
}
