use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::testing::{FakeCall, ManualTime, policy, usage};
use super::warning::lines;
use super::{BudgetGuard, BudgetUsage, Reservation, Scope};
use gateway_model::config::{BudgetLimits, BudgetPolicy, BudgetScope, BudgetWindow, Enforcement, ScopeKind};

const ANY: Scope<'_> = Scope {
    user_tier: None,
    user_id: None,
    feature: None,
    provider: None,
    model: None,
    key: None,
    team: None,
};

fn total(limit: u64, enforcement: Enforcement) -> BudgetPolicy {
    BudgetPolicy {
        limits: BudgetLimits { max_total_tokens: Some(limit), ..BudgetLimits::default() },
        ..policy("daily", BudgetWindow::Day, enforcement)
    }
}

fn guard(policies: impl IntoIterator<Item = BudgetPolicy>) -> Arc<BudgetGuard> {
    Arc::new(BudgetGuard::new(policies.into_iter().collect()))
}

fn admit(guard: &Arc<BudgetGuard>, tokens: u64, max_tokens: Option<u64>) -> Reservation {
    guard.admit(&ANY, FakeCall::new(tokens, max_tokens)).unwrap()
}

fn reserved(guard: &BudgetGuard) -> BudgetUsage {
    guard.reserved()[0].1
}

fn spent(guard: &BudgetGuard) -> BudgetUsage {
    guard.spent()[0].1
}

#[test]
fn hard_enforcement_counts_other_calls_but_not_the_call_itself() {
    let guard = guard([total(10, Enforcement::Hard)]);
    let first = admit(&guard, 8, Some(100));
    let refusal = guard.admit(&ANY, FakeCall::new(1, Some(1))).unwrap_err();
    assert_eq!(refusal.policy, "daily");
    assert_eq!(refusal.warnings, ["[daily] total tokens 100 > limit 10"]);
    drop(first);
    let second = admit(&guard, 8, Some(1));
    let third = admit(&guard, 1, Some(1));
    assert!(guard.admit(&ANY, FakeCall::new(1, Some(1))).is_err());
    assert_eq!(second.settle(usage(8, 1, 0.0)).warnings, [""; 0]);
    assert_eq!(third.settle(usage(1, 0, 0.0)).warnings, [""; 0]);
    drop(admit(&guard, 100, Some(100)));
    guard.record(&ANY, usage(1, 0, 0.0));
    let refusal = guard.admit(&ANY, FakeCall::new(1, Some(1))).unwrap_err();
    assert_eq!(refusal.warnings, ["[daily] total tokens 11 > limit 10"]);
}

#[test]
fn soft_enforcement_admits_with_a_warning() {
    let guard = guard([total(10, Enforcement::Soft)]);
    guard.record(&ANY, usage(11, 0, 0.0));
    let call = FakeCall::new(1, Some(1));
    let reservation = guard.admit(&ANY, call.clone()).unwrap();
    assert_eq!(reservation.warnings(), ["[daily] total tokens 11 > limit 10"]);
    assert_eq!(call.counts(), 0);
}

#[test]
fn strict_enforcement_counts_the_calls_own_bound() {
    let guard = guard([total(100, Enforcement::Strict)]);
    let refusal = guard.admit(&ANY, FakeCall::new(51, Some(50))).unwrap_err();
    assert_eq!(refusal.warnings, ["[daily] total tokens 101 > limit 100"]);
    let first = admit(&guard, 10, Some(50));
    assert_eq!(first.output_cap(), None);
    assert!(guard.admit(&ANY, FakeCall::new(21, Some(20))).is_err());
    assert_eq!(admit(&guard, 20, Some(20)).settle(usage(20, 20, 0.0)).warnings, [""; 0]);
    drop(first);
    drop(admit(&guard, 20, Some(40)));
    assert_eq!(reserved(&guard), BudgetUsage::default());
}

#[test]
fn output_cap_is_known_before_admission() {
    let capped = |cap, enforcement, key: Option<&str>| BudgetPolicy {
        scope: BudgetScope { kind: ScopeKind::User, key: key.map(str::to_owned) },
        max_output_tokens_per_call: cap,
        ..total(1_000_000, enforcement)
    };
    let guard = guard([
        capped(Some(5), Enforcement::Hard, None),
        capped(Some(10), Enforcement::Strict, Some("free")),
        capped(None, Enforcement::Strict, Some("free")),
        capped(None, Enforcement::Strict, Some("pro")),
    ]);
    for (tier, cap) in [("free", Some(10)), ("pro", Some(4096)), ("other", None)] {
        let scope = Scope { user_tier: Some(tier), ..ANY };
        assert_eq!(guard.output_cap(&scope), cap, "{tier}");
        assert_eq!(guard.admit(&scope, FakeCall::new(1, None)).unwrap().output_cap(), cap, "{tier}");
    }
}

