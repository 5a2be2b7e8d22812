//! Drives an open stream towards JavaScript, as fast as its reader reads.

use std::sync::atomic::{AtomicI64, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use serde::ser::{SerializeSeq, Serializer};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::calls::{Call, CallObserver, Calls, message};
use super::errors::Payload;
use gateway_engine::gateway::{CloseReason, GatewayStream};
use gateway_model::error::{Failure, GatewayError};
use gateway_model::{FinishReason, GatewayResponse, StreamEvent, TextChunk};

/// Chunks that may lie unread in JavaScript before the upstream is no longer read.
const WINDOW: i64 = 1024;
/// How long a stream may lie unread before it is closed, unless its provider's entry says otherwise.
pub const IDLE_LIMIT: Duration = Duration::from_secs(300);

/// What a reader has signalled.
const LEFT: u8 = 1;
const ASKED: u8 = 2;
/// Raised in the reader's place, when nobody has read for the idle limit.
const IDLE: u8 = 4;

/// A reader's side of the flow: how much it may still get, and what it wants.
pub struct Flow {
    credit: AtomicI64,
    signals: AtomicU8,
    changed: Notify,
    /// When the reader last took something, or was given something after it had taken all.
    read: Mutex<Instant>,
}

impl Default for Flow {
    fn default() -> Self {
        Self {
            credit: AtomicI64::new(WINDOW),
            signals: AtomicU8::new(0),
            changed: Notify::new(),
            read: Mutex::new(Instant::now()),
        }
    }
}

impl Flow {
    /// The reader has taken `chunks`.
    pub fn resume(&self, chunks: u32) {
        let before = self.credit.fetch_add(i64::from(chunks), Ordering::SeqCst);
        self.touch();
        if before <= 0 {
            self.changed.notify_one();
        }
    }

    /// The reader wants no more.
    pub fn leave(&self) {
        self.raise(LEFT);
    }

    /// The reader wants to know the figures so far.
    pub fn ask(&self) {
        self.raise(ASKED);
    }

    fn raise(&self, signal: u8) {
        self.signals.fetch_or(signal, Ordering::SeqCst);
        self.changed.notify_one();
    }

    fn has_credit(&self) -> bool {
        self.credit.load(Ordering::SeqCst) > 0
    }

    fn spend(&self, chunks: usize) {
        let before = self.credit.fetch_sub(i64::try_from(chunks).unwrap_or(i64::MAX), Ordering::SeqCst);
        if before == WINDOW {
            self.touch();
        }
    }

    fn touch(&self) {
        *self.read.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Raises [`IDLE`] once chunks have lain unread for `limit`.
    async fn watch(&self, limit: Duration) {
        loop {
            let unread = self.credit.load(Ordering::SeqCst) < WINDOW;
            let read = *self.read.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(until) = (if unread { read } else { Instant::now() }).checked_add(limit) else { return };
            if unread && until <= Instant::now() {
                return self.raise(IDLE);
            }
            tokio::time::sleep_until(until).await;
        }
    }
}

/// What a reader is told when its stream opens.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Head<'a> {
    request_id: &'a str,
    provider: &'a str,
    model: &'a str,
    figures: GatewayResponse,
    #[serde(flatten)]
    extra: Option<&'a RouteHead>,
}

/// For a stream of a router on its own.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteHead {
    pub entry: String,
    pub fallback_triggered: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback_from: Option<String>,
}

/// Figures of a stream; the face has gathered the text from the chunks.
fn without_text(mut figures: GatewayResponse) -> GatewayResponse {
    figures.answer.content.clear();
    figures
}

/// Delivers `stream` to the reader of call `id` until it ends, fails, or is left.
pub async fn drive(
    mut stream: GatewayStream,
    id: u32,
    call: Arc<Call>,
    calls: Arc<Calls>,
    observer: Arc<CallObserver>,
    idle_limit: Duration,
    extra: Option<RouteHead>,
) {
    let head = Head {
        request_id: stream.request_id(),
        provider: stream.provider(),
        model: stream.model(),
        figures: without_text(stream.summary()),
        extra: extra.as_ref(),
    };
    calls.outbox.send(&(message::STREAM_OPEN, id, head));
    let watched = call.clone();
    let watch = tokio::spawn(async move { watched.flow.watch(idle_limit).await });
    let end = deliver(&mut stream, id, &call, &calls).await;
    watch.abort();
    let error = end.as_ref().err().map(Payload);
    calls.outbox.send(&(message::STREAM_END, id, without_text(stream.summary()), error, observer.take_log()));
}

