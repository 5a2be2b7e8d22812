//! Hedging: a second target is asked when the first is slow. The hedge loser is billed for its cost and disconnected.

use serde_json::{Value, json};

use crate::rig::{Rig, entry, request, wait_until, wide_budget};
use crate::upstream::{Play, Upstream};

async fn rig(first: Play, hedge: Value) -> (Upstream, Upstream, Rig) {
    let (a, b) = (Upstream::start(first, 1).await, Upstream::start(Play::Healthy, 2).await);
    let entries = [entry("a", &a, json!({"priority": 0})), entry("b", &b, json!({"priority": 1}))];
    let target = json!({"pool": [{"provider": "a"}, {"provider": "b"}], "strategy": "priority"});
    let rig = Rig::with_hedge(&entries, target, hedge, json!({"budgets": wide_budget()}));
    (a, b, rig)
}

#[tokio::test]
async fn hedge_loser_is_disconnected_billed_and_not_counted_as_a_failure() {
    for stream in [false, true] {
        let (a, b, rig) = rig(Play::Held, json!({"afterMs": 20})).await;
        let answer = rig.call(request("hedge this"), stream).await.unwrap();
        assert_eq!((&*answer.figures.provider, a.request_count(), b.request_count()), ("b", 1, 1));
        wait_until(|| a.disconnects() == 1).await;
        rig.assert_idle().await;
        rig.assert_one_entry_per_call(1);
        let (calls, losers) = rig.log.calls_and_hedge_losers();
        assert_eq!((&*calls[0].figures.provider, calls[0].call.success), ("b", true));
        assert_eq!((losers.len(), &*losers[0].figures.provider, losers[0].call.success), (1, "a", false));
        assert_eq!(losers[0].figures.request_id, calls[0].figures.request_id);
        assert!(
            losers[0].figures.input_tokens > 0 && losers[0].figures.estimated_cost_usd > 0.0,
            "{losers:?}"
        );
        assert_eq!(losers[0].figures.output_tokens, 0);
        // A hedge loser does not count as a failure.
        assert_eq!(rig.health("a").error_rate, 0.0);
    }
}

#[tokio::test]
async fn target_that_answers_before_the_hedge_delay_is_not_hedged() {
    let (a, b, rig) = rig(Play::Healthy, json!({"afterMs": 15_000})).await;
    for number in 0..20 {
        rig.call(request("quick"), number % 2 == 1).await.unwrap();
    }
    assert_eq!((a.request_count(), b.request_count()), (20, 0));
    rig.assert_one_entry_per_call(20);
}

#[tokio::test]
async fn failure_before_the_hedge_delay_fails_over_without_a_hedge_loser() {
    let (a, b, rig) = rig(Play::Failing, json!({"afterMs": 15_000})).await;
    let answer = rig.call(request("fails"), false).await.unwrap();
    assert_eq!((&*answer.figures.provider, a.request_count(), b.request_count()), ("b", 1, 1));
    assert!(rig.log.calls_and_hedge_losers().1.is_empty());
}

#[tokio::test]
async fn p95_hedge_delay_hedges_nothing_until_twenty_latencies_are_known() {
    let (a, b, rig) = rig(Play::Slow, json!({"afterMs": "p95"})).await;
    // A p95 needs twenty latencies: with fewer, nothing is hedged, however long an answer takes.
    for number in 0..19 {
        rig.call(request("learn"), number % 2 == 1).await.unwrap();
    }
    assert_eq!((a.request_count(), b.request_count()), (19, 0));
    rig.call(request("learn"), false).await.unwrap();
    a.play(Play::Held);
    let answer = rig.call(request("hedge"), false).await.unwrap();
    assert_eq!((&*answer.figures.provider, a.request_count(), b.request_count()), ("b", 21, 1));
    wait_until(|| a.disconnects() == 1).await;
    rig.assert_idle().await;
    rig.assert_one_entry_per_call(21);
}

#[tokio::test]
async fn hedged_attempts_are_bounded_by_the_retry_budget() {
    let (a, b) = (Upstream::start(Play::Slow, 1).await, Upstream::start(Play::Healthy, 2).await);
    let entries = [entry("a", &a, json!({"priority": 0})), entry("b", &b, json!({"priority": 1}))];
    let target = json!({"pool": [{"provider": "a"}, {"provider": "b"}], "strategy": "priority"});
    let settings = json!({"retryBudget": {"ratio": 0, "reserve": 2}});
    let rig = Rig::with_hedge(&entries, target, json!({"afterMs": 1}), json!({"settings": settings}));
    for _ in 0..6 {
        rig.call(request("slow"), false).await.unwrap();
    }
    assert_eq!((a.request_count(), b.request_count()), (6, 2));
}

