//! A bucket's part in a counter that nodes share: what this node holds of it, what it has spent and not passed on yet.
//!
//! No call goes beyond what the node holds by its lease, so that the sum over all nodes stays within the limit. A lease is drawn
//! with some to spare while the limit is far, and call by call near it.

use std::time::{Duration, Instant};

use super::amount::Amount;
use super::policy::Policy;
use crate::state::{
    Charge, Counter, CounterState, CounterWindow, Exchange, Figures, GrantRule, LAPSE, LEASE, LeaseRequest,
    RENEWAL, Spent,
};
use gateway_model::Usd;
use gateway_model::config::Enforcement;

/// Beyond what any sum of calls comes to, and far from an overflow.
const MOST: u64 = 1 << 60;

/// The part of what is left of a limit that a node may hold to go on without asking.
const SLICE: i64 = 16;

/// How long a lease that nobody uses is kept.
const IDLE: Duration = Duration::from_secs(1);

/// How long the figures of a counter in use may be old.
const REFRESH: Duration = Duration::from_secs(1);

/// How long a share is looked after when its counter is not used: longer than the lease of a process that died holds, so that
/// what it had reserved is seen to come back.
const FORGET: Duration = Duration::from_secs(LEASE.as_secs() + 5);

/// Input tokens, output tokens, their sum, picodollars.
pub(super) fn figures(amount: &Amount) -> Figures {
    let bounded = |count: u128| i64::try_from(count.min(MOST.into())).unwrap_or(i64::MAX);
    let cost = amount.cost.picodollars().map_or(0, |cost| bounded(cost.into()));
    [bounded(amount.input), bounded(amount.output), bounded(amount.total()), cost]
}

pub(super) fn amount(figures: &Figures) -> Amount {
    let count = |figure: i64| u64::try_from(figure).unwrap_or(0);
    let [input, output, total, cost] = figures.map(count);
    Amount {
        input: input.into(),
        output: output.into(),
        either: u128::from(total).saturating_sub(u128::from(input) + u128::from(output)),
        cost: Usd::from_picodollars(cost),
    }
}

fn plus(left: Figures, right: Figures) -> Figures {
    std::array::from_fn(|place| left[place].saturating_add(right[place]))
}

fn minus(left: Figures, right: Figures) -> Figures {
    std::array::from_fn(|place| left[place].saturating_sub(right[place]).max(0))
}

fn most(left: Figures, right: Figures) -> Figures {
    std::array::from_fn(|place| left[place].max(right[place]))
}

fn least(left: Figures, right: Figures) -> Figures {
    std::array::from_fn(|place| left[place].min(right[place]))
}

fn is_zero(figures: &Figures) -> bool {
    figures.iter().all(|figure| *figure == 0)
}

/// What calls in flight need of a counter.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Needed {
    /// By calls that were let through.
    pub reserved: Figures,
    /// By the call that asks.
    pub asked: Figures,
}

#[derive(Debug)]
pub(super) struct Share {
    pub counter: Counter,
    /// The account and the scope value that the counter is of.
    pub account: u64,
    pub value: std::sync::Arc<str>,
    state: CounterState,
    /// When `state` was learned; `None`: never.
    learned: Option<Instant>,
    /// When the lease was last renewed, at the latest.
    renewed: Option<Instant>,
    /// Spent here, and not part of `state`.
    unsent: Figures,
    /// Of these, what may be passed on, and its number.
    ready: Option<Spent>,
    /// The lowest number in `ready`.
    oldest_ready: u64,
    /// Was passed on without an answer.
    in_doubt: Option<Spent>,
    /// The lowest number in `in_doubt`.
    oldest_in_doubt: u64,
    /// An exchange is under way.
    busy: bool,
    /// Charges of this node that reached the counter by themselves since the last exchange began, and the version after.
    applied: Vec<(u64, Figures)>,
    /// The version after the last exchange.
    exchanged_at: u64,
    /// Held for charges that the counter had already when the last exchange asked to hold for them.
    held_twice: Figures,
    /// Asked for by calls that wait.
    waiting: Figures,
    used: Instant,
}

impl Share {
    pub fn new(counter: Counter, account: u64, value: std::sync::Arc<str>, now: Instant) -> Self {
        Self {
            counter,
            account,
            value,
            state: CounterState::default(),
            learned: None,
            renewed: None,
            unsent: [0; 4],
            ready: None,
            oldest_ready: 0,
            in_doubt: None,
            oldest_in_doubt: 0,
            busy: false,
            applied: Vec::new(),
            exchanged_at: 0,
            held_twice: [0; 4],
            waiting: [0; 4],
            used: now,
        }
    }

    pub fn touch(&mut self, now: Instant) {
        self.used = now;
    }