async fn deliver(stream: &mut GatewayStream, id: u32, call: &Call, calls: &Calls) -> Result<(), Failure> {
    let flow = &call.flow;
    let mut events: Vec<StreamEvent> = Vec::new();
    loop {
        let signals = flow.signals.swap(0, Ordering::SeqCst);
        if signals & (LEFT | IDLE) != 0 {
            stream.close(CloseReason::ReaderLeft).await;
            return match signals & LEFT {
                0 => {
                    let idle = GatewayError::aborted("nobody has read the stream for its idle limit");
                    Err(idle.with_request_id(stream.request_id()).into())
                }
                _ => Ok(()),
            };
        }
        if signals & ASKED != 0 {
            let figures = stream.figures_so_far().await;
            calls.outbox.send(&(message::STREAM_FIGURES, id, without_text(figures)));
        }
        // A call that is cancelled learns so from its stream, which settles.
        if !flow.has_credit() && !call.cancel.is_cancelled() {
            tokio::select! {
                () = flow.changed.notified() => {}
                () = call.cancel.cancelled() => {}
            }
            continue;
        }
        events.clear();
        let result = tokio::select! {
            biased;
            () = flow.changed.notified() => continue,
            result = stream.next(&mut events) => result,
        };
        let batch = Batch::new(&events);
        if batch.len > 0 {
            flow.spend(batch.len);
            calls.outbox.send(&(message::STREAM_CHUNKS, id, batch.null_finish, &batch));
        }
        if !result? {
            return Ok(());
        }
    }
}

/// Text of the model's reasoning, which only readers of `events` are given.
#[derive(Serialize)]
struct Reasoning<'a> {
    reasoning: &'a str,
}

/// Events as chunks: a plain string for text alone, `[delta, model, finishReason]` for anything more, `{reasoning}`.
struct Batch<'a> {
    events: &'a [StreamEvent],
    len: usize,
    /// What plain strings stand for: a `finishReason` of null, or none at all.
    null_finish: bool,
}

impl<'a> Batch<'a> {
    fn new(events: &'a [StreamEvent]) -> Self {
        let (mut len, mut null_finish) = (0, false);
        for event in events {
            match event {
                StreamEvent::Text(chunk) => {
                    len += 1;
                    null_finish |= chunk.finish_reason == FinishReason::Null;
                }
                StreamEvent::Reasoning(text) => len += usize::from(!text.is_empty()),
                // Told at the end, with the answer.
                StreamEvent::ReasoningDetails(_)
                | StreamEvent::ToolCall(_)
                | StreamEvent::Opaque
                | StreamEvent::Model(_)
                | StreamEvent::Usage(_) => {}
            }
        }
        Self { events, len, null_finish }
    }

    fn plain(&self) -> FinishReason {
        if self.null_finish { FinishReason::Null } else { FinishReason::Absent }
    }
}

impl Serialize for Batch<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let plain = self.plain();
        let mut model = None;
        let mut chunks = out.serialize_seq(Some(self.len))?;
        for event in self.events {
            match event {
                StreamEvent::Text(TextChunk { delta, model: named, finish_reason }) => {
                    match (finish_reason, named.as_deref().or(model.take())) {
                        (reason, None) if *reason == plain => chunks.serialize_element(delta)?,
                        (FinishReason::Absent, model) => chunks.serialize_element(&(delta, model))?,
                        (reason, model) => chunks.serialize_element(&(delta, model, reason.word()))?,
                    }
                }
                StreamEvent::Reasoning(reasoning) if reasoning.is_empty() => {}
                StreamEvent::Reasoning(reasoning) => chunks.serialize_element(&Reasoning { reasoning })?,
                StreamEvent::Model(name) => model = Some(name.as_str()),
                StreamEvent::ReasoningDetails(_)
                | StreamEvent::ToolCall(_)
                | StreamEvent::Opaque
                | StreamEvent::Usage(_) => {}
            }
        }
        chunks.end()
    }
}
