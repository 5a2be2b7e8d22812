//! Providers that are objects of JavaScript. A call goes out as a message; the JS layer calls the provider and replies by
//! the callback's id.

mod values;

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures::future::BoxFuture;
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use self::values::{Chunk, CustomVectors, FullResponse, count, read_thrown};
use super::calls::Calls;
use super::pending_calls::{AnswerReply, StreamPart, StreamReply};
use super::protocol::{CUSTOM_CHUNKS_AHEAD, CustomMethod, message};
use gateway_model::error::{Failure, GatewayError};
use gateway_model::provider::{deadline_after, within};
use gateway_model::{Answer, StreamEvent, json};
use gateway_model::{EmbedCall, EventSource, OpenedStream, Provider, ProviderCall, Vectors};

/// Chunks that are read before the JS layer gets the credit for them.
const ACKNOWLEDGED_AT_ONCE: usize = CUSTOM_CHUNKS_AHEAD / 2;

/// A provider object of JavaScript.
pub struct CustomProvider {
    pub calls: Weak<Calls>,
    /// The JS layer's number for the object.
    pub id: u32,
    pub name: String,
    pub family: String,
    /// The entry's own `timeoutMs`; without one a custom provider is not timed.
    pub timeout: Option<Duration>,
}

/// What a provider object is called with; the rest of the request stays in JavaScript.
struct CallInput<'a> {
    js_call_id: u32,
    model: &'a str,
    max_tokens: Option<u64>,
    method: CustomMethod,
}

impl<'a> CallInput<'a> {
    fn of(call: &'a ProviderCall, method: CustomMethod) -> Self {
        Self { js_call_id: call.request.js_call_id, model: &call.model, max_tokens: call.max_tokens, method }
    }
}

/// One call of a provider object, replied to by `Replies`. Dropped before its end, it cancels the call.
struct CustomCall<Replies> {
    calls: Arc<Calls>,
    callback: u32,
    replies: Replies,
    ended: bool,
}

fn thread_stops() -> Failure {
    GatewayError::aborted("the JavaScript thread is stopping").into()
}

impl<Replies> CustomCall<Replies> {
    /// Sends the call out; `expect` registers who waits for its replies.
    fn begin(
        provider: &CustomProvider,
        input: &CallInput<'_>,
        expect: impl FnOnce(&Calls) -> (u32, Replies),
    ) -> Result<Self, Failure> {
        let calls = provider.calls.upgrade().ok_or_else(thread_stops)?;
        let (callback, replies) = expect(&calls);
        calls.outbox.send(&message::CustomCall {
            call: input.js_call_id,
            callback,
            provider: provider.id,
            model: input.model,
            max_tokens: input.max_tokens,
            method: input.method,
        });
        Ok(Self { calls, callback, replies, ended: false })
    }
}

impl CustomCall<oneshot::Receiver<AnswerReply>> {
    /// JSON of the answer.
    async fn answer(&mut self) -> Result<String, Failure> {
        let reply = (&mut self.replies).await.map_err(|_| thread_stops())?;
        self.ended = true;
        reply.map_err(read_thrown)
    }
}

impl CustomCall<mpsc::UnboundedReceiver<StreamReply>> {
    async fn next_part(&mut self) -> Result<StreamPart, Failure> {
        let reply = self.replies.recv().await.ok_or_else(thread_stops)?;
        self.ended = !matches!(reply, Ok(StreamPart::Chunks(_)));
        reply.map_err(read_thrown)
    }
}

impl<Replies> Drop for CustomCall<Replies> {
    fn drop(&mut self) {
        if !self.ended {
            self.calls.pending.forget(self.callback);
            self.calls.outbox.send(&message::CustomCancel { callback: self.callback });
        }
    }
}

/// Reads what the provider `name` gave as its `what`.
fn read<T: DeserializeOwned + Send>(name: &str, what: &str, text: &str) -> Result<T, Failure> {
    json::parse(text.as_bytes()).map_err(|error| {
        let detail = format!("the custom provider's {what} cannot be used: {error}");
        GatewayError::provider_response(name, 200, &detail).into()
    })
}

impl CustomProvider {
    /// Calls a method that answers at once; JSON of the answer.
    async fn ask(&self, input: &CallInput<'_>, deadline: Option<Instant>) -> Result<String, Failure> {
        let mut call = CustomCall::begin(self, input, |calls| calls.pending.expect_answer())?;
        within(&self.name, deadline, call.answer()).await
    }
}

