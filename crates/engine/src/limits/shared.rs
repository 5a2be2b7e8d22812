//! Limits of callers that nodes share: rates as token buckets of the state, calls at once as leases of a counter.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::state::{
    Counter, CounterState, CounterWindow, Exchange, GrantRule, LAPSE, LeaseRequest, RENEWAL, StateStore,
    StoreError, Take, Taken, digest,
};

/// The state that limits are counted in.
#[derive(Clone)]
pub struct SharedState {
    pub store: Arc<dyn StateStore>,
    pub node: Arc<str>,
}

/// Between the end of a call and the giving back of what it held: the next call of the same caller may come at once.
const GIVE_BACK: Duration = Duration::from_millis(20);

/// A key of the state for a limit and a value, which may be long and is the caller's own.
pub fn key(kind: &str, limit: &str, value: &str) -> Arc<str> {
    format!("{kind}:{}", digest(&[limit, value])).into()
}

impl SharedState {
    /// Takes from all buckets, or from none. The index of the take that was refused, and why.
    pub async fn take_all(&self, takes: &[Take]) -> Result<Result<(), (usize, Taken)>, StoreError> {
        let taken = self.store.take(takes).await?;
        let refused = taken.iter().position(|taken| *taken != Taken::All);
        let Some(index) = refused else { return Ok(Ok(())) };
        let given_back: Vec<Take> = takes
            .iter()
            .zip(&taken)
            .filter(|(_, taken)| **taken == Taken::All)
            .map(|(take, _)| Take {
                key: take.key.clone(),
                buckets: take.buckets.iter().map(|(quota, amount)| (*quota, -amount)).collect(),
            })
            .collect();
        if !given_back.is_empty() {
            // What cannot be given back is refilled within a minute.
            let _ = self.store.take(&given_back).await;
        }
        Ok(Err((index, taken[index])))
    }
}

/// Calls at once of each value of one limit, over all nodes.
#[derive(Default)]
pub struct SharedCalls {
    by_value: Mutex<HashMap<Box<str>, Arc<Calls>>>,
}

/// The calls of one value: those of this node, and what it holds for them.
struct Calls {
    state: SharedState,
    counter: Counter,
    max: i64,
    lease: Mutex<Lease>,
    /// An exchange has ended.
    changed: Notify,
    /// A call has ended.
    ended: Notify,
}

#[derive(Default)]
struct Lease {
    in_flight: i64,
    held: i64,
    renewed: Option<Instant>,
    /// An exchange is under way.
    busy: bool,
    /// A task looks after it.
    tended: bool,
}

/// One of the calls that may run at once. Dropped when it ends.
pub struct SharedPermit(Arc<Calls>);

impl SharedCalls {
    /// A permit for a call under `value`; `None`: as many as may run at once do so.
    pub async fn acquire(
        self: &Arc<Self>,
        state: &SharedState,
        limit: &str,
        value: &str,
        max: u64,
    ) -> Result<Option<SharedPermit>, StoreError> {
        let calls = {
            let mut by_value = locked(&self.by_value);
            let new = || {
                Arc::new(Calls {
                    state: state.clone(),
                    counter: Counter {
                        key: key("calls", limit, value),
                        window: CounterWindow::Rolling { length_ms: 60_000 },
                    },
                    max: i64::try_from(max).unwrap_or(i64::MAX),
                    lease: Mutex::default(),
                    changed: Notify::new(),
                    ended: Notify::new(),
                })
            };
            by_value.entry(value.into()).or_insert_with(new).clone()
        };
        let permit = calls.acquire().await?;
        if permit.is_some() && calls.needs_tending() {
            tokio::spawn(tend(calls, self.clone(), value.into()));
        }
        Ok(permit)
    }
}

impl Calls {
    async fn acquire(self: &Arc<Self>) -> Result<Option<SharedPermit>, StoreError> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let is_others_turn = {
                let mut lease = locked(&self.lease);
                if lease.in_flight < lease.held() {
                    lease.in_flight += 1;
                    return Ok(Some(SharedPermit(self.clone())));
                }
                std::mem::replace(&mut lease.busy, true)
            };
            if is_others_turn {
                changed.await;
                continue;
            }
            let state = self.exchange(1).await?;
            let mut lease = locked(&self.lease);
            if lease.in_flight < lease.held() {
                lease.in_flight += 1;
                return Ok(Some(SharedPermit(self.clone())));
            }
            // What is free went to others meanwhile.
            if state.spent[0] + state.held_by_others[0] + lease.in_flight >= self.max {
                return Ok(None);
            }
        }
    }

    /// Asks for a lease for the calls in flight and `more`. The caller has made the lease busy.
    async fn exchange(&self, more: i64) -> Result<CounterState, StoreError> {
        let _free = Free(self);
        let in_flight = locked(&self.lease).in_flight;
        let figures = |calls: i64| [calls, 0, 0, 0];
        let lease = LeaseRequest {
            keep: figures(in_flight),
            want: figures(in_flight + more),
            spare: figures(0),
            rule: GrantRule::Within([Some(self.max), None, None, None]),
        };
        let began = Instant::now();
        let step = Exchange { counter: self.counter.clone(), spent: None, lease: Some(lease) };
        let states = self.state.store.exchange(&self.state.node, &[step]).await?;
        let state = states.first().copied().unwrap_or_default();
        let mut lease = locked(&self.lease);
        lease.held = state.held[0];
        lease.renewed = Some(began);
        Ok(state)
    }

    /// True once: the caller has to see to it.
    fn needs_tending(&self) -> bool {
        !std::mem::replace(&mut locked(&self.lease).tended, true)
    }
}

impl Lease {
    fn held(&self) -> i64 {
        if self.renewed.is_some_and(|at| at.elapsed() < LAPSE) { self.held } else { 0 }
    }
}

/// Lets others ask when an exchange is over, however it ends.
struct Free<'a>(&'a Calls);

impl Drop for Free<'_> {
    fn drop(&mut self) {
        locked(&self.0.lease).busy = false;
        self.0.changed.notify_waiters();
    }
}

impl Drop for SharedPermit {
    fn drop(&mut self) {
        locked(&self.0.lease).in_flight -= 1;
        self.0.ended.notify_one();
    }
}

/// Renews the lease while calls run, and gives back what they no longer need, until nothing is held.
async fn tend(calls: Arc<Calls>, all: Arc<SharedCalls>, value: Box<str>) {
    loop {
        let _ = timeout(RENEWAL, calls.ended.notified()).await;
        sleep(GIVE_BACK).await;
        let is_free = !std::mem::replace(&mut locked(&calls.lease).busy, true);
        if is_free {
            // A store that is away lets the lease lapse.
            let _ = calls.exchange(0).await;
        }
        let mut by_value = locked(&all.by_value);
        let mut lease = locked(&calls.lease);
        // Nobody else has it: two of them would take each other's lease away.
        if lease.in_flight == 0 && lease.held() == 0 && Arc::strong_count(&calls) == 2 {
            lease.tended = false;
            by_value.remove(&value);
            return;
        }
    }
}

fn locked<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}
