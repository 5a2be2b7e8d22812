//! Whether a call may start, given what was spent and what active calls reserve.
//!
//! A call's prompt is counted only if that can make a difference: until then bounds stand in for the count, and a decision
//! holds if both bounds lead to it.

use std::sync::Arc;

use super::amount::Range;
use super::call::{CallEstimate, Outputs, ReservationAmount};
use super::clock::Moment;
use super::decision::{Decision, GuardCheck, Refusal, decide};
use super::guard::BudgetGuard;
use super::ledger::{Account, Ledger, Uncounted};
use super::limits::Subject;
use super::policy::{Policy, Scope, UnpricedCall};
use super::reservation::Reservation;
use super::warning::{BudgetWarning, BudgetWarningKind};
use gateway_model::config::Enforcement;

/// Model names are the callers' input: no more than so many are warned of.
const MAX_UNPRICED: usize = 1_000;

impl BudgetGuard {
    /// Admits a call or refuses it.
    ///
    /// `hard` and `soft` policies look at what was spent and what other calls in flight reserve; `strict` ones, and those
    /// of the window `request`, also at the call's own estimate. An admitted call reserves its estimate until the
    /// reservation is settled or dropped.
    ///
    /// # Errors
    /// The first policy that refuses the call.
    pub fn admit(
        self: &Arc<Self>,
        scope: &Scope<'_>,
        call: Arc<dyn CallEstimate>,
    ) -> Result<Reservation, Refusal> {
        let Some((outputs, output_cap)) = self.outputs(scope, &*call) else {
            return Ok(Reservation::new(Arc::clone(self), call, None, None, Vec::new()));
        };
        let insert = |ledger: &mut Ledger, amount, now| ledger.insert(scope, &call, amount, now);
        let count = |call: &dyn CallEstimate, outputs| Some(ReservationAmount::counted(call, outputs));
        let (active_call, mut warnings) = self.decide_counting(scope, &*call, outputs, count, insert)?;
        warnings.extend(self.warning_of_unpriced(scope, &*call));
        Ok(Reservation::new(Arc::clone(self), call, active_call, output_cap, warnings))
    }

    /// What [`BudgetGuard::admit`] would decide at this moment. Reserves nothing and begins no window. Calls in flight are
    /// counted for it as far as that takes no time; otherwise their upper bounds stand for their counts.
    pub fn would_admit(&self, scope: &Scope<'_>, call: &dyn CallEstimate) -> GuardCheck {
        let Some((outputs, _)) = self.outputs(scope, call) else {
            return GuardCheck::allowed(&[]);
        };
        match self.decide_counting(scope, call, outputs, ReservationAmount::counted_now, |_, _, _| ()) {
            Ok(((), warnings)) => GuardCheck::allowed(&warnings),
            Err(refusal) => refusal.into(),
        }
    }

    /// Decides, and counts with `count` what has to be counted for it. `admitted` runs before anything else can change the ledger; what
    /// it returns comes with the warnings.
    fn decide_counting<T>(
        &self,
        scope: &Scope<'_>,
        call: &dyn CallEstimate,
        outputs: Outputs,
        count: impl Fn(&dyn CallEstimate, Outputs) -> Option<ReservationAmount>,
        admitted: impl FnOnce(&mut Ledger, ReservationAmount, Moment) -> T,
    ) -> Result<(T, Vec<BudgetWarning>), Refusal> {
        self.refuse_unpriced(scope, call)?;
        let mut own = ReservationAmount::bounded(call, outputs);
        let mut counted: Vec<(u64, ReservationAmount)> = Vec::new();
        let mut by_bounds = false;
        loop {
            let now = self.clock.now();
            let mut ledger = self.ledger();
            for (id, amount) in counted.drain(..) {
                ledger.set_counted(id, amount);
            }
            let decision = decide(&mut ledger, scope, now, |account, key| {
                let projected = projected(account, key, &own, now);
                if by_bounds { Range::from(projected.high) } else { projected }
            });
            let uncounted = match decision {
                Decision::Refused(refusal) => return Err(refusal),
                Decision::Admitted(warnings) => return Ok((admitted(&mut ledger, own, now), warnings)),
                Decision::Unsure { account, key } => ledger.uncounted(account, key),
            };
            drop(ledger);
            let was_counted = own.counted;
            if !own.counted {
                own = ReservationAmount::counted(call, outputs);
            }
            let count_one = |other: &Uncounted| Some((other.id, count(&*other.call, other.outputs)?));
            counted.extend(uncounted.iter().filter_map(count_one));
            // Nothing more can be known now.
            by_bounds = was_counted && counted.is_empty();
        }
    }

