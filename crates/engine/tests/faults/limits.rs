//! The gateway's own limits, at the servers that they protect.

use futures::future::join_all;
use gateway_model::ErrorKind;
use serde_json::{Value, json};

use crate::rig::{Rig, ask, begin, entry, until};
use crate::upstream::{Play, Upstream};

#[tokio::test]
async fn no_more_calls_at_once_than_allowed_and_those_that_wait_come_in_their_order() {
    for at_once in [1, 4] {
        let server = Upstream::start(Play::Healthy, 1).await;
        let one = [entry("a", &server, json!({"maxConcurrency": at_once}))];
        let rig = Rig::new(&one, json!({"provider": "a"}), json!({}));
        let call = |number: usize| {
            let rig = rig.clone();
            async move { rig.call(ask(&number.to_string()), number % 2 == 1).await.map(drop) }
        };
        for result in join_all(begin((0..64).map(call)).await).await {
            result.unwrap();
        }
        assert_eq!((server.count(), server.most_at_once()), (64, at_once));
        if at_once == 1 {
            let came: Vec<usize> = server.asked().iter().map(|asked| asked.text.parse().unwrap()).collect();
            assert!(came.is_sorted(), "{came:?}");
        }
        rig.assert_idle().await;
        rig.assert_one_entry_per_call(64);
    }
}

#[tokio::test]
async fn a_permit_is_held_as_long_as_a_stream_goes_on() {
    let server = Upstream::start(Play::StallingLate, 1).await;
    let one = [entry("a", &server, json!({"maxConcurrency": 1}))];
    let rig = Rig::new(&one, json!({"provider": "a"}), json!({}));
    let request = |text: &str| gateway_model::ChatRequest::from_json(&ask(text).to_string()).unwrap();
    let context = rig.context(&Default::default());
    let stream = rig.gateway.chat_stream(request("first"), context).await.unwrap();
    let second = {
        let rig = rig.clone();
        begin([async move { rig.call(ask("second"), false).await }]).await.remove(0)
    };
    server.play(Play::Healthy);
    assert_eq!(server.count(), 1);
    drop(stream);
    second.await.unwrap();
    until(|| server.left() == 1).await;
    assert_eq!(server.count(), 2);
    rig.assert_idle().await;
}

fn is_limited(error: &gateway_model::GatewayError, limit: &str) {
    let details = error.details.as_ref().unwrap();
    let wait = details["retryAfterMs"].as_u64().unwrap();
    assert_eq!(
        (error.kind, error.http_status, &details["limit"]),
        (ErrorKind::RateLimited, 429, &json!(limit))
    );
    // Two in a minute: one in each half.
    assert!(wait > 0 && wait <= 30_000, "{wait}");
}

#[tokio::test]
async fn above_an_entrys_rate_nothing_is_sent() {
    let server = Upstream::start(Play::Healthy, 1).await;
    let one = [entry("a", &server, json!({"rateLimit": {"requestsPerMinute": 2}}))];
    let rig = Rig::new(&one, json!({"provider": "a"}), json!({}));
    for stream in [false, true] {
        rig.call(ask("hi"), stream).await.unwrap();
    }
    for stream in [false, true] {
        is_limited(&rig.call(ask("hi"), stream).await.unwrap_err(), "rateLimit.requestsPerMinute");
    }
    assert_eq!(server.count(), 2);
    rig.assert_idle().await;
    rig.assert_one_entry_per_call(4);
}

#[tokio::test]
async fn users_have_limits_of_their_own() {
    let server = Upstream::start(Play::Healthy, 1).await;
    let settings = json!({"settings": {"limits": {"requestsPerMinute": 2}}});
    let rig = Rig::new(&[entry("a", &server, json!({}))], json!({"provider": "a"}), settings);
    let of = |user: Value| {
        let mut request = ask("hi");
        request["userId"] = user;
        rig.call(request, false)
    };
    for user in [json!("one"), json!("two"), Value::Null] {
        of(user.clone()).await.unwrap();
        of(user.clone()).await.unwrap();
        is_limited(&of(user).await.unwrap_err(), "limits.requestsPerMinute");
    }
    assert_eq!(server.count(), 6);
    rig.assert_idle().await;
}

/// What was not sent is no attempt: it costs nothing of the retry budget, and nothing of `maxAttempts`.
#[tokio::test]
async fn a_pool_skips_a_target_over_its_limit() {
    let (a, b) = (Upstream::start(Play::Healthy, 1).await, Upstream::start(Play::Healthy, 2).await);
    let entries = [
        entry("a", &a, json!({"rateLimit": {"requestsPerMinute": 1}, "priority": 0})),
        entry("b", &b, json!({"priority": 1})),
    ];
    let target =
        json!({"pool": [{"provider": "a"}, {"provider": "b"}], "strategy": "priority", "maxAttempts": 1});
    let settings = json!({"settings": {"retryBudget": {"ratio": 0, "reserve": 0}}});
    let rig = Rig::new(&entries, target, settings);
    for number in 0..10 {
        rig.call(ask("hi"), number % 2 == 1).await.unwrap();
    }
    assert_eq!((a.count(), b.count()), (1, 9));
    until(|| rig.health("a").in_flight == 0).await;
    rig.assert_one_entry_per_call(10);
}

#[tokio::test]
async fn time_spent_in_the_queue_is_not_the_targets_failure() {
    let server = Upstream::start(Play::Slow, 1).await;
    let fields = json!({"maxConcurrency": 1, "breaker": {"failureThreshold": 1}});
    let rig = Rig::new(&[entry("a", &server, fields)], json!({"provider": "a"}), json!({}));
    let hasty = |number: usize| {
        let (rig, mut request) = (rig.clone(), ask(&format!("call {number}")));
        request["timeoutMs"] = json!(150);
        async move { rig.call(request, false).await }
    };
    let answers = futures::future::join_all((0..40).map(hasty)).await;
    assert!(answers.iter().any(Result::is_ok) && answers.iter().any(Result::is_err));
    assert_eq!(rig.state("a"), gateway_engine::routing::health::BreakerState::Closed);
    rig.assert_idle().await;
    rig.call(ask("later"), false).await.unwrap();
}
