//! The exchanges of a guard with the store of its counters.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::admission::Tried;
use super::call::CallEstimate;
use super::clock::Moment;
use super::decision::Refusal;
use super::guard::BudgetGuard;
use super::policy::Scope;
use super::reservation::Reservation;
use super::share::AsksFor;
use super::shared_ledger::{Pass, Want};
use crate::records::{ChargeSink, Kept, Recorder};
use crate::state::{Charge, CounterState, Exchange, StateStore, StoreError};
use gateway_model::config::OnStoreError;

/// What a call waits for the store, all in all.
const PATIENCE: Duration = Duration::from_millis(300);

/// Between two looks at what is due.
const TICK: Duration = Duration::from_millis(250);

/// Counters of one policy that a new gateway reads at its start.
const MOST_READ: usize = 10_000;

/// A guard's way to the store.
pub(super) struct Sharing {
    pub store: Arc<dyn StateStore>,
    node: Arc<str>,
    /// Hears how far charges have come.
    recorder: Option<Arc<dyn Recorder>>,
    /// There is something to pass on.
    wake: Notify,
    /// An exchange has ended.
    changed: Notify,
    /// Of charges that are in no journal.
    sequence: AtomicU64,
    /// The last number of charges that were handed over to be passed on.
    handed_over: AtomicU64,
}

impl Sharing {
    pub fn new(store: Arc<dyn StateStore>, node: Arc<str>, recorder: Option<Arc<dyn Recorder>>) -> Self {
        Self {
            store,
            node,
            recorder,
            wake: Notify::new(),
            changed: Notify::new(),
            sequence: AtomicU64::new(0),
            handed_over: AtomicU64::new(0),
        }
    }
}

impl BudgetGuard {
    /// Counts in a store that others share, from now on; [`BudgetGuard::keep_sharing`] has to run.
    pub fn share(&self, store: Arc<dyn StateStore>, node: Arc<str>, recorder: Option<Arc<dyn Recorder>>) {
        // A guard is shared once, when it is made.
        let _ = self.sharing.set(Arc::new(Sharing::new(store, node, recorder)));
        self.ledger().is_shared = true;
    }

    /// Whether counts are shared with other nodes.
    pub fn is_shared(&self) -> bool {
        self.sharing.get().is_some()
    }

    /// [`BudgetGuard::admit`], of a guard whose counters may have to be asked for.
    ///
    /// # Errors
    /// The first policy that refuses the call.
    pub async fn admit_shared(
        self: &Arc<Self>,
        scope: &Scope<'_>,
        call: &Arc<dyn CallEstimate>,
    ) -> Result<Reservation, Refusal> {
        // Counting a call for the first time takes a while, and says nothing of the store.
        let mut patience = PATIENCE;
        let mut pass = Pass::default();
        let mut asks_for = AsksFor::Waiting;
        loop {
            let wants = match self.try_admit(scope, call, &pass)? {
                Tried::Admitted(reservation) => return Ok(reservation),
                Tried::Waits(wants) => wants,
            };
            let Some(sharing) = self.sharing.get() else { continue };
            let began = Instant::now();
            let drawn = timeout(patience, sharing.draw(self, &wants, asks_for)).await;
            patience = patience.saturating_sub(began.elapsed());
            let error = match drawn {
                Ok(Ok(asked)) => {
                    if asked && pass.has_asked {
                        asks_for = AsksFor::One;
                    }
                    pass.has_asked |= asked;
                    continue;
                }
                Ok(Err(error)) => error,
                Err(_) => {
                    let message = format!("no answer within {} ms", PATIENCE.as_millis());
                    StoreError::away(sharing.store.name(), message)
                }
            };
            if wants.iter().any(|want| want.on_store_error == OnStoreError::FailClosed) {
                return Err(Refusal::of_store(&wants, error));
            }
            pass.store_is_away = true;
        }
    }

    /// Passes on to the state what shared counters are charged.
    pub(crate) fn charge(&self, charges: Vec<Charge>) {
        self.kept(&charges, &Kept::Rows);
    }

    /// Reads what counters stand at, so that [`BudgetGuard::standings`] says it from the start.
    pub async fn read_counters(self: &Arc<Self>) -> Result<(), StoreError> {
        let Some(sharing) = self.sharing.get() else { return Ok(()) };
        let prefixes = self.ledger().counter_prefixes(self.clock.now());
        for prefix in prefixes {
            let counters = sharing.store.counters(&sharing.node, &prefix, MOST_READ).await?;
            let now = self.clock.now();
            self.ledger().read(&prefix, counters, now);
        }
        Ok(())
    }

