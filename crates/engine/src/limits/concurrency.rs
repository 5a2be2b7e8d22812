//! Calls at once, and the queue of those that wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

/// At most so many calls at once. Further ones wait in a bounded queue and get permits in the order they came.
#[derive(Debug)]
pub struct ConcurrencyLimit {
    max: usize,
    queue: usize,
    /// Fair: a permit that is given back goes to the first in the queue, not to the next that asks.
    permits: Arc<Semaphore>,
    /// Calls that hold a permit or wait for one, together at most `max + queue`.
    inside: Arc<AtomicUsize>,
}

/// Why a call was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("{waiting} calls wait already")]
    QueueFull { waiting: usize },
    #[error("the deadline came first")]
    Deadline,
}

/// Lets one call run; returned when it is dropped.
#[derive(Debug)]
pub struct Permit {
    // In this order: a call is counted until its permit is free.
    _permit: OwnedSemaphorePermit,
    _entry: Entry,
}

/// One of those inside.
#[derive(Debug)]
struct Entry(Arc<AtomicUsize>);

impl Drop for Entry {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl ConcurrencyLimit {
    /// Calls that wait, by default.
    pub const QUEUE: usize = 1_000;

    /// `max`: calls at once, at least one; `queue`: calls that wait, in addition.
    pub fn new(max: usize, queue: usize) -> Self {
        let max = max.clamp(1, Semaphore::MAX_PERMITS);
        Self { max, queue, permits: Arc::new(Semaphore::new(max)), inside: Arc::default() }
    }

    /// A permit, at once or in turn. Dropping the future leaves the queue.
    pub async fn acquire(&self, deadline: Option<Instant>) -> Result<Permit, Refused> {
        let entry = self
            .enter(self.max.saturating_add(self.queue))
            .ok_or_else(|| Refused::QueueFull { waiting: self.waiting() })?;
        let in_time = |deadline: Instant| Instant::now() < deadline;
        let began_in_time = deadline.is_some_and(in_time);
        let permit = Arc::clone(&self.permits).acquire_owned();
        let permit = match deadline {
            None => permit.await,
            Some(deadline) => timeout_at(deadline, permit).await.map_err(|_| Refused::Deadline)?,
        };
        // The semaphore is never closed.
        let permit = permit.map_err(|_| Refused::Deadline)?;
        // A permit that was waited for and comes too late is the next one's.
        if began_in_time && !deadline.is_some_and(in_time) {
            return Err(Refused::Deadline);
        }
        Ok(Permit { _permit: permit, _entry: entry })
    }

    /// A permit, if one is free and no call waits for it.
    pub fn try_acquire(&self) -> Option<Permit> {
        let entry = self.enter(self.max)?;
        let permit = Arc::clone(&self.permits).try_acquire_owned().ok()?;
        Some(Permit { _permit: permit, _entry: entry })
    }

    fn enter(&self, most: usize) -> Option<Entry> {
        self.inside
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |inside| (inside < most).then_some(inside + 1))
            .ok()
            .map(|_| Entry(Arc::clone(&self.inside)))
    }

    /// Calls at once, at most.
    pub fn max(&self) -> usize {
        self.max
    }

    /// Permits that are held.
    pub fn in_flight(&self) -> usize {
        self.max - self.permits.available_permits().min(self.max)
    }

    /// Calls in the queue.
    pub fn waiting(&self) -> usize {
        // The two figures are read one after the other, and may not be of the same moment.
        self.inside.load(Ordering::Acquire).saturating_sub(self.in_flight()).min(self.queue)
    }
}

#[cfg(test)]
mod tests;
