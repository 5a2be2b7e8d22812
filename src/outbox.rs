//! Messages to JavaScript. Calls on every thread append; one wake of the JavaScript thread takes all there is.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use napi::bindgen_prelude::{Function, ToNapiValue};
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi::{Env, Status, sys};
use tokio::sync::Notify;

use super::errors::Payload;
use super::protocol::{Message, message};
use super::runtime::runtime;
use gateway_model::error::{Failure, GatewayError};

type WakeFunction = ThreadsafeFunction<(), (), (), Status, false, true>;

/// The way to one JavaScript thread.
pub struct Outbox {
    queue: Arc<Queue>,
    /// Calls JavaScript, which then takes the messages.
    wake: Arc<WakeFunction>,
}

#[derive(Default)]
struct Queue {
    /// JSON values, a comma before each.
    pending: Mutex<Vec<u8>>,
    /// The buffers of the delivery before, to be filled next.
    spare: Mutex<Spare>,
    wake_wanted: Notify,
}

impl Queue {
    fn pending(&self) -> MutexGuard<'_, Vec<u8>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Default)]
struct Spare {
    text: Vec<u8>,
    /// The text in UTF-16, where it is not ASCII.
    wide: Vec<u16>,
}

/// Buffers that a burst has made larger than this are not kept.
const KEPT_BUFFER: usize = 2 * 1024 * 1024;

/// All that is pending when it crosses the N-API boundary, as a JSON array.
///
/// JavaScript takes it by a call of its own: as an argument of the wake it would stay alive, in the wake's handle scope,
/// while all continuations of the calls it settles run, and survive the garbage collections in there.
pub struct Document(Arc<Queue>);

impl ToNapiValue for Document {
    #[allow(unsafe_code, reason = "the trait's own; a String would cost each delivery a buffer")]
    unsafe fn to_napi_value(env: sys::napi_env, document: Self) -> napi::Result<sys::napi_value> {
        let queue = document.0;
        let mut spare = queue.spare.lock().unwrap_or_else(PoisonError::into_inner);
        let empty = std::mem::take(&mut spare.text);
        let mut text = std::mem::replace(&mut *queue.pending(), empty);
        match text.first_mut() {
            Some(comma) => *comma = b'[',
            None => text.push(b'['),
        }
        text.push(b']');
        // SAFETY: called by napi on the thread of `env`.
        let value = unsafe { to_js_string(env, &text, &mut spare.wide) };
        text.clear();
        if text.capacity() <= KEPT_BUFFER {
            spare.text = text;
        } else {
            spare.wide = Vec::new();
        }
        value
    }
}

/// A JavaScript string of UTF-8 text. V8 copies Latin-1 and UTF-16, but decodes UTF-8, which takes it five times as long.
#[allow(unsafe_code, reason = "napi has no safe way to the strings' own encodings")]
unsafe fn to_js_string(
    env: sys::napi_env,
    text: &[u8],
    wide: &mut Vec<u16>,
) -> napi::Result<sys::napi_value> {
    let mut value = std::ptr::null_mut();
    let status = if text.is_ascii() {
        // SAFETY: pointer and length are those of `text`, which V8 copies.
        unsafe {
            sys::napi_create_string_latin1(
                env,
                text.as_ptr().cast(),
                text.len().cast_signed(),
                &raw mut value,
            )
        }
    } else {
        if wide.len() <= text.len() {
            wide.resize(text.len() + 1, 0);
        }
        let length = encoding_rs::mem::convert_utf8_to_utf16(text, wide);
        // SAFETY: `length` units of `wide` have been written; V8 copies them.
        unsafe { sys::napi_create_string_utf16(env, wide.as_ptr(), length.cast_signed(), &raw mut value) }
    };
    match Status::from(status) {
        Status::Ok => Ok(value),
        status => Err(napi::Error::from_status(status)),
    }
}

/// Appends a message to the buffer; leaves it as it was if the message cannot be written.
fn append(pending: &mut Vec<u8>, message: &impl Message) -> serde_json::Result<()> {
    let before = pending.len();
    pending.push(b',');
    serde_json::to_writer(&mut *pending, message).inspect_err(|_| pending.truncate(before))
}

/// Appends the failure of the call that a message was part of: it would wait for ever.
fn append_failure(pending: &mut Vec<u8>, call: u32, error: &serde_json::Error) {
    let problem = format!("a message could not be written as JSON ({error}); please report it");
    let failure = Failure::from(GatewayError::internal(&problem));
    // Nothing but text and numbers, which can be written.
    let _ = append(pending, &message::Failure { call, error: Payload(&failure), log: () });
}

impl Outbox {
    /// `wake` is called when there are messages to take.
    pub fn new(wake: Function<'_, (), ()>) -> napi::Result<Self> {
        let queue = Arc::<Queue>::default();
        let wake = Arc::new(wake.build_threadsafe_function::<()>().weak::<true>().build()?);
        runtime()?.spawn(wake_when_wanted(Arc::downgrade(&queue), Arc::downgrade(&wake)));
        Ok(Self { queue, wake })
    }

    /// Sends a message. If it cannot be written, its call fails instead.
    pub fn send(&self, message: &impl Message) {
        {
            let mut pending = self.queue.pending();
            let before = pending.len();
            if let Err(error) = append(&mut pending, message)
                && let Some(call) = message.call()
            {
                append_failure(&mut pending, call, &error);
            }
            if before > 0 || pending.is_empty() {
                // Whoever appended first has asked for the wake.
                return;
            }
        }
        self.queue.wake_wanted.notify_one();
    }

    /// Everything sent since the last time.
    pub fn take(&self) -> Document {
        Document(self.queue.clone())
    }

    /// Whether messages to come keep the process alive.
    #[allow(
        unsafe_code,
        reason = "napi's own refer() needs the function exclusively, while calls are sending"
    )]
    pub fn keep_alive(&self, env: &Env, alive: bool) {
        let raw = self.wake.raw();
        if raw.is_null() || self.wake.aborted() {
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
async fn wake_when_wanted(queue: Weak<Queue>, wake: Weak<WakeFunction>) {
    loop {
        let Some(waiting) = queue.upgrade() else { return };
        waiting.wake_wanted.notified().await;
        drop(waiting);
        tokio::task::yield_now().await;
        let Some(wake) = wake.upgrade() else { return };
        wake.call((), ThreadsafeFunctionCallMode::NonBlocking);
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.queue.wake_wanted.notify_one();
    }
}
