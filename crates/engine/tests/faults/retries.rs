//! Which targets are asked after a failure.

use gateway_engine::routing::health::BreakerState;
use gateway_model::ErrorKind;
use gateway_model::{ChatRequest, UsageLog};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::rig::{Rig, ask, entry};
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
async fn without_a_retry_budget_there_is_no_second_attempt() {
    let settings = json!({"settings": {"retryBudget": {"ratio": 0, "reserve": 0}}});
    let (a, b, rig) = pool_of(Play::Failing, settings).await;
    for stream in [false, true] {
        let error = rig.call(ask("hi"), stream).await.unwrap_err();
        assert_eq!((error.kind, error.provider.as_deref()), (ErrorKind::ProviderResponse, Some("a")));
    }
    assert_eq!((a.count(), b.count()), (2, 0));
    rig.assert_one_entry_per_call(2);
}

#[tokio::test]
async fn a_request_at_fault_ends_the_call_and_opens_no_breaker() {
    for status in [400, 413, 422] {
        let (a, b, rig) = pool_of(Play::Status(status, ""), json!({})).await;
        for number in 0..12 {
            let error = rig.call(ask("hi"), number % 2 == 1).await.unwrap_err();
            assert_eq!(error.upstream_status(), Some(u64::from(status)));
        }
        assert_eq!((a.count(), b.count(), rig.state("a")), (12, 0, BreakerState::Closed));
        rig.assert_idle().await;
        rig.assert_one_entry_per_call(12);
    }
}

#[tokio::test]
async fn a_missing_model_falls_back_and_opens_no_breaker() {
    // It costs none of the retry budget either: a missing model says nothing about health.
    let settings = json!({"settings": {"retryBudget": {"ratio": 0, "reserve": 0}}});
    let (a, b, rig) = pool_of(Play::Status(404, ""), settings).await;
    for number in 0..12 {
        rig.call(ask("hi"), number % 2 == 1).await.unwrap();
    }
    assert_eq!((a.count(), b.count(), rig.state("a")), (12, 12, BreakerState::Closed));
}

#[tokio::test]
async fn an_attempt_that_was_not_sent_costs_no_retry_budget() {
    let (a, b) = (Upstream::start(Play::Failing, 1).await, Upstream::start(Play::Healthy, 2).await);
    let c = Upstream::start(Play::Healthy, 3).await;
    let entries = [
        entry("a", &a, json!({"priority": 0, "breaker": {"failureThreshold": 100}})),
        entry("b", &b, json!({"priority": 1, "rateLimit": {"requestsPerMinute": 1}})),
        entry("c", &c, json!({"priority": 2})),
    ];
    let pool = json!([{"provider": "a"}, {"provider": "b"}, {"provider": "c"}]);
    for more in [json!({}), json!({"hedge": {"afterMs": 15_000}})] {
        let mut more = more;
        more["settings"] = json!({"retryBudget": {"ratio": 0, "reserve": 20}});
        let rig = Rig::new(&entries, json!({"pool": pool, "strategy": "priority"}), more);
        let before = (b.count(), c.count());
        for number in 0..20 {
            rig.call(ask("hi"), number % 2 == 1).await.unwrap();
        }
        assert_eq!((b.count() - before.0, c.count() - before.1), (1, 19));
        // Twenty further attempts were made, and there is none left.
        rig.call(ask("hi"), false).await.unwrap_err();
    }
}

#[tokio::test]
async fn degraded_reply_answers_when_every_attempt_has_failed() {
    let chains = json!([{"name": "last", "steps": [{"provider": "b"}], "degradedReply": "Later, please."}]);
    let (a, b, rig) = pool_of(Play::Failing, json!({"fallbackChains": chains})).await;
    b.play(Play::Failing);
    for stream in [false, true] {
        let answer = rig.call(ask("hi"), stream).await.unwrap();
        assert_eq!(
            (&*answer.answer.content, answer.figures.degraded, answer.figures.total_tokens),
            ("Later, please.", true, 0)
        );
    }
    // Of the pool both, then the chain's step.
    assert_eq!((a.count(), b.count()), (2, 4));
    rig.assert_idle().await;
    rig.assert_one_entry_per_call(2);
    assert!(rig.log.entries().iter().all(|entry| entry.figures.degraded && entry.call.success));
}