#[test]
fn would_admit_decides_as_admission_and_changes_nothing() {
    for enforcement in [Enforcement::Soft, Enforcement::Hard, Enforcement::Strict] {
        for window in [BudgetWindow::Request, BudgetWindow::Day] {
            let guard = guard([BudgetPolicy { window, ..total(100, enforcement) }]);
            let same = |tokens, max_tokens| {
                let explained = guard.would_admit(&ANY, &*FakeCall::new(tokens, max_tokens));
                let before = (reserved(&guard), spent(&guard));
                match guard.admit(&ANY, FakeCall::new(tokens, max_tokens)) {
                    Ok(held) => {
                        assert_eq!(
                            (explained.blocked_by, &*explained.warnings),
                            (None, &*lines(held.warnings()))
                        )
                    }
                    Err(refusal) => {
                        assert_eq!(
                            (explained.blocked_by, explained.warnings),
                            (Some(refusal.policy), lines(&refusal.warnings))
                        )
                    }
                }
                assert_eq!((reserved(&guard), spent(&guard)), before);
            };
            let calls = || [(10, Some(20)), (10, Some(91)), (10, None), (101, Some(0))];
            calls().into_iter().for_each(|(tokens, max_tokens)| same(tokens, max_tokens));
            let held = guard.admit(&ANY, FakeCall::new(30, Some(50)));
            calls().into_iter().for_each(|(tokens, max_tokens)| same(tokens, max_tokens));
            drop(held);
            guard.record(&ANY, usage(95, 0, 0.0));
            calls().into_iter().for_each(|(tokens, max_tokens)| same(tokens, max_tokens));
        }
    }
}

#[test]
fn would_admit_begins_no_window() {
    let time = ManualTime::new();
    let guard = BudgetGuard::with_clock(vec![total(10, Enforcement::Strict)], time.clock());
    let guard = Arc::new(guard);
    assert!(guard.would_admit(&ANY, &*FakeCall::new(1, Some(1))).allowed);
    time.advance(Duration::from_secs(23 * 3600));
    let _ = admit(&guard, 9, Some(1)).settle(usage(9, 1, 0.0));
    time.advance(Duration::from_secs(3600));
    assert!(!guard.would_admit(&ANY, &*FakeCall::new(1, Some(1))).allowed);
    time.advance(Duration::from_secs(23 * 3600));
    assert!(guard.would_admit(&ANY, &*FakeCall::new(1, Some(1))).allowed);
}

#[test]
fn strict_enforcement_bounds_cost() {
    let policy = BudgetPolicy {
        limits: BudgetLimits { max_cost_usd: Some(1.0), ..BudgetLimits::default() },
        ..policy("p", BudgetWindow::Hour, Enforcement::Strict)
    };
    let guard = guard([policy]);
    let held = admit(&guard, 50, Some(25));
    let refusal = guard.admit(&ANY, FakeCall::new(1, Some(0))).unwrap_err();
    assert_eq!(refusal.warnings, ["[p] cost $1.0100 > limit $1"]);
    drop(held);
}

#[test]
fn lowest_output_cap_of_strict_policies_is_sent_upstream() {
    let capped = |cap| BudgetPolicy { max_output_tokens_per_call: cap, ..total(50_000, Enforcement::Strict) };
    let reservation = guard([capped(None)]).admit(&ANY, FakeCall::new(1, None)).unwrap();
    assert_eq!(reservation.output_cap(), Some(4096));

    let elsewhere = BudgetPolicy {
        scope: BudgetScope { kind: ScopeKind::User, key: Some("pro".into()) },
        ..capped(Some(1))
    };
    let guard = guard([capped(Some(300)), capped(Some(200)), total(50_000, Enforcement::Hard), elsewhere]);
    let reservation = guard.admit(&ANY, FakeCall::new(1, None)).unwrap();
    assert_eq!(reservation.output_cap(), Some(200));
    let outputs: Vec<u64> = guard.reserved().iter().map(|(_, held)| held.output_tokens).collect();
    assert_eq!(outputs, [200, 200, 200, 0]);
}

