//! Single flight: identical calls that are made while the first of them runs wait for its answer, and nothing else is
//! sent. The work runs in a task of its own and belongs to all waiters: any of them, the leader too, may leave it to the
//! others; when all have left, it is dropped.

mod answer;
mod stream;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

use super::CacheKey;
use gateway_model::error::{Failure, GatewayError};

pub use answer::{AnswerFlights, SharedAnswer};
pub use stream::{FlightStream, SharedStream, StreamFlights};

/// The shared result of a flight, which its waiters read.
pub trait Completion: Default + Send + Sync + 'static {
    /// Ends the flight for all, unless it has ended.
    fn fail(&self, failure: Failure);

    /// All have left, the last of them because its call was cancelled.
    fn abandon(&self) {}
}

/// Calls in flight, by their key.
pub struct Flights<S: Completion> {
    table: Arc<Table<S>>,
}

struct Table<S> {
    open: Mutex<HashMap<CacheKey, Flight<S>>>,
}

struct Flight<S> {
    shared: Arc<S>,
    /// Calls that wait for its result.
    waiters: usize,
    /// `None`: its leader has not begun.
    task: Option<AbortHandle>,
}

/// A caller's part in a flight.
pub enum Joined<S: Completion> {
    /// No identical call is in flight: this one does the work.
    Leader(Leader<S>),
    Follower(Follower<S>),
}

/// The duty to do the work. Dropping it fails all followers.
pub struct Leader<S: Completion> {
    waiter: Waiter<S>,
    flight_end: FlightEnd<S>,
}

/// A share in the result. Dropping it leaves the flight.
pub struct Follower<S: Completion> {
    waiter: Waiter<S>,
}

impl<S: Completion> Default for Flights<S> {
    fn default() -> Self {
        Self { table: Arc::new(Table { open: Mutex::default() }) }
    }
}

impl<S: Completion> Flights<S> {
    /// Joins the flight of this key, or begins one.
    pub fn join(&self, key: CacheKey) -> Joined<S> {
        match self.table.lock().entry(key) {
            Entry::Occupied(mut open) => {
                let flight = open.get_mut();
                flight.waiters += 1;
                Joined::Follower(Follower { waiter: self.waiter(key, &flight.shared) })
            }
            Entry::Vacant(free) => {
                let shared = Arc::new(S::default());
                free.insert(Flight { shared: shared.clone(), waiters: 1, task: None });
                Joined::Leader(Leader {
                    flight_end: FlightEnd {
                        table: self.table.clone(),
                        key,
                        shared: shared.clone(),
                        is_free: false,
                    },
                    waiter: self.waiter(key, &shared),
                })
            }
        }
    }

    /// Flights that have not ended.
    pub fn open(&self) -> usize {
        self.table.lock().len()
    }

    fn waiter(&self, key: CacheKey, shared: &Arc<S>) -> Waiter<S> {
        Waiter { table: self.table.clone(), key, shared: shared.clone(), caller: None }
    }
}

impl<S: Completion> Leader<S> {
    /// Names the token that cancels the leader's call.
    #[must_use]
    pub fn cancelled_by(mut self, caller: &CancellationToken) -> Self {
        self.waiter.caller = Some(caller.clone());
        self
    }

    /// Ends the flight before it has begun, for all who have joined.
    pub fn fail(mut self, failure: Failure) {
        self.flight_end.free();
        self.waiter.shared.fail(failure);
    }

    /// Runs the work in a task of its own.
    fn spawn<W>(self, work: impl FnOnce(FlightEnd<S>) -> W) -> Follower<S>
    where
        W: Future<Output = ()> + Send + 'static,
    {
        let Self { waiter, flight_end } = self;
        let task = tokio::spawn(work(flight_end)).abort_handle();
        waiter.table.with_flight(&waiter.key, &waiter.shared, |mut open| open.get_mut().task = Some(task));
        Follower { waiter }
    }
}

impl<S: Completion> Follower<S> {
    /// Names the token that cancels the follower's call.
    #[must_use]
    pub fn cancelled_by(mut self, caller: &CancellationToken) -> Self {
        self.waiter.caller = Some(caller.clone());
        self
    }
}

impl<S> Table<S> {
    /// Nothing under the lock runs foreign code, so that a panic leaves the table consistent.
    fn lock(&self) -> MutexGuard<'_, HashMap<CacheKey, Flight<S>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Unless it has ended: the key may be another flight's by now.
    fn with_flight<T>(
        &self,
        key: &CacheKey,
        shared: &Arc<S>,
        act: impl FnOnce(OccupiedFlight<'_, S>) -> T,
    ) -> Option<T> {
        match self.lock().entry(*key) {
            Entry::Occupied(open) if Arc::ptr_eq(&open.get().shared, shared) => Some(act(open)),
            _ => None,
        }
    }
}

type OccupiedFlight<'a, S> = std::collections::hash_map::OccupiedEntry<'a, CacheKey, Flight<S>>;

/// Counts a call as waiting, while it lives.
struct Waiter<S: Completion> {
    table: Arc<Table<S>>,
    key: CacheKey,
    shared: Arc<S>,
    /// Cancels its call; `None`: nobody can.
    caller: Option<CancellationToken>,
}

impl<S: Completion> Drop for Waiter<S> {
    fn drop(&mut self) {
        let left = self.table.with_flight(&self.key, &self.shared, |mut open| {
            open.get_mut().waiters -= 1;
            (open.get().waiters == 0).then(|| open.remove())
        });
        if let Some(task) = left.flatten().and_then(|flight| flight.task) {
            if self.caller.as_ref().is_some_and(CancellationToken::is_cancelled) {
                self.shared.abandon();
            }
            task.abort();
        }
    }
}

/// Ends the flight, also when the work panics or its runtime stops.
struct FlightEnd<S: Completion> {
    table: Arc<Table<S>>,
    key: CacheKey,
    shared: Arc<S>,
    is_free: bool,
}

impl<S: Completion> FlightEnd<S> {
    /// Frees the key: the next call begins a new flight. Waiters get the result afterwards.
    fn free(&mut self) {
        self.is_free = true;
        // Dropped outside of the lock.
        drop(self.table.with_flight(&self.key, &self.shared, |open| open.remove()));
    }
}

impl<S: Completion> Drop for FlightEnd<S> {
    fn drop(&mut self) {
        if !self.is_free {
            self.free();
            let error = if std::thread::panicking() {
                GatewayError::internal("the upstream call that this request shared (dedupe) panicked")
            } else {
                GatewayError::aborted("the upstream call that this request shared (dedupe) was cancelled")
            };
            self.shared.fail(error.into());
        }
    }
}

#[cfg(test)]
mod tests;
