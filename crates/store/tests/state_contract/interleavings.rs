//! Many nodes at one counter: any order of their steps, and all at once.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicI64;

use futures::future::join_all;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::*;

/// The trait's rules written down a second time, without a clock: no window ends and no lease lapses.
#[derive(Default)]
struct Model {
    spent: Figures,
    nodes: BTreeMap<usize, (u64, Figures)>,
}

fn each(one: Figures, other: Figures, with: impl Fn(i64, i64) -> i64) -> Figures {
    std::array::from_fn(|at| with(one[at], other[at]))
}

fn fits(sum: Figures, limits: [Option<i64>; 4]) -> bool {
    sum.iter().zip(limits).all(|(sum, limit)| limit.is_none_or(|limit| *sum <= limit))
}

impl Model {
    fn others(&self, node: usize) -> Figures {
        let others = self.nodes.iter().filter(|(other, _)| **other != node);
        others.fold(NOTHING, |sum, (_, (_, held))| each(sum, *held, |sum, held| sum + held))
    }

    fn step(&mut self, node: usize, step: &Exchange) -> [Figures; 3] {
        let others = self.others(node);
        let (last, held) = self.nodes.entry(node).or_default();
        if let Some(spent) = step.spent.filter(|spent| spent.sequence > *last) {
            *last = spent.sequence;
            self.spent = each(self.spent, spent.figures, |sum, more| sum + more);
            *held = each(*held, spent.figures, |held, less| (held - less).max(0));
        }
        if let Some(LeaseRequest { keep, want, spare, rule }) = step.lease {
            let taken = each(self.spent, others, |spent, others| spent + others);
            let sum = |more| each(taken, more, |taken, more| taken + more);
            let full = each(want, spare, |want, spare| want + spare);
            *held = match rule {
                GrantRule::Always => full,
                GrantRule::Within(limits) | GrantRule::Until(limits) if fits(sum(full), limits) => full,
                GrantRule::Within(limits) if fits(sum(want), limits) => want,
                GrantRule::Until(limits) if fits(sum(keep), limits) => want,
                GrantRule::Within(_) | GrantRule::Until(_) => keep,
            };
        }
        [self.spent, others, *held]
    }
}

fn figures() -> impl Strategy<Value = Figures> {
    prop::array::uniform4(0..60i64)
}

fn rule() -> impl Strategy<Value = GrantRule> {
    let limits = prop::array::uniform4(prop::option::of(0..400i64));
    let kinds = [|_| GrantRule::Always, GrantRule::Within, GrantRule::Until];
    (limits, 0..3usize).prop_map(move |(limits, kind)| kinds[kind](limits))
}

/// A node and its step; of what it spends, the sequence number is an old one now and then.
fn steps() -> impl Strategy<Value = Vec<(usize, Exchange)>> {
    let counter = Counter { key: "".into(), window: HOUR };
    let spent = (figures(), 1..40u64).prop_map(|(figures, sequence)| Spent { figures, at_ms: 0, sequence });
    let lease = (figures(), figures(), figures(), rule())
        .prop_map(|(keep, want, spare, rule)| LeaseRequest { keep, want, spare, rule });
    let step = (0..4usize, prop::option::of(spent), prop::option::of(lease))
        .prop_map(move |(node, spent, lease)| (node, Exchange { counter: counter.clone(), spent, lease }));
    prop::collection::vec(step, 1..40)
}

/// The same steps on the store and on the model.
async fn compared(store: &dyn StateStore, steps: Vec<(usize, Exchange)>) -> Result<(), TestCaseError> {
    let counter = hourly();
    // A window that runs already: times of charges are not the matter here.
    step(store, "looker", look(&counter)).await;
    let mut model = Model::default();
    let mut version = 0;
    for (node, mut exchange) in steps {
        exchange.counter = counter.clone();
        if let Some(spent) = &mut exchange.spent {
            spent.at_ms = now_ms();
        }
        let state = step(store, &format!("node {node}"), exchange.clone()).await;
        prop_assert_eq!([state.spent, state.held_by_others, state.held], model.step(node, &exchange));
        prop_assert!(state.version >= version);
        version = state.version;
    }
    Ok(())
}

