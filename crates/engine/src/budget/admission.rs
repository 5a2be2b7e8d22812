//! Whether a call may start, given what is spent and what other calls hold.
//!
//! A call's prompt is counted only if that can make a difference: until then it is known by bounds, and a decision is
//! taken when either end of them leads to it.

use std::sync::Arc;
use std::time::Instant;

use super::call::{CallEstimate, Estimate, Outputs};
use super::guard::{BudgetGuard, GuardCheck, Policy, Scope, State};
use super::limits::{Subject, Verdict};
use super::reservation::{Flight, Hold, Refusal, Reservation};
use gateway_model::config::Enforcement;

enum Decision {
    Admitted {
        holds: Vec<Hold>,
        warnings: Vec<String>,
    },
    Refused(Refusal),
    /// The call has to be counted, and so have these calls in flight.
    Unsure(Vec<Uncounted>),
}

struct Uncounted {
    flight: u64,
    call: Arc<dyn CallEstimate>,
    outputs: Outputs,
}

impl BudgetGuard {
    /// Admits a call or refuses it.
    ///
    /// `hard` and `soft` policies look at what is spent and what other calls in flight hold; `strict` ones, and those
    /// of the window `request`, also at the call's own estimate. An admitted call holds its estimate until the
    /// reservation is settled or dropped.
    ///
    /// # Errors
    /// The first policy that refuses the call.
    pub fn admit(
        self: &Arc<Self>,
        scope: &Scope<'_>,
        call: Arc<dyn CallEstimate>,
    ) -> Result<Reservation, Refusal> {
        let policies = self.policies();
        if !policies.iter().any(|policy| policy.scope_key(scope).is_some()) {
            return Ok(Reservation::new(Arc::clone(self), call, None, None, Vec::new()));
        }
        let (outputs, output_cap) = self.outputs(&policies, scope, &*call);
        let take_off = |state: &mut State, estimate: Estimate, holds: Vec<Hold>, now: Instant| {
            (!holds.is_empty())
                .then(|| state.take_off(Flight { call: Arc::clone(&call), estimate, holds }, now))
        };
        let (flight, warnings) = self.decided(&policies, scope, &*call, outputs, take_off)?;
        Ok(Reservation::new(Arc::clone(self), call, flight, output_cap, warnings))
    }

    /// What [`BudgetGuard::admit`] would say at this moment. Nothing is held, and no window begins; calls in
    /// flight may have to be counted for it, as for an admission.
    pub fn would_admit(&self, scope: &Scope<'_>, call: &dyn CallEstimate) -> GuardCheck {
        let policies = self.policies();
        if !policies.iter().any(|policy| policy.scope_key(scope).is_some()) {
            return GuardCheck { allowed: true, warnings: Vec::new(), blocked_by: None };
        }
        let (outputs, _) = self.outputs(&policies, scope, call);
        match self.decided(&policies, scope, call, outputs, |_, _, _, _| ()) {
            Ok(((), warnings)) => GuardCheck { allowed: true, warnings, blocked_by: None },
            Err(Refusal { policy, warnings }) => {
                GuardCheck { allowed: false, warnings, blocked_by: Some(policy) }
            }
        }
    }

    /// Decides, counting what has to be. `admitted` is called before anything else can change what is held; beside what
    /// it gives, there are the warnings.
    fn decided<T>(
        &self,
        policies: &[Policy],
        scope: &Scope<'_>,
        call: &dyn CallEstimate,
        outputs: Outputs,
        admitted: impl FnOnce(&mut State, Estimate, Vec<Hold>, Instant) -> T,
    ) -> Result<(T, Vec<String>), Refusal> {
        let mut own = Estimate::cheap(call, outputs);
        let mut found: Vec<(u64, Estimate)> = Vec::new();
        loop {
            let now = self.clock.now();
            let mut state = self.state();
            for (flight, estimate) in found.drain(..) {
                state.replace(flight, estimate);
            }
            let uncounted = match decide(policies, &state, scope, &own, now) {
                Decision::Refused(refusal) => return Err(refusal),
                Decision::Unsure(uncounted) => uncounted,
                Decision::Admitted { holds, warnings } => {
                    return Ok((admitted(&mut state, own, holds, now), warnings));
                }
            };
            drop(state);
            if !own.counted {
                own = Estimate::counted(call, outputs);
            }
            let count = |other: &Uncounted| (other.flight, Estimate::counted(&*other.call, other.outputs));
            found.extend(uncounted.iter().map(count));
        }
    }