#[tokio::test]
async fn degraded_reply_costs_nothing_even_with_a_fee_for_each_request() {
    let down = Upstream::start(Play::Failing, 1).await;
    let sonar = json!({"provider": "perplexity", "models": ["sonar"]});
    let chains = json!([{"name": "last", "steps": [{"provider": "a"}], "degradedReply": "Later, please."}]);
    let target = json!({"provider": "a", "fallbackChain": "last"});
    let rig = Rig::new(&[entry("a", &down, sonar)], target, json!({"fallbackChains": chains}));
    for stream in [false, true] {
        let answer = rig.call(ask("hi"), stream).await.unwrap();
        assert_eq!((answer.figures.degraded, answer.figures.estimated_cost_usd), (true, 0.0));
    }
    // One that nobody reads.
    let request = ChatRequest::from_json(&ask("hi").to_string()).unwrap();
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
async fn a_refused_key_cools_down() {
    let server = Upstream::start(Play::Refusing("A-0123456789"), 1).await;
    let one = [entry("a", &server, json!({"auth": {"type": "apiKey", "envVars": ["A", "B"]}}))];
    let rig = Rig::new(&one, json!({"provider": "a"}), json!({}));
    for number in 0..6 {
        rig.call(ask("hi"), number % 2 == 1).await.unwrap();
    }
    let with = |key: &str| server.asked().iter().filter(|asked| asked.key.contains(key)).count();
    assert_eq!((with("sk-A-"), with("sk-B-")), (1, 6));
    let keys = rig.health("a").keys;
    assert_eq!(keys.iter().filter(|key| key.reason.is_some()).count(), 1);
    rig.assert_one_entry_per_call(6);
}

#[tokio::test]
async fn a_rate_limit_starts_a_cooldown_as_long_as_it_says() {
    let (a, b, rig) = pool_of(Play::Status(429, "retry-after: 30\r\n"), json!({})).await;
    for number in 0..10 {
        rig.call(ask("hi"), number % 2 == 1).await.unwrap();
    }
    assert_eq!((a.count(), b.count(), rig.state("a")), (1, 10, BreakerState::Closed));
    let cooldown = rig.health("a").targets[0].blocked_ms.unwrap();
    assert!(cooldown > 0 && cooldown <= 30_000, "{cooldown}");
    // It comes back by itself.
    let (a, b, rig) = pool_of(Play::Status(429, "retry-after-ms: 50\r\n"), json!({})).await;
    rig.call(ask("hi"), false).await.unwrap();
    a.play(Play::Healthy);
    tokio::time::sleep(std::time::Duration::from_millis(60)).await;
    rig.call(ask("hi"), true).await.unwrap();
    assert_eq!((a.count(), b.count()), (2, 1));
}

/// The refunded token pays for the next target.
#[tokio::test]
async fn a_retry_that_the_breaker_refuses_costs_no_retry_budget() {
    for stream in [false, true] {
        let (a, b) =
            (Upstream::start(Play::Status(503, ""), 1).await, Upstream::start(Play::Healthy, 2).await);
        let fields = json!({
            "priority": 0, "retry": {"maxAttempts": 5, "backoffMs": 1},
            "breaker": {"failureThreshold": 2, "cooldownMs": 600_000},
        });
        let entries = [entry("a", &a, fields), entry("b", &b, json!({"priority": 1}))];
        let target = json!({"pool": [{"provider": "a"}, {"provider": "b"}], "strategy": "priority"});
        // One for the retry, one for the next target.
        let settings = json!({"settings": {"retryBudget": {"ratio": 0, "reserve": 2}}});
        let rig = Rig::new(&entries, target, settings);
        let answer = rig.call(ask("hi"), stream).await.unwrap();
        let asked: Vec<_> = answer.figures.attempts.iter().map(|attempt| &*attempt.provider).collect();
        assert_eq!((asked, a.count(), b.count()), (vec!["a", "a", "b"], 2, 1));
        rig.assert_idle().await;
        rig.assert_one_entry_per_call(1);
    }
}
