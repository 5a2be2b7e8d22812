//! Concurrency and rate limits, measured at the upstreams that they protect.

use futures::future::join_all;
use gateway_model::ErrorKind;
use serde_json::{Value, json};

use crate::rig::{Rig, entry, request, start_all, wait_until};
use crate::upstream::{Play, Upstream};

#[tokio::test]
async fn concurrency_permits_bound_calls_in_flight_and_are_granted_in_fifo_order() {
    for at_once in [1, 4] {
        let server = Upstream::start(Play::Healthy, 1).await;
        let one = [entry("a", &server, json!({"maxConcurrency": at_once}))];
        let rig = Rig::new(&one, json!({"provider": "a"}), json!({}));
        let call = |number: usize| {
            let rig = rig.clone();
            async move { rig.call(request(&number.to_string()), number % 2 == 1).await.map(drop) }
        };
        for result in join_all(start_all((0..64).map(call)).await).await {
            result.unwrap();
        }
        assert_eq!((server.request_count(), server.most_at_once()), (64, at_once));
        if at_once == 1 {
            let arrived: Vec<usize> =
                server.requests().iter().map(|request| request.text.parse().unwrap()).collect();
            assert!(arrived.is_sorted(), "{arrived:?}");
        }
        rig.assert_idle().await;
        rig.assert_one_entry_per_call(64);
    }
}

#[tokio::test]
async fn calls_of_one_user_do_not_hold_up_those_of_another() {
    let server = Upstream::start(Play::Held, 1).await;
    let one = [entry("a", &server, json!({"maxConcurrency": 1}))];
    let rig = Rig::new(&one, json!({"provider": "a"}), json!({}));
    let call = |user: &str, number: usize| {
        let rig = rig.clone();
        let mut request = request(&format!("{user} {number}"));
        request["userId"] = json!(user);
        async move { rig.call(request, number % 2 == 1).await.map(drop) }
    };
    let calls = (0..300).map(|number| call("many", number)).chain([call("few", 0)]);
    let calls = tokio::spawn(join_all(start_all(calls).await));
    wait_until(|| server.waiting() == 1).await;
    server.play(Play::Healthy);
    server.release();
    for result in calls.await.unwrap() {
        result.unwrap();
    }
    let texts: Vec<String> = server.requests().iter().map(|request| request.text.clone()).collect();
    let place = texts.iter().position(|text| text == "few 0").unwrap();
    assert!(place <= 2, "{place}");
    rig.assert_idle().await;
}

#[tokio::test]
async fn queued_call_times_out_with_its_entry() {
    let held = Upstream::start(Play::Held, 1).await;
    let one = [entry("a", &held, json!({"maxConcurrency": 1, "timeoutMs": 300}))];
    let rig = Rig::new(&one, json!({"provider": "a"}), json!({}));
    let calls = (0..3).map(|number| {
        let rig = rig.clone();
        async move { rig.call(request(&number.to_string()), false).await.map(drop) }
    });
    let errors = join_all(start_all(calls).await).await;
    let kinds: Vec<_> = errors.iter().map(|result| result.as_ref().unwrap_err().kind).collect();
    assert_eq!(kinds, [ErrorKind::ProviderTimeout; 3]);
    let limit = |result: &Result<(), gateway_model::GatewayError>| {
        let details = result.as_ref().unwrap_err().details.clone().unwrap_or_default();
        details.get("limit").cloned()
    };
    let queued = errors.iter().filter(|result| limit(result) == Some(json!("maxConcurrency"))).count();
    assert!(queued >= 1, "{errors:?}");
    rig.assert_idle().await;
}

