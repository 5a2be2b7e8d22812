use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::Duration;

use proptest::prelude::*;

use super::ledger::Account;
use super::testing::{FakeCall, ManualTime};
use super::warning::lines;
use super::{BudgetGuard, BudgetUsage, Reservation, Scope};
use gateway_model::config::{BudgetLimits, BudgetPolicy, BudgetScope, BudgetWindow, Enforcement, ScopeKind};

const TIERS: [Option<&str>; 3] = [None, Some("free"), Some("pro")];

#[derive(Debug, Clone)]
enum Step {
    Admit {
        tier: usize,
        tokens: u64,
        slack: u64,
        max_tokens: Option<u64>,
    },
    /// Uses so many hundredths of the call's bounds.
    Settle {
        which: usize,
        input: u64,
        output: u64,
    },
    Drop {
        which: usize,
    },
    Advance {
        minutes: u64,
    },
}

fn steps(most_minutes: u64) -> impl Strategy<Value = Vec<Step>> {
    let admit = (0..TIERS.len(), 0..200_u64, 0..300_u64, prop::option::of(0..200_u64))
        .prop_map(|(tier, tokens, slack, max_tokens)| Step::Admit { tier, tokens, slack, max_tokens });
    let settle = (any::<usize>(), 0..=100_u64, 0..=100_u64).prop_map(|(which, input, output)| Step::Settle {
        which,
        input,
        output,
    });
    prop::collection::vec(
        prop_oneof![
            4 => admit,
            2 => settle,
            1 => any::<usize>().prop_map(|which| Step::Drop { which }),
            1 => (0..=most_minutes).prop_map(|minutes| Step::Advance { minutes }),
        ],
        0..60,
    )
}

fn policies() -> impl Strategy<Value = Vec<BudgetPolicy>> {
    let limit = || prop::option::of(0..1500_u64);
    let limits =
        (limit(), limit(), limit(), limit()).prop_map(|(input, output, total, cents)| BudgetLimits {
            max_input_tokens: input,
            max_output_tokens: output,
            max_total_tokens: total,
            max_cost_usd: cents.map(|cents| cents as f64 / 100.0),
            warn_at: Some(0.5),
        });
    let scope = prop::sample::select(vec![
        (ScopeKind::Global, None),
        (ScopeKind::User, None),
        (ScopeKind::User, Some("pro")),
        (ScopeKind::Feature, None),
    ]);
    let window = prop::sample::select(vec![BudgetWindow::Hour, BudgetWindow::Day, BudgetWindow::Request]);
    let enforcement = prop::sample::select(vec![Enforcement::Soft, Enforcement::Hard, Enforcement::Strict]);
    let policy = (limits, scope, window, enforcement, prop::option::of(1..300_u64)).prop_map(
        |(limits, (kind, key), window, enforcement, max_output_tokens_per_call)| BudgetPolicy {
            name: String::new(),
            scope: BudgetScope { kind, key: key.map(str::to_owned) },
            window,
            limits,
            enforcement,
            max_output_tokens_per_call,
            unknown_price: None,
            on_store_error: None,
        },
    );
    prop::collection::vec(policy, 1..5).prop_map(|mut policies| {
        for (index, policy) in policies.iter_mut().enumerate() {
            policy.name = format!("p{index}");
        }
        policies
    })
}

