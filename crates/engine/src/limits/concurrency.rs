//! Calls at once, and the queue of those that wait.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::fair_queue::FairQueue;

/// At most so many calls at once. Further ones wait in a bounded queue; permits go round the users that wait, and to each
/// user's calls in the order they came.
#[derive(Debug)]
pub struct ConcurrencyLimit {
    max: usize,
    /// Calls of one user that wait, at most.
    queue: usize,
    shared: Arc<Shared>,
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
pub struct Permit(Option<Arc<Shared>>);

#[derive(Debug)]
struct Shared(Mutex<State>);

/// While calls wait, no permit is free.
#[derive(Debug, Default)]
struct State {
    /// Permits that are held, or on their way to a call that waits.
    in_flight: usize,
    queue: FairQueue<oneshot::Sender<Permit>>,
}

/// A call's place in the queue. Dropped, it is given up; a permit that was on its way goes to the next.
struct Waiting {
    user: Arc<str>,
    permit: oneshot::Receiver<Permit>,
    shared: Arc<Shared>,
}

impl ConcurrencyLimit {
    /// Calls of one user that wait, by default.
    pub const QUEUE: usize = 1_000;

    /// Users that may fill their part of the queue before calls of yet another are refused.
    const FULL_PARTS: usize = 10;

    /// `max`: calls at once, at least one; `queue`: calls of one user that wait, in addition, and ten times as many of all
    /// users together.
    pub fn new(max: usize, queue: usize) -> Self {
        Self { max: max.max(1), queue, shared: Arc::new(Shared(Mutex::default())) }
    }

    /// A permit, at once or in turn. Calls without a user are one common user's. Dropping the future leaves the queue.
    pub async fn acquire(&self, user: Option<&str>, deadline: Option<Instant>) -> Result<Permit, Refused> {
        let in_time = |deadline: Instant| Instant::now() < deadline;
        let began_in_time = deadline.is_some_and(in_time);
        let mut waiting = match self.permit_or_place(user.unwrap_or_default())? {
            Ok(permit) => return Ok(permit),
            Err(waiting) => waiting,
        };
        let permit = match deadline {
            None => (&mut waiting.permit).await,
            Some(deadline) => {
                timeout_at(deadline, &mut waiting.permit).await.map_err(|_| Refused::Deadline)?
            }
        };
        // Its sender is only dropped once this call has left the queue.
        let permit = permit.map_err(|_| Refused::Deadline)?;
        // A permit that was waited for and comes too late is the next one's.
        if began_in_time && !deadline.is_some_and(in_time) {
            return Err(Refused::Deadline);
        }
        Ok(permit)
    }

    /// A permit, if one is free.
    pub fn try_acquire(&self) -> Option<Permit> {
        let mut state = self.shared.lock();
        self.take_free(&mut state)
    }

    fn take_free(&self, state: &mut State) -> Option<Permit> {
        (state.in_flight < self.max).then(|| {
            state.in_flight += 1;
            Permit(Some(Arc::clone(&self.shared)))
        })
    }

    fn permit_or_place(&self, user: &str) -> Result<Result<Permit, Waiting>, Refused> {
        let mut state = self.shared.lock();
        if let Some(permit) = self.take_free(&mut state) {
            return Ok(Ok(permit));
        }
        let (own, all) = (state.queue.len_of(user), state.queue.len());
        if own >= self.queue || all >= self.queue.saturating_mul(Self::FULL_PARTS) {
            return Err(Refused::QueueFull { waiting: own.max(if own < self.queue { all } else { own }) });
        }
        let (sender, permit) = oneshot::channel();
        let user = state.queue.push(user, sender);
        Ok(Err(Waiting { user, permit, shared: Arc::clone(&self.shared) }))
    }

    /// Calls at once, at most.
    pub fn max(&self) -> usize {
        self.max
    }

    /// Permits that are held.
    pub fn in_flight(&self) -> usize {
        self.shared.lock().in_flight
    }

    /// Calls in the queue.
    pub fn waiting(&self) -> usize {
        self.shared.lock().queue.len()
    }
}

impl Shared {
    /// Every change is complete before anything can panic.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let Some(shared) = self.0.take() else { return };
        let mut state = shared.lock();
        // Calls leave the queue under the lock: who is in it is still there to receive.
        while let Some(sender) = state.queue.pop(oneshot::Sender::is_closed) {
            match sender.send(Self(Some(Arc::clone(&shared)))) {
                Ok(()) => return,
                Err(mut unsent) => drop(unsent.0.take()),
            }
        }
        state.in_flight -= 1;
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.permit.is_terminated() {
            return;
        }
        let mut state = self.shared.lock();
        self.permit.close();
        match self.permit.try_recv() {
            // To be dropped without the lock.
            Ok(permit) => {
                drop(state);
                drop(permit);
            }
            Err(_) => state.queue.leave(&self.user, oneshot::Sender::is_closed),
        }
    }
}

#[cfg(test)]
mod tests;