#[tokio::test]
async fn hedge_loser_still_queued_for_a_permit_is_not_billed() {
    let (a, b) = (Upstream::start(Play::Held, 1).await, Upstream::start(Play::Healthy, 2).await);
    let entries =
        [entry("a", &a, json!({"priority": 0, "maxConcurrency": 1})), entry("b", &b, json!({"priority": 1}))];
    let target = json!({"pool": [{"provider": "a"}, {"provider": "b"}], "strategy": "priority"});
    let rig = Rig::with_hedge(&entries, target, json!({"afterMs": 5}), json!({"budgets": wide_budget()}));
    let permit = rig.take_permit("a").await;
    for stream in [false, true] {
        assert_eq!(&*rig.call(request("waits"), stream).await.unwrap().figures.provider, "b");
    }
    drop(permit);
    rig.assert_idle().await;
    rig.assert_one_entry_per_call(2);
    assert_eq!((a.request_count(), b.request_count(), rig.log.calls_and_hedge_losers().1.len()), (0, 2, 0));
}

#[tokio::test]
async fn hedge_refused_by_a_rate_limit_is_replaced_by_the_next_target() {
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
    let fields = json!({"budgets": wide_budget(), "settings": settings});
    let rig = Rig::with_hedge(&entries, target, json!({"afterMs": 5}), fields);
    for (number, provider) in ["b", "c", "c"].into_iter().enumerate() {
        let answer = rig.call(request("hedge"), number % 2 == 1).await.unwrap();
        assert_eq!(&*answer.figures.provider, provider);
    }
    assert_eq!((a.request_count(), b.request_count(), c.request_count()), (3, 1, 2));
    rig.assert_idle().await;
    rig.assert_one_entry_per_call(3);
}

#[tokio::test]
async fn invalid_request_answer_of_a_hedge_ends_the_call_and_cancels_the_slow_attempt() {
    let (a, b) = (Upstream::start(Play::Held, 1).await, Upstream::start(Play::Status(400, ""), 2).await);
    let c = Upstream::start(Play::Healthy, 3).await;
    let entries = [("a", &a), ("b", &b), ("c", &c)].map(|(name, server)| entry(name, server, json!({})));
    let pool = json!([{"provider": "a"}, {"provider": "b"}, {"provider": "c"}]);
    let chain =
        json!([{"name": "in-turn", "steps": [{"provider": "a"}, {"provider": "b"}, {"provider": "c"}]}]);
    // A pool ends the call; a chain goes on to its next step, as it does without hedges.
    let rig = Rig::with_hedge(
        &entries,
        json!({"pool": pool, "strategy": "round_robin"}),
        json!({"afterMs": 5}),
        json!({}),
    );
    let error = rig.call(request("wrong"), false).await.unwrap_err();
    assert_eq!(
        (error.upstream_status(), a.request_count(), b.request_count(), c.request_count()),
        (Some(400), 1, 1, 0)
    );
    wait_until(|| a.disconnects() == 1).await;
    let target = json!({"provider": "a", "fallbackChain": "in-turn"});
    let rig = Rig::with_hedge(&entries, target, json!({"afterMs": 5}), json!({"fallbackChains": chain}));
    a.play(Play::Failing);
    assert_eq!(&*rig.call(request("wrong"), false).await.unwrap().figures.provider, "c");
}

#[tokio::test]
async fn hedge_loser_fails_its_half_open_probe() {
    let (a, b) = (Upstream::start(Play::Failing, 1).await, Upstream::start(Play::Healthy, 2).await);
    let breaker = json!({"failureThreshold": 1, "cooldownMs": 50});
    let entries =
        [entry("a", &a, json!({"priority": 0, "breaker": breaker})), entry("b", &b, json!({"priority": 1}))];
    let target = json!({"pool": [{"provider": "a"}, {"provider": "b"}], "strategy": "priority"});
    let rig = Rig::with_hedge(&entries, target, json!({"afterMs": 1}), json!({}));
    rig.call(request("opens"), false).await.unwrap();
    a.play(Play::Held);
    tokio::time::sleep(std::time::Duration::from_millis(60)).await;
    rig.call(request("probes"), false).await.unwrap();
    assert_eq!((a.request_count(), rig.state("a")), (2, gateway_engine::routing::health::BreakerState::Open));
}
