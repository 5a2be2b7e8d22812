//! Retries and fail-over: which failures lead to another attempt, at which target, and what it costs.

use gateway_engine::routing::health::BreakerState;
use gateway_model::ErrorKind;
use gateway_model::{ChatRequest, UsageLog};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::rig::{Rig, entry, request};
use crate::upstream::{Play, Upstream};

async fn pool_of(first: Play, more: Value) -> (Upstream, Upstream, Rig) {
    let (a, b) = (Upstream::start(first, 1).await, Upstream::start(Play::Healthy, 2).await);
    let entries = [entry("a", &a, json!({"priority": 0})), entry("b", &b, json!({"priority": 1}))];
    let mut target = json!({"pool": [{"provider": "a"}, {"provider": "b"}], "strategy": "priority"});
    if more.get("fallbackChains").is_some() {
        target["fallbackChain"] = json!("last");
    }
    (a, b, Rig::new(&entries, target, more))
}

#[tokio::test]
async fn empty_retry_budget_allows_no_second_attempt() {
    let settings = json!({"settings": {"retryBudget": {"ratio": 0, "reserve": 0}}});
    let (a, b, rig) = pool_of(Play::Failing, settings).await;
    for stream in [false, true] {
        let error = rig.call(request("hi"), stream).await.unwrap_err();
        assert_eq!((error.kind, error.provider.as_deref()), (ErrorKind::ProviderResponse, Some("a")));
    }
    assert_eq!((a.request_count(), b.request_count()), (2, 0));
    rig.assert_one_entry_per_call(2);
}

#[tokio::test]
async fn a_request_that_a_kept_connection_lost_and_that_was_sent_again_is_listed() {
    let server = Upstream::start(Play::Healthy, 1).await;
    let rig = Rig::new(&[entry("a", &server, json!({}))], json!({"provider": "a"}), json!({}));
    for stream in [false, true] {
        rig.call(request("hi"), false).await.unwrap();
        server.play(Play::ResettingOnce);
        rig.call(request("hi"), stream).await.unwrap();
    }
    assert_eq!(server.request_count(), 6);
    let entries = rig.log.entries();
    let codes = |entry: &UsageLog| {
        let attempts = entry.figures.attempts.iter();
        attempts.map(|attempt| attempt.error_code.clone()).collect::<Vec<_>>()
    };
    for call in entries.chunks(2) {
        assert_eq!(codes(&call[0]), []);
        assert_eq!(codes(&call[1]), [Some("PROVIDER_NETWORK".to_owned()), None]);
    }
}

#[tokio::test]
async fn invalid_request_ends_the_call_and_leaves_the_circuit_breaker_closed() {
    for status in [400, 413, 422] {
        let (a, b, rig) = pool_of(Play::Status(status, ""), json!({})).await;
        for number in 0..12 {
            let error = rig.call(request("hi"), number % 2 == 1).await.unwrap_err();
            assert_eq!(error.upstream_status(), Some(u64::from(status)));
        }
        assert_eq!((a.request_count(), b.request_count(), rig.state("a")), (12, 0, BreakerState::Closed));
        rig.assert_idle().await;
        rig.assert_one_entry_per_call(12);
    }
}

#[tokio::test]
async fn unknown_model_fails_over_and_leaves_the_circuit_breaker_closed() {
    // Nor does the fail-over cost any of the retry budget: no target is in trouble.
    let settings = json!({"settings": {"retryBudget": {"ratio": 0, "reserve": 0}}});
    let (a, b, rig) = pool_of(Play::Status(404, ""), settings).await;
    for number in 0..12 {
        rig.call(request("hi"), number % 2 == 1).await.unwrap();
    }
    // Its model rests for a minute.
    assert_eq!((a.request_count(), b.request_count(), rig.state("a")), (1, 12, BreakerState::Closed));
}

#[tokio::test]
async fn target_refused_by_a_rate_limit_costs_no_retry_budget() {
    let (a, b) = (Upstream::start(Play::Failing, 1).await, Upstream::start(Play::Healthy, 2).await);
    let c = Upstream::start(Play::Healthy, 3).await;
    let entries = [
        entry("a", &a, json!({"priority": 0, "breaker": {"failureThreshold": 100}})),
        entry("b", &b, json!({"priority": 1, "rateLimit": {"requestsPerMinute": 1}})),
        entry("c", &c, json!({"priority": 2})),
    ];
    let pool = json!([{"provider": "a"}, {"provider": "b"}, {"provider": "c"}]);
    for hedge in [Value::Null, json!({"afterMs": 15_000})] {
        let settings = json!({"settings": {"retryBudget": {"ratio": 0, "reserve": 20}}});
        let target = json!({"pool": pool, "strategy": "priority"});
        let rig = Rig::with_hedge(&entries, target, hedge, settings);
        let before = (b.request_count(), c.request_count());
        for number in 0..20 {
            rig.call(request("hi"), number % 2 == 1).await.unwrap();
        }
        assert_eq!((b.request_count() - before.0, c.request_count() - before.1), (1, 19));
        // The twenty further attempts have used up the retry budget.
        rig.call(request("hi"), false).await.unwrap_err();
    }
}

