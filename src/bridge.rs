//! What one JavaScript thread calls of its calls in flight.

use std::sync::{Arc, Once, Weak};

use napi::Env;
use napi::bindgen_prelude::Function;
use napi_derive::napi;

use super::calls::Calls;
use super::outbox::{Document, Outbox};
use super::pending_calls::Thrown;
use super::protocol::message;
use gateway_model::error::Keeper;
use gateway_pricing as pricing;

/// One JavaScript thread's side of the message protocol. Dropped with the thread, it cancels the thread's calls.
#[napi]
pub struct Bridge {
    pub(super) calls: Arc<Calls>,
}

#[napi]
impl Bridge {
    /// `wake` is called whenever there are messages to take.
    #[napi(constructor, catch_unwind)]
    pub fn new(wake: Function<'_, (), ()>) -> napi::Result<Self> {
        // Prices are needed by the first answer; reading them takes longer than a fast answer does.
        static PRICES: Once = Once::new();
        PRICES.call_once(|| {
            let _ = std::thread::Builder::new().name("ai-gateway-prices".into()).spawn(pricing::preload);
        });
        Ok(Self { calls: Arc::new(Calls::new(Outbox::new(wake)?)) })
    }

    /// The messages so far: a JSON array.
    #[napi(catch_unwind, ts_return_type = "string")]
    pub fn take(&self) -> Document {
        self.calls.outbox.take()
    }

    /// While calls are open, the process stays alive for their answers.
    #[napi(catch_unwind)]
    pub fn keep_alive(&self, env: Env, alive: bool) {
        self.calls.outbox.keep_alive(&env, alive);
    }

    /// The caller no longer wants the answer.
    #[napi(catch_unwind)]
    pub fn cancel(&self, call: u32) {
        if let Some(call) = self.calls.get(call) {
            call.cancel.cancel();
        }
    }

    /// The reader of a stream has taken `chunks` more.
    #[napi(catch_unwind)]
    pub fn resume(&self, call: u32, chunks: u32) {
        if let Some(call) = self.calls.get(call) {
            call.flow.resume(chunks);
        }
    }

    /// The reader of a stream wants no more of it.
    #[napi(catch_unwind)]
    pub fn close(&self, call: u32) {
        if let Some(call) = self.calls.get(call) {
            call.flow.close();
        }
    }

    /// The reader of a stream wants to know its figures so far.
    #[napi(catch_unwind)]
    pub fn request_usage(&self, call: u32) {
        if let Some(call) = self.calls.get(call) {
            call.flow.request_usage();
        }
    }

    /// A custom provider's answer, or its stream's usage at the end: JSON.
    #[napi(catch_unwind)]
    pub fn custom_done(&self, callback: u32, json: String) {
        self.calls.pending.complete(callback, json);
    }

    /// What a custom provider threw: `{message, kind?, code?, upstreamStatus?, retryAfterMs?}`, and the number by which the
    /// thrown object is kept until `forgetThrown` says that nobody refers to it; 0: nothing is kept.
    #[napi(catch_unwind)]
    pub fn custom_failed(&self, callback: u32, id: u32, json: String) {
        let kept = || Keeper(Arc::new(KeptThrown { calls: Arc::downgrade(&self.calls), id }));
        self.calls.pending.fail(callback, Thrown { json, id, keeper: (id != 0).then(kept) });
    }

    /// Chunks of a custom provider's stream; false once nobody reads them.
    #[napi(catch_unwind)]
    pub fn custom_chunks(&self, callback: u32, json: String) -> bool {
        self.calls.pending.push_chunks(callback, json)
    }
}

/// Something thrown that JavaScript keeps.
struct KeptThrown {
    calls: Weak<Calls>,
    id: u32,
}

impl Drop for KeptThrown {
    fn drop(&mut self) {
        if let Some(calls) = self.calls.upgrade() {
            calls.outbox.send(&message::ForgetThrown { id: self.id });
        }
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.calls.abandon();
    }
}
