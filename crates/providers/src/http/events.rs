//! A streamed answer, from its bytes to events.

use crate::read_error::ReadError;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::ProviderContext;
use crate::lenient::find_reported_failure;
use crate::wire::{StreamDecoder, Wire};
use gateway_model::EventSource;
use gateway_model::error::Failure;
use gateway_model::provider::{deadline_after, within};
use gateway_model::{StreamEvent, Warning};
use gateway_transport::body::ChunkReader;
use gateway_transport::{Frames, Response};

/// How long a stream that has said why it stopped may take for what follows: its counts, its end. Then it counts as ended.
const TAIL: Duration = Duration::from_secs(5);

/// How long a finished stream's connection is given to end by itself, so that it can be used again.
const DRAIN: Duration = Duration::from_secs(1);

/// Events of one streamed answer.
pub(super) struct HttpEvents {
    context: Arc<ProviderContext>,
    status: u16,
    /// `None` once the body has ended.
    body: Option<ChunkReader>,
    frames: Frames,
    decoder: Box<dyn StreamDecoder>,
    wait: Duration,
    deadline: Option<Instant>,
    /// When an answer that is complete ends at the latest.
    tail_until: Option<Instant>,
    /// The beginning of a body that has shown no event yet: it may be an error page instead of a stream. All of it where it
    /// begins as JSON, which may be the answer.
    seen_bytes: Vec<u8>,
    seen_event: bool,
    /// Events that have been read and not yet handed on.
    ready: Vec<StreamEvent>,
    /// What the upstream reported after them.
    failed: Option<ReadError>,
    /// The body goes on.
    open: bool,
}

const QUOTED_START: usize = 4096;

impl HttpEvents {
    /// The events of `response`; `wait` is how long each next byte may take.
    pub fn new(
        context: Arc<ProviderContext>,
        wire: &dyn Wire,
        response: Response,
        wait: Duration,
        deadline: Option<Instant>,
    ) -> Self {
        Self {
            status: response.status.as_u16(),
            body: Some(ChunkReader::new(response, context.limit)),
            frames: wire.frames(usize::try_from(context.limit.max).unwrap_or(usize::MAX)),
            decoder: wire.decoder(),
            wait,
            deadline,
            tail_until: None,
            context,
            seen_bytes: Vec::new(),
            seen_event: false,
            ready: Vec::new(),
            failed: None,
            open: true,
        }
    }

    /// The same events, after the warnings about their request.
    pub fn after(mut self, warnings: Vec<Warning>) -> Self {
        if !warnings.is_empty() {
            self.ready.push(StreamEvent::Warnings(warnings));
        }
        self
    }

    /// Waits for bytes and reads what they hold. Nothing is lost when the wait is given up in the middle: what has been
    /// read lies in `ready` for the next one.
    async fn read(&mut self, into: &mut Vec<StreamEvent>) -> Result<bool, Failure> {
        if self.body.is_none() {
            return Ok(false);
        }
        if self.ready.is_empty() && self.failed.is_none() && !self.decoder.is_done() {
            let read = self.fill().await;
            self.hand_on(into);
            self.open = match read {
                Ok(open) => open,
                // Neither silence nor a lost connection takes anything from an answer that is complete.
                Err(_) if self.decoder.may_end() => {
                    self.body = None;
                    return Ok(false);
                }
                Err(failure) => return Err(failure),
            };
        } else {
            self.hand_on(into);
        }
        if let Some(problem) = self.failed.take() {
            self.body = None;
            return Err(self.context.unacceptable(self.status, problem).into());
        }
        if self.body.as_ref().is_some_and(|body| body.position() > self.context.limit.max) {
            return Err(self.context.limit.exceeded(&self.context.name, self.status).into());
        }
        if !self.open {
            self.body = None;
            return self.end_of_body(into);
        }
        if self.decoder.is_done() {
            if let Some(body) = self.body.take() {
                drain(body, self.context.clone());
            }
            return Ok(false);
        }
        Ok(true)
    }

    fn hand_on(&mut self, into: &mut Vec<StreamEvent>) {
        if into.is_empty() {
            std::mem::swap(into, &mut self.ready);
        } else {
            into.append(&mut self.ready);
        }
    }