pub async fn any_order_of_steps_gives_what_the_rules_say(store: &dyn StateStore) {
    tokio::task::block_in_place(|| {
        let mut runner =
            TestRunner::new(ProptestConfig { cases: 40, failure_persistence: None, ..Default::default() });
        let runtime = tokio::runtime::Handle::current();
        runner.run(&steps(), |steps| runtime.block_on(compared(store, steps))).unwrap();
    });
}

const LIMIT: i64 = 2_000;

/// A node with a strict budget: it lets a call through only while its lease covers the most that all of its calls may spend.
struct Node<'a> {
    store: &'a dyn StateStore,
    name: String,
    counter: Counter,
    random: SmallRng,
    sequence: u64,
    /// The most that each call in flight may spend.
    calls: Vec<i64>,
    held: i64,
    spent_by_all: &'a AtomicI64,
}

impl Node<'_> {
    fn in_flight(&self) -> i64 {
        self.calls.iter().sum()
    }

    async fn exchange(&mut self, want: i64, spare: i64, spent: Option<Spent>) {
        let [keep, want, spare] = [self.in_flight(), want, spare].map(|figure| [figure, 0, 0, 0]);
        let rule = GrantRule::Within([Some(LIMIT), None, None, None]);
        let exchange = Exchange { spent, ..lease(&self.counter, [keep, want, spare], rule) };
        // A reply is lost now and then, and the step sent again.
        if self.random.random_bool(0.2) {
            step(self.store, &self.name, exchange.clone()).await;
        }
        let state = step(self.store, &self.name, exchange).await;
        self.held = state.held[0];
        let sum = state.spent[0] + state.held_by_others[0] + state.held[0];
        assert!(sum <= LIMIT, "{sum}: {state:?}");
        assert!(self.held >= self.in_flight(), "what was let through is held");
    }

    async fn begin(&mut self) {
        let most = self.random.random_range(1..=60);
        let want = self.in_flight() + most;
        if self.held < want {
            let spare = if self.random.random_bool(0.5) { self.random.random_range(0..=200) } else { 0 };
            self.exchange(want, spare, None).await;
        }
        if self.held >= want {
            self.calls.push(most);
        }
    }

    async fn end(&mut self) {
        if self.calls.is_empty() {
            return;
        }
        let at = self.random.random_range(0..self.calls.len());
        let most = self.calls.swap_remove(at);
        let figure = self.random.random_range(0..=most);
        self.spent_by_all.fetch_add(figure, Ordering::Relaxed);
        self.sequence += 1;
        let spent = Spent { figures: [figure, 0, 0, 0], at_ms: now_ms(), sequence: self.sequence };
        self.exchange(self.in_flight(), 0, Some(spent)).await;
    }

    async fn run(mut self) {
        for _ in 0..80 {
            if self.random.random_bool(0.6) { self.begin().await } else { self.end().await }
        }
        while !self.calls.is_empty() {
            self.end().await;
        }
        self.exchange(0, 0, None).await;
    }
}

pub async fn strict_nodes_at_once_never_pass_a_limit(store: &dyn StateStore) {
    for _ in 0..3 {
        let counter = hourly();
        step(store, "looker", look(&counter)).await;
        let spent_by_all = AtomicI64::new(0);
        let seed: u64 = rand::rng().random();
        println!("seed {seed}");
        let nodes = (0..5).map(|at| Node {
            store,
            name: format!("node {at}"),
            counter: counter.clone(),
            random: SmallRng::seed_from_u64(seed + at),
            sequence: 0,
            calls: Vec::new(),
            held: 0,
            spent_by_all: &spent_by_all,
        });
        join_all(nodes.map(Node::run)).await;
        let state = step(store, "looker", look(&counter)).await;
        let spent = spent_by_all.load(Ordering::Relaxed);
        assert_eq!((state.spent, state.held_by_others), ([spent, 0, 0, 0], NOTHING));
        assert!(spent > LIMIT / 2, "the limit was never near: {spent}");
    }
}
