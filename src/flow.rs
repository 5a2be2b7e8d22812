//! Back-pressure of a stream: how much its reader may still get, and what the reader wants.

use std::sync::atomic::{AtomicI64, AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// Chunks that may lie unread in JavaScript before the upstream is no longer read.
const WINDOW: i64 = 1024;

const CLOSED: u8 = 1;
const USAGE_REQUESTED: u8 = 2;
const IDLE: u8 = 4;

/// What has been signalled to a stream since it last looked.
#[derive(Clone, Copy)]
pub struct Signals(u8);

impl Signals {
    /// The reader wants no more of the stream.
    pub fn closed(self) -> bool {
        self.0 & CLOSED != 0
    }

    /// The reader wants to know the figures so far.
    pub fn usage_requested(self) -> bool {
        self.0 & USAGE_REQUESTED != 0
    }

    /// Nobody has read the stream for its idle limit.
    pub fn idle(self) -> bool {
        self.0 & IDLE != 0
    }
}

/// Shared by a stream and its reader.
pub struct Flow {
    /// Chunks that the reader may still be given.
    credit: AtomicI64,
    signals: AtomicU8,
    changed: Notify,
    /// When the reader last took something, or was given something after it had taken all.
    last_read: Mutex<Instant>,
}

impl Default for Flow {
    fn default() -> Self {
        Self {
            credit: AtomicI64::new(WINDOW),
            signals: AtomicU8::new(0),
            changed: Notify::new(),
            last_read: Mutex::new(Instant::now()),
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
    pub fn close(&self) {
        self.raise(CLOSED);
    }

    /// The reader wants to know the figures so far.
    pub fn request_usage(&self) {
        self.raise(USAGE_REQUESTED);
    }

    fn raise(&self, signal: u8) {
        self.signals.fetch_or(signal, Ordering::SeqCst);
        self.changed.notify_one();
    }

    /// The signals raised since the last time.
    pub fn take_signals(&self) -> Signals {
        Signals(self.signals.swap(0, Ordering::SeqCst))
    }

    pub fn has_credit(&self) -> bool {
        self.credit.load(Ordering::SeqCst) > 0
    }

    /// Resolves when there is a signal, or credit again.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// The reader is given `chunks`.
    pub fn spend(&self, chunks: usize) {
        let before = self.credit.fetch_sub(i64::try_from(chunks).unwrap_or(i64::MAX), Ordering::SeqCst);
        if before == WINDOW {
            self.touch();
        }
    }

    fn touch(&self) {
        *self.last_read.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Signals that the stream is idle once chunks have lain unread for `limit`.
    pub async fn watch_idle(&self, limit: Duration) {
        loop {
            let unread = self.credit.load(Ordering::SeqCst) < WINDOW;
            let last_read = *self.last_read.lock().unwrap_or_else(PoisonError::into_inner);
            let since = if unread { last_read } else { Instant::now() };
            let Some(until) = since.checked_add(limit) else { return };
            if unread && until <= Instant::now() {
                return self.raise(IDLE);
            }
            tokio::time::sleep_until(until).await;
        }
    }
}
