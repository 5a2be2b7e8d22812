//! All policies of a gateway, and which of them apply to a request.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use serde::Serialize;

use super::amount::{Amount, BudgetUsage};
use super::limits::{Limits, Subject};
use super::mean::MeanOutput;
use super::reservation::Flight;
use super::tracker::BudgetCheck;
use super::window::{Buckets, Clock};
use gateway_model::config::{BudgetPolicy, Enforcement, ScopeKind};

/// The output bound of a call under `strict` enforcement where neither request nor policy sets one.
const DEFAULT_OUTPUT_CAP: u64 = 4096;

/// The fields of a request that policies are scoped by.
#[derive(Debug, Clone, Copy, Default)]
pub struct Scope<'a> {
    pub user_tier: Option<&'a str>,
    pub feature: Option<&'a str>,
    pub model: Option<&'a str>,
}

/// Whether all policies let a request pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GuardCheck {
    pub allowed: bool,
    /// `[POLICY] REASON` for each limit that is exceeded, also for the one that blocks.
    pub warnings: Vec<String>,
    /// The first policy that does not allow the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocked_by: Option<String>,
}

/// A policy that has limits.
#[derive(Debug)]
pub(super) struct Policy {
    /// The place of its counts in [`State::buckets`].
    pub slot: usize,
    pub name: String,
    scope: ScopeKind,
    only: Option<String>,
    pub limits: Limits,
    pub subject: Subject,
    pub enforcement: Enforcement,
    pub output_cap: u64,
    window: Duration,
}

impl Policy {
    fn new(slot: usize, policy: BudgetPolicy) -> Self {
        let window = policy.window.duration();
        Self {
            slot,
            limits: Limits::from(&policy.limits),
            name: policy.name,
            scope: policy.scope.kind,
            only: policy.scope.key.filter(|key| !key.is_empty()),
            subject: if window.is_some() { Subject::Window } else { Subject::Request },
            enforcement: policy.enforcement,
            output_cap: policy
                .max_output_tokens_per_call
                .filter(|&cap| cap > 0)
                .unwrap_or(DEFAULT_OUTPUT_CAP),
            window: window.unwrap_or_default(),
        }
    }

    /// The scope value whose count a request belongs to; `None` if the policy does not apply to it.
    pub fn scope_key<'a>(&self, scope: &Scope<'a>) -> Option<&'a str> {
        let value = match self.scope {
            ScopeKind::Global => return Some("global"),
            ScopeKind::User => scope.user_tier,
            ScopeKind::Feature => scope.feature,
            ScopeKind::Model => scope.model,
        };
        let value = value.filter(|value| !value.is_empty());
        if self.only.is_some() && self.only.as_deref() != value {
            return None;
        }
        Some(value.unwrap_or("default"))
    }

    /// Whether it counts the same calls, over the same time, as `other`.
    fn counts_as(&self, other: &Self) -> bool {
        (&self.name, self.scope, &self.only, self.window)
            == (&other.name, other.scope, &other.only, other.window)
    }

    pub fn warning(&self, text: &str) -> String {
        format!("[{}] {text}", self.name)
    }
}

/// What changes with every call.
#[derive(Default)]
pub(super) struct State {
    /// By the policies' slots; those of request windows stay empty.
    pub buckets: Vec<Buckets<Arc<str>>>,
    pub flights: HashMap<u64, Flight>,
    pub last_flight: u64,
}

/// Compares requests with every policy that applies to them.
#[derive(Default)]
pub struct BudgetGuard {
    policies: RwLock<Arc<[Policy]>>,
    state: Mutex<State>,
    means: Mutex<MeanOutput>,
    pub(super) clock: Clock,
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