    /// The cap that a call gets which has no bound of its own: what [`Reservation::output_cap`] will say.
    pub fn output_cap(&self, scope: &Scope<'_>) -> Option<u64> {
        output_cap(&self.policies(), scope)
    }

    /// What output to reckon with, and the cap to send upstream where only a cap bounds it.
    fn outputs(
        &self,
        policies: &[Policy],
        scope: &Scope<'_>,
        call: &dyn CallEstimate,
    ) -> (Outputs, Option<u64>) {
        if let Some(max) = call.max_tokens() {
            return (Outputs { expected: max, bound: max }, None);
        }
        let cap = output_cap(policies, scope);
        let mean = self.means().of(call.model());
        let expected = cap.map_or(mean, |cap| mean.min(cap));
        (Outputs { expected, bound: cap.unwrap_or(expected) }, cap)
    }
}

/// The smallest one of the strict policies that apply.
fn output_cap(policies: &[Policy], scope: &Scope<'_>) -> Option<u64> {
    let strict = policies.iter().filter(|policy| policy.enforcement == Enforcement::Strict);
    strict.filter(|policy| policy.scope_key(scope).is_some()).map(|policy| policy.output_cap).min()
}

fn decide(policies: &[Policy], state: &State, scope: &Scope<'_>, own: &Estimate, now: Instant) -> Decision {
    let mut holds = Vec::new();
    let mut warnings = Vec::new();
    for policy in policies {
        let Some(name) = policy.scope_key(scope) else { continue };
        let asked = own.under(policy.enforcement);
        let (projected, hold) = match policy.subject {
            Subject::Request => (asked, None),
            Subject::Window => {
                let buckets = &state.buckets[policy.slot];
                let key = buckets.key(name);
                let held = buckets.held(&key, now);
                let strict = policy.enforcement == Enforcement::Strict;
                (
                    if strict { held + asked } else { held },
                    Some(Hold { slot: policy.slot, key, enforcement: policy.enforcement }),
                )
            }
        };
        match policy.limits.judge(policy.subject, &projected) {
            Verdict::Within => {}
            Verdict::Unsure => return Decision::Unsure(state.uncounted(hold.as_ref())),
            Verdict::Exceeded(metric) => {
                let reason = policy.limits.reason(policy.subject, metric, &projected.low);
                warnings.push(policy.warning(&reason));
                if policy.enforcement != Enforcement::Soft {
                    return Decision::Refused(Refusal { policy: policy.name.clone(), warnings });
                }
            }
        }
        holds.extend(hold);
    }
    Decision::Admitted { holds, warnings }
}

impl State {
    /// The calls in flight that hold an upper bound in the same bucket as `hold`.
    fn uncounted(&self, hold: Option<&Hold>) -> Vec<Uncounted> {
        let Some(hold) = hold else { return Vec::new() };
        let count = self.buckets[hold.slot].get(&hold.key).map_or(0, |bucket| bucket.uncounted);
        let flights = self.flights.iter();
        flights
            .filter(|(_, flight)| !flight.estimate.counted && flight.holds.contains(hold))
            .map(|(&id, flight)| Uncounted {
                flight: id,
                call: Arc::clone(&flight.call),
                outputs: flight.estimate.outputs,
            })
            .take(count)
            .collect()
    }

    /// Puts a counted estimate in place of bounds, unless the call has ended or was counted meanwhile.
    fn replace(&mut self, flight: u64, estimate: Estimate) {
        let Some(flight) = self.flights.get_mut(&flight).filter(|flight| !flight.estimate.counted) else {
            return;
        };
        for hold in &flight.holds {
            if let Some(bucket) = self.buckets[hold.slot].get_mut(&hold.key) {
                bucket.release(flight.estimate.under(hold.enforcement), false);
                bucket.hold(estimate.under(hold.enforcement), true);
            }
        }
        flight.estimate = estimate;
    }

    fn take_off(&mut self, flight: Flight, now: Instant) -> u64 {
        for hold in &flight.holds {
            let bucket = self.buckets[hold.slot].current(Arc::clone(&hold.key), now);
            bucket.hold(flight.estimate.under(hold.enforcement), flight.estimate.counted);
        }
        self.last_flight += 1;
        self.flights.insert(self.last_flight, flight);
        self.last_flight
    }
}
