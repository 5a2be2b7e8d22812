//! A provider inside the process: deterministic answers, real token counts, faults by model name. For examples,
//! tests and demos, without a network and without a key.
//!
//! | model | what happens |
//! |---|---|
//! | any other, as `mock` | answers from the prompt; calls a tool that it must call, or whose name's words are in the question, with arguments that fit its schema; gives JSON where that is asked for |
//! | `mock-reasoning` | the same, after some reasoning |
//! | `mock-429`, `mock-500`, `mock-NNN` | fails as an upstream with that HTTP status does |
//! | `mock-timeout` | never answers: the call's timeout ends it |
//! | `mock-network` | the connection is reset |
//! | `mock-midstream-error` | a stream fails after half its text; a whole answer fails as a 500 |
//! | `mock-cut` | a stream ends after half its text without a finish reason |
//! | `mock-empty` | an answer without text |
//!
//! Vectors are made of the words of a text, so that texts which share words are near each other.

mod reply;
mod sample;
mod vectors;

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::time::{Instant, sleep};

use gateway_model::config::ProviderConfig;
use gateway_model::error::{Failure, GatewayError};
use gateway_model::provider::{deadline_after, within};
use gateway_model::{Answer, FinishReason, StreamEvent, TextChunk, Warning};
use gateway_model::{EmbedCall, Vectors};
use gateway_model::{EventSource, OpenedStream};
use gateway_model::{Provider, ProviderCall, RetryPolicy};
use gateway_pricing::tokens;

use crate::build::{Builder, FamilyDefaults};
use crate::family::{EntryRule, Family};

use crate::settings::CallSettings;
use reply::Reply;
use vectors::vectors;

const TIMEOUT: Duration = Duration::from_secs(30);

/// Those that do more than answer.
const MODELS: [&str; 9] = [
    "mock",
    "mock-reasoning",
    "mock-429",
    "mock-500",
    "mock-timeout",
    "mock-network",
    "mock-midstream-error",
    "mock-cut",
    "mock-empty",
];

pub fn describe() -> Family {
    Family {
        entry_rule: EntryRule::MustStateAll,
        options: &["delayMs"],
        // It has no service; its provider bounds its own attempts.
        ..Family::new("mock", "Mock", FamilyDefaults::at(""), &|builder: &Builder<'_>| {
            let provider: Arc<dyn Provider> = Arc::new(MockProvider::new(builder.config));
            Ok(provider)
        })
    }
}

pub struct MockProvider {
    name: String,
    timeout: Duration,
    /// Before each token of a stream.
    delay: Duration,
    retry: RetryPolicy,
}

enum Fault {
    Status(u16),
    Timeout,
    Network,
    MidStreamError,
    Cut,
    Empty,
}

fn fault(model: &str) -> Option<Fault> {
    match model.strip_prefix("mock-")? {
        "timeout" => Some(Fault::Timeout),
        "network" => Some(Fault::Network),
        "midstream-error" => Some(Fault::MidStreamError),
        "cut" => Some(Fault::Cut),
        "empty" => Some(Fault::Empty),
        status => status.parse().ok().filter(|status| (400..600).contains(status)).map(Fault::Status),
    }
}

impl MockProvider {
    /// `options.delayMs` of the entry: milliseconds before each token of a stream, 0 by default.
    pub fn new(config: &ProviderConfig) -> Self {
        // The first answer need not wait for the vocabulary.
        let _ = std::thread::Builder::new()
            .name("ai-gateway-tokens".into())
            .spawn(|| tokens::count_text("mock", " "));
        Self {
            name: config.name.clone(),
            timeout: config.timeout_ms.map_or(TIMEOUT, Duration::from_millis),
            delay: Duration::from_millis(config.options.delay_ms.unwrap_or(0)),
            retry: config.retry.into(),
        }
    }

    /// The faults that hit before anything is answered.
    async fn fail_early(&self, fault: Option<&Fault>, deadline: Option<Instant>) -> Result<(), Failure> {
        match fault {
            Some(Fault::Status(status)) => {
                let body = format!("mock answers {status}, as its model name asks");
                Err(GatewayError::from_http_status(&self.name, *status, &body).into())
            }
            Some(Fault::Timeout) => within(&self.name, deadline, std::future::pending()).await,
            Some(Fault::Network) => {
                Err(GatewayError::provider_network(&self.name, "connection reset").into())
            }
            _ => Ok(()),
        }
    }

    /// What the mock does not look at: it always gives the same answer.
    fn warnings(&self, call: &ProviderCall) -> Vec<Warning> {
        let mut settings = CallSettings::new(call);
        // What a reply is made by.
        settings.max_tokens();
        settings.tools();
        settings.tool_choice();
        settings.response_format();
        settings.into_warnings(&self.name)
    }

    async fn reply(&self, call: &ProviderCall, empty: bool) -> Result<Reply, Failure> {
        let (request, model, max_tokens) = (call.request.clone(), call.model.clone(), call.max_tokens);
        blocking(move || Reply::new(&request, model, max_tokens, empty)).await
    }
}

