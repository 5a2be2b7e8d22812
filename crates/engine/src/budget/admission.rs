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
use super::shared_ledger::{Pass, Want};
use super::warning::{BudgetWarning, BudgetWarningKind};
use crate::state::StoreError;
use gateway_model::config::Enforcement;

/// Model names are the callers' input: no more than so many are warned of.
const MAX_UNPRICED: usize = 1_000;

/// What came of trying to admit a call.
pub(super) enum Tried {
    Admitted(Reservation),
    /// These have to be asked for first.
    Waits(Vec<Want>),
}

/// What was decided by what is known.
enum Decided<T> {
    Admitted(T, Vec<BudgetWarning>),
    /// Nothing, as these have to be asked for first.
    Waits(Vec<Want>),
}

/// How policies decide by what is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Passed {
    Admitted,
    Refused,
}

impl BudgetGuard {
    /// Admits a call or refuses it.
    ///
    /// `hard` and `soft` policies look at what was spent and what other calls in flight reserve; `strict` ones, and those
    /// of the window `request`, also at the call's own estimate. An admitted call reserves its estimate until the
    /// reservation is settled or dropped. Where counts are shared, this does not ask for more of them:
    /// [`BudgetGuard::admit_shared`] does.
    ///
    /// # Errors
    /// The first policy that refuses the call.
    pub fn admit(
        self: &Arc<Self>,
        scope: &Scope<'_>,
        call: Arc<dyn CallEstimate>,
    ) -> Result<Reservation, Refusal> {
        match self.try_admit(scope, &call, &Pass::default())? {
            Tried::Admitted(reservation) => Ok(reservation),
            Tried::Waits(wants) => {
                let store =
                    self.sharing.get().map_or_else(String::new, |sharing| sharing.store.name().to_owned());
                Err(Refusal::of_store(
                    &wants,
                    StoreError::away(store, "its counts have to be asked for first"),
                ))
            }
        }
    }

    /// Admits or refuses a call by what is known here, or says what has to be asked for.
    pub(super) fn try_admit(
        self: &Arc<Self>,
        scope: &Scope<'_>,
        call: &Arc<dyn CallEstimate>,
        pass: &Pass,
    ) -> Result<Tried, Refusal> {
        let reservation = |active_call, output_cap, warnings| {
            Tried::Admitted(Reservation::new(
                Arc::clone(self),
                Arc::clone(call),
                active_call,
                output_cap,
                warnings,
            ))
        };
        let Some((outputs, output_cap)) = self.outputs(scope, &**call) else {
            return Ok(reservation(None, None, Vec::new()));
        };
        let count = |call: &dyn CallEstimate, outputs| Some(ReservationAmount::counted(call, outputs));
        let sharing = self.sharing.get().filter(|_| !pass.store_is_away);
        let is_away = sharing.is_some_and(|sharing| sharing.store.is_away());
        let waits = |ledger: &mut Ledger, verdict: Passed, own: &ReservationAmount, now: Moment| match verdict
        {
            _ if sharing.is_none() => Vec::new(),
            Passed::Admitted if is_away => ledger.closed(scope, own, now),
            Passed::Admitted => ledger.starved(scope, own, now),
            Passed::Refused if is_away || pass.has_asked => Vec::new(),
            Passed::Refused => ledger.stale(scope, own, now),
        };
        let insert = |ledger: &mut Ledger, amount, now| ledger.insert(scope, call, amount, now);
        match self.decide_counting(scope, &**call, outputs, count, waits, insert)? {
            Decided::Waits(wants) => Ok(Tried::Waits(wants)),
            Decided::Admitted(active_call, mut warnings) => {
                warnings.extend(self.warning_of_unpriced(scope, &**call));
                Ok(reservation(active_call, output_cap, warnings))
            }
        }
    }

    /// What [`BudgetGuard::admit`] would decide at this moment. Reserves nothing and begins no window. Calls in flight are
    /// counted for it as far as that takes no time; otherwise their upper bounds stand for their counts.
    pub fn would_admit(&self, scope: &Scope<'_>, call: &dyn CallEstimate) -> GuardCheck {
        let Some((outputs, _)) = self.outputs(scope, call) else {
            return GuardCheck::allowed(&[]);
        };
        let (count, waits) = (ReservationAmount::counted_now, |_: &mut _, _, _: &_, _| Vec::new());
        match self.decide_counting(scope, call, outputs, count, waits, |_, _, _| ()) {
            Ok(Decided::Admitted((), warnings)) => GuardCheck::allowed(&warnings),
            Ok(Decided::Waits(_)) => GuardCheck::allowed(&[]),
            Err(refusal) => refusal.into(),
        }
    }

    /// Decides, and counts with `count` what has to be counted for it. `waits` says what has to be asked for before the decision
    /// holds. `admitted` runs before anything else can change the ledger; what it returns comes with the warnings.
    fn decide_counting<T>(
        &self,
        scope: &Scope<'_>,
        call: &dyn CallEstimate,
        outputs: Outputs,
        count: impl Fn(&dyn CallEstimate, Outputs) -> Option<ReservationAmount>,
        waits: impl Fn(&mut Ledger, Passed, &ReservationAmount, Moment) -> Vec<Want>,
        admitted: impl FnOnce(&mut Ledger, ReservationAmount, Moment) -> T,
    ) -> Result<Decided<T>, Refusal> {
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
                Decision::Unsure { account, key } => ledger.uncounted(account, key),
                Decision::Refused(refusal) => {
                    let wants = waits(&mut ledger, Passed::Refused, &own, now);
                    return if wants.is_empty() { Err(refusal) } else { Ok(Decided::Waits(wants)) };
                }
                Decision::Admitted(warnings) => {
                    let wants = waits(&mut ledger, Passed::Admitted, &own, now);
                    if !wants.is_empty() {
                        return Ok(Decided::Waits(wants));
                    }
                    return Ok(Decided::Admitted(admitted(&mut ledger, own, now), warnings));
                }
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
            Err(Refusal { policy: account.policy.name.clone(), warnings, store: None })
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