    pub fn is_busy(&self) -> bool {
        self.busy
    }

    /// What was spent by all, as far as it is known here.
    pub fn spent(&self) -> Figures {
        plus(self.state.spent, self.unsent)
    }

    pub fn held_by_others(&self) -> Figures {
        self.state.held_by_others
    }

    /// How long the window that runs goes on from when that was learned.
    pub fn ends(&self) -> Option<Instant> {
        let ends_in = u64::try_from(self.state.ends_in_ms?).unwrap_or(0);
        self.learned?.checked_add(Duration::from_millis(ends_in))
    }

    /// Forgets what was spent in a window that is over.
    pub fn end_window(&mut self, now: Instant) {
        if self.ends().is_some_and(|ends| ends <= now) {
            self.state.spent = [0; 4];
            self.state.ends_in_ms = None;
        }
    }

    /// Whether the counter is the one that counts now.
    pub fn is_current(&self, wall_ms: i64) -> bool {
        match self.counter.window {
            CounterWindow::Rolling { .. } => true,
            CounterWindow::Until { at_ms } => wall_ms < at_ms,
        }
    }

    /// The lowest number of charges that have not reached the counter.
    pub fn oldest_owed(&self) -> Option<u64> {
        let in_doubt = self.in_doubt.map(|_| self.oldest_in_doubt);
        in_doubt.or_else(|| self.ready.map(|_| self.oldest_ready))
    }

    /// Gives the lease back with the next exchange.
    pub fn retire(&mut self, now: Instant) {
        self.used = now.checked_sub(IDLE).unwrap_or(now);
        self.learned = None;
    }

    /// Whether the figures are as fresh as to refuse a call by them.
    pub fn is_fresh(&self, now: Instant) -> bool {
        self.learned.is_some_and(|at| now.saturating_duration_since(at) < REFRESH / 10)
    }

    /// Whether the lease bears what is reserved and asked, where the policy has limits.
    pub fn covers(&self, needed: &Needed, policy: &Policy, now: Instant) -> bool {
        let held = self.held(now);
        let used = plus(plus(self.unsent, needed.reserved), needed.asked);
        let mut limited = policy.limits.places().into_iter().enumerate().filter(|(_, limit)| limit.is_some());
        limited.all(|(place, _)| used[place] <= held[place])
    }

    /// What the lease bears: nothing once it may have lapsed.
    fn held(&self, now: Instant) -> Figures {
        let lapsed = self.renewed.is_none_or(|at| now.saturating_duration_since(at) >= LAPSE);
        if lapsed { [0; 4] } else { minus(self.state.held, self.held_twice) }
    }

    /// Spends: the charge is to be passed on once it is kept.
    pub fn spend(&mut self, spent: &Amount, at_ms: i64, now: Instant) -> Charge {
        let figures = figures(spent);
        self.unsent = plus(self.unsent, figures);
        self.used = now;
        Charge { counter: self.counter.clone(), figures, at_ms }
    }

    /// A charge may be passed on, with this number.
    pub fn ready(&mut self, charge: &Charge, sequence: u64) {
        let before = self.ready.map_or([0; 4], |ready| ready.figures);
        if self.ready.is_none() {
            self.oldest_ready = sequence;
        }
        let figures = plus(before, charge.figures);
        self.ready = Some(Spent { figures, at_ms: charge.at_ms, sequence });
    }

    /// A charge has reached the counter by itself; `version` is the counter's after it.
    pub fn applied(&mut self, charge: &Charge, version: u64) {
        self.unsent = minus(self.unsent, charge.figures);
        if self.busy {
            self.applied.push((version, charge.figures));
        } else if version < self.exchanged_at {
            self.held_twice = plus(self.held_twice, charge.figures);
        }
    }

    /// A call begins to wait for a lease; [`Share::waited`] ends that.
    pub fn wait(&mut self, asked: Figures) {
        self.waiting = plus(self.waiting, asked);
    }

    pub fn waited(&mut self, asked: Figures) {
        self.waiting = minus(self.waiting, asked);
    }

