//! What an exchange does to a counter, as [`gateway_engine::state::Exchange`] says. No I/O.

use gateway_engine::state::{
    Charge, CounterState, CounterWindow, Exchange, Figures, GrantRule, LeaseRequest,
};

/// A counter as it is stored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Stored {
    pub window: Option<Window>,
    /// When the window before ended, in milliseconds since the epoch; `None`: there was none.
    pub previous_ended: Option<i64>,
    pub spent: Figures,
    pub version: i64,
    pub leases: Vec<Lease>,
}

/// Milliseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    /// `None`: what comes after its end counts in it, too, as the next one has another key.
    pub begins: Option<i64>,
    /// Exclusive.
    pub ends: i64,
}

/// What a node holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Lease {
    pub node: String,
    pub held: Figures,
    pub lapses: i64,
    pub last_sequence: Option<u64>,
    /// To be written.
    pub changed: bool,
}

/// When a step is made, and how long a lease holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub now: i64,
    pub lease_ms: i64,
}

impl Window {
    fn is_over(&self, now: i64) -> bool {
        self.begins.is_some() && self.ends <= now
    }

    fn of(window: CounterWindow, begins: i64) -> Self {
        match window {
            CounterWindow::Rolling { length_ms } => {
                let length = i64::try_from(length_ms).unwrap_or(i64::MAX);
                Self { begins: Some(begins), ends: begins.saturating_add(length) }
            }
            CounterWindow::Until { at_ms } => Self { begins: None, ends: at_ms },
        }
    }
}

impl Stored {
    /// The state as `node` sees it.
    pub fn seen_by(&self, node: &str, now: i64) -> CounterState {
        let live = self.leases.iter().filter(|lease| lease.lapses > now);
        let (own, others): (Vec<&Lease>, Vec<&Lease>) = live.partition(|lease| lease.node == node);
        let held =
            |leases: Vec<&Lease>| leases.iter().fold(Figures::default(), |all, one| sum(all, one.held));
        let ends_in_ms = self.window.map(|window| window.ends.saturating_sub(now));
        CounterState {
            spent: self.spent_at(now),
            held_by_others: held(others),
            held: held(own),
            ends_in_ms: ends_in_ms.filter(|ends| *ends > 0),
            version: u64::try_from(self.version).unwrap_or_default(),
        }
    }

    fn spent_at(&self, now: i64) -> Figures {
        let runs = self.window.is_some_and(|window| !window.is_over(now));
        if runs { self.spent } else { Figures::default() }
    }

    /// One step of `node`.
    pub fn exchange(&mut self, node: &str, step: &Exchange, moment: Moment) {
        let Moment { now, .. } = moment;
        if let Some(spent) = &step.spent
            && self.lease(node, now).advances(spent.sequence, now)
        {
            self.spend(node, step.counter.window, spent.figures, spent.at_ms, now);
        }
        self.use_window(step.counter.window, now);
        if let Some(request) = &step.lease {
            let taken = sum(self.spent_at(now), self.seen_by(node, now).held_by_others);
            let own = self.lease(node, now);
            own.held = granted(request, taken);
            own.lapses = now.saturating_add(moment.lease_ms);
            own.changed = true;
        }
        self.changed(now);
    }

    /// A charge of a batch of `node`, which its rows keep from being made twice.
    pub fn charge(&mut self, node: &str, charge: &Charge, now: i64) {
        self.spend(node, charge.counter.window, charge.figures, charge.at_ms, now);
        self.use_window(charge.counter.window, now);
        self.changed(now);
    }

    /// The clock keeps versions growing where a counter was forgotten and came back.
    fn changed(&mut self, now: i64) {
        self.version = self.version.saturating_add(1).max(now);
    }

    fn spend(&mut self, node: &str, window: CounterWindow, figures: Figures, at: i64, now: i64) {
        if self.counts(window, at.min(now), now) {
            self.spent = sum(self.spent, figures);
        }
        if self.leases.iter().any(|lease| lease.node == node) {
            let own = self.lease(node, now);
            own.held =
                std::array::from_fn(|place| own.held[place].saturating_sub(figures[place].max(0)).max(0));
            own.changed = true;
        }
    }

    /// Whether what was spent at `at` counts in the window that runs. Where none does it begins one, and one that began later
    /// begins with it after all, if that is not over already, and if it is not of the one before.
    fn counts(&mut self, window: CounterWindow, at: i64, now: i64) -> bool {
        let running = self.window.filter(|window| !window.is_over(now));
        if let Some(running) = running
            && running.begins.is_none_or(|begins| at >= begins)
        {
            return true;
        }
        let previous_ended =
            if running.is_some() { self.previous_ended } else { self.window.map(|over| over.ends) };
        let earlier = Window::of(window, at);
        if earlier.is_over(now) || previous_ended.is_some_and(|ended| at < ended) {
            return false;
        }
        if running.is_some() {
            self.window = Some(earlier);
        } else {
            self.begin(earlier);
        }
        true
    }

    /// Begins a window now where none runs.
    fn use_window(&mut self, window: CounterWindow, now: i64) {
        if self.window.is_none_or(|window| window.is_over(now)) {
            self.begin(Window::of(window, now));
        }
    }

    fn begin(&mut self, window: Window) {
        let over = self.window.replace(window);
        self.previous_ended = over.map(|over| over.ends);
        self.spent = Figures::default();
    }

    /// The node's lease; nothing is held by one that has lapsed.
    fn lease(&mut self, node: &str, now: i64) -> &mut Lease {
        let place = self.leases.iter().position(|lease| lease.node == node).unwrap_or_else(|| {
            self.leases.push(Lease { node: node.to_owned(), ..Lease::default() });
            self.leases.len() - 1
        });
        let lease = &mut self.leases[place];
        if lease.lapses <= now {
            lease.held = Figures::default();
        }
        lease
    }
}

impl Lease {
    /// Takes note of a sequence number; says whether it is a new one. It is remembered for as long as that of a lease that
    /// lapses now.
    fn advances(&mut self, sequence: u64, now: i64) -> bool {
        let is_new = self.last_sequence.is_none_or(|last| sequence > last);
        if is_new {
            self.last_sequence = Some(sequence);
            self.lapses = self.lapses.max(now);
            self.changed = true;
        }
        is_new
    }
}

/// What a request gets where `taken` is spent, or held by others.
fn granted(request: &LeaseRequest, taken: Figures) -> Figures {
    let LeaseRequest { keep, want, spare, rule } = request;
    let most = sum(*want, *spare);
    let fits = |wanted: Figures, limits: &[Option<i64>; 4]| {
        let all = sum(taken, wanted);
        limits.iter().zip(all).all(|(limit, all)| limit.is_none_or(|limit| all <= limit))
    };
    match rule {
        GrantRule::Always => most,
        GrantRule::Within(limits) | GrantRule::Until(limits) if fits(most, limits) => most,
        GrantRule::Within(limits) if fits(*want, limits) => *want,
        GrantRule::Until(limits) if fits(*keep, limits) => *want,
        GrantRule::Within(_) | GrantRule::Until(_) => *keep,
    }
}

fn sum(a: Figures, b: Figures) -> Figures {
    std::array::from_fn(|place| a[place].saturating_add(b[place]))
}