impl Provider for CustomProvider {
    fn name(&self) -> &str {
        &self.name
    }

    fn family(&self) -> &str {
        &self.family
    }

    fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    fn reads_notes(&self) -> bool {
        true
    }

    fn chat<'a>(&'a self, call: &'a ProviderCall) -> BoxFuture<'a, Result<Answer, Failure>> {
        Box::pin(async move {
            let input = CallInput::of(call, CustomMethod::Chat);
            let text = self.ask(&input, call.attempt_deadline(self.timeout)).await?;
            let response: FullResponse = read(&self.name, "answer", &text)?;
            Ok(response.into_answer(&self.name, &call.model))
        })
    }

    fn open_stream<'a>(&'a self, call: &'a ProviderCall) -> BoxFuture<'a, Result<OpenedStream, Failure>> {
        Box::pin(async move {
            let input = CallInput::of(call, CustomMethod::ChatStream);
            let events = CustomEvents {
                name: self.name.clone(),
                timeout: call.timeout.or(self.timeout),
                deadline: call.deadline,
                unacknowledged: 0,
                call: CustomCall::begin(self, &input, |calls| calls.pending.expect_stream())?,
            };
            Ok(OpenedStream::new(events).with_first_content_by(call.attempt_deadline(self.timeout)))
        })
    }

    fn embed<'a>(&'a self, call: &'a EmbedCall) -> BoxFuture<'a, Result<Vectors, Failure>> {
        Box::pin(async move {
            let input = CallInput {
                js_call_id: call.js_call_id,
                model: &call.model,
                max_tokens: None,
                method: CustomMethod::Embed,
            };
            let deadline = deadline_after(call.timeout.or(self.timeout), call.deadline);
            let text = self.ask(&input, deadline).await?;
            let result: CustomVectors = read(&self.name, "answer", &text)?;
            let (given, wanted) = (result.vectors.len(), call.inputs.len());
            if given != wanted {
                let detail = format!("the custom provider gave {given} vectors for {wanted} texts");
                return Err(GatewayError::provider_response(&self.name, 200, &detail).into());
            }
            Ok(Vectors {
                vectors: result.vectors,
                model: result.model.unwrap_or_else(|| call.model.clone()),
                input_tokens: result.input_tokens.map(count),
            })
        })
    }
}

/// The chunks of a provider object's stream.
struct CustomEvents {
    name: String,
    /// For each part.
    timeout: Option<Duration>,
    /// Of the whole call.
    deadline: Option<Instant>,
    /// Chunks read that the JS layer does not know of yet.
    unacknowledged: usize,
    call: CustomCall<mpsc::UnboundedReceiver<StreamReply>>,
}

impl CustomEvents {
    /// Lets the provider's iterator go on, once a good part of its window has been read.
    fn acknowledge(&mut self, chunks: usize) {
        self.unacknowledged += chunks;
        if self.unacknowledged >= ACKNOWLEDGED_AT_ONCE {
            let chunks = std::mem::take(&mut self.unacknowledged);
            self.call.calls.outbox.send(&message::CustomResume { callback: self.call.callback, chunks });
        }
    }
}

impl EventSource for CustomEvents {
    fn next<'a>(&'a mut self, into: &'a mut Vec<StreamEvent>) -> BoxFuture<'a, Result<bool, Failure>> {
        Box::pin(async move {
            let deadline = deadline_after(self.timeout, self.deadline);
            match within(&self.name, deadline, self.call.next_part()).await? {
                StreamPart::Chunks(text) => {
                    let chunks: Vec<Chunk> = read(&self.name, "chunk", &text)?;
                    self.acknowledge(chunks.len());
                    chunks.into_iter().for_each(|chunk| chunk.push_events(into));
                    Ok(true)
                }
                StreamPart::End(text) => {
                    let usage: Option<FullResponse> = read(&self.name, "usage", &text)?;
                    if let Some(mut usage) = usage {
                        let warnings = usage.take_warnings(&self.name);
                        if !warnings.is_empty() {
                            into.push(StreamEvent::Warnings(warnings));
                        }
                        into.extend(usage.usage().map(StreamEvent::Usage));
                        into.extend(usage.model.map(StreamEvent::Model));
                    }
                    Ok(false)
                }
            }
        })
    }
}
