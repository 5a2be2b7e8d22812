//! Calls of custom providers that JavaScript has not answered yet, each with a way back to who waits for it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::{mpsc, oneshot};

use gateway_model::error::Keeper;

/// What a custom provider threw.
pub struct Thrown {
    /// `{message, kind?, code?, upstreamStatus?, retryAfterMs?}`
    pub json: String,
    /// The JS layer's number for what was thrown; 0: it is nothing that it keeps.
    pub id: u32,
    pub keeper: Option<Keeper>,
}

/// JSON of an answer.
pub type AnswerReply = Result<String, Thrown>;

/// What a custom stream gives next.
pub enum StreamPart {
    /// JSON of an array of chunks.
    Chunks(String),
    /// It has ended; JSON of its usage, or `null`.
    End(String),
}

pub type StreamReply = Result<StreamPart, Thrown>;

enum Waiter {
    Answer(oneshot::Sender<AnswerReply>),
    Stream(mpsc::UnboundedSender<StreamReply>),
}

#[derive(Default)]
pub struct PendingCalls {
    next: AtomicU32,
    waiters: Mutex<HashMap<u32, Waiter>>,
}

impl PendingCalls {
    fn waiters(&self) -> std::sync::MutexGuard<'_, HashMap<u32, Waiter>> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn insert(&self, waiter: Waiter) -> u32 {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.waiters().insert(id, waiter);
        id
    }

    /// A call that gets one answer, by its id. The receiver fails once the JavaScript thread stops.
    pub fn expect_answer(&self) -> (u32, oneshot::Receiver<AnswerReply>) {
        let (sender, receiver) = oneshot::channel();
        (self.insert(Waiter::Answer(sender)), receiver)
    }

    /// A call that gets parts of a stream, by its id. The receiver ends once the JavaScript thread stops.
    pub fn expect_stream(&self) -> (u32, mpsc::UnboundedReceiver<StreamReply>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (self.insert(Waiter::Stream(sender)), receiver)
    }

    /// Nobody waits for this call any more.
    pub fn forget(&self, id: u32) {
        self.waiters().remove(&id);
    }

    /// Nobody will answer any more: the JavaScript thread stops.
    pub fn abandon(&self) {
        self.waiters().clear();
    }

    /// The call's last reply: an answer, or the usage at a stream's end.
    pub fn complete(&self, id: u32, json: String) {
        self.settle(id, Ok(json));
    }

    /// The call has thrown.
    pub fn fail(&self, id: u32, thrown: Thrown) {
        self.settle(id, Err(thrown));
    }

    fn settle(&self, id: u32, reply: Result<String, Thrown>) {
        // Where nobody waits any more, the reply is for nobody.
        match self.waiters().remove(&id) {
            Some(Waiter::Answer(sender)) => drop(sender.send(reply)),
            Some(Waiter::Stream(sender)) => drop(sender.send(reply.map(StreamPart::End))),
            None => {}
        }
    }

    /// Takes chunks of a stream; false once nobody reads them.
    pub fn push_chunks(&self, id: u32, json: String) -> bool {
        match self.waiters().get(&id) {
            Some(Waiter::Stream(sender)) => sender.send(Ok(StreamPart::Chunks(json))).is_ok(),
            Some(Waiter::Answer(_)) | None => false,
        }
    }
}