/// A guard and the calls it admitted.
struct Run {
    guard: Arc<BudgetGuard>,
    time: ManualTime,
    in_flight: Vec<(Reservation, u64, u64, Scope<'static>)>,
    settled: Vec<(Scope<'static>, BudgetUsage)>,
}

impl Run {
    fn new(policies: Vec<BudgetPolicy>) -> Self {
        let time = ManualTime::new();
        let guard = Arc::new(BudgetGuard::with_clock(policies, time.clock()));
        Self { guard, time, in_flight: Vec::new(), settled: Vec::new() }
    }

    /// What the caller sees of the step: the refusal, or the names of the policies that warn.
    fn step(&mut self, step: &Step, exact: bool) -> Result<Vec<String>, (String, Vec<String>)> {
        let names = |warnings: &[String]| {
            warnings.iter().map(|text| text.split(' ').next().unwrap().to_owned()).collect::<Vec<_>>()
        };
        match *step {
            Step::Admit { tier, tokens, slack, max_tokens } => {
                let scope = Scope { user_tier: TIERS[tier], ..Scope::default() };
                let bound = tokens + if exact { 0 } else { slack };
                let call = FakeCall::with_bound(tokens, bound, max_tokens);
                let reservation = self
                    .guard
                    .admit(&scope, Arc::new(call))
                    .map_err(|refusal| (refusal.policy, names(&lines(&refusal.warnings))))?;
                let warned = names(&lines(reservation.warnings()));
                let most_output = max_tokens.or(reservation.output_cap()).unwrap_or(300);
                self.in_flight.push((reservation, tokens, most_output, scope));
                Ok(warned)
            }
            Step::Settle { which, input, output } if !self.in_flight.is_empty() => {
                let index = which % self.in_flight.len();
                let (reservation, tokens, most_output, scope) = self.in_flight.swap_remove(index);
                let (input_tokens, output_tokens) = (tokens * input / 100, most_output * output / 100);
                let used = BudgetUsage {
                    input_tokens,
                    output_tokens,
                    cost: FakeCall::price(input_tokens, output_tokens),
                };
                self.settled.push((scope, used));
                Ok(lines(&reservation.settle(used).warnings))
            }
            Step::Drop { which } if !self.in_flight.is_empty() => {
                let index = which % self.in_flight.len();
                drop(self.in_flight.swap_remove(index));
                Ok(Vec::new())
            }
            Step::Advance { minutes } => {
                self.time.advance(Duration::from_secs(60 * minutes));
                Ok(Vec::new())
            }
            Step::Settle { .. } | Step::Drop { .. } => Ok(Vec::new()),
        }
    }

    fn strict_limits_hold(&self) -> bool {
        let ledger = self.guard.ledger();
        ledger.accounts().iter().all(|Account { policy, buckets, .. }| {
            policy.enforcement != Enforcement::Strict
                || buckets.values().all(|bucket| {
                    let spent = super::amount::Range::from(bucket.spent);
                    policy.limits.judge(policy.subject, &spent) == super::limits::Verdict::Within
                })
        })
    }

    fn nothing_is_reserved(&self) -> bool {
        let ledger = self.guard.ledger();
        !ledger.has_active_calls()
            && ledger.accounts().iter().flat_map(|account| account.buckets.values()).all(|bucket| {
                bucket.reserved == Default::default() && bucket.active_calls == 0 && bucket.uncounted == 0
            })
    }
}

fn sum_settled(guard: &BudgetGuard, settled: &[(Scope<'static>, BudgetUsage)]) -> Vec<(String, BudgetUsage)> {
    let window = super::limits::Subject::Window;
    let sum = |policy: &super::policy::Policy| {
        let mut sum = BudgetUsage::default();
        let applies = |scope| policy.subject == window && policy.scope_key(scope).is_some();
        for (_, used) in settled.iter().filter(|(scope, _)| applies(scope)) {
            sum.input_tokens += used.input_tokens;
            sum.output_tokens += used.output_tokens;
            sum.cost += used.cost;
        }
        sum
    };
    let ledger = guard.ledger();
    ledger.accounts().iter().map(|account| (account.policy.name.clone(), sum(&account.policy))).collect()
}

proptest! {
    #[test]
    fn spent_is_the_sum_of_settled_usages(policies in policies(), steps in steps(0)) {
        let mut run = Run::new(policies);
        for step in &steps {
            let _ = run.step(step, false);
        }
        run.in_flight.clear();
        prop_assert!(run.nothing_is_reserved());
        prop_assert_eq!(run.guard.spent(), sum_settled(&run.guard, &run.settled));
    }

    #[test]
    fn strict_limits_are_never_exceeded(policies in policies(), steps in steps(90)) {
        let mut run = Run::new(policies);
        for step in &steps {
            let _ = run.step(step, false);
            prop_assert!(run.strict_limits_hold());
        }
        run.in_flight.clear();
        prop_assert!(run.nothing_is_reserved());
    }

    #[test]
    fn bounds_lead_to_the_same_decisions_as_counts(policies in policies(), steps in steps(90)) {
        let mut bounds = Run::new(policies.clone());
        let mut counts = Run::new(policies);
        for step in &steps {
            prop_assert_eq!(bounds.step(step, false), counts.step(step, true));
        }
    }
}

#[test]
fn eight_threads_leave_nothing_reserved_and_nothing_uncounted() {
    let policy = |name: &str, kind, enforcement, limit| BudgetPolicy {
        scope: BudgetScope { kind, key: None },
        limits: BudgetLimits { max_total_tokens: Some(limit), ..BudgetLimits::default() },
        ..super::testing::policy(name, BudgetWindow::Day, enforcement)
    };
    let guard = Arc::new(BudgetGuard::new(vec![
        policy("strict", ScopeKind::Global, Enforcement::Strict, 100_000),
        policy("hard", ScopeKind::User, Enforcement::Hard, 40_000),
        policy("soft", ScopeKind::Global, Enforcement::Soft, 500),
    ]));
    let settled: Mutex<Vec<(Scope<'static>, BudgetUsage)>> = Mutex::default();
    let start = Barrier::new(8);
    thread::scope(|threads| {
        for thread in 0..8_u64 {
            let (guard, settled, start) = (&guard, &settled, &start);
            threads.spawn(move || {
                start.wait();
                let mut held = Vec::new();
                for round in 0..2000_u64 {
                    let random = (thread * 7919 + round).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33;
                    let scope = Scope { user_tier: TIERS[(random % 3) as usize], ..Scope::default() };
                    let tokens = random % 40;
                    if let Ok(reservation) = guard.admit(&scope, FakeCall::new(tokens, Some(random % 20))) {
                        held.push((reservation, scope, tokens, random % 20));
                    }
                    assert!(guard.spent()[0].1.input_tokens <= 100_000);
                    if held.len() > 4 || random % 5 == 0 {
                        for (reservation, scope, input_tokens, output_tokens) in held.drain(..) {
                            if (input_tokens + round) % 4 == 0 {
                                continue;
                            }
                            let cost = FakeCall::price(input_tokens, output_tokens);
                            let used = BudgetUsage { input_tokens, output_tokens, cost };
                            let _ = reservation.settle(used);
                            settled.lock().unwrap().push((scope, used));
                        }
                    }
                }
            });
        }
    });
    let settled = settled.into_inner().unwrap();
    assert_eq!(guard.spent(), sum_settled(&guard, &settled));
    let spent = guard.spent()[0].1;
    assert!(spent.input_tokens + spent.output_tokens <= 100_000);
    assert!(spent.input_tokens > 50_000, "the limit was approached");
    assert!(guard.reserved().iter().all(|(_, held)| *held == BudgetUsage::default()));
    assert!(!guard.ledger().has_active_calls());
}
