//! Messages to JavaScript. Calls on every thread append; one wake of the JavaScript thread takes all there is.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use napi::bindgen_prelude::{Function, ToNapiValue};
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi::{Env, Status, sys};
use serde::Serialize;
use tokio::sync::Notify;

use super::runtime::runtime;

type Deliver = ThreadsafeFunction<(), (), Document, Status, false, true>;

/// The way to one JavaScript thread.
pub struct Outbox {
    queue: Arc<Queue>,
    deliver: Arc<Deliver>,
}

#[derive(Default)]
struct Queue {
    /// JSON values, a comma before each.
    pending: Mutex<Vec<u8>>,
    /// The buffer of the delivery before, to be filled next.
    spare: Mutex<Vec<u8>>,
    wanted: Notify,
}

/// Buffers that a burst has made larger than this are not kept.
const KEPT_BUFFER: usize = 1024 * 1024;

/// All that is pending when it crosses the border, as a JSON array.
struct Document(Arc<Queue>);

impl ToNapiValue for Document {
    #[allow(unsafe_code, reason = "the trait's own; a String would cost each delivery a buffer")]
    unsafe fn to_napi_value(env: sys::napi_env, document: Self) -> napi::Result<sys::napi_value> {
        let queue = document.0;
        let mut spare = queue.spare.lock().unwrap_or_else(PoisonError::into_inner);
        let empty = std::mem::take(&mut *spare);
        let mut text =
            std::mem::replace(&mut *queue.pending.lock().unwrap_or_else(PoisonError::into_inner), empty);
        match text.first_mut() {
            Some(comma) => *comma = b'[',
            None => text.push(b'['),
        }
        text.push(b']');
        // serde_json writes UTF-8.
        let value = std::str::from_utf8(&text).unwrap_or("[]");
        // SAFETY: called by napi on the thread of `env`.
        let value = unsafe { <&str as ToNapiValue>::to_napi_value(env, value) };
        text.clear();
        if text.capacity() <= KEPT_BUFFER {
            *spare = text;
        }
        value
    }
}

impl Outbox {
    /// `deliver` is called with a JSON array of messages.
    pub fn new(deliver: Function<'_, String, ()>) -> napi::Result<Self> {
        let queue = Arc::<Queue>::default();
        let drained = queue.clone();
        let deliver = deliver
            .build_threadsafe_function::<()>()
            .weak::<true>()
            .build_callback(move |_| Ok(Document(drained.clone())))?;
        let deliver = Arc::new(deliver);
        runtime()?.spawn(wake(Arc::downgrade(&queue), Arc::downgrade(&deliver)));
        Ok(Self { queue, deliver })
    }

    /// Sends one message: a value that serialises to a JSON array.
    pub fn send(&self, message: &impl Serialize) {
        {
            let mut pending = self.queue.pending.lock().unwrap_or_else(PoisonError::into_inner);
            let before = pending.len();
            pending.push(b',');
            if serde_json::to_writer(&mut *pending, message).is_err() {
                pending.truncate(before);
            }
            if before > 0 {
                // Whoever appended first has asked for the wake.
                return;
            }
        }
        self.queue.wanted.notify_one();
    }

    /// Whether messages to come keep the process alive.
    #[allow(
        unsafe_code,
        reason = "napi's own refer() needs the function exclusively, while calls are sending"
    )]
    pub fn keep_alive(&self, env: &Env, alive: bool) {
        let raw = self.deliver.raw();
        if raw.is_null() || self.deliver.aborted() {
            return;
        }
        // SAFETY: on the thread of `env`, with a function that is alive as long as `self`.
        unsafe {
            if alive {
                sys::napi_ref_threadsafe_function(env.raw(), raw);
            } else {
                sys::napi_unref_threadsafe_function(env.raw(), raw);
            }
        }
    }
}

/// Wakes the JavaScript thread when there are messages; but first lets the runtime do what is ready to be done, so that
/// one wake serves many calls.
async fn wake(queue: Weak<Queue>, deliver: Weak<Deliver>) {
    loop {
        let Some(waiting) = queue.upgrade() else { return };
        waiting.wanted.notified().await;
        drop(waiting);
        tokio::task::yield_now().await;
        let Some(deliver) = deliver.upgrade() else { return };
        deliver.call((), ThreadsafeFunctionCallMode::NonBlocking);
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.queue.wanted.notify_one();
    }
}