    pub(super) fn policies(&self) -> Arc<[Policy]> {
        self.policies.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts other policies in place of these. Those that stay, by name, scope and window, keep their counts, and what
    /// calls in flight hold of them.
    pub fn replace_policies(&self, policies: Vec<BudgetPolicy>) {
        let now = self.clock.now();
        let mut current = self.policies.write().unwrap_or_else(PoisonError::into_inner);
        let mut state = self.state();
        let limiting = policies.into_iter().map(|policy| Policy::new(0, policy));
        let placed = limiting.filter(|policy| !policy.limits.is_empty()).map(|mut policy| {
            policy.slot = match current.iter().find(|before| policy.counts_as(before)) {
                Some(before) => before.slot,
                None => {
                    state.buckets.push(Buckets::new(policy.window, now));
                    state.buckets.len() - 1
                }
            };
            policy
        });
        *current = placed.collect();
    }

    /// No policy limits anything.
    pub fn is_empty(&self) -> bool {
        self.policies.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Compares what was spent and `estimated` with the policies, in order up to the first that blocks. Calls in
    /// flight are not looked at, and nothing is reserved.
    pub fn check(&self, scope: &Scope<'_>, estimated: BudgetUsage) -> GuardCheck {
        let now = self.clock.now();
        let mut state = self.state();
        let mut warnings = Vec::new();
        for policy in self.policies().iter() {
            let buckets = &mut state.buckets[policy.slot];
            let Some(name) = policy.scope_key(scope) else { continue };
            let spent = match policy.subject {
                Subject::Window => buckets.current(buckets.key(name), now).spent,
                Subject::Request => Amount::default(),
            };
            let projected = spent + Amount::from(estimated);
            let check = BudgetCheck::of(&policy.limits, policy.subject, policy.enforcement, projected);
            warnings.extend(check.reason.map(|reason| policy.warning(&reason)));
            if !check.allowed {
                return GuardCheck { allowed: false, warnings, blocked_by: Some(policy.name.clone()) };
            }
        }
        GuardCheck { allowed: true, warnings, blocked_by: None }
    }

    /// Adds `usage` to the window of every policy that applies.
    pub fn record(&self, scope: &Scope<'_>, usage: BudgetUsage) {
        let now = self.clock.now();
        let mut state = self.state();
        for policy in self.policies().iter() {
            let buckets = &mut state.buckets[policy.slot];
            if let (Some(name), Subject::Window) = (policy.scope_key(scope), policy.subject) {
                buckets.current(buckets.key(name), now).spent += Amount::from(usage);
            }
        }
    }

    /// What calls in flight hold, for each policy that has limits: its name and the sum over its scope values.
    pub fn reserved(&self) -> Vec<(String, BudgetUsage)> {
        let policies = self.policies();
        let state = self.state();
        let sum = |policy: &Policy| (policy.name.clone(), state.buckets[policy.slot].reserved().into());
        policies.iter().map(sum).collect()
    }

    /// What was spent in the windows that are running, for each policy that has limits: its name and the sum over its
    /// scope values.
    pub fn spent(&self) -> Vec<(String, BudgetUsage)> {
        let now = self.clock.now();
        let policies = self.policies();
        let state = self.state();
        let sum = |policy: &Policy| (policy.name.clone(), state.buckets[policy.slot].spent(now).into());
        policies.iter().map(sum).collect()
    }

    /// Every update of the state is complete before anything in it can panic: what a poisoned lock guards is sound.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn means(&self) -> MutexGuard<'_, MeanOutput> {
        self.means.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{policy, usage};
    use super::*;
    use gateway_model::config::{BudgetLimits, BudgetScope, BudgetWindow};

    fn scoped(name: &str, kind: ScopeKind, key: Option<&str>, enforcement: Enforcement) -> BudgetPolicy {
        BudgetPolicy {
            scope: BudgetScope { kind, key: key.map(str::to_owned) },
            limits: BudgetLimits { max_total_tokens: Some(10), ..BudgetLimits::default() },
            ..policy(name, BudgetWindow::Day, enforcement)
        }
    }

    #[test]
    fn policies_apply_by_scope() {
        let free = Scope { user_tier: Some("free"), ..Scope::default() };
        let key =
            |kind, only, scope| Policy::new(0, scoped("p", kind, only, Enforcement::Hard)).scope_key(scope);
        assert_eq!(key(ScopeKind::Global, Some("anything"), &free), Some("global"));
        assert_eq!(key(ScopeKind::User, None, &free), Some("free"));
        assert_eq!(key(ScopeKind::User, Some(""), &free), Some("free"));
        assert_eq!(key(ScopeKind::User, Some("free"), &free), Some("free"));
        assert_eq!(key(ScopeKind::User, Some("pro"), &free), None);
        assert_eq!(key(ScopeKind::Feature, None, &free), Some("default"));
        assert_eq!(key(ScopeKind::Feature, Some("chat"), &free), None);
        let model = Scope { model: Some("m"), ..Scope::default() };
        assert_eq!(key(ScopeKind::Model, Some("m"), &model), Some("m"));
    }

    #[test]
    fn the_first_policy_that_blocks_ends_the_check() {
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
    fn a_policy_without_limits_is_none() {
        assert!(BudgetGuard::new(vec![policy("p", BudgetWindow::Day, Enforcement::Hard)]).is_empty());
        assert!(!BudgetGuard::new(vec![scoped("p", ScopeKind::Global, None, Enforcement::Soft)]).is_empty());
    }

    #[test]
    fn policies_that_stay_keep_their_counts_and_what_calls_hold() {
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