#[test]
fn mean_output_of_the_model_is_reserved_without_max_tokens() {
    let guard = guard([total(50_000, Enforcement::Hard)]);
    let first = admit(&guard, 1, None);
    assert_eq!(first.output_cap(), None);
    assert_eq!(reserved(&guard).output_tokens, 256);
    assert_eq!(first.settle(usage(1, 10, 0.0)).warnings, [""; 0]);
    assert_eq!(admit(&guard, 1, None).settle(usage(1, 20, 0.0)).warnings, [""; 0]);
    let _third = admit(&guard, 1, None);
    assert_eq!(reserved(&guard).output_tokens, 15);
    assert_eq!(reserved(&guard).cost, FakeCall::price(4, 15));
}

#[test]
fn request_window_refuses_by_the_calls_own_estimate() {
    let limits = BudgetLimits { max_input_tokens: Some(10), ..BudgetLimits::default() };
    let request =
        |enforcement, limits| BudgetPolicy { limits, ..policy("r", BudgetWindow::Request, enforcement) };
    let hard = guard([request(Enforcement::Hard, limits)]);
    let refusal = hard.admit(&ANY, FakeCall::new(11, None)).unwrap_err();
    assert_eq!(refusal.warnings, ["[r] request input tokens 11 > limit 10"]);
    assert!(hard.admit(&ANY, FakeCall::new(10, None)).is_ok());
    let soft = guard([request(Enforcement::Soft, limits)]);
    let reservation = soft.admit(&ANY, FakeCall::new(11, None)).unwrap();
    assert_eq!(reservation.warnings(), ["[r] request input tokens 11 > limit 10"]);
    assert_eq!(reserved(&soft), BudgetUsage::default());
    assert_eq!(reservation.settle(usage(11, 1, 0.0)).warnings, [""; 0]);
    assert_eq!(spent(&soft), BudgetUsage::default());

    let output = BudgetLimits { max_output_tokens: Some(1000), ..BudgetLimits::default() };
    assert!(guard([request(Enforcement::Hard, output)]).admit(&ANY, FakeCall::new(1, None)).is_ok());
    let refusal =
        guard([request(Enforcement::Strict, output)]).admit(&ANY, FakeCall::new(1, None)).unwrap_err();
    assert_eq!(refusal.warnings, ["[r] request output tokens 4096 > limit 1000"]);
}

#[test]
fn prompts_are_not_counted_far_from_a_limit() {
    for enforcement in [Enforcement::Soft, Enforcement::Hard, Enforcement::Strict] {
        let guard = guard([total(1_000_000, enforcement)]);
        let calls: Vec<_> = (0..100).map(|_| FakeCall::new(10, Some(10))).collect();
        let held: Vec<_> = calls.iter().map(|call| guard.admit(&ANY, call.clone()).unwrap()).collect();
        assert_eq!(reserved(&guard).input_tokens, 100 * 40);
        for reservation in held {
            assert_eq!(reservation.settle(usage(10, 10, 0.0)).warnings, [""; 0]);
        }
        assert!(calls.iter().all(|call| call.counts() == 0));
    }
}

#[test]
fn prompts_are_counted_when_a_limit_could_be_reached() {
    let guard = guard([total(100, Enforcement::Hard)]);
    let calls: Vec<_> = (0..3).map(|_| FakeCall::new(20, Some(10))).collect();
    let first = guard.admit(&ANY, calls[0].clone()).unwrap();
    let second = guard.admit(&ANY, calls[1].clone()).unwrap();
    assert_eq!(reserved(&guard).input_tokens, 160);
    assert_eq!([0, 1, 2].map(|index| calls[index].counts()), [0, 0, 0]);
    let third = guard.admit(&ANY, calls[2].clone()).unwrap();
    assert_eq!([0, 1, 2].map(|index| calls[index].counts()), [1, 1, 1]);
    assert_eq!(reserved(&guard), BudgetUsage { cost: FakeCall::price(60, 30), ..usage(60, 30, 0.0) });
    drop((first, second, third));
    assert_eq!(reserved(&guard), BudgetUsage::default());
}