    /// Passes charges on, renews leases and gives idle ones back, for as long as the gateway runs.
    pub async fn keep_sharing(self: Arc<Self>) {
        let Some(sharing) = self.sharing.get().cloned() else { return };
        let mut has_read = false;
        loop {
            // What is woken for goes at once, all else with the next tick.
            let _ = timeout(TICK, sharing.wake.notified()).await;
            if sharing.store.is_away() {
                sleep(TICK).await;
                continue;
            }
            has_read = has_read || self.read_counters().await.is_ok();
            self.pass_on(&sharing).await;
        }
    }

    /// Passes on what there is, and gives back what is held; for `grace` at most. False: something is left.
    pub async fn settle_up(self: &Arc<Self>, grace: Duration) -> bool {
        let Some(sharing) = self.sharing.get().cloned() else { return true };
        let until = Instant::now() + grace;
        while self.ledger().owes() && Instant::now() < until {
            self.pass_on(&sharing).await;
            sleep(Duration::from_millis(5)).await;
        }
        let now = self.clock.now();
        self.ledger().retire(now);
        let _ = timeout_at(until.max(Instant::now() + TICK), self.pass_on(&sharing)).await;
        !self.ledger().owes()
    }

    async fn pass_on(self: &Arc<Self>, sharing: &Sharing) {
        loop {
            let now = self.clock.now();
            let steps = self.ledger().due_exchanges(now);
            if steps.is_empty() || sharing.exchange(self, &steps).await.is_err() {
                return;
            }
            sharing.tell_applied(self);
        }
    }
}

impl ChargeSink for BudgetGuard {
    fn kept(&self, charges: &[Charge], kept: &Kept) {
        let Some(sharing) = self.sharing.get() else { return };
        let now = self.clock.now();
        let mut ledger = self.ledger();
        // Numbered under the lock: a lower number that comes later would count as one that was passed on before.
        let sequence = match kept {
            Kept::Journaled { sequence } => *sequence,
            Kept::Rows | Kept::Applied(_) => sharing.sequence.fetch_add(1, Ordering::Relaxed) + 1,
        };
        let has_to_go = ledger.kept(charges, kept, sequence, now);
        drop(ledger);
        if matches!(kept, Kept::Journaled { .. }) {
            sharing.handed_over.fetch_max(sequence, Ordering::Release);
        }
        if has_to_go {
            sharing.wake.notify_one();
        }
    }
}

impl Sharing {
    /// Tells the journal how far charges have come.
    fn tell_applied(&self, guard: &BudgetGuard) {
        let Some(recorder) = &self.recorder else { return };
        let handed_over = self.handed_over.load(Ordering::Acquire);
        let owed = guard.ledger().oldest_owed();
        recorder.charges_applied(owed.map_or(handed_over, |owed| handed_over.min(owed.saturating_sub(1))));
    }

    /// Asks for what a call waits for, with what other calls wait for; false: others ask for it, and have been answered.
    async fn draw(
        &self,
        guard: &Arc<BudgetGuard>,
        wants: &[Want],
        asks_for: AsksFor,
    ) -> Result<bool, StoreError> {
        let changed = self.changed.notified();
        tokio::pin!(changed);
        changed.as_mut().enable();
        let _waiting = Waiting::begin(guard, wants);
        let now = guard.clock.now();
        let steps = guard.ledger().begin_exchanges(wants, asks_for, now);
        if steps.is_empty() {
            changed.await;
            return Ok(false);
        }
        self.exchange(guard, &steps).await?;
        Ok(true)
    }

    async fn exchange(&self, guard: &Arc<BudgetGuard>, steps: &[Exchange]) -> Result<(), StoreError> {
        let keys = steps.iter().map(|step| step.counter.key.clone()).collect();
        let mut under_way =
            UnderWay { guard, keys, states: None, began: guard.clock.now(), changed: &self.changed };
        under_way.states = Some(self.store.exchange(&self.node, steps).await?);
        Ok(())
    }
}

/// Exchanges that are under way. However that ends, the counters are free for others then.
struct UnderWay<'a> {
    guard: &'a BudgetGuard,
    keys: Vec<Arc<str>>,
    states: Option<Vec<CounterState>>,
    began: Moment,
    changed: &'a Notify,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.guard.ledger().end_exchanges(&self.keys, self.states.as_deref(), self.began);
        self.changed.notify_waiters();
    }
}

/// A call that waits.
struct Waiting<'a> {
    guard: &'a BudgetGuard,
    wants: &'a [Want],
}

impl<'a> Waiting<'a> {
    fn begin(guard: &'a BudgetGuard, wants: &'a [Want]) -> Self {
        guard.ledger().waits(wants, true);
        Self { guard, wants }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.guard.ledger().waits(self.wants, false);
    }
}
