//! A slow target loses to a hedge: its connection is closed, and what it has cost is billed.

use serde_json::{Value, json};

use crate::rig::{Rig, ask, entry, until, wide_budget};
use crate::upstream::{Play, Upstream};

async fn rig(first: Play, hedge: Value) -> (Upstream, Upstream, Rig) {
    let (a, b) = (Upstream::start(first, 1).await, Upstream::start(Play::Healthy, 2).await);
    let entries = [entry("a", &a, json!({"priority": 0})), entry("b", &b, json!({"priority": 1}))];
    let target = json!({"pool": [{"provider": "a"}, {"provider": "b"}], "strategy": "priority"});
    let rig = Rig::new(&entries, target, json!({"budgets": wide_budget(), "hedge": hedge}));
    (a, b, rig)
}

#[tokio::test]
async fn hedge_loser_is_closed_and_billed() {
    for stream in [false, true] {
        let (a, b, rig) = rig(Play::Held, json!({"afterMs": 20})).await;
        let answer = rig.call(ask("hedge this"), stream).await.unwrap();
        assert_eq!((&*answer.figures.provider, a.count(), b.count()), ("b", 1, 1));
        until(|| a.left() == 1).await;
        rig.assert_idle().await;
        rig.assert_one_entry_per_call(1);
        let (calls, losers) = rig.log.calls_and_losers();
        assert_eq!((&*calls[0].figures.provider, calls[0].call.success), ("b", true));
        assert_eq!((losers.len(), &*losers[0].figures.provider, losers[0].call.success), (1, "a", false));
        assert_eq!(losers[0].figures.request_id, calls[0].figures.request_id);
        assert!(
            losers[0].figures.input_tokens > 0 && losers[0].figures.estimated_cost_usd > 0.0,
            "{losers:?}"
        );
        assert_eq!(losers[0].figures.output_tokens, 0);
        // Losing a hedge is no failure.
        assert_eq!(rig.health("a").error_rate, 0.0);
    }
}

#[tokio::test]
async fn a_target_that_answers_in_time_is_not_hedged() {
    let (a, b, rig) = rig(Play::Healthy, json!({"afterMs": 15_000})).await;
    for number in 0..20 {
        rig.call(ask("quick"), number % 2 == 1).await.unwrap();
    }
    assert_eq!((a.count(), b.count()), (20, 0));
    rig.assert_one_entry_per_call(20);
}

#[tokio::test]
async fn a_failure_before_the_hedge_delay_falls_back_without_a_hedge() {
    let (a, b, rig) = rig(Play::Failing, json!({"afterMs": 15_000})).await;
    let answer = rig.call(ask("fails"), false).await.unwrap();
    assert_eq!((&*answer.figures.provider, a.count(), b.count()), ("b", 1, 1));
    assert!(rig.log.calls_and_losers().1.is_empty());
}

#[tokio::test]
async fn the_p95_delay_is_used_once_it_is_known() {
    let (a, b, rig) = rig(Play::Slow, json!({"afterMs": "p95"})).await;
    // Fewer answers than tell of the slowest in twenty: whatever they take, nothing is hedged.
    for number in 0..19 {
        rig.call(ask("learn"), number % 2 == 1).await.unwrap();
    }
    assert_eq!((a.count(), b.count()), (19, 0));
    rig.call(ask("learn"), false).await.unwrap();
    a.play(Play::Held);
    let answer = rig.call(ask("hedge"), false).await.unwrap();
    assert_eq!((&*answer.figures.provider, a.count(), b.count()), ("b", 21, 1));
    until(|| a.left() == 1).await;
    rig.assert_idle().await;
    rig.assert_one_entry_per_call(21);
}

#[tokio::test]
async fn hedges_are_bounded_by_the_retry_budget() {
    let (a, b) = (Upstream::start(Play::Slow, 1).await, Upstream::start(Play::Healthy, 2).await);
    let entries = [entry("a", &a, json!({"priority": 0})), entry("b", &b, json!({"priority": 1}))];
    let target = json!({"pool": [{"provider": "a"}, {"provider": "b"}], "strategy": "priority"});
    let settings = json!({"retryBudget": {"ratio": 0, "reserve": 2}});
    let rig = Rig::new(&entries, target, json!({"hedge": {"afterMs": 1}, "settings": settings}));
    for _ in 0..6 {
        rig.call(ask("slow"), false).await.unwrap();
    }
    assert_eq!((a.count(), b.count()), (6, 2));
}