#[test]
fn prompts_are_not_counted_when_any_count_is_refused() {
    let hard = guard([total(100, Enforcement::Hard)]);
    hard.record(&ANY, usage(101, 0, 0.0));
    let strict = guard([total(100, Enforcement::Strict)]);
    for guard in [hard, strict] {
        let call = FakeCall::new(1, Some(101));
        assert!(guard.admit(&ANY, call.clone()).is_err());
        assert_eq!(call.counts(), 0);
    }
}

#[test]
fn active_call_may_end_while_another_counts_it() {
    let guard = guard([total(100, Enforcement::Hard)]);
    let held: Arc<Mutex<Option<Reservation>>> = Arc::default();
    let first = FakeCall::new(40, Some(10));
    let reservation = guard.admit(&ANY, first.clone()).unwrap();
    *held.lock().unwrap() = Some(reservation);
    let in_hook = Arc::clone(&held);
    *first.hook.lock().unwrap() = Some(Box::new(move || drop(in_hook.lock().unwrap().take())));
    let second = guard.admit(&ANY, FakeCall::new(5, Some(5))).unwrap();
    assert_eq!(first.counts(), 1);
    assert_eq!(reserved(&guard), BudgetUsage { cost: FakeCall::price(5, 5), ..usage(5, 5, 0.0) });
    drop(second);
    assert_eq!(reserved(&guard), BudgetUsage::default());
}

#[test]
fn dropped_reservation_is_returned_and_nothing_is_recorded() {
    let guard = guard([total(100, Enforcement::Hard)]);
    drop(admit(&guard, 10, Some(10)));
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        let _held = admit(&guard, 10, Some(10));
        panic!("while in flight");
    }));
    assert!(unwound.is_err());
    assert_eq!((reserved(&guard), spent(&guard)), (BudgetUsage::default(), BudgetUsage::default()));
}

#[test]
fn scope_values_are_counted_apart() {
    let by_user = BudgetPolicy {
        scope: BudgetScope { kind: ScopeKind::User, key: None },
        ..total(10, Enforcement::Hard)
    };
    let guard = guard([by_user]);
    let free = Scope { user_tier: Some("free"), ..ANY };
    let _held = guard.admit(&free, FakeCall::new(10, Some(10))).unwrap();
    assert!(guard.admit(&free, FakeCall::new(1, Some(1))).is_err());
    assert!(guard.admit(&ANY, FakeCall::new(1, Some(1))).is_ok());
}

#[test]
fn warn_at_warns_once_in_a_window() {
    let time = ManualTime::new();
    let limits = BudgetLimits {
        max_cost_usd: Some(10.0),
        max_input_tokens: Some(100),
        warn_at: Some(0.8),
        ..BudgetLimits::default()
    };
    let policy = BudgetPolicy { limits, ..policy("daily", BudgetWindow::Day, Enforcement::Hard) };
    let guard = Arc::new(BudgetGuard::with_clock(vec![policy], time.clock()));
    let settle = |used| admit(&guard, 1, Some(1)).settle(used);
    for _ in 0..2 {
        assert_eq!(settle(usage(1, 0, 7.99)).warnings, [""; 0]);
        assert_eq!(
            settle(usage(1, 0, 0.01)).warnings,
            ["[daily] 80% of the budget is used: cost $8.0000 of $10"]
        );
        assert_eq!(settle(usage(1, 0, 1.0)).warnings, [""; 0]);
        assert_eq!(
            settle(usage(77, 0, 0.0)).warnings,
            ["[daily] 80% of the budget is used: input tokens 80 of 100"]
        );
        time.advance(Duration::from_secs(24 * 3600));
    }
    assert_eq!(
        settle(usage(90, 0, 9.0)).warnings,
        ["[daily] 80% of the budget is used: input tokens 90 of 100, cost $9.0000 of $10"]
    );
}

#[test]
fn call_that_outlives_its_window_is_settled_in_the_next() {
    let time = ManualTime::new();
    let guard = Arc::new(BudgetGuard::with_clock(vec![total(100, Enforcement::Strict)], time.clock()));
    let held = admit(&guard, 10, Some(50));
    guard.record(&ANY, usage(40, 0, 0.0));
    time.advance(Duration::from_secs(24 * 3600));
    assert_eq!(spent(&guard), BudgetUsage::default());
    assert!(guard.admit(&ANY, FakeCall::new(41, Some(0))).is_err(), "what is in flight still counts");
    assert_eq!(held.settle(usage(10, 40, 0.5)).warnings, [""; 0]);
    assert_eq!(spent(&guard), usage(10, 40, 0.5));
    assert_eq!(reserved(&guard), BudgetUsage::default());
}