    /// The next exchange, for calls that need `needed` beyond what waits. Until [`Share::exchanged`] there is no other.
    /// `policy`: `None` of one that is gone.
    pub fn exchange(
        &mut self,
        needed: &Needed,
        policy: Option<&Policy>,
        asks_for: AsksFor,
        now: Instant,
    ) -> Exchange {
        self.busy = true;
        self.applied.clear();
        if self.in_doubt.is_none() {
            self.in_doubt = self.ready.take();
            self.oldest_in_doubt = self.oldest_ready;
        }
        let sent = self.in_doubt.map_or([0; 4], |spent| spent.figures);
        let needs = plus(minus(self.unsent, sent), needed.reserved);
        let limits = policy.map_or([None; 4], |policy| policy.limits.places());
        // Near a limit a lease becomes small, so that others get what nobody uses here.
        let keep = match asks_for {
            AsksFor::Nothing => needs,
            AsksFor::Waiting | AsksFor::One => {
                let held = minus(self.held(now), sent);
                most(needs, least(held, plus(needs, self.spare(&needs, &limits))))
            }
        };
        // Calls go on while the exchange is under way: by no more than is held in any case after it.
        self.state.held = least(self.state.held, plus(keep, plus(sent, self.held_twice)));
        let want = match asks_for {
            AsksFor::Waiting => most(keep, plus(needs, most(self.waiting, needed.asked))),
            AsksFor::One => most(keep, plus(needs, needed.asked)),
            AsksFor::Nothing => keep,
        };
        let spare = if asks_for == AsksFor::Waiting { self.spare(&want, &limits) } else { [0; 4] };
        let rule = policy.and_then(|policy| match policy.enforcement {
            Enforcement::Soft => None,
            Enforcement::Hard => Some(GrantRule::Until(limits)),
            Enforcement::Strict => Some(GrantRule::Within(limits)),
        });
        let lease = rule.map(|rule| LeaseRequest { keep, want, spare, rule });
        Exchange { counter: self.counter.clone(), spent: self.in_doubt, lease }
    }

    /// A part of what is left; nothing as long as nothing is known.
    fn spare(&self, want: &Figures, limits: &[Option<i64>; 4]) -> Figures {
        if self.learned.is_none() {
            return [0; 4];
        }
        let committed = plus(plus(self.spent(), self.state.held_by_others), *want);
        std::array::from_fn(|place| {
            limits[place].map_or(0, |limit| (limit.saturating_sub(committed[place]) / SLICE).max(0))
        })
    }

    /// An exchange that began at `began` has ended; `None`: without an answer.
    pub fn exchanged(&mut self, state: Option<CounterState>, began: Instant) {
        self.busy = false;
        let Some(state) = state else { return };
        if let Some(spent) = self.in_doubt.take() {
            self.unsent = minus(self.unsent, spent.figures);
        }
        self.renewed = Some(began);
        self.exchanged_at = state.version;
        let before = self.applied.drain(..).filter(|(version, _)| *version < state.version);
        self.held_twice = before.fold([0; 4], |sum, (_, figures)| plus(sum, figures));
        self.learn(state, began);
    }

    /// Takes over what the store says of the counter, unless something later is known.
    pub fn learn(&mut self, state: CounterState, now: Instant) {
        if self.learned.is_none() || state.version >= self.state.version {
            self.state = state;
            self.learned = Some(now);
        }
    }

    /// Whether there is something to tell or to ask, calls aside.
    pub fn is_due(&self, reserved: &Figures, now: Instant) -> bool {
        if self.busy {
            return false;
        }
        let old = |at: Option<Instant>, age| at.is_none_or(|at| now.saturating_duration_since(at) >= age);
        let is_idle = now.saturating_duration_since(self.used) >= IDLE;
        let holds_more = minus(self.state.held, plus(self.unsent, *reserved));
        self.ready.is_some()
            || self.in_doubt.is_some()
            || (is_idle && !is_zero(&holds_more))
            || (!is_zero(&self.state.held) && old(self.renewed, RENEWAL))
            || old(self.learned, REFRESH)
    }

    /// What an exchange that no call waits for asks: an idle lease is given back.
    pub fn keeps(&self, now: Instant) -> AsksFor {
        let is_idle = now.saturating_duration_since(self.used) >= IDLE;
        if is_idle { AsksFor::Nothing } else { AsksFor::Waiting }
    }

    /// Whether nobody misses it.
    pub fn is_forgettable(&self, now: Instant) -> bool {
        !self.busy
            && self.ready.is_none()
            && is_zero(&self.unsent)
            && is_zero(&self.state.held)
            && now.saturating_duration_since(self.used) >= FORGET
    }

    /// Whether spending was not passed on yet.
    pub fn owes(&self) -> bool {
        !is_zero(&self.unsent)
    }
}

/// What an exchange asks a lease for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AsksFor {
    /// For all calls that wait, with some to spare.
    Waiting,
    /// For one call alone: near a limit, where all of them together get nothing.
    One,
    /// For those alone that were let through.
    Nothing,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_of_the_sum_alone_counts_for_the_sum() {
        let held = amount(&[10, 20, 50, 7]);
        assert_eq!((held.input, held.output, held.total()), (10, 20, 50));
        assert_eq!(figures(&held), [10, 20, 50, 7]);
        assert_eq!((held + amount(&[1, 2, 3, 0])).total(), 53);
    }
}
