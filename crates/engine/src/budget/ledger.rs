//! The state of all budgets: an account for each policy, the calls in flight, and what models usually answer.
//!
//! It knows no locks and decides nothing: [`super::guard::BudgetGuard`] keeps it under its only lock, and
//! [`super::decision`] compares it with limits. No method calls code that is not ours, with one exception to keep in mind:
//! an [`ActiveCall`] that is dropped frees what the caller gave, so [`Ledger::remove`] hands it out.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::amount::{Amount, BudgetUsage};
use super::call::{CallEstimate, Outputs, ReservationAmount, Terms};
use super::clock::Moment;
use super::limits::Subject;
use super::output_estimate::OutputStats;
use super::policy::{Policy, Scope};
use super::reservation::Settled;
use super::shared_ledger::{Shares, spend};
use super::warning::{BudgetWarning, BudgetWarningKind};
use super::window::Buckets;
use gateway_model::config::BudgetPolicy;

/// Configurations may name policies anew at each reload: the counts of no more than so many are kept of those that are gone.
const MAX_DEPARTED: usize = 1_000;

/// A policy and what was counted for it.
pub(super) struct Account {
    /// Never used again for another account.
    pub id: u64,
    pub policy: Policy,
    /// One for each scope value; none if the policy looks at single calls.
    pub buckets: Buckets<Arc<str>>,
}

/// A bucket that a call reserves in.
pub(super) struct Reserved {
    account: u64,
    key: Arc<str>,
    /// The policy's at admission: the reserved amount was chosen by it.
    terms: Terms,
}

/// An admitted call that has not ended.
pub(super) struct ActiveCall {
    pub call: Arc<dyn CallEstimate>,
    amount: ReservationAmount,
    reserved: Vec<Reserved>,
}

/// An active call that reserves an upper bound.
pub(super) struct Uncounted {
    pub id: u64,
    pub call: Arc<dyn CallEstimate>,
    pub outputs: Outputs,
}

#[derive(Default)]
pub(super) struct Ledger {
    /// In the order of the configuration.
    pub(super) accounts: Vec<Account>,
    /// Of policies that were taken away: their counts hold for the rest of their windows, should they come back.
    pub(super) departed: Vec<Account>,
    /// Counts are shared with other nodes.
    pub is_shared: bool,
    pub(super) shares: Shares,
    last_account: u64,
    active_calls: HashMap<u64, ActiveCall>,
    last_call: u64,
    pub output_stats: OutputStats,
    /// Models without a known price that were warned of.
    pub unpriced: HashSet<Box<str>>,
}

impl Ledger {
    /// Replaces the policies; those without limits are left out. Policies that stay, by name, scope and window, keep their
    /// accounts, and so do those that come back within a window. Of the other accounts those that have nothing to keep are
    /// gone.
    pub fn replace_policies(&mut self, policies: Vec<BudgetPolicy>, now: Moment) {
        let mut before = std::mem::take(&mut self.accounts);
        before.append(&mut self.departed);
        for policy in policies.into_iter().map(Policy::from).filter(|policy| !policy.limits.is_empty()) {
            let kept = before.iter().position(|account| policy.counts_like(&account.policy));
            let (id, buckets) = match kept.map(|index| before.remove(index)) {
                Some(account) => (account.id, account.buckets),
                None => {
                    self.last_account += 1;
                    (self.last_account, Buckets::new(policy.window.clone(), now))
                }
            };
            self.accounts.push(Account { id, policy, buckets });
        }
        before.retain(|account| account.buckets.in_use(now).next().is_some());
        before.truncate(MAX_DEPARTED);
        self.departed = before;
    }

    pub fn account(&self, id: u64) -> Option<&Account> {
        self.accounts.iter().chain(&self.departed).find(|account| account.id == id)
    }

    pub fn accounts(&self) -> &[Account] {
        &self.accounts
    }