#[test]
fn absurd_bounds_are_returned_exactly() {
    let guard = guard([total(u64::MAX, Enforcement::Soft)]);
    let small = admit(&guard, 1, Some(100));
    let huge: Vec<_> = (0..3).map(|_| admit(&guard, 1, Some(u64::MAX))).collect();
    drop(huge);
    assert_eq!(reserved(&guard).output_tokens, 100);
    drop(small);
    assert_eq!(reserved(&guard), BudgetUsage::default());
}

#[test]
fn policies_that_do_not_apply_neither_cap_nor_count() {
    let elsewhere = BudgetPolicy {
        scope: BudgetScope { kind: ScopeKind::Feature, key: Some("chat".into()) },
        ..total(1, Enforcement::Strict)
    };
    for guard in [guard([elsewhere]), guard([])] {
        let call = FakeCall::new(1000, None);
        let reservation = guard.admit(&ANY, call.clone()).unwrap();
        assert_eq!((reservation.output_cap(), call.counts()), (None, 0));
        assert_eq!(reservation.settle(usage(1000, 1000, 1.0)).warnings, [""; 0]);
    }
}

/// The calls that reserve bounds must be found whatever the enforcement was when they did, or nobody would ever know
/// enough to decide.
#[test]
fn reload_with_another_enforcement_still_counts_active_calls() {
    let guard = guard([total(100, Enforcement::Hard)]);
    let first = FakeCall::new(20, Some(10));
    let held = guard.admit(&ANY, first.clone()).unwrap();
    guard.replace_policies(vec![total(100, Enforcement::Strict)]);
    let second = guard.admit(&ANY, FakeCall::new(20, Some(10))).unwrap();
    assert_eq!(first.counts(), 1);
    drop((held, second));
    assert_eq!(reserved(&guard), BudgetUsage::default());
}

#[test]
fn policies_that_come_back_within_their_window_keep_what_they_counted() {
    let named = |name: &str| BudgetPolicy { name: name.to_owned(), ..total(100, Enforcement::Hard) };
    let time = ManualTime::new();
    let guard = Arc::new(BudgetGuard::with_clock(vec![named("old")], time.clock()));
    guard.record(&ANY, usage(90, 0, 0.0));
    let held = admit(&guard, 1, Some(1));
    guard.replace_policies(vec![named("new")]);
    // A call in flight settles against the policy that it began under.
    assert_eq!(held.settle(usage(10, 10, 0.0)).warnings, [""; 0]);
    guard.replace_policies(Vec::new());
    guard.replace_policies(vec![named("old"), named("new")]);
    assert_eq!(
        guard.spent(),
        [("old".to_owned(), usage(100, 10, 0.0)), ("new".to_owned(), usage(0, 0, 0.0))]
    );
    assert!(guard.reserved().iter().all(|(_, sum)| *sum == BudgetUsage::default()));
    assert_eq!(guard.admit(&ANY, FakeCall::new(1, Some(1))).unwrap_err().policy, "old");

    guard.replace_policies(Vec::new());
    time.advance(BudgetWindow::Day.duration().unwrap());
    guard.replace_policies(vec![named("old")]);
    assert_eq!(guard.spent(), [("old".to_owned(), usage(0, 0, 0.0))], "its window is over");
}

#[test]
fn standings_tell_what_is_spent_and_reserved_by_scope_value() {
    let by_tier = BudgetPolicy {
        scope: BudgetScope { kind: ScopeKind::User, key: None },
        name: "tier".into(),
        ..total(100, Enforcement::Strict)
    };
    let request = BudgetPolicy { window: BudgetWindow::Request, ..total(50, Enforcement::Hard) };
    let guard = guard([by_tier, request]);
    let of = |tier| Scope { user_tier: Some(tier), ..Scope::default() };
    guard.record(&of("pro"), usage(5, 6, 0.25));
    let held = guard.admit(&of("free"), FakeCall::new(10, Some(20))).unwrap();
    let [free, pro, alone] = guard.standings().try_into().unwrap();
    assert_eq!((&*free.policy, free.scope_value.as_deref()), ("tier", Some("free")));
    assert_eq!((free.spent.total_tokens, free.reserved.output_tokens), (0, 20));
    assert_eq!(pro.scope_value.as_deref(), Some("pro"));
    assert_eq!((pro.spent.input_tokens, pro.spent.output_tokens, pro.spent.total_tokens), (5, 6, 11));
    assert_eq!((pro.spent.cost_usd, pro.limits.max_total_tokens), (0.25, Some(100)));
    assert!(pro.window_ends_at.is_some_and(|ends| ends.ends_with('Z')));
    assert_eq!((alone.scope_value, alone.window_ends_at), (None, None));
    assert_eq!((alone.spent, alone.limits.max_total_tokens), (Default::default(), Some(50)));
    drop(held);
}