#[tokio::test]
async fn degraded_reply_answers_when_pool_and_chain_have_failed() {
    let chains = json!([{"name": "last", "steps": [{"provider": "b"}], "degradedReply": "Later, please."}]);
    let (a, b, rig) = pool_of(Play::Failing, json!({"fallbackChains": chains})).await;
    b.play(Play::Failing);
    for stream in [false, true] {
        let answer = rig.call(request("hi"), stream).await.unwrap();
        assert_eq!(
            (&*answer.answer.content, answer.figures.degraded, answer.figures.total_tokens),
            ("Later, please.", true, 0)
        );
    }
    // Both members of the pool, then the chain's step.
    assert_eq!((a.request_count(), b.request_count()), (2, 4));
    rig.assert_idle().await;
    rig.assert_one_entry_per_call(2);
    assert!(rig.log.entries().iter().all(|entry| entry.figures.degraded && entry.call.success));
}

#[tokio::test]
async fn degraded_reply_costs_nothing_for_a_model_with_a_fee_per_request() {
    let down = Upstream::start(Play::Failing, 1).await;
    let sonar = json!({"provider": "perplexity", "models": ["sonar"]});
    let chains = json!([{"name": "last", "steps": [{"provider": "a"}], "degradedReply": "Later, please."}]);
    let target = json!({"provider": "a", "fallbackChain": "last"});
    let rig = Rig::new(&[entry("a", &down, sonar)], target, json!({"fallbackChains": chains}));
    for stream in [false, true] {
        let answer = rig.call(request("hi"), stream).await.unwrap();
        assert_eq!((answer.figures.degraded, answer.figures.estimated_cost_usd), (true, 0.0));
    }
    // A stream that is never read.
    let request = ChatRequest::from_json(&request("hi").to_string()).unwrap();
    let stream = rig.gateway.chat_stream(request, rig.context(&CancellationToken::new())).await.unwrap();
    assert_eq!(stream.figures_so_far().await.figures.estimated_cost_usd, 0.0);
    drop(stream);
    let entries = rig.log.entries();
    let billed = |entry: &UsageLog| {
        (entry.figures.degraded, entry.figures.total_tokens, entry.figures.estimated_cost_usd)
    };
    assert_eq!(entries.iter().map(billed).collect::<Vec<_>>(), [(true, 0, 0.0); 3]);
}

#[tokio::test]
async fn refused_key_cools_down_and_the_next_key_is_used() {
    let server = Upstream::start(Play::Refusing("A-0123456789"), 1).await;
    let one = [entry("a", &server, json!({"auth": {"type": "apiKey", "envVars": ["A", "B"]}}))];
    let rig = Rig::new(&one, json!({"provider": "a"}), json!({}));
    for number in 0..6 {
        rig.call(request("hi"), number % 2 == 1).await.unwrap();
    }
    let with = |key: &str| server.requests().iter().filter(|request| request.key.contains(key)).count();
    assert_eq!((with("sk-A-"), with("sk-B-")), (1, 6));
    let keys = rig.health("a").keys;
    assert_eq!(keys.iter().filter(|key| key.reason.is_some()).count(), 1);
    rig.assert_one_entry_per_call(6);
}

#[tokio::test]
async fn rate_limited_target_cools_down_for_its_retry_after() {
    let (a, b, rig) = pool_of(Play::Status(429, "retry-after: 30\r\n"), json!({})).await;
    for number in 0..10 {
        rig.call(request("hi"), number % 2 == 1).await.unwrap();
    }
    assert_eq!((a.request_count(), b.request_count(), rig.state("a")), (1, 10, BreakerState::Closed));
    let blocked_ms = rig.health("a").targets[0].blocked_ms.unwrap();
    assert!(blocked_ms > 0 && blocked_ms <= 30_000, "{blocked_ms}");
    // The target is used again once its cooldown has passed.
    let (a, b, rig) = pool_of(Play::Status(429, "retry-after-ms: 50\r\n"), json!({})).await;
    rig.call(request("hi"), false).await.unwrap();
    a.play(Play::Healthy);
    tokio::time::sleep(std::time::Duration::from_millis(60)).await;
    rig.call(request("hi"), true).await.unwrap();
    assert_eq!((a.request_count(), b.request_count()), (2, 1));
}

/// The refused retry leaves the retry budget for the next target.
#[tokio::test]
async fn retry_refused_by_the_circuit_breaker_costs_no_retry_budget() {
    for stream in [false, true] {
        let (a, b) =
            (Upstream::start(Play::Status(503, ""), 1).await, Upstream::start(Play::Healthy, 2).await);
        let fields = json!({
            "priority": 0, "retry": {"maxAttempts": 5, "backoffMs": 1},
            "breaker": {"failureThreshold": 2, "cooldownMs": 600_000},
        });
        let entries = [entry("a", &a, fields), entry("b", &b, json!({"priority": 1}))];
        let target = json!({"pool": [{"provider": "a"}, {"provider": "b"}], "strategy": "priority"});
        // The budget covers one retry and one further target.
        let settings = json!({"settings": {"retryBudget": {"ratio": 0, "reserve": 2}}});
        let rig = Rig::new(&entries, target, settings);
        let answer = rig.call(request("hi"), stream).await.unwrap();
        let attempted: Vec<_> = answer.figures.attempts.iter().map(|attempt| &*attempt.provider).collect();
        assert_eq!((attempted, a.request_count(), b.request_count()), (vec!["a", "a", "b"], 2, 1));
        rig.assert_idle().await;
        rig.assert_one_entry_per_call(1);
    }
}