    /// The accounts whose policies apply, each with the scope value to count under.
    pub fn applicable<'a>(&mut self, scope: &Scope<'a>) -> impl Iterator<Item = (&mut Account, &'a str)> {
        let scope = *scope;
        let accounts = self.accounts.iter_mut();
        accounts.filter_map(move |account| account.policy.scope_key(&scope).map(|key| (account, key)))
    }

    /// Adds `usage` to the window of every policy that applies.
    pub fn record(&mut self, scope: &Scope<'_>, usage: BudgetUsage, now: Moment) {
        let windows = self.applicable(scope).filter(|(account, _)| account.policy.subject == Subject::Window);
        for (Account { buckets, .. }, name) in windows {
            buckets.current(buckets.key(name), now).spent += Amount::from(usage);
        }
    }

    /// Reserves `amount` for a call that was admitted. `None`: no window applies, and there is nothing to return.
    pub fn insert(
        &mut self,
        scope: &Scope<'_>,
        call: &Arc<dyn CallEstimate>,
        amount: ReservationAmount,
        now: Moment,
    ) -> Option<u64> {
        let mut reserved = Vec::new();
        let windows = self.applicable(scope).filter(|(account, _)| account.policy.subject == Subject::Window);
        for (Account { id, policy, buckets }, name) in windows {
            let (key, terms) = (buckets.key(name), policy.terms());
            buckets.current(Arc::clone(&key), now).reserve(amount.under(terms), amount.counted);
            reserved.push(Reserved { account: *id, key, terms });
        }
        if reserved.is_empty() {
            return None;
        }
        self.last_call += 1;
        self.active_calls.insert(self.last_call, ActiveCall { call: Arc::clone(call), amount, reserved });
        Some(self.last_call)
    }

    /// The active calls that reserve an upper bound in this bucket.
    pub fn uncounted(&self, account: u64, name: &str) -> Vec<Uncounted> {
        let bucket = self
            .accounts
            .iter()
            .find(|other| other.id == account)
            .and_then(|account| account.buckets.get(name));
        let reserves_there = |call: &ActiveCall| {
            call.reserved.iter().any(|reserved| reserved.account == account && &*reserved.key == name)
        };
        let calls = self.active_calls.iter();
        calls
            .filter(|(_, active)| !active.amount.counted && reserves_there(active))
            .map(|(&id, active)| Uncounted {
                id,
                call: Arc::clone(&active.call),
                outputs: active.amount.outputs,
            })
            .take(bucket.map_or(0, |bucket| bucket.uncounted))
            .collect()
    }

    /// Replaces the bounds of a call by its count, unless it has ended or was counted meanwhile.
    pub fn set_counted(&mut self, id: u64, amount: ReservationAmount) {
        let Self { accounts, departed, active_calls, .. } = self;
        let Some(active) = active_calls.get_mut(&id).filter(|active| !active.amount.counted) else { return };
        for reserved in &active.reserved {
            let account = find_account(accounts, departed, reserved.account);
            if let Some(bucket) = account.and_then(|account| account.buckets.get_mut(&*reserved.key)) {
                bucket.release(active.amount.under(reserved.terms), false);
                bucket.reserve(amount.under(reserved.terms), true);
            }
        }
        active.amount = amount;
    }

    /// Returns what the call reserves and records `usage` in its place. Gives a warning for each policy of which this
    /// reached the `warnAt` fraction of some limit; and the call, to be dropped when the lock is not held any more.
    pub fn remove(
        &mut self,
        id: u64,
        usage: Option<BudgetUsage>,
        now: Moment,
    ) -> (Option<ActiveCall>, Settled) {
        let mut settled = Settled::default();
        let Some(active) = self.active_calls.remove(&id) else { return (None, settled) };
        let Self { accounts, departed, shares, is_shared, .. } = self;
        for reserved in &active.reserved {
            let Some(account) = find_account(accounts, departed, reserved.account) else { continue };
            if let Some(bucket) = account.buckets.get_mut(&*reserved.key) {
                bucket.release(active.amount.under(reserved.terms), active.amount.counted);
            }
            if let Some(usage) = usage {
                let spent = reserved.terms.count(usage.into(), active.amount.is_priced);
                let counter = is_shared.then(|| shares.of(account, &reserved.key, now));
                let Account { policy, buckets, .. } = account;
                let bucket = buckets.current(Arc::clone(&reserved.key), now);
                let before = bucket.spent;
                bucket.spent += spent;
                settled.charges.extend(counter.and_then(|counter| spend(shares, &counter, &spent, now)));
                let crossing = policy.limits.crossing(&before, &bucket.spent);
                let kind = BudgetWarningKind::WarnAt;
                let warning =
                    crossing.map(|text| BudgetWarning::new(account, &reserved.key, now, kind, text));
                settled.warnings.extend(warning);
            }
        }
        (Some(active), settled)
    }

    #[cfg(test)]
    pub fn has_active_calls(&self) -> bool {
        !self.active_calls.is_empty()
    }
}

fn find_account<'a>(
    accounts: &'a mut [Account],
    departed: &'a mut [Account],
    id: u64,
) -> Option<&'a mut Account> {
    accounts.iter_mut().chain(departed).find(|account| account.id == id)
}