#[test]
fn policies_that_count_the_same_keep_accounts_of_their_own_over_a_reload() {
    let twice = || vec![total(100, Enforcement::Hard), total(50, Enforcement::Soft)];
    let guard = guard(twice());
    guard.replace_policies(twice());
    guard.record(&ANY, usage(10, 0, 0.0));
    assert!(guard.spent().iter().all(|(_, sum)| *sum == usage(10, 0, 0.0)));
}

/// A call to a model whose price nobody knows.
fn unpriced(call: FakeCall) -> Arc<FakeCall> {
    Arc::new(FakeCall { is_priced: false, ..call })
}

#[test]
fn a_call_without_a_known_price_is_what_the_policy_says() {
    use gateway_model::config::UnknownPrice;
    let admit = |enforcement, unknown_price| {
        let limits = BudgetLimits { max_cost_usd: Some(1.0), ..BudgetLimits::default() };
        let policy = BudgetPolicy { limits, unknown_price, ..policy("p", BudgetWindow::Day, enforcement) };
        let guard = Arc::new(BudgetGuard::new(vec![policy]));
        let call = unpriced(FakeCall::with_bound(500, 500, Some(500)));
        let admitted = guard.admit(&Scope::default(), call);
        admitted.map(|reservation| {
            drop(reservation.settle(usage(500, 500, 0.0)));
            guard.spent()[0].1.cost.dollars()
        })
    };
    let rate = |dollars| Some(UnknownPrice::Rate { input: dollars, output: dollars });
    assert_eq!(admit(Enforcement::Strict, None).unwrap_err().policy, "p");
    assert_eq!(admit(Enforcement::Hard, Some(UnknownPrice::Refuse)).unwrap_err().policy, "p");
    assert_eq!(admit(Enforcement::Strict, Some(UnknownPrice::Free)), Ok(0.0));
    assert_eq!(admit(Enforcement::Hard, None), Ok(0.0));
    assert_eq!(admit(Enforcement::Strict, rate(1.0)), Ok(1.0));
    assert_eq!(admit(Enforcement::Strict, rate(1.1)).unwrap_err().policy, "p");
    assert_eq!(admit(Enforcement::Hard, rate(1.1)), Ok(1.1));
}

#[test]
fn a_model_that_passes_as_free_is_warned_of_once() {
    let limits = BudgetLimits { max_cost_usd: Some(1.0), ..BudgetLimits::default() };
    let guard = guard([BudgetPolicy { limits, ..policy("p", BudgetWindow::Day, Enforcement::Hard) }]);
    let warnings = || {
        let call = unpriced(FakeCall::with_bound(5, 5, Some(5)));
        guard.admit(&ANY, call).unwrap().warnings().to_vec()
    };
    assert_eq!(warnings(), ["[p] the price of model m is not known: it counts as free"]);
    assert_eq!(warnings(), [""; 0]);
}

#[test]
fn asking_what_would_be_admitted_counts_no_call_that_takes_a_while() {
    let guard = guard([total(100, Enforcement::Hard)]);
    let running = Arc::new(FakeCall { is_loaded: false, ..FakeCall::with_bound(20, 150, Some(1)) });
    let held = guard.admit(&ANY, running.clone()).unwrap();
    let counts = running.counts();
    let check = guard.would_admit(&ANY, &*FakeCall::new(1, Some(1)));
    assert_eq!((check.allowed, running.counts()), (false, counts), "its bound stands for its count");
    assert!(guard.admit(&ANY, FakeCall::new(1, Some(1))).is_ok(), "an admission counts");
    assert_eq!(running.counts(), counts + 1);
    drop(held);
}
