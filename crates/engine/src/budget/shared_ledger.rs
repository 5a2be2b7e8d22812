//! The ledger of counts that nodes share: which calls have to wait for a lease, what is exchanged, what was learned.

use std::sync::Arc;

use super::amount::Amount;
use super::call::ReservationAmount;
use super::clock::Moment;
use super::ledger::{Account, Ledger};
use super::limits::Subject;
use super::policy::{self, Policy, Scope};
use super::share::{AsksFor, Needed, Share, amount, figures};
use crate::records::Kept;
use crate::state::{Charge, CounterState, Exchange, Figures};
use gateway_model::config::{Enforcement, OnStoreError};

/// Exchanges of one round with the store.
const ROUND: usize = 500;

/// What a call waits for: more of a counter's lease, or its figures.
#[derive(Debug, Clone)]
pub(super) struct Want {
    /// The counter.
    pub key: Arc<str>,
    pub asked: Figures,
    pub policy: String,
    pub on_store_error: OnStoreError,
}

/// What a call that asks knows already.
#[derive(Debug, Default)]
pub(super) struct Pass {
    /// The store is away: its counters are counted here alone.
    pub store_is_away: bool,
    /// The figures were asked for since the call began: a refusal by them holds.
    pub has_asked: bool,
}

impl Ledger {
    /// The counters whose leases do not bear the call, where its policies let it pass.
    pub fn starved(&mut self, scope: &Scope<'_>, own: &ReservationAmount, now: Moment) -> Vec<Want> {
        self.wants(scope, own, now, |share, needed, policy| {
            policy.enforcement != Enforcement::Soft && !share.covers(needed, policy, now.at)
        })
    }

    /// The counters whose figures are too old to refuse the call by them.
    pub fn stale(&mut self, scope: &Scope<'_>, own: &ReservationAmount, now: Moment) -> Vec<Want> {
        self.wants(scope, own, now, |share, _, _| !share.is_fresh(now.at))
    }

    /// The counters of policies that refuse calls while the store is away.
    pub fn closed(&mut self, scope: &Scope<'_>, own: &ReservationAmount, now: Moment) -> Vec<Want> {
        self.wants(scope, own, now, |_, _, policy| policy.on_store_error == OnStoreError::FailClosed)
    }

    fn wants(
        &mut self,
        scope: &Scope<'_>,
        own: &ReservationAmount,
        now: Moment,
        mut is_wanted: impl FnMut(&Share, &Needed, &Policy) -> bool,
    ) -> Vec<Want> {
        let mut wants = Vec::new();
        let Self { accounts, shares, .. } = self;
        for account in accounts.iter_mut().filter(|account| account.policy.subject == Subject::Window) {
            let Some(value) = account.policy.scope_key(scope) else { continue };
            let key = shares.of(account, value, now);
            let Some(share) = shares.get_mut(&key) else { continue };
            share.touch(now.at);
            let policy = &account.policy;
            let reserved = account.buckets.get(value).map_or([0; 4], |bucket| figures(&bucket.reserved.high));
            let needed = Needed { reserved, asked: figures(&own.under(policy.terms()).high) };
            if is_wanted(share, &needed, policy) {
                let (policy, on_store_error) = (policy.name.clone(), policy.on_store_error);
                wants.push(Want { key, asked: needed.asked, policy, on_store_error });
            }
        }
        wants
    }

    /// Notes that a call waits for these, or that it waits no more.
    pub fn waits(&mut self, wants: &[Want], begins: bool) {
        for want in wants {
            if let Some(share) = self.shares.get_mut(&want.key) {
                if begins { share.wait(want.asked) } else { share.waited(want.asked) }
            }
        }
    }

    /// The exchanges that these need, but for counters of which one is under way.
    pub fn begin_exchanges(&mut self, wants: &[Want], asks_for: AsksFor, now: Moment) -> Vec<Exchange> {
        let begin = |want: &Want| self.begin_exchange(&want.key, want.asked, |_| asks_for, now);
        wants.iter().filter_map(begin).collect()
    }

    /// The exchanges that are due by themselves.
    pub fn due_exchanges(&mut self, now: Moment) -> Vec<Exchange> {
        let due: Vec<Arc<str>> = self
            .shares
            .iter()
            .filter(|share| share.is_due(&self.reserved_of(share), now.at))
            .map(|share| share.counter.key.clone())
            .take(ROUND)
            .collect();
        self.shares.forget(now.at);
        due.iter()
            .filter_map(|key| self.begin_exchange(key, [0; 4], |share| share.keeps(now.at), now))
            .collect()
    }

    fn reserved_of(&self, share: &Share) -> Figures {
        let bucket = self.account(share.account).and_then(|account| account.buckets.get(&*share.value));
        bucket.map_or([0; 4], |bucket| figures(&bucket.reserved.high))
    }

    fn begin_exchange(
        &mut self,
        key: &Arc<str>,
        asked: Figures,
        asks_for: impl FnOnce(&Share) -> AsksFor,
        now: Moment,
    ) -> Option<Exchange> {
        let reserved = self.reserved_of(self.shares.get(key)?);
        let Self { accounts, departed, shares, .. } = self;
        let share = shares.get_mut(key).filter(|share| !share.is_busy())?;
        let asks_for = asks_for(share);
        let policy = accounts.iter().chain(departed.iter()).find(|account| account.id == share.account);
        let policy = policy.map(|account| &account.policy);
        Some(share.exchange(&Needed { reserved, asked }, policy, asks_for, now.at))
    }