    /// Reads into `ready`; false at the end of the body.
    async fn fill(&mut self) -> Result<bool, Failure> {
        let Self {
            context, body: Some(body), frames, decoder, ready, failed, seen_bytes, seen_event, ..
        } = self
        else {
            return Ok(false);
        };
        let mut deadline = deadline_after(Some(self.wait), self.deadline);
        if decoder.may_end() {
            let until = *self.tail_until.get_or_insert_with(|| Instant::now() + self.wait.min(TAIL));
            deadline = Some(deadline.map_or(until, |deadline| deadline.min(until)));
        }
        let feed = |bytes: &[u8]| {
            if failed.is_some() || decoder.is_done() {
                return;
            }
            if !*seen_event {
                keep_start(seen_bytes, bytes);
            }
            let fed = frames.feed(bytes, |name, data| {
                *seen_event = true;
                if failed.is_none() && !decoder.is_done() {
                    *failed = decode(&mut **decoder, name, data, ready).err();
                }
            });
            if *seen_event {
                *seen_bytes = Vec::new();
            }
            if let Err(problem) = fed {
                *failed = Some(problem.into());
            }
        };
        within(&context.name, deadline, async { Ok(body.read(&context.name, feed).await?) }).await
    }

    fn end_of_body(&mut self, into: &mut Vec<StreamEvent>) -> Result<bool, Failure> {
        let decoder = &mut self.decoder;
        let mut failed = None;
        self.frames.finish(|name, data| {
            self.seen_event = true;
            // What cannot be read here was cut with the body: that is what there is to say.
            let is_cut = data.contains('{') && serde_json::from_str::<serde::de::IgnoredAny>(data).is_err();
            if !is_cut {
                failed = decode(&mut **decoder, name, data, into).err();
            }
        });
        let problem = match failed {
            Some(problem) => problem,
            None if self.decoder.may_end() => return Ok(false),
            None if self.seen_event => "the stream ended before the answer was complete".into(),
            None => match self.decoder.whole(strip_mark(&self.seen_bytes)) {
                Ok(answer) => {
                    into.extend(answer.into_events());
                    return Ok(false);
                }
                Err(reported @ ReadError::Reported(_)) => reported,
                Err(ReadError::Unacceptable(_)) => {
                    let seen = String::from_utf8_lossy(&self.seen_bytes).into_owned();
                    not_a_stream(&self.context.secrets.redact(seen))
                }
            },
        };
        Err(self.context.unacceptable(self.status, problem).into())
    }
}

/// Adds to the start of a body what may be needed of it.
fn keep_start(start: &mut Vec<u8>, more: &[u8]) {
    let kept = if start.is_empty() { more } else { &*start };
    let is_json = matches!(strip_mark(kept).trim_ascii_start().first(), None | Some(b'{' | b'['));
    let room = if is_json { usize::MAX } else { QUOTED_START.saturating_sub(start.len()) };
    start.extend_from_slice(&more[..more.len().min(room)]);
}

/// A body without its byte order mark.
fn strip_mark(body: &[u8]) -> &[u8] {
    body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body)
}

/// Reads one event, or several that a service has put into one.
fn decode(
    decoder: &mut dyn StreamDecoder,
    name: Option<&str>,
    data: &str,
    into: &mut Vec<StreamEvent>,
) -> Result<(), ReadError> {
    match decoder.event(name, data, into) {
        Err(ReadError::Unacceptable(problem)) => {
            let Some(parts) = several_objects(data) else { return Err(problem.into()) };
            parts.into_iter().try_for_each(|part| decoder.event(name, part, into))
        }
        read => read,
    }
}

/// The objects of a text that is more than one.
fn several_objects(data: &str) -> Option<Vec<&str>> {
    let objects = serde_json::Deserializer::from_str(data).into_iter::<&RawValue>();
    let objects: Vec<&str> =
        objects.map(|object| object.map(RawValue::get)).collect::<Result<_, _>>().ok()?;
    (objects.len() > 1 && objects.iter().all(|object| object.starts_with('{'))).then_some(objects)
}

/// A 200 whose body is no event stream: an error object, a page, or nothing.
fn not_a_stream(body: &str) -> ReadError {
    let text = body.trim_start_matches('\u{feff}').trim();
    if text.is_empty() {
        return "the stream is empty".into();
    }
    let reported = serde_json::from_str(text).ok().and_then(|value| find_reported_failure(&value));
    reported.map_or_else(
        || format!("the answer is not an event stream: {}", &text[..text.floor_char_boundary(200)]).into(),
        Into::into,
    )
}

impl EventSource for HttpEvents {
    fn next<'a>(&'a mut self, into: &'a mut Vec<StreamEvent>) -> BoxFuture<'a, Result<bool, Failure>> {
        Box::pin(async move {
            let before = into.len();
            loop {
                let more = self.read(into).await?;
                if !more || into.len() > before {
                    return Ok(more);
                }
            }
        })
    }
}

/// Reads what follows the last event, off the answer's path: only an ended body gives its connection back.
fn drain(mut body: ChunkReader, context: Arc<ProviderContext>) {
    tokio::spawn(tokio::time::timeout(DRAIN, async move {
        while let Ok(true) = body.read(&context.name, |_| {}).await {}
    }));
}
