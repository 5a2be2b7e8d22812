//! Providers written in JavaScript. A call goes out as a message; the face calls the provider and replies by id.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use futures::future::BoxFuture;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::calls::{Calls, message};
use gateway_model::error::{ErrorKind, Failure, ForeignError, GatewayError};
use gateway_model::provider::{deadline_after, within};
use gateway_model::{
    Answer, FinishReason, StreamEvent, TextChunk, TokenUsage, ToolCall, ToolCallDelta, json,
};
use gateway_model::{EmbedCall, EventSource, OpenedStream, Provider, ProviderCall, Vectors};

/// Chunks a JavaScript stream may be ahead of its reader.
const AHEAD: usize = 256;

/// A provider object of JavaScript.
pub struct CustomProvider {
    pub calls: Weak<Calls>,
    /// The face's number for the object.
    pub id: u32,
    pub name: String,
    pub family: String,
    /// The entry's own `timeoutMs`; without one a custom provider is not timed.
    pub timeout: Option<Duration>,
}

/// What the face replies to a call.
enum Reply {
    /// A whole answer, or the usage at a stream's end.
    Done(String),
    Chunks(String),
    Failed(String),
}

/// Custom calls that wait for a reply.
#[derive(Default)]
pub struct Replies {
    next: AtomicU32,
    waiting: Mutex<HashMap<u32, mpsc::UnboundedSender<Reply>>>,
}

impl Replies {
    fn waiting(&self) -> std::sync::MutexGuard<'_, HashMap<u32, mpsc::UnboundedSender<Reply>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> (u32, mpsc::UnboundedReceiver<Reply>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.waiting().insert(id, sender);
        (id, receiver)
    }

    pub fn abandon(&self) {
        self.waiting().clear();
    }

    pub fn done(&self, id: u32, json: String) {
        self.reply(id, Reply::Done(json));
    }

    pub fn failed(&self, id: u32, json: String) {
        self.reply(id, Reply::Failed(json));
    }

    /// Takes chunks of a stream; false once its reader has gone.
    pub fn chunks(&self, id: u32, json: String) -> bool {
        self.reply(id, Reply::Chunks(json))
    }

    fn reply(&self, id: u32, reply: Reply) -> bool {
        self.waiting().get(&id).is_some_and(|sender| sender.send(reply).is_ok())
    }
}

/// What a provider object is asked; the rest of the request stays with the face.
struct Asked<'a> {
    caller: u32,
    model: &'a str,
    max_tokens: Option<u64>,
    /// The method's name.
    method: &'static str,
}

impl<'a> Asked<'a> {
    fn of(call: &'a ProviderCall, method: &'static str) -> Self {
        Self { caller: call.request.js_call_id, model: &call.model, max_tokens: call.max_tokens, method }
    }
}

/// One call of a provider object; dropping it tells the face that nobody waits any more.
struct Exchange {
    calls: Arc<Calls>,
    id: u32,
    replies: mpsc::UnboundedReceiver<Reply>,
    ended: bool,
}

impl Exchange {
    fn begin(provider: &CustomProvider, asked: &Asked<'_>) -> Result<Self, Failure> {
        let stopped = || Failure::from(GatewayError::aborted("the JavaScript thread is stopping"));
        let calls = provider.calls.upgrade().ok_or_else(stopped)?;
        let (id, replies) = calls.replies.open();
        let Asked { caller, model, max_tokens, method } = asked;
        calls.outbox.send(&(message::CUSTOM_CALL, caller, id, provider.id, model, max_tokens, method));
        Ok(Self { calls, id, replies, ended: false })
    }

    async fn reply(&mut self) -> Result<Reply, Failure> {
        match self.replies.recv().await {
            Some(Reply::Failed(json)) => {
                self.ended = true;
                Err(thrown(&json))
            }
            Some(reply) => {
                self.ended |= matches!(reply, Reply::Done(_));
                Ok(reply)
            }
            None => Err(GatewayError::aborted("the JavaScript thread is stopping").into()),
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.calls.replies.waiting().remove(&self.id);
        if !self.ended {
            self.calls.outbox.send(&(message::CUSTOM_CANCEL, self.id));
        }
    }
}

/// What the face tells of an error that was thrown; the error itself stays there.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Thrown {
    id: u32,
    #[serde(default)]
    message: String,
    kind: Option<String>,
    code: Option<String>,
    upstream_status: Option<u16>,
    retry_after_ms: Option<u64>,
}

fn thrown(text: &str) -> Failure {
    match json::parse::<Thrown>(text.as_bytes()) {
        Ok(Thrown { id, message, kind, code, upstream_status, retry_after_ms }) => {
            // Kinds that are not the gateway's own count as a provider's failure.
            let kind = kind.map(|kind| {
                serde_json::from_value::<ErrorKind>(kind.into()).unwrap_or(ErrorKind::ProviderResponse)
            });
            let retry_after = retry_after_ms.map(Duration::from_millis);
            Failure::Foreign(ForeignError { id, message, kind, code, upstream_status, retry_after })
        }
        Err(_) => GatewayError::internal("a custom provider's error could not be read").into(),
    }
}