    /// Exchanges that began at `began` have ended; `None`: without an answer.
    pub fn end_exchanges(&mut self, keys: &[Arc<str>], states: Option<&[CounterState]>, began: Moment) {
        for (index, key) in keys.iter().enumerate() {
            let state = states.and_then(|states| states.get(index)).copied();
            if let Some(share) = self.shares.get_mut(key) {
                share.exchanged(state, began.at);
            }
            self.show(key, began);
        }
    }

    /// What the store says of a counter, unasked.
    pub fn learn(&mut self, key: &Arc<str>, state: CounterState, now: Moment) {
        if let Some(share) = self.shares.get_mut(key) {
            share.learn(state, now.at);
        }
        self.show(key, now);
    }

    /// Charges were kept; those that have not reached the state are to be passed on. True: there are such.
    pub fn kept(&mut self, charges: &[Charge], kept: &Kept, sequence: u64, now: Moment) -> bool {
        for charge in charges {
            let Some(share) = self.shares.get_mut(&charge.counter.key) else { continue };
            match kept {
                Kept::Applied(states) => {
                    let state = states.iter().find(|(key, _)| *key == charge.counter.key);
                    share.applied(charge, state.map_or(0, |(_, state)| state.version));
                }
                Kept::Rows | Kept::Journaled { .. } => share.ready(charge, sequence),
            }
        }
        if let Kept::Applied(states) = kept {
            for (key, state) in states {
                self.learn(key, *state, now);
            }
        }
        !charges.is_empty() && !matches!(kept, Kept::Applied(_))
    }

    /// Brings the bucket up to what its share knows.
    fn show(&mut self, key: &Arc<str>, now: Moment) {
        let Self { accounts, departed, shares, .. } = self;
        let Some(share) = shares.get(key) else { return };
        let mut all = accounts.iter_mut().chain(departed);
        let Some(account) = all.find(|account| account.id == share.account) else { return };
        let bucket = account.buckets.current(share.value.clone(), now);
        if bucket.share.as_ref() != Some(key) {
            // The counter of a window that is over.
            return;
        }
        bucket.spent = amount(&share.spent());
        bucket.others = amount(&share.held_by_others());
        if let Some(ends) = share.ends() {
            bucket.ends_at(ends);
        }
    }

    /// The lowest number of charges that have not reached the store.
    pub fn oldest_owed(&self) -> Option<u64> {
        self.shares.iter().filter_map(Share::oldest_owed).min()
    }

    /// Gives all leases back with the next exchanges.
    pub fn retire(&mut self, now: Moment) {
        self.shares.by_key.values_mut().for_each(|share| share.retire(now.at));
    }

    /// What the keys of each policy's counters begin with, in the windows that run.
    pub fn counter_prefixes(&self, now: Moment) -> Vec<Arc<str>> {
        let windows = self.accounts.iter().filter(|account| account.policy.subject == Subject::Window);
        windows.map(|account| account.policy.counter_prefix(now.wall_ms).into()).collect()
    }

    /// Takes over counters that were found under a prefix.
    pub fn read(&mut self, prefix: &str, counters: Vec<(String, CounterState)>, now: Moment) {
        for (key, state) in counters {
            let Some(value) = key.strip_prefix(prefix).and_then(policy::scope_value) else { continue };
            let Self { accounts, shares, .. } = self;
            let is_its = |account: &&mut Account| account.policy.counter_prefix(now.wall_ms) == prefix;
            let Some(account) = accounts.iter_mut().find(is_its) else { return };
            let key = shares.of(account, &value, now);
            self.learn(&key, state, now);
        }
    }

    /// Spending of this process that the store does not know.
    pub fn owes(&self) -> bool {
        self.shares.iter().any(Share::owes)
    }
}

/// The shares of a ledger, by the keys of their counters.
#[derive(Debug, Default)]
pub(super) struct Shares {
    by_key: std::collections::HashMap<Arc<str>, Share>,
}

impl Shares {
    pub fn get(&self, key: &Arc<str>) -> Option<&Share> {
        self.by_key.get(key)
    }

    pub fn get_mut(&mut self, key: &Arc<str>) -> Option<&mut Share> {
        self.by_key.get_mut(key)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Share> {
        self.by_key.values()
    }

    /// The key of the counter that a bucket's window has now.
    pub fn of(&mut self, account: &mut Account, value: &str, now: Moment) -> Arc<str> {
        let Account { id, policy, buckets } = account;
        let value = buckets.key(value);
        let bucket = buckets.current(Arc::clone(&value), now);
        if let Some(key) = &bucket.share
            && let Some(share) = self.by_key.get_mut(key)
            && share.is_current(now.wall_ms)
        {
            share.end_window(now.at);
            return key.clone();
        }
        let counter = policy.counter(&value, now.wall_ms);
        let key = counter.key.clone();
        bucket.share = Some(key.clone());
        let new = || Share::new(counter, *id, value, now.at);
        let share = self.by_key.entry(key.clone()).or_insert_with(new);
        bucket.spent = amount(&share.spent());
        key
    }

    fn forget(&mut self, now: std::time::Instant) {
        self.by_key.retain(|_, share| !share.is_forgettable(now));
    }
}

/// Spends in a shared bucket.
pub(super) fn spend(shares: &mut Shares, key: &Arc<str>, spent: &Amount, now: Moment) -> Option<Charge> {
    Some(shares.get_mut(key)?.spend(spent, now.wall_ms, now.at))
}
