//! A database and a state that can be away, and that tell what reached them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use gateway_engine::records::{Batch, UsageRow};
use gateway_engine::state::{
    Charge, Counter, CounterState, CounterWindow, Exchange, Figures, Notice, StateStore, StoreError, Take,
    Taken,
};
use gateway_store::journal::{BatchSink, Log, Numbered};

#[derive(Default)]
pub struct Database {
    pub away: AtomicBool,
    /// Each row with how often it was written.
    pub rows: Mutex<BTreeMap<String, usize>>,
    pub marks: Mutex<BTreeMap<String, u64>>,
    pub calls: Mutex<usize>,
    pub name: Option<&'static str>,
}

impl Database {
    pub fn set_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    pub fn count(&self) -> usize {
        self.rows.lock().unwrap().len()
    }
}

impl BatchSink for Database {
    fn apply<'a>(
        &'a self,
        journal: &'a str,
        batches: &'a [Numbered],
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        async move {
            tokio::task::yield_now().await;
            *self.calls.lock().unwrap() += 1;
            if self.away.load(Ordering::SeqCst) {
                return Err(StoreError::away(self.name(), "does not answer"));
            }
            let mut marks = self.marks.lock().unwrap();
            let mark = marks.entry(journal.to_owned()).or_default();
            let mut rows = self.rows.lock().unwrap();
            let mut last = 0;
            for Numbered { sequence, batch } in batches {
                assert!(*sequence > last, "in the order of their numbers");
                last = *sequence;
                if *sequence > *mark {
                    *mark = *sequence;
                    for row in &batch.rows {
                        *rows.entry(row.request_id.clone()).or_default() += 1;
                    }
                }
            }
            Ok(())
        }
        .boxed()
    }

    fn is_away(&self) -> bool {
        self.away.load(Ordering::SeqCst)
    }

    fn name(&self) -> &str {
        self.name.unwrap_or("fake://database")
    }
}

/// Counters as a state keeps them: what a node charges twice under one number counts once.
#[derive(Default)]
pub struct State {
    pub away: AtomicBool,
    counters: Mutex<BTreeMap<String, Figures>>,
    last: Mutex<BTreeMap<(String, String), u64>>,
}

impl State {
    pub fn spent(&self, key: &str) -> i64 {
        self.counters.lock().unwrap().get(key).map_or(0, |figures| figures[0])
    }
}

impl StateStore for State {
    fn exchange<'a>(
        &'a self,
        node: &'a str,
        steps: &'a [Exchange],
    ) -> BoxFuture<'a, Result<Vec<CounterState>, StoreError>> {
        if self.away.load(Ordering::SeqCst) {
            return ready(Err(StoreError::away("fake://state", "does not answer"))).boxed();
        }
        for step in steps {
            assert!(step.lease.is_none());
            let spent = step.spent.unwrap();
            let key = step.counter.key.to_string();
            let mut last = self.last.lock().unwrap();
            let last = last.entry((node.to_owned(), key.clone())).or_default();
            if spent.sequence > *last {
                *last = spent.sequence;
                let mut counters = self.counters.lock().unwrap();
                let figures = counters.entry(key).or_default();
                for (sum, more) in figures.iter_mut().zip(spent.figures) {
                    *sum += more;
                }
            }
        }
        ready(Ok(vec![CounterState::default(); steps.len()])).boxed()
    }

    fn counters<'a>(
        &'a self,
        _: &'a str,
        _: &'a str,
        _: usize,
    ) -> BoxFuture<'a, Result<Vec<(String, CounterState)>, StoreError>> {
        ready(Ok(vec![])).boxed()
    }

    fn take<'a>(&'a self, _: &'a [Take]) -> BoxFuture<'a, Result<Vec<Taken>, StoreError>> {
        ready(Ok(vec![])).boxed()
    }

    fn get<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>, StoreError>> {
        ready(Ok(None)).boxed()
    }

    fn put<'a>(&'a self, _: &'a str, _: &'a [u8], _: Duration) -> BoxFuture<'a, Result<(), StoreError>> {
        ready(Ok(())).boxed()
    }

    fn post<'a>(&'a self, _: &'a str, _: &'a Notice) -> BoxFuture<'a, Result<(), StoreError>> {
        ready(Ok(())).boxed()
    }

    fn notices<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Vec<Notice>, StoreError>> {
        ready(Ok(vec![])).boxed()
    }

    fn is_away(&self) -> bool {
        self.away.load(Ordering::SeqCst)
    }

    fn name(&self) -> &str {
        "fake://state"
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        ready(()).boxed()
    }
}

/// A batch of one row that costs one.
pub fn batch(id: &str) -> Arc<Batch> {
    let row = UsageRow {
        request_id: id.to_owned(),
        provider: "openai".into(),
        model: "gpt-4o".into(),
        success: true,
        ..UsageRow::default()
    };
    let counter = Counter { key: "budget".into(), window: CounterWindow::Rolling { length_ms: 60_000 } };
    let charge = Charge { counter, figures: [1, 0, 0, 0], at_ms: 0 };
    Arc::new(Batch { rows: vec![row], charges: vec![charge] })
}

/// Lines for the operator.
#[derive(Clone, Default)]
pub struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    pub fn log(&self) -> Log {
        let lines = self.0.clone();
        Arc::new(move |line| lines.lock().unwrap().push(line))
    }

    pub fn with(&self, part: &str) -> Vec<String> {
        self.0.lock().unwrap().iter().filter(|line| line.contains(part)).cloned().collect()
    }

    pub fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}