/// What custom providers answer: `ProviderResult` of the declarations.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object with `content`, `model` and token counts")]
struct Whole {
    content: Option<String>,
    model: Option<String>,
    input_tokens: Option<f64>,
    output_tokens: Option<f64>,
    total_tokens: Option<f64>,
    finish_reason: Option<String>,
    tool_calls: Option<Vec<CustomCall>>,
    reasoning: Option<String>,
    reasoning_details: Option<Vec<Value>>,
    cache_read_tokens: Option<f64>,
    cache_write_tokens: Option<f64>,
    reasoning_tokens: Option<f64>,
}

/// `ToolCall` of the declarations.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object with `id`, `name` and `arguments`")]
struct CustomCall {
    id: Option<String>,
    name: String,
    arguments: Option<Value>,
    raw_arguments: Option<String>,
    signature: Option<String>,
}

/// `EmbeddingResult` of the declarations.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object with `vectors`")]
struct CustomVectors {
    vectors: Vec<Vec<f64>>,
    model: Option<String>,
    input_tokens: Option<f64>,
}

impl CustomCall {
    fn arguments(&mut self) -> String {
        match (self.raw_arguments.take(), self.arguments.take()) {
            (Some(raw), _) | (None, Some(Value::String(raw))) => raw,
            (None, Some(object)) => object.to_string(),
            (None, None) => String::new(),
        }
    }
}

impl From<CustomCall> for ToolCall {
    fn from(mut call: CustomCall) -> Self {
        let arguments = call.arguments();
        Self { id: call.id.unwrap_or_default(), name: call.name, arguments, signature: call.signature }
    }
}

