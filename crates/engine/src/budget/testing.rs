//! What the tests of this module share.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::amount::BudgetUsage;
use super::call::CallEstimate;
use super::clock::{Clock, Moment};
use super::warning::BudgetWarning;
use gateway_model::Usd;
use gateway_model::config::{BudgetLimits, BudgetPolicy, BudgetScope, BudgetWindow, Enforcement, ScopeKind};

type Hook = Mutex<Option<Box<dyn FnOnce() + Send>>>;

pub struct ManualTime(Arc<Mutex<Moment>>);

impl ManualTime {
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Moment::now())))
    }

    /// The wall clock shows `time`, as in `2026-03-08T00:00:00-05:00`.
    pub fn at(time: &str) -> Self {
        let new = Self::new();
        new.set_wall(time);
        new
    }

    pub fn clock(&self) -> Clock {
        Clock::Manual(Arc::clone(&self.0))
    }

    pub fn now(&self) -> Moment {
        *self.0.lock().unwrap()
    }

    pub fn advance(&self, by: Duration) {
        let mut now = self.0.lock().unwrap();
        now.at += by;
        now.wall_ms += by.as_millis() as i64;
    }

    /// Sets the wall clock alone.
    pub fn set_wall(&self, time: &str) {
        self.0.lock().unwrap().wall_ms = time.parse::<jiff::Timestamp>().unwrap().as_millisecond();
    }
}

/// Tests compare warnings by their lines.
impl PartialEq<&str> for BudgetWarning {
    fn eq(&self, line: &&str) -> bool {
        let shown = self.to_string();
        shown == *line
    }
}

/// A global policy without limits.
pub fn policy(name: &str, window: BudgetWindow, enforcement: Enforcement) -> BudgetPolicy {
    BudgetPolicy {
        name: name.to_owned(),
        scope: BudgetScope { kind: ScopeKind::Global, key: None },
        window,
        limits: BudgetLimits::default(),
        enforcement,
        max_output_tokens_per_call: None,
        unknown_price: None,
        on_store_error: None,
    }
}

/// A policy of 10 tokens a day.
pub fn scoped(name: &str, kind: ScopeKind, key: Option<&str>, enforcement: Enforcement) -> BudgetPolicy {
    BudgetPolicy {
        scope: BudgetScope { kind, key: key.map(str::to_owned) },
        limits: BudgetLimits { max_total_tokens: Some(10), ..BudgetLimits::default() },
        ..policy(name, BudgetWindow::Day, enforcement)
    }
}

pub fn usage(input_tokens: u64, output_tokens: u64, dollars: f64) -> BudgetUsage {
    BudgetUsage { input_tokens, output_tokens, cost: Usd::from_dollars(dollars) }
}

/// A call that knows how often it was counted. A cent for an input token, two for an output token.
pub struct FakeCall {
    pub model: &'static str,
    pub tokens: u64,
    pub upper_bound: u64,
    pub max_tokens: Option<u64>,
    /// The model's price is known.
    pub is_priced: bool,
    /// The model's vocabulary is there: counting takes no while.
    pub is_loaded: bool,
    pub counts: AtomicUsize,
    /// Run while the call is counted.
    pub hook: Hook,
}

impl FakeCall {
    /// Its upper bound is four times its tokens.
    pub fn new(tokens: u64, max_tokens: Option<u64>) -> Arc<Self> {
        Arc::new(Self::with_bound(tokens, tokens * 4, max_tokens))
    }

    pub fn with_bound(tokens: u64, upper_bound: u64, max_tokens: Option<u64>) -> Self {
        Self {
            model: "m",
            tokens,
            upper_bound,
            max_tokens,
            is_priced: true,
            is_loaded: true,
            counts: AtomicUsize::new(0),
            hook: Mutex::new(None),
        }
    }

    pub fn counts(&self) -> usize {
        self.counts.load(Ordering::Relaxed)
    }

    pub fn price(input: u64, output: u64) -> Usd {
        Usd::from_dollars(input as f64 / 100.0) + Usd::from_dollars(output as f64 / 50.0)
    }
}

impl CallEstimate for FakeCall {
    fn model(&self) -> &str {
        self.model
    }

    fn input_upper_bound(&self) -> u64 {
        self.upper_bound
    }

    fn input_tokens(&self) -> u64 {
        self.counts.fetch_add(1, Ordering::Relaxed);
        let hook = self.hook.lock().unwrap().take();
        if let Some(run) = hook {
            run();
        }
        self.tokens
    }

    fn input_tokens_now(&self) -> Option<u64> {
        self.is_loaded.then(|| self.input_tokens())
    }

    fn max_tokens(&self) -> Option<u64> {
        self.max_tokens
    }

    fn is_priced(&self) -> bool {
        self.is_priced
    }

    fn cost(&self, input: u64, output: u64) -> Usd {
        if self.is_priced { Self::price(input, output) } else { Usd::ZERO }
    }
}
