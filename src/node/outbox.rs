//! Messages to JavaScript. Calls on every thread append; one wake of the JavaScript thread takes all there is.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use napi::bindgen_prelude::Function;
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi::{Env, Status, sys};
use serde::Serialize;

type Deliver = ThreadsafeFunction<(), (), String, Status, false, true>;

/// The way to one JavaScript thread.
pub struct Outbox {
    queue: Arc<Queue>,
    deliver: Deliver,
}

#[derive(Default)]
struct Queue {
    /// JSON values, a comma before each.
    pending: Mutex<Vec<u8>>,
    /// A wake is on its way.
    armed: AtomicBool,
}

impl Queue {
    fn take(&self) -> String {
        // Disarm first: what is appended from here on asks for a wake of its own.
        self.armed.store(false, Ordering::SeqCst);
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let capacity = pending.len();
        let mut document = std::mem::replace(&mut *pending, Vec::with_capacity(capacity.min(64 * 1024)));
        drop(pending);
        match document.first_mut() {
            Some(comma) => *comma = b'[',
            None => document.push(b'['),
        }
        document.push(b']');
        // serde_json writes UTF-8.
        String::from_utf8(document).unwrap_or_else(|_| String::from("[]"))
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
            .build_callback(move |_| Ok(drained.take()))?;
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
                return;
            }
        }
        if !self.queue.armed.swap(true, Ordering::SeqCst) {
            self.deliver.call((), ThreadsafeFunctionCallMode::NonBlocking);
        }
    }

    /// Whether messages to come keep the process alive.
    #[allow(unsafe_code, reason = "napi's own refer() needs the function exclusively, while calls are sending")]
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
