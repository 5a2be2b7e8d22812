//! Delivers an open stream to JavaScript, as fast as its reader reads.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::calls::{Call, CallObserver, Calls};
use super::chunks::Batch;
use super::errors::Payload;
use super::protocol::message;
use gateway_engine::gateway::{CloseReason, GatewayStream};
use gateway_model::error::{Failure, GatewayError};
use gateway_model::{GatewayResponse, StreamEvent};

/// How long a stream may lie unread before it is closed, unless its provider's entry says otherwise.
pub const IDLE_LIMIT: Duration = Duration::from_secs(300);

/// What a reader is given when its stream opens.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Head<'a> {
    request_id: &'a str,
    provider: &'a str,
    model: &'a str,
    figures: GatewayResponse,
    #[serde(flatten)]
    route: Option<&'a RouteHead>,
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

/// Figures of a stream; the JS layer has gathered the text from the chunks.
fn without_text(mut figures: GatewayResponse) -> GatewayResponse {
    figures.answer.content.clear();
    figures
}

/// Delivers `stream` to the reader of call `id` until it ends, fails, or is closed.
pub async fn drive(
    mut stream: GatewayStream,
    id: u32,
    call: Arc<Call>,
    calls: Arc<Calls>,
    observer: Arc<CallObserver>,
    idle_limit: Duration,
    route: Option<RouteHead>,
) {
    let head = Head {
        request_id: stream.request_id(),
        provider: stream.provider(),
        model: stream.model(),
        figures: without_text(stream.summary()),
        route: route.as_ref(),
    };
    calls.outbox.send(&message::StreamOpen { call: id, head });
    let watched = call.clone();
    let watch = tokio::spawn(async move { watched.flow.watch_idle(idle_limit).await });
    let end = deliver(&mut stream, id, &call, &calls).await;
    watch.abort();
    calls.outbox.send(&message::StreamEnd {
        call: id,
        figures: without_text(stream.summary()),
        error: end.as_ref().err().map(Payload),
        log: observer.take_log(),
    });
}

async fn deliver(stream: &mut GatewayStream, id: u32, call: &Call, calls: &Calls) -> Result<(), Failure> {
    let flow = &call.flow;
    let mut events: Vec<StreamEvent> = Vec::new();
    loop {
        let signals = flow.take_signals();
        if signals.closed() {
            stream.close(CloseReason::ReaderLeft).await;
            return Ok(());
        }
        if signals.idle() {
            stream.close(CloseReason::ReaderLeft).await;
            let idle = GatewayError::aborted("nobody has read the stream for its idle limit");
            return Err(idle.with_request_id(stream.request_id()).into());
        }
        if signals.usage_requested() {
            let figures = without_text(stream.figures_so_far().await);
            calls.outbox.send(&message::StreamUsage { call: id, figures });
        }
        // A call that is cancelled learns so from its stream, which settles.
        if !flow.has_credit() && !call.cancel.is_cancelled() {
            tokio::select! {
                () = flow.changed() => {}
                () = call.cancel.cancelled() => {}
            }
            continue;
        }
        events.clear();
        let result = tokio::select! {
            biased;
            () = flow.changed() => continue,
            result = stream.next(&mut events) => result,
        };
        let batch = Batch::new(&events);
        if batch.len() > 0 {
            flow.spend(batch.len());
            let null_finish = batch.null_finish();
            calls.outbox.send(&message::StreamChunks { call: id, null_finish, chunks: &batch });
        }
        if !result? {
            return Ok(());
        }
    }
}