#[tokio::test]
async fn stream_holds_its_concurrency_permit_until_it_ends() {
    let server = Upstream::start(Play::StallingLate, 1).await;
    let one = [entry("a", &server, json!({"maxConcurrency": 1}))];
    let rig = Rig::new(&one, json!({"provider": "a"}), json!({}));
    let chat_request =
        |text: &str| gateway_model::ChatRequest::from_json(&request(text).to_string()).unwrap();
    let context = rig.context(&Default::default());
    let stream = rig.gateway.chat_stream(chat_request("first"), context).await.unwrap();
    let second = {
        let rig = rig.clone();
        start_all([async move { rig.call(request("second"), false).await }]).await.remove(0)
    };
    server.play(Play::Healthy);
    assert_eq!(server.request_count(), 1);
    drop(stream);
    second.await.unwrap();
    wait_until(|| server.disconnects() == 1).await;
    assert_eq!(server.request_count(), 2);
    rig.assert_idle().await;
}

fn assert_rate_limited(error: &gateway_model::GatewayError, limit: &str) {
    let details = error.details.as_ref().unwrap();
    let wait = details["retryAfterMs"].as_u64().unwrap();
    assert_eq!(
        (error.kind, error.http_status, &details["limit"]),
        (ErrorKind::RateLimited, 429, &json!(limit))
    );
    // A token bucket of two per minute refills one token in half a minute.
    assert!(wait > 0 && wait <= 30_000, "{wait}");
}

#[tokio::test]
async fn entry_rate_limit_refuses_calls_before_they_are_sent() {
    let server = Upstream::start(Play::Healthy, 1).await;
    let one = [entry("a", &server, json!({"rateLimit": {"requestsPerMinute": 2}}))];
    let rig = Rig::new(&one, json!({"provider": "a"}), json!({}));
    for stream in [false, true] {
        rig.call(request("hi"), stream).await.unwrap();
    }
    for stream in [false, true] {
        assert_rate_limited(
            &rig.call(request("hi"), stream).await.unwrap_err(),
            "rateLimit.requestsPerMinute",
        );
    }
    assert_eq!(server.request_count(), 2);
    rig.assert_idle().await;
    rig.assert_one_entry_per_call(4);
}

#[tokio::test]
async fn each_user_has_a_token_bucket_of_its_own() {
    let server = Upstream::start(Play::Healthy, 1).await;
    let settings = json!({"settings": {"limits": {"requestsPerMinute": 2}}});
    let rig = Rig::new(&[entry("a", &server, json!({}))], json!({"provider": "a"}), settings);
    let of = |user: Value| {
        let mut request = request("hi");
        request["userId"] = user;
        rig.call(request, false)
    };
    for user in [json!("one"), json!("two"), Value::Null] {
        of(user.clone()).await.unwrap();
        of(user.clone()).await.unwrap();
        assert_rate_limited(&of(user).await.unwrap_err(), "limits.requestsPerMinute");
    }
    assert_eq!(server.request_count(), 6);
    rig.assert_idle().await;
}

/// A call that was not sent is no attempt: it costs neither retry budget nor `maxAttempts`.
#[tokio::test]
async fn pool_skips_a_rate_limited_target_at_no_cost_to_retry_budget_or_max_attempts() {
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
        rig.call(request("hi"), number % 2 == 1).await.unwrap();
    }
    assert_eq!((a.request_count(), b.request_count()), (1, 9));
    wait_until(|| rig.health("a").in_flight == 0).await;
    rig.assert_one_entry_per_call(10);
}

#[tokio::test]
async fn timeout_in_the_permit_queue_does_not_count_against_the_circuit_breaker() {
    let server = Upstream::start(Play::Slow, 1).await;
    let fields = json!({"maxConcurrency": 1, "breaker": {"failureThreshold": 1}});
    let rig = Rig::new(&[entry("a", &server, fields)], json!({"provider": "a"}), json!({}));
    let impatient_call = |number: usize| {
        let (rig, mut request) = (rig.clone(), request(&format!("call {number}")));
        request["timeoutMs"] = json!(150);
        async move { rig.call(request, false).await }
    };
    let answers = futures::future::join_all((0..40).map(impatient_call)).await;
    assert!(answers.iter().any(Result::is_ok) && answers.iter().any(Result::is_err));
    assert_eq!(rig.state("a"), gateway_engine::routing::health::BreakerState::Closed);
    rig.assert_idle().await;
    rig.call(request("later"), false).await.unwrap();
}