/// Runs what may have to load a vocabulary.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| GatewayError::internal("the mock could not answer").into())
}

impl Provider for MockProvider {
    fn name(&self) -> &str {
        &self.name
    }

    fn family(&self) -> &str {
        "mock"
    }

    fn timeout(&self) -> Option<Duration> {
        Some(self.timeout)
    }

    fn retry_policy(&self) -> RetryPolicy {
        self.retry
    }

    fn chat<'a>(&'a self, call: &'a ProviderCall) -> BoxFuture<'a, Result<Answer, Failure>> {
        Box::pin(async move {
            let fault = fault(&call.model);
            self.fail_early(fault.as_ref(), call.attempt_deadline(Some(self.timeout))).await?;
            if matches!(fault, Some(Fault::MidStreamError | Fault::Cut)) {
                return Err(GatewayError::provider_response(&self.name, 500, "mock fails half-way").into());
            }
            let reply = self.reply(call, matches!(fault, Some(Fault::Empty))).await?;
            Ok(Answer {
                content: reply.pieces.concat(),
                model: reply.model,
                finish_reason: Some(reply.finish.to_owned()),
                tool_calls: reply.calls,
                reasoning: reply.reasoning,
                warnings: self.warnings(call),
                usage: Some(reply.usage),
                ..Answer::default()
            })
        })
    }

    fn open_stream<'a>(&'a self, call: &'a ProviderCall) -> BoxFuture<'a, Result<OpenedStream, Failure>> {
        Box::pin(async move {
            let fault = fault(&call.model);
            self.fail_early(fault.as_ref(), call.attempt_deadline(Some(self.timeout))).await?;
            let reply = self.reply(call, matches!(fault, Some(Fault::Empty))).await?;
            let fails_at = matches!(fault, Some(Fault::MidStreamError | Fault::Cut))
                .then(|| reply.pieces.len().div_ceil(2));
            let cut = matches!(fault, Some(Fault::Cut));
            Ok(OpenedStream::new(MockEvents {
                name: self.name.clone(),
                delay: self.delay,
                warnings: self.warnings(call),
                reply,
                sent: 0,
                fails_at,
                cut,
            }))
        })
    }

    fn embed<'a>(&'a self, call: &'a EmbedCall) -> BoxFuture<'a, Result<Vectors, Failure>> {
        Box::pin(async move {
            let deadline = deadline_after(call.timeout.or(Some(self.timeout)), call.deadline);
            self.fail_early(fault(&call.model).as_ref(), deadline).await?;
            let call = call.clone();
            blocking(move || vectors(&call)).await
        })
    }

    fn models(&self) -> BoxFuture<'_, Result<Option<Vec<String>>, Failure>> {
        Box::pin(async { Ok(Some(MODELS.iter().map(|&model| model.to_owned()).collect())) })
    }
}

struct MockEvents {
    name: String,
    delay: Duration,
    /// Those that have not been handed on yet.
    warnings: Vec<Warning>,
    reply: Reply,
    sent: usize,
    /// The piece in whose place the stream fails.
    fails_at: Option<usize>,
    cut: bool,
}

impl EventSource for MockEvents {
    fn next<'a>(&'a mut self, into: &'a mut Vec<StreamEvent>) -> BoxFuture<'a, Result<bool, Failure>> {
        Box::pin(async move {
            if !self.warnings.is_empty() {
                into.push(StreamEvent::Warnings(std::mem::take(&mut self.warnings)));
                return Ok(true);
            }
            if !self.delay.is_zero() {
                sleep(self.delay).await;
            }
            if !self.reply.reasoning.is_empty() {
                let reasoning = std::mem::take(&mut self.reply.reasoning);
                into.push(StreamEvent::Reasoning(reasoning));
                return Ok(true);
            }
            if self.fails_at == Some(self.sent) {
                let problem = if self.cut {
                    "the stream ended before the answer was complete"
                } else {
                    "mock fails half-way"
                };
                return Err(GatewayError::provider_response(&self.name, 200, problem).into());
            }
            if let Some(piece) = self.reply.pieces.get(self.sent) {
                let model = (self.sent == 0).then(|| self.reply.model.clone());
                self.sent += 1;
                into.push(StreamEvent::Text(TextChunk {
                    delta: piece.clone(),
                    model,
                    finish_reason: FinishReason::Null,
                }));
                return Ok(true);
            }
            if !self.reply.calls.is_empty() {
                let calls = std::mem::take(&mut self.reply.calls);
                into.extend(
                    (0..).zip(calls).map(|(index, call)| StreamEvent::ToolCall(call.into_delta(index))),
                );
                return Ok(true);
            }
            into.push(StreamEvent::Text(TextChunk {
                model: Some(self.reply.model.clone()),
                finish_reason: FinishReason::Word(self.reply.finish.to_owned()),
                ..TextChunk::default()
            }));
            into.push(StreamEvent::Usage(self.reply.usage));
            Ok(false)
        })
    }
}
