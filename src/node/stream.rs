//! Drives an open stream towards JavaScript, as fast as its reader reads.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use serde::ser::{SerializeSeq, Serializer};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::calls::{Call, CallObserver, Calls, message};
use super::errors::Payload;
use crate::error::{Failure, GatewayError};
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
    asked: Notify,
    /// When the reader last took something, or was given something after it had taken all.
    read: Mutex<Instant>,
}

impl Default for Flow {
    fn default() -> Self {
        Self {
            credit: AtomicI64::new(WINDOW),
            changed: Notify::new(),
            left: Notify::new(),
            asked: Notify::new(),
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
        self.left.notify_one();
    }

    /// The reader wants to know the figures so far.
    pub fn ask(&self) {
        self.asked.notify_one();
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

    /// Waits until chunks have lain unread for `limit`.
    async fn unread_for(&self, limit: Duration) {
        loop {
            let unread = self.credit.load(Ordering::SeqCst) < WINDOW;
            let read = *self.read.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(until) = (if unread { read } else { Instant::now() }).checked_add(limit) else {
                return std::future::pending().await;
            };
            if unread && until <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
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
    let unread = call.flow.unread_for(idle_limit);
    tokio::pin!(unread);
    let end: Result<(), Failure> = loop {
        events.clear();
        let result = tokio::select! {
            biased;
            () = call.flow.left.notified() => {
                stream.leave(Leave::ReaderLeft).await;
                break Ok(());
            }
            () = &mut unread => {
                stream.leave(Leave::ReaderLeft).await;
                let idle = GatewayError::aborted("nobody has read the stream for its idle limit");
                break Err(idle.with_request_id(stream.request_id()).into());
            }
            () = call.flow.asked.notified() => {
                let figures = stream.figures_so_far().await;
                let figures = GatewayResponse { content: String::new(), ..figures };
                calls.outbox.send(&(message::STREAM_FIGURES, id, figures));
                continue;
            }
            result = next(&call, &mut stream, &mut events) => result,
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

/// The next events, once the reader has room for them.
async fn next(call: &Call, stream: &mut GatewayStream, into: &mut Vec<StreamEvent>) -> Result<bool, Failure> {
    tokio::select! {
        biased;
        // Told by the stream itself, which settles.
        () = call.cancel.cancelled() => {}
        () = call.flow.wait() => {}
    }
    stream.next(into).await
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
