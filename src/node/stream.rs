//! Drives an open stream towards JavaScript, as fast as its reader reads.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use serde::Serialize;
use serde::ser::{SerializeSeq, Serializer};
use tokio::sync::Notify;

use super::calls::{Call, CallObserver, Calls, message};
use super::errors::Payload;
use crate::error::Failure;
use crate::gateway::{GatewayStream, Leave};
use crate::model::{FinishReason, GatewayResponse, StreamEvent};

/// Chunks that may lie unread in JavaScript before the upstream is no longer read.
const WINDOW: i64 = 1024;
/// How long a stream may lie unread before it is closed, unless its provider's entry says otherwise.
pub const IDLE_LIMIT: Duration = Duration::from_secs(300);

/// A reader's side of the flow: how much it may still get, and whether it has left.
pub struct Flow {
    credit: AtomicI64,
    changed: Notify,
    left: Notify,
}

impl Default for Flow {
    fn default() -> Self {
        Self { credit: AtomicI64::new(WINDOW), changed: Notify::new(), left: Notify::new() }
    }
}

impl Flow {
    /// The reader has taken `chunks`.
    pub fn resume(&self, chunks: u32) {
        let before = self.credit.fetch_add(i64::from(chunks), Ordering::SeqCst);
        if before <= 0 {
            self.changed.notify_one();
        }
    }

    /// The reader wants no more.
    pub fn leave(&self) {
        self.left.notify_one();
    }

    fn spend(&self, chunks: usize) {
        self.credit.fetch_sub(i64::try_from(chunks).unwrap_or(i64::MAX), Ordering::SeqCst);
    }

    async fn wait(&self) {
        while self.credit.load(Ordering::SeqCst) <= 0 {
            self.changed.notified().await;
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

/// A stream's figures so far, without the text, which the face has gathered from the chunks.
fn figures(stream: &GatewayStream) -> GatewayResponse {
    GatewayResponse { content: String::new(), ..stream.summary() }
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
        figures: figures(&stream),
        extra: extra.as_ref(),
    };
    calls.outbox.send(&(message::STREAM_OPEN, id, head));
    let mut events: Vec<StreamEvent> = Vec::new();
    let end: Result<(), Failure> = loop {
        tokio::select! {
            biased;
            () = call.flow.left.notified() => { stream.leave(Leave::ReaderLeft).await; break Ok(()) }
            () = call.cancel.cancelled() => {}
            waited = tokio::time::timeout(idle_limit, call.flow.wait()) => {
                if waited.is_err() {
                    stream.leave(Leave::ReaderLeft).await;
                    break Ok(());
                }
            }
        }
        events.clear();
        let result = tokio::select! {
            biased;
            () = call.flow.left.notified() => { stream.leave(Leave::ReaderLeft).await; break Ok(()) }
            result = stream.next(&mut events) => result,
        };
        let batch = Batch::new(&events);
        if batch.len > 0 {
            call.flow.spend(batch.len);
            calls.outbox.send(&(message::STREAM_CHUNKS, id, batch.null_finish, &batch));
        }
        match result {
            Ok(true) => {}
            Ok(false) => break Ok(()),
            Err(failure) => break Err(failure),
        }
    };
    let error = end.as_ref().err().map(Payload);
    calls.outbox.send(&(message::STREAM_END, id, figures(&stream), error, observer.take_log()));
}

/// Events as chunks: a plain string for text alone, `[delta, model, finishReason]` for anything more.
struct Batch<'a> {
    events: &'a [StreamEvent],
    len: usize,
    /// What plain strings stand for: a `finishReason` of null, or none at all.
    null_finish: bool,
}

impl<'a> Batch<'a> {
    fn new(events: &'a [StreamEvent]) -> Self {
        let mut chunks = events.iter().filter(|event| !event.bookkeeping);
        let null_finish = chunks.clone().any(|event| event.finish_reason == FinishReason::Null);
        let len = chunks.by_ref().count();
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
            model = event.model.as_deref().or(model);
            if event.bookkeeping {
                continue;
            }
            match (&event.finish_reason, model.take()) {
                (reason, None) if *reason == plain => chunks.serialize_element(&event.delta)?,
                (FinishReason::Absent, model) => chunks.serialize_element(&(&event.delta, model))?,
                (reason, model) => chunks.serialize_element(&(&event.delta, model, reason.word()))?,
            }
        }
        chunks.end()
    }
}
