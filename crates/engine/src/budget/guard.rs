//! The budgets of a gateway under one lock, and the class that compares plain figures with them.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::amount::{Amount, BudgetUsage, Range};
use super::clock::Clock;
use super::decision::{Decision, GuardCheck, decide};
use super::ledger::{Account, Ledger};
use super::limits::Subject;
use super::policy::Scope;
use super::sharing::Sharing;
use super::standing::{BudgetStanding, standings};
use super::window::Buckets;
use gateway_model::config::BudgetPolicy;

/// Compares requests with every policy that applies to them.
#[derive(Default)]
pub struct BudgetGuard {
    /// Policies and counts together, so that they cannot disagree. The only lock of the budgets.
    ledger: Mutex<Ledger>,
    pub(super) clock: Clock,
    /// Where counts are shared; empty: they live in this process alone.
    pub(super) sharing: OnceLock<Arc<Sharing>>,
}

impl BudgetGuard {
    pub fn new(policies: Vec<BudgetPolicy>) -> Self {
        Self::with_clock(policies, Clock::System)
    }

    pub(super) fn with_clock(policies: Vec<BudgetPolicy>, clock: Clock) -> Self {
        let guard = Self { clock, ..Self::default() };
        guard.replace_policies(policies);
        guard
    }

    /// Replaces the policies. Those that stay, by name, scope and window, keep their counts and what calls in flight
    /// reserve; so do those that come back before their windows are over.
    pub fn replace_policies(&self, policies: Vec<BudgetPolicy>) {
        let now = self.clock.now();
        self.ledger().replace_policies(policies, now);
    }

    /// No policy limits anything.
    pub fn is_empty(&self) -> bool {
        self.ledger().accounts().is_empty()
    }

    /// Compares what was spent plus `estimated` with the policies, in order up to the first that blocks. Ignores calls in
    /// flight and reserves nothing, but begins windows as recording does.
    pub fn check(&self, scope: &Scope<'_>, estimated: BudgetUsage) -> GuardCheck {
        let (now, estimated) = (self.clock.now(), Amount::from(estimated));
        let with_estimate = |account: &mut Account, key: &str| {
            let spent = match account.policy.subject {
                Subject::Window => account.buckets.current(account.buckets.key(key), now).spent,
                Subject::Request => Amount::default(),
            };
            Range::from(spent + estimated)
        };
        match decide(&mut self.ledger(), scope, now, with_estimate) {
            Decision::Admitted(warnings) => GuardCheck::allowed(&warnings),
            Decision::Refused(refusal) => refusal.into(),
            // Not for exact amounts.
            Decision::Unsure { .. } => GuardCheck::allowed(&[]),
        }
    }

    /// Adds `usage` to the window of every policy that applies.
    pub fn record(&self, scope: &Scope<'_>, usage: BudgetUsage) {
        let now = self.clock.now();
        self.ledger().record(scope, usage, now);
    }

    /// What calls in flight reserve, for each policy that has limits: its name and the sum over its scope values.
    pub fn reserved(&self) -> Vec<(String, BudgetUsage)> {
        self.sums(Buckets::reserved)
    }

    /// What was spent in the current windows, for each policy that has limits: its name and the sum over its scope values.
    pub fn spent(&self) -> Vec<(String, BudgetUsage)> {
        let now = self.clock.now();
        self.sums(|buckets| buckets.spent(now))
    }

    /// What is spent and reserved, for each policy that has limits and each scope value in use, in the order of the
    /// configuration.
    pub fn standings(&self) -> Vec<BudgetStanding> {
        let now = self.clock.now();
        let ledger = self.ledger();
        ledger.accounts().iter().flat_map(|account| standings(account, now)).collect()
    }

    fn sums(&self, sum: impl Fn(&Buckets<Arc<str>>) -> Amount) -> Vec<(String, BudgetUsage)> {
        let ledger = self.ledger();
        let accounts = ledger.accounts().iter();
        accounts.map(|account| (account.policy.name.clone(), sum(&account.buckets).into())).collect()
    }

    /// Every update of the ledger is complete before anything in it can panic: what a poisoned lock guards is sound.
    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{policy, scoped, usage};
    use super::*;
    use gateway_model::config::{BudgetLimits, BudgetWindow, Enforcement, ScopeKind};

    #[test]
    fn check_ends_at_the_first_policy_that_blocks() {
        let guard = BudgetGuard::new(vec![
            scoped("soft", ScopeKind::Global, None, Enforcement::Soft),
            scoped("hard", ScopeKind::User, None, Enforcement::Hard),
            scoped("later", ScopeKind::Global, None, Enforcement::Soft),
        ]);
        let scope = Scope { user_tier: Some("free"), ..Scope::default() };
        guard.record(&scope, usage(4, 4, 0.0));
        let check = guard.check(&scope, usage(0, 2, 0.0));
        assert_eq!(serde_json::to_string(&check).unwrap(), r#"{"allowed":true,"warnings":[]}"#);

        let check = guard.check(&scope, usage(0, 3, 0.0));
        assert!(!check.allowed);
        assert_eq!(check.blocked_by.as_deref(), Some("hard"));
        assert_eq!(
            check.warnings,
            ["[soft] total tokens 11 > limit 10", "[hard] total tokens 11 > limit 10"]
        );
        let other = Scope { user_tier: Some("pro"), ..Scope::default() };
        assert_eq!(guard.check(&other, usage(0, 3, 0.0)).warnings.len(), 2);
    }

    #[test]
    fn policies_without_limits_are_left_out() {
        assert!(BudgetGuard::new(vec![policy("p", BudgetWindow::Day, Enforcement::Hard)]).is_empty());
        assert!(!BudgetGuard::new(vec![scoped("p", ScopeKind::Global, None, Enforcement::Soft)]).is_empty());
    }

    #[test]
    fn policies_that_stay_keep_their_counts_and_reservations() {
        use super::super::testing::FakeCall;
        let day = |name: &str, limit: u64| BudgetPolicy {
            limits: BudgetLimits { max_total_tokens: Some(limit), ..BudgetLimits::default() },
            ..policy(name, BudgetWindow::Day, Enforcement::Hard)
        };
        let guard = Arc::new(BudgetGuard::new(vec![day("a", 100), day("b", 100)]));
        let scope = Scope::default();
        guard.record(&scope, usage(30, 0, 0.0));
        let held = guard.admit(&scope, FakeCall::new(10, Some(5))).unwrap();
        let reserved = |guard: &BudgetGuard| guard.reserved()[0].1.input_tokens;
        let before = reserved(&guard);
        assert!(before > 0);

        guard.replace_policies(vec![day("c", 100), day("a", 40)]);
        let spent = |name: &str| {
            guard.spent().into_iter().find(|(policy, _)| policy == name).map(|(_, sum)| sum.input_tokens)
        };
        assert_eq!((spent("a"), spent("b"), spent("c")), (Some(30), None, Some(0)));
        assert_eq!(guard.reserved()[1].1.input_tokens, before);
        let _ = held.settle(usage(11, 0, 0.0));
        assert_eq!((spent("a"), guard.reserved()[1].1.input_tokens), (Some(41), 0));
        assert!(guard.admit(&scope, FakeCall::new(1, Some(1))).is_err(), "the new limit holds");
    }
}