    /// A limit in dollars says nothing about a call without a known price.
    fn refuse_unpriced(&self, scope: &Scope<'_>, call: &dyn CallEstimate) -> Result<(), Refusal> {
        if call.is_priced() {
            return Ok(());
        }
        let mut ledger = self.ledger();
        let refuses = |policy: &Policy| match policy.unknown_price() {
            None => false,
            Some(UnpricedCall::Refused) => true,
            Some(_) => call.is_refused_unpriced(),
        };
        let refusing = ledger.applicable(scope).find(|(account, _)| refuses(&account.policy));
        refusing.map_or(Ok(()), |(account, key)| {
            let reason = format!("the price of model {} is not known", call.model());
            let (now, kind) = (self.clock.now(), BudgetWarningKind::Refused);
            let warnings = vec![BudgetWarning::new(account, key, now, kind, reason)];
            Err(Refusal { policy: account.policy.name.clone(), warnings })
        })
    }

    /// A warning, once for each model, where a policy with a limit in dollars lets the call pass as free and nobody has said
    /// that it may.
    fn warning_of_unpriced(&self, scope: &Scope<'_>, call: &dyn CallEstimate) -> Option<BudgetWarning> {
        if call.is_priced() {
            return None;
        }
        let model = call.model();
        let mut ledger = self.ledger();
        let is_new = !ledger.unpriced.contains(model) && ledger.unpriced.len() < MAX_UNPRICED;
        let reason = format!("the price of model {model} is not known: it counts as free");
        let is_doubtful = |policy: &Policy| is_new && policy.unknown_price() == Some(UnpricedCall::Doubtful);
        let (account, key) = ledger.applicable(scope).find(|(account, _)| is_doubtful(&account.policy))?;
        let (now, kind) = (self.clock.now(), BudgetWarningKind::UnknownPrice);
        let warning = BudgetWarning::new(account, key, now, kind, reason);
        ledger.unpriced.insert(model.into());
        Some(warning)
    }

    /// The cap for a call that has no bound of its own: what [`Reservation::output_cap`] will be.
    pub fn output_cap(&self, scope: &Scope<'_>) -> Option<u64> {
        output_cap(&mut self.ledger(), scope)
    }

    /// The output tokens to reckon with, and the cap to send upstream where only a cap bounds them. `None`: no policy
    /// applies.
    fn outputs(&self, scope: &Scope<'_>, call: &dyn CallEstimate) -> Option<(Outputs, Option<u64>)> {
        let (max_tokens, model) = (call.max_tokens(), call.model());
        let mut ledger = self.ledger();
        ledger.applicable(scope).next()?;
        if let Some(max) = max_tokens {
            let max = call.sent_output(max);
            return Some((Outputs { expected: max, bound: max }, None));
        }
        let cap = output_cap(&mut ledger, scope);
        let mean = ledger.output_stats.expected(model);
        let expected = cap.map_or(mean, |cap| mean.min(cap));
        let bound = call.sent_output(cap.unwrap_or(expected));
        Some((Outputs { expected: call.sent_output(expected), bound }, cap))
    }
}

/// What the account would stand at with the call.
fn projected(account: &Account, key: &str, own: &ReservationAmount, now: Moment) -> Range {
    let enforcement = account.policy.enforcement;
    let own = own.under(account.policy.terms());
    match account.policy.subject {
        Subject::Request => own,
        Subject::Window if enforcement == Enforcement::Strict => account.buckets.committed(key, now) + own,
        Subject::Window => account.buckets.committed(key, now),
    }
}

/// The lowest cap of the strict policies that apply.
fn output_cap(ledger: &mut Ledger, scope: &Scope<'_>) -> Option<u64> {
    let policies = ledger.applicable(scope).map(|(account, _)| &account.policy);
    let strict = policies.filter(|policy| policy.enforcement == Enforcement::Strict);
    strict.map(|policy| policy.output_cap).min()
}