#[tokio::test]
async fn hedge_loser_that_was_never_sent_is_not_billed() {
    let (a, b) = (Upstream::start(Play::Held, 1).await, Upstream::start(Play::Healthy, 2).await);
    let entries =
        [entry("a", &a, json!({"priority": 0, "maxConcurrency": 1})), entry("b", &b, json!({"priority": 1}))];
    let target = json!({"pool": [{"provider": "a"}, {"provider": "b"}], "strategy": "priority"});
    let rig = Rig::new(&entries, target, json!({"budgets": wide_budget(), "hedge": {"afterMs": 5}}));
    let permit = rig.permit("a").await;
    for stream in [false, true] {
        assert_eq!(&*rig.call(ask("waits"), stream).await.unwrap().figures.provider, "b");
    }
    drop(permit);
    rig.assert_idle().await;
    rig.assert_one_entry_per_call(2);
    assert_eq!((a.count(), b.count(), rig.log.calls_and_losers().1.len()), (0, 2, 0));
}

#[tokio::test]
async fn a_hedge_that_a_limit_refuses_makes_room_for_another() {
    let (a, b) = (Upstream::start(Play::Held, 1).await, Upstream::start(Play::Healthy, 2).await);
    let c = Upstream::start(Play::Healthy, 3).await;
    let entries = [
        entry("a", &a, json!({"priority": 0})),
        entry("b", &b, json!({"priority": 1, "rateLimit": {"requestsPerMinute": 1}})),
        entry("c", &c, json!({"priority": 2})),
    ];
    let pool = json!([{"provider": "a"}, {"provider": "b"}, {"provider": "c"}]);
    let target = json!({"pool": pool, "strategy": "priority"});
    let settings = json!({"retryBudget": {"ratio": 0, "reserve": 3}});
    let more = json!({"budgets": wide_budget(), "hedge": {"afterMs": 5}, "settings": settings});
    let rig = Rig::new(&entries, target, more);
    for (number, provider) in ["b", "c", "c"].into_iter().enumerate() {
        let answer = rig.call(ask("hedge"), number % 2 == 1).await.unwrap();
        assert_eq!(&*answer.figures.provider, provider);
    }
    assert_eq!((a.count(), b.count(), c.count()), (3, 1, 2));
    rig.assert_idle().await;
    rig.assert_one_entry_per_call(3);
}

#[tokio::test]
async fn a_request_at_fault_ends_a_hedged_call() {
    let (a, b) = (Upstream::start(Play::Held, 1).await, Upstream::start(Play::Status(400, ""), 2).await);
    let c = Upstream::start(Play::Healthy, 3).await;
    let entries = [("a", &a), ("b", &b), ("c", &c)].map(|(name, server)| entry(name, server, json!({})));
    let pool = json!([{"provider": "a"}, {"provider": "b"}, {"provider": "c"}]);
    let chain =
        json!([{"name": "in-turn", "steps": [{"provider": "a"}, {"provider": "b"}, {"provider": "c"}]}]);
    // In a pool; a chain goes on, as it does without hedges.
    let rig = Rig::new(
        &entries,
        json!({"pool": pool, "strategy": "round_robin"}),
        json!({"hedge": {"afterMs": 5}}),
    );
    let error = rig.call(ask("wrong"), false).await.unwrap_err();
    assert_eq!((error.upstream_status(), a.count(), b.count(), c.count()), (Some(400), 1, 1, 0));
    until(|| a.left() == 1).await;
    let more = json!({"hedge": {"afterMs": 5}, "fallbackChains": chain});
    let rig = Rig::new(&entries, json!({"provider": "a", "fallbackChain": "in-turn"}), more);
    a.play(Play::Failing);
    assert_eq!(&*rig.call(ask("wrong"), false).await.unwrap().figures.provider, "c");
}

#[tokio::test]
async fn hedge_loser_fails_its_half_open_probe() {
    let (a, b) = (Upstream::start(Play::Failing, 1).await, Upstream::start(Play::Healthy, 2).await);
    let breaker = json!({"failureThreshold": 1, "cooldownMs": 50});
    let entries =
        [entry("a", &a, json!({"priority": 0, "breaker": breaker})), entry("b", &b, json!({"priority": 1}))];
    let target = json!({"pool": [{"provider": "a"}, {"provider": "b"}], "strategy": "priority"});
    let rig = Rig::new(&entries, target, json!({"hedge": {"afterMs": 1}}));
    rig.call(ask("opens"), false).await.unwrap();
    a.play(Play::Held);
    tokio::time::sleep(std::time::Duration::from_millis(60)).await;
    rig.call(ask("probes"), false).await.unwrap();
    assert_eq!((a.count(), rig.state("a")), (2, gateway_engine::routing::health::BreakerState::Open));
}
