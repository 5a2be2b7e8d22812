//! A store in memory for tests: does what the trait says, loses replies, goes away and comes back when told.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::state::{
    CounterState, Exchange, Figures, GrantRule, LeaseRequest, Notice, StateStore, StoreError, Take, Taken,
};

#[derive(Default)]
struct Counter {
    spent: Figures,
    nodes: HashMap<String, (Figures, u64)>,
    version: u64,
}

/// Counters without windows: what is spent stays; values for ever; one board, whose notices stay until they are taken down.
#[derive(Default)]
pub struct PlayedStore {
    counters: Mutex<HashMap<String, Counter>>,
    values: Mutex<HashMap<String, Vec<u8>>>,
    pub board: Mutex<Vec<Notice>>,
    pub is_away: AtomicBool,
    /// Every so many exchanges the reply is lost; 0: none is.
    pub loses_every: AtomicUsize,
    pub exchanges: AtomicUsize,
    /// The most that was ever spent and held of a counter, by places.
    pub most: Mutex<Figures>,
}

impl PlayedStore {
    pub fn spent(&self) -> Figures {
        let counters = self.counters.lock().unwrap();
        counters.values().fold([0; 4], |sum, counter| std::array::from_fn(|i| sum[i] + counter.spent[i]))
    }

    pub fn held(&self) -> Figures {
        let counters = self.counters.lock().unwrap();
        counters.values().fold([0; 4], |sum, counter| plus(&sum, &held(counter, "")))
    }

    fn step(&self, node: &str, step: &Exchange) -> CounterState {
        let mut counters = self.counters.lock().unwrap();
        let counter = counters.entry(step.counter.key.to_string()).or_default();
        counter.version += 1;
        let own = counter.nodes.entry(node.to_owned()).or_default();
        if let Some(spent) = step.spent.filter(|spent| spent.sequence > own.1) {
            own.1 = spent.sequence;
            own.0 = std::array::from_fn(|i| (own.0[i] - spent.figures[i]).max(0));
            counter.spent = plus(&counter.spent, &spent.figures);
        }
        if let Some(lease) = &step.lease {
            let others = plus(&counter.spent, &held(counter, node));
            counter.nodes.get_mut(node).unwrap().0 = granted(&others, lease);
        }
        let committed = plus(&counter.spent, &held(counter, ""));
        let mut most = self.most.lock().unwrap();
        *most = std::array::from_fn(|i| most[i].max(committed[i]));
        CounterState {
            spent: counter.spent,
            held_by_others: held(counter, node),
            held: counter.nodes[node].0,
            ends_in_ms: Some(3_600_000),
            version: counter.version,
        }
    }
}

fn plus(left: &Figures, right: &Figures) -> Figures {
    std::array::from_fn(|i| left[i] + right[i])
}

/// By all nodes but one.
fn held(counter: &Counter, but: &str) -> Figures {
    let others = counter.nodes.iter().filter(|(node, _)| *node != but);
    others.fold([0; 4], |sum, (_, (figures, _))| plus(&sum, figures))
}

fn granted(others: &Figures, lease: &LeaseRequest) -> Figures {
    let LeaseRequest { keep, want, spare, rule } = lease;
    let fits = |limits: &[Option<i64>; 4], figures: &Figures| {
        let sum = plus(others, figures);
        (0..4).all(|i| limits[i].is_none_or(|limit| sum[i] <= limit))
    };
    let all = plus(want, spare);
    match rule {
        GrantRule::Always => all,
        GrantRule::Within(limits) | GrantRule::Until(limits) if fits(limits, &all) => all,
        GrantRule::Within(limits) if fits(limits, want) => *want,
        GrantRule::Until(limits) if fits(limits, keep) => *want,
        GrantRule::Within(_) | GrantRule::Until(_) => *keep,
    }
}

impl StateStore for PlayedStore {
    fn exchange<'a>(
        &'a self,
        node: &'a str,
        steps: &'a [Exchange],
    ) -> BoxFuture<'a, Result<Vec<CounterState>, StoreError>> {
        async move {
            tokio::task::yield_now().await;
            if self.is_away.load(Ordering::Relaxed) {
                return Err(StoreError::away("played:", "it is away"));
            }
            let states = steps.iter().map(|step| self.step(node, step)).collect();
            let number = self.exchanges.fetch_add(1, Ordering::Relaxed) + 1;
            let loses_every = self.loses_every.load(Ordering::Relaxed);
            if loses_every > 0 && number.is_multiple_of(loses_every) {
                return Err(StoreError::away("played:", "no answer within 150 ms"));
            }
            Ok(states)
        }
        .boxed()
    }

    fn counters<'a>(
        &'a self,
        node: &'a str,
        prefix: &'a str,
        _: usize,
    ) -> BoxFuture<'a, Result<Vec<(String, CounterState)>, StoreError>> {
        let counters = self.counters.lock().unwrap();
        let found = counters.iter().filter(|(key, _)| key.starts_with(prefix)).map(|(key, counter)| {
            let state = CounterState {
                spent: counter.spent,
                held_by_others: held(counter, node),
                ends_in_ms: Some(3_600_000),
                version: counter.version,
                ..CounterState::default()
            };
            (key.clone(), state)
        });
        let found: Vec<_> = found.collect();
        async { Ok(found) }.boxed()
    }

    fn take<'a>(&'a self, takes: &'a [Take]) -> BoxFuture<'a, Result<Vec<Taken>, StoreError>> {
        async { Ok(vec![Taken::All; takes.len()]) }.boxed()
    }

    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>, StoreError>> {
        let value = self.values.lock().unwrap().get(key).cloned();
        async { Ok(value) }.boxed()
    }

    fn put<'a>(
        &'a self,
        key: &'a str,
        value: &'a [u8],
        _: Duration,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        self.values.lock().unwrap().insert(key.to_owned(), value.to_vec());
        async { Ok(()) }.boxed()
    }

    fn post<'a>(&'a self, _: &'a str, notice: &'a Notice) -> BoxFuture<'a, Result<(), StoreError>> {
        let mut board = self.board.lock().unwrap();
        board.retain(|other| other.name != notice.name);
        if notice.lasts_ms > 0 {
            board.push(notice.clone());
        }
        async { Ok(()) }.boxed()
    }

    fn notices<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Vec<Notice>, StoreError>> {
        let notices = self.board.lock().unwrap().clone();
        async { Ok(notices) }.boxed()
    }

    fn is_away(&self) -> bool {
        self.is_away.load(Ordering::Relaxed)
    }

    fn name(&self) -> &str {
        "played:"
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        async {}.boxed()
    }
}
