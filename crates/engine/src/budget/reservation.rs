//! What an admitted call reserves of the budgets.

use std::fmt;
use std::sync::Arc;

use super::amount::BudgetUsage;
use super::call::CallEstimate;
use super::guard::BudgetGuard;
use super::warning::BudgetWarning;
use crate::state::Charge;

/// An admitted call's reservation. If it is dropped without being settled, it is returned and nothing is recorded.
#[must_use = "dropping a reservation returns it"]
pub struct Reservation {
    guard: Arc<BudgetGuard>,
    call: Arc<dyn CallEstimate>,
    /// In the ledger; `None` if nothing is reserved there.
    active_call: Option<u64>,
    output_cap: Option<u64>,
    warnings: Vec<BudgetWarning>,
}

/// What settling a reservation came to.
#[derive(Debug, Default)]
#[must_use = "the warnings are to be printed, the charges passed on"]
pub struct Settled {
    /// One for each policy of which this reached the `warnAt` fraction of some limit.
    pub warnings: Vec<BudgetWarning>,
    /// What shared counters are charged; empty where counts live in this process alone.
    pub charges: Vec<Charge>,
}

impl Reservation {
    pub(super) fn new(
        guard: Arc<BudgetGuard>,
        call: Arc<dyn CallEstimate>,
        active_call: Option<u64>,
        output_cap: Option<u64>,
        warnings: Vec<BudgetWarning>,
    ) -> Self {
        Self { guard, call, active_call, output_cap, warnings }
    }

    /// The `max_tokens` to send upstream: set where a strict policy applies and the request has none of its own.
    pub fn output_cap(&self) -> Option<u64> {
        self.output_cap
    }

    /// One for each soft limit that was exceeded at admission.
    pub fn warnings(&self) -> &[BudgetWarning] {
        &self.warnings
    }

    /// Records what the call really used in place of what it reserved.
    pub fn settle(mut self, usage: BudgetUsage) -> Settled {
        self.learn_output(usage);
        self.close(Some(usage))
    }

    /// [`Reservation::settle`] for an attempt that was given up: its output says nothing about the model's answers.
    pub fn settle_given_up(mut self, usage: BudgetUsage) -> Settled {
        self.close(Some(usage))
    }

    fn learn_output(&self, usage: BudgetUsage) {
        let mut ledger = self.guard.ledger();
        if !ledger.accounts().is_empty() {
            ledger.output_stats.record(self.call.model(), usage.output_tokens);
        }
    }

    /// Returns the reservation and records `usage`, if there is any.
    fn close(&mut self, usage: Option<BudgetUsage>) -> Settled {
        let Some(id) = self.active_call.take() else { return Settled::default() };
        let now = self.guard.clock.now();
        let mut ledger = self.guard.ledger();
        let (ended, settled) = ledger.remove(id, usage, now);
        // What a call owns is freed without the lock.
        drop(ledger);
        drop(ended);
        settled
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        drop(self.close(None));
    }
}

impl fmt::Debug for Reservation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Reservation")
            .field("active_call", &self.active_call)
            .field("output_cap", &self.output_cap)
            .field("warnings", &self.warnings)
            .finish_non_exhaustive()
    }
}
