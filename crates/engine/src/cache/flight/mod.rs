//! Single flight: identical calls that are made while the first of them runs wait for its answer, and nothing else is
//! sent. The work runs in a task of its own and belongs to all who wait for it: whoever leaves, the first one too,
//! leaves the others to it, and when all have left it is dropped.

mod answer;
mod stream;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::AbortHandle;

use super::CacheKey;
use gateway_model::error::{Failure, GatewayError};

pub use answer::AnswerFlights;
pub use stream::{FlightStream, StreamFlights};

/// What those who share a flight look at.
pub trait Shared: Default + Send + Sync + 'static {
    /// Ends the flight for all, unless it has ended.
    fn fail(&self, failure: Failure);
}

/// Calls in flight, by their key.
pub struct Flights<S: Shared> {
    table: Arc<Table<S>>,
}

struct Table<S> {
    open: Mutex<HashMap<CacheKey, Flight<S>>>,
}

struct Flight<S> {
    shared: Arc<S>,
    /// Callers that want its end.
    seats: usize,
    /// `None`: its leader has not begun.
    task: Option<AbortHandle>,
}

/// A caller's part in a flight.
pub enum Joined<S: Shared> {
    /// Nobody does this yet: the caller is to do it.
    Leader(Lead<S>),
    Follower(Follow<S>),
}

/// The duty to do the work. Dropping it fails all who have joined since.
pub struct Lead<S: Shared> {
    seat: Seat<S>,
    landing: Landing<S>,
}

/// A share in what the work gives. Dropping it leaves the flight.
pub struct Follow<S: Shared> {
    seat: Seat<S>,
}

impl<S: Shared> Default for Flights<S> {
    fn default() -> Self {
        Self { table: Arc::new(Table { open: Mutex::default() }) }
    }
}

impl<S: Shared> Flights<S> {
    /// Joins the flight of this key, or begins one.
    pub fn join(&self, key: CacheKey) -> Joined<S> {
        match self.table.lock().entry(key) {
            Entry::Occupied(mut open) => {
                let flight = open.get_mut();
                flight.seats += 1;
                Joined::Follower(Follow { seat: self.seat(key, &flight.shared) })
            }
            Entry::Vacant(free) => {
                let shared = Arc::new(S::default());
                free.insert(Flight { shared: shared.clone(), seats: 1, task: None });
                Joined::Leader(Lead {
                    landing: Landing {
                        table: self.table.clone(),
                        key,
                        shared: shared.clone(),
                        has_landed: false,
                    },
                    seat: self.seat(key, &shared),
                })
            }
        }
    }

    /// Flights that have not ended.
    pub fn open(&self) -> usize {
        self.table.lock().len()
    }

    fn seat(&self, key: CacheKey, shared: &Arc<S>) -> Seat<S> {
        Seat { table: self.table.clone(), key, shared: shared.clone() }
    }
}

impl<S: Shared> Lead<S> {
    /// Ends the flight before it has begun, for all who have joined.
    pub fn fail(mut self, failure: Failure) {
        self.landing.free();
        self.seat.shared.fail(failure);
    }

    /// Runs the work in a task of its own.
    fn spawn<W>(self, work: impl FnOnce(Landing<S>) -> W) -> Follow<S>
    where
        W: Future<Output = ()> + Send + 'static,
    {
        let Self { seat, landing } = self;
        let task = tokio::spawn(work(landing)).abort_handle();
        seat.table.with_flight(&seat.key, &seat.shared, |mut open| open.get_mut().task = Some(task));
        Follow { seat }
    }
}

impl<S> Table<S> {
    /// Nothing under the lock runs code of others, so that what a panic left behind is whole.
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

/// A caller is counted while it has one.
struct Seat<S> {
    table: Arc<Table<S>>,
    key: CacheKey,
    shared: Arc<S>,
}

impl<S> Drop for Seat<S> {
    fn drop(&mut self) {
        let left = self.table.with_flight(&self.key, &self.shared, |mut open| {
            open.get_mut().seats -= 1;
            (open.get().seats == 0).then(|| open.remove())
        });
        if let Some(task) = left.flatten().and_then(|flight| flight.task) {
            task.abort();
        }
    }
}

/// Ends the flight, also when the work panics or its runtime stops.
struct Landing<S: Shared> {
    table: Arc<Table<S>>,
    key: CacheKey,
    shared: Arc<S>,
    has_landed: bool,
}

impl<S: Shared> Landing<S> {
    /// Frees the key: who comes now begins anew. What the flight came to is told afterwards.
    fn free(&mut self) {
        self.has_landed = true;
        // Dropped outside of the lock.
        drop(self.table.with_flight(&self.key, &self.shared, |open| open.remove()));
    }
}

impl<S: Shared> Drop for Landing<S> {
    fn drop(&mut self) {
        if !self.has_landed {
            self.free();
            let error = if std::thread::panicking() {
                GatewayError::internal("the call that was shared panicked")
            } else {
                GatewayError::aborted("the call that it shared was given up")
            };
            self.shared.fail(error.into());
        }
    }
}

#[cfg(test)]
mod tests;