impl From<CustomCall> for ToolCallDelta {
    fn from(mut call: CustomCall) -> Self {
        let arguments = call.arguments();
        Self { index: None, id: call.id, name: Some(call.name), arguments, signature: call.signature }
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn count(number: f64) -> u64 {
    number.max(0.0) as u64
}

impl Whole {
    fn usage(&self) -> Option<TokenUsage> {
        let known = self.input_tokens.is_some() || self.output_tokens.is_some();
        let usage = TokenUsage {
            cache_read: self.cache_read_tokens.map(count),
            cache_write: self.cache_write_tokens.map(count),
            reasoning: self.reasoning_tokens.map(count),
            ..TokenUsage::new(
                count(self.input_tokens.unwrap_or(0.0)),
                count(self.output_tokens.unwrap_or(0.0)),
            )
        };
        known.then_some(usage)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object with `delta`")]
struct Chunk {
    delta: Option<String>,
    model: Option<String>,
    #[serde(default)]
    finish_reason: FinishReason,
    reasoning: Option<String>,
    /// Whole calls.
    tool_calls: Option<Vec<CustomCall>>,
    /// Set where the provider gives typed events, as `events` of an answer does.
    #[serde(rename = "type")]
    kind: Option<String>,
    id: Option<String>,
    name: Option<String>,
    input: Option<Value>,
    raw_input: Option<String>,
    signature: Option<String>,
    usage: Option<Whole>,
}

impl Chunk {
    /// A typed event as the chunk that says the same.
    fn untyped(mut self) -> Self {
        match self.kind.as_deref() {
            Some("reasoning") => self.reasoning = self.delta.take(),
            Some("tool_use") => {
                self.tool_calls = Some(vec![CustomCall {
                    id: self.id.take(),
                    name: self.name.take().unwrap_or_default(),
                    arguments: self.input.take(),
                    raw_arguments: self.raw_input.take(),
                    signature: self.signature.take(),
                }]);
            }
            _ => {}
        }
        self
    }

    fn push_events(self, into: &mut Vec<StreamEvent>) {
        let chunk = self.untyped();
        let before = into.len();
        into.extend(chunk.reasoning.filter(|text| !text.is_empty()).map(StreamEvent::Reasoning));
        let calls = chunk.tool_calls.into_iter().flatten();
        into.extend(calls.map(|call| StreamEvent::ToolCall(call.into())));
        let text = TextChunk {
            delta: chunk.delta.unwrap_or_default(),
            model: chunk.model,
            finish_reason: chunk.finish_reason,
        };
        // Typed events of another kind are no chunks of text.
        if chunk.kind.is_some()
            && into.len() > before
            && text.delta.is_empty()
            && text.finish_reason.word().is_none()
        {
            into.extend(text.model.map(StreamEvent::Model));
        } else {
            into.push(StreamEvent::Text(text));
        }
        into.extend(chunk.usage.and_then(|usage| usage.usage()).map(StreamEvent::Usage));
    }
}

fn unusable(provider: &str, what: &str, error: &serde_json::Error) -> Failure {
    let detail = format!("the custom provider's {what} cannot be used: {error}");
    GatewayError::provider_response(provider, 200, &detail).into()
}

impl Provider for CustomProvider {
    fn name(&self) -> &str {
        &self.name
    }

    fn family(&self) -> &str {
        &self.family
    }

    fn chat<'a>(&'a self, call: &'a ProviderCall) -> BoxFuture<'a, Result<Answer, Failure>> {
        Box::pin(async move {
            let mut exchange = Exchange::begin(self, &Asked::of(call, "chat"))?;
            let reply = within(&self.name, call.attempt_deadline(self.timeout), exchange.reply()).await?;
            let (Reply::Done(text) | Reply::Chunks(text) | Reply::Failed(text)) = reply;
            let whole: Whole =
                json::parse(text.as_bytes()).map_err(|error| unusable(&self.name, "answer", &error))?;
            Ok(Answer {
                usage: whole.usage(),
                total_tokens: whole.total_tokens.map(count),
                content: whole.content.unwrap_or_default(),
                model: whole.model.unwrap_or_else(|| call.model.clone()),
                finish_reason: whole.finish_reason,
                tool_calls: whole.tool_calls.unwrap_or_default().into_iter().map(Into::into).collect(),
                reasoning: whole.reasoning.unwrap_or_default(),
                reasoning_details: whole.reasoning_details.unwrap_or_default(),
            })
        })
    }

    fn open_stream<'a>(&'a self, call: &'a ProviderCall) -> BoxFuture<'a, Result<OpenedStream, Failure>> {
        Box::pin(async move {
            let exchange = Exchange::begin(self, &Asked::of(call, "chatStream"))?;
            let events = CustomEvents {
                name: self.name.clone(),
                wait: call.timeout.or(self.timeout),
                deadline: call.deadline,
                unacknowledged: 0,
                exchange,
            };
            Ok(OpenedStream::new(events).with_first_content_by(call.attempt_deadline(self.timeout)))
        })
    }

    fn embed<'a>(&'a self, call: &'a EmbedCall) -> BoxFuture<'a, Result<Vectors, Failure>> {
        Box::pin(async move {
            let asked = Asked { caller: call.js_call_id, model: &call.model, max_tokens: None, method: "embed" };
            let mut exchange = Exchange::begin(self, &asked)?;
            let deadline = deadline_after(call.timeout.or(self.timeout), call.deadline);
            let reply = within(&self.name, deadline, exchange.reply()).await?;
            let (Reply::Done(text) | Reply::Chunks(text) | Reply::Failed(text)) = reply;
            let vectors: CustomVectors =
                json::parse(text.as_bytes()).map_err(|error| unusable(&self.name, "answer", &error))?;
            if vectors.vectors.len() != call.inputs.len() {
                let (given, asked) = (vectors.vectors.len(), call.inputs.len());
                let detail = format!("the custom provider gave {given} vectors for {asked} texts");
                return Err(GatewayError::provider_response(&self.name, 200, &detail).into());
            }
            Ok(Vectors {
                vectors: vectors.vectors,
                model: vectors.model.unwrap_or_else(|| call.model.clone()),
                input_tokens: vectors.input_tokens.map(count),
            })
        })
    }
}

struct CustomEvents {
    name: String,
    wait: Option<Duration>,
    deadline: Option<Instant>,
    unacknowledged: usize,
    exchange: Exchange,
}

impl EventSource for CustomEvents {
    fn next<'a>(&'a mut self, into: &'a mut Vec<StreamEvent>) -> BoxFuture<'a, Result<bool, Failure>> {
        Box::pin(async move {
            let deadline = deadline_after(self.wait, self.deadline);
            match within(&self.name, deadline, self.exchange.reply()).await? {
                Reply::Chunks(text) => {
                    let chunks: Vec<Chunk> = json::parse(text.as_bytes())
                        .map_err(|error| unusable(&self.name, "chunk", &error))?;
                    self.unacknowledged += chunks.len();
                    if self.unacknowledged >= AHEAD / 2 {
                        self.unacknowledged = 0;
                        self.exchange.calls.outbox.send(&(message::CUSTOM_RESUME, self.exchange.id));
                    }
                    chunks.into_iter().for_each(|chunk| chunk.push_events(into));
                    Ok(true)
                }
                Reply::Done(text) | Reply::Failed(text) => {
                    let usage: Option<Whole> = json::parse(text.as_bytes())
                        .map_err(|error| unusable(&self.name, "usage", &error))?;
                    if let Some(usage) = usage {
                        into.extend(usage.usage().map(StreamEvent::Usage));
                        into.extend(usage.model.map(StreamEvent::Model));
                    }
                    Ok(false)
                }
            }
        })
    }
}
