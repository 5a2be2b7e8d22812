//! What a call in flight holds of the budgets.

use std::fmt;
use std::sync::Arc;

use super::amount::{Amount, BudgetUsage};
use super::call::{CallEstimate, Estimate};
use super::guard::{BudgetGuard, State};
use gateway_model::config::Enforcement;

/// The policy that refused a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub policy: String,
    /// `[POLICY] REASON` for each limit found exceeded; the last is that of the refusal.
    pub warnings: Vec<String>,
}

/// A bucket that a call reserves in.
#[derive(PartialEq, Eq)]
pub(super) struct Hold {
    /// Of the policy whose bucket it is.
    pub slot: usize,
    pub key: Arc<str>,
    /// By which the held amount was chosen.
    pub enforcement: Enforcement,
}

/// A call in flight.
pub(super) struct Flight {
    pub call: Arc<dyn CallEstimate>,
    pub estimate: Estimate,
    pub holds: Vec<Hold>,
}

/// An admitted call's part of the budgets. Dropped without being settled, it is returned and nothing is recorded.
#[must_use = "dropping a reservation returns it"]
pub struct Reservation {
    guard: Arc<BudgetGuard>,
    call: Arc<dyn CallEstimate>,
    flight: Option<u64>,
    output_cap: Option<u64>,
    warnings: Vec<String>,
}

impl Reservation {
    pub(super) fn new(
        guard: Arc<BudgetGuard>,
        call: Arc<dyn CallEstimate>,
        flight: Option<u64>,
        output_cap: Option<u64>,
        warnings: Vec<String>,
    ) -> Self {
        Self { guard, call, flight, output_cap, warnings }
    }

    /// The `max_tokens` to send upstream: set where a strict policy applies and the request has none of its own.
    pub fn output_cap(&self) -> Option<u64> {
        self.output_cap
    }

    /// Counts what the call has used beside what it is settled with.
    pub fn record_further(&self, usage: BudgetUsage) {
        let Some(id) = self.flight else { return };
        let now = self.guard.clock.now();
        let mut state = self.guard.state();
        let State { flights, buckets, .. } = &mut *state;
        for hold in flights.get(&id).iter().flat_map(|flight| &flight.holds) {
            buckets[hold.slot].current(Arc::clone(&hold.key), now).spent += Amount::from(usage);
        }
    }

    /// `[POLICY] REASON` for each soft limit that was exceeded at admission.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Records what the call really used in place of what it held. Returns a warning for each policy of which this
    /// reached the `warnAt` fraction of some limit.
    #[must_use = "the warnings are to be printed"]
    pub fn settle(mut self, usage: BudgetUsage) -> Vec<String> {
        if !self.guard.is_empty() {
            self.guard.means().learn(self.call.model(), usage.output_tokens);
        }
        self.finish(Some(usage))
    }

    /// Takes the reservation off; `usage` comes in its place.
    fn finish(&mut self, usage: Option<BudgetUsage>) -> Vec<String> {
        let mut warnings = Vec::new();
        let Some(id) = self.flight.take() else { return warnings };
        let now = self.guard.clock.now();
        let policies = self.guard.policies();
        let mut state = self.guard.state();
        let flight = state.flights.remove(&id);
        for hold in flight.iter().flat_map(|flight| &flight.holds) {
            let buckets = &mut state.buckets[hold.slot];
            if let (Some(bucket), Some(Flight { estimate, .. })) = (buckets.get_mut(&hold.key), &flight) {
                bucket.release(estimate.under(hold.enforcement), estimate.counted);
            }
            if let Some(usage) = usage {
                let bucket = buckets.current(Arc::clone(&hold.key), now);
                let before = bucket.spent;
                bucket.spent += Amount::from(usage);
                let policy = policies.iter().find(|policy| policy.slot == hold.slot);
                let crossing =
                    policy.and_then(|policy| Some((policy, policy.limits.crossing(&before, &bucket.spent)?)));
                warnings.extend(crossing.map(|(policy, text)| policy.warning(&text)));
            }
        }
        // What a call owns is not ours to free under the lock.
        drop(state);
        drop(flight);
        warnings
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.finish(None);
    }
}

impl fmt::Debug for Reservation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Reservation")
            .field("flight", &self.flight)
            .field("output_cap", &self.output_cap)
            .field("warnings", &self.warnings)
            .finish_non_exhaustive()
    }
}
