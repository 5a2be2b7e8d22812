//! Circuit breakers of single targets: what opens, probes and closes them.

use std::time::Duration;

use gateway_engine::routing::health::BreakerState;
use gateway_model::ErrorKind;
use serde_json::{Value, json};

use crate::rig::{Rig, entry, request, start_all, wait_until};
use crate::upstream::{Play, Upstream};

/// Milliseconds: longer than any test.
const NEVER_OVER: u64 = 600_000;

async fn single(play: Play, fields: Value) -> (Upstream, Rig) {
    let server = Upstream::start(play, 1).await;
    let rig = Rig::new(&[entry("a", &server, fields)], json!({"provider": "a"}), json!({}));
    (server, rig)
}

#[tokio::test]
async fn open_circuit_breaker_refuses_calls_without_sending_them() {
    let breaker = json!({"breaker": {"failureThreshold": 2, "cooldownMs": NEVER_OVER}});
    let (server, rig) = single(Play::Failing, breaker).await;
    for stream in [false, true] {
        assert_eq!(rig.call(request("hi"), stream).await.unwrap_err().kind, ErrorKind::ProviderResponse);
    }
    for stream in [false, true] {
        let error = rig.call(request("hi"), stream).await.unwrap_err();
        assert_eq!((error.kind, error.http_status), (ErrorKind::ProviderUnavailable, 503));
        let wait = error.details.unwrap()["retryAfterMs"].as_u64().unwrap();
        assert!(wait > 0 && wait <= NEVER_OVER);
    }
    assert_eq!((server.request_count(), rig.state("a")), (2, BreakerState::Open));
    rig.assert_idle().await;
    rig.assert_one_entry_per_call(4);
}

#[tokio::test]
async fn fallback_chain_skips_a_step_whose_circuit_breaker_is_open() {
    let (a, b) = (Upstream::start(Play::Failing, 1).await, Upstream::start(Play::Healthy, 2).await);
    let breaker = json!({"breaker": {"failureThreshold": 2, "cooldownMs": NEVER_OVER}});
    let entries = [entry("a", &a, breaker), entry("b", &b, json!({}))];
    let chains = json!([{"name": "both", "steps": [{"provider": "a"}, {"provider": "b", "when": ["provider_error"]}]}]);
    let target = json!({"provider": "a", "fallbackChain": "both"});
    let rig = Rig::new(&entries, target, json!({"fallbackChains": chains}));
    for number in 0..8 {
        let answer = rig.call(request("hi"), number % 2 == 1).await.unwrap();
        assert_eq!((&*answer.figures.provider, answer.figures.fallback_from.as_deref()), ("b", Some("a")));
    }
    assert_eq!((a.request_count(), b.request_count()), (2, 8));
}

#[tokio::test]
async fn circuit_breaker_that_opens_during_retries_ends_them() {
    for stream in [false, true] {
        let fields = json!({
            "breaker": {"failureThreshold": 3, "cooldownMs": NEVER_OVER}, "retry": {"maxAttempts": 10, "backoffMs": 1},
        });
        let (server, rig) = single(Play::Status(503, ""), fields).await;
        assert_eq!(rig.call(request("hi"), stream).await.unwrap_err().upstream_status(), Some(503));
        assert_eq!((server.request_count(), rig.state("a")), (3, BreakerState::Open));
        rig.assert_idle().await;
    }
}

#[tokio::test]
async fn cancelled_half_open_probe_frees_its_slot_for_the_next_probe() {
    let breaker = json!({"breaker": {"failureThreshold": 1, "cooldownMs": 50, "halfOpenMaxRequests": 1}});
    let (server, rig) = single(Play::Failing, breaker).await;
    rig.call(request("hi"), false).await.unwrap_err();
    server.play(Play::Held);
    for stream in [false, true] {
        tokio::time::sleep(Duration::from_millis(60)).await;
        let probe = {
            let rig = rig.clone();
            async move { rig.call(request("probe"), stream).await.map(drop) }
        };
        let mut probe = start_all([probe]).await.remove(0);
        tokio::select! {
            _ = &mut probe => panic!("the upstream holds the probe"),
            () = wait_until(|| server.waiting() == 1) => {}
        }
        // One half-open probe at a time.
        let error = rig.call(request("hi"), false).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::ProviderUnavailable);
        drop(probe);
        wait_until(|| server.waiting() == 0).await;
    }
    server.play(Play::Healthy);
    rig.call(request("hi"), true).await.unwrap();
    assert_eq!((rig.state("a"), server.request_count()), (BreakerState::Closed, 4));
    rig.assert_idle().await;
}

#[tokio::test]
async fn streams_that_stall_after_their_first_content_open_the_circuit_breaker() {
    let fields = json!({"timeoutMs": 100, "breaker": {"failureThreshold": 4, "cooldownMs": NEVER_OVER}});
    let (server, rig) = single(Play::StallingLate, fields).await;
    let tally = rig.load(8, 8).await;
    assert_eq!(tally.failed, ["PROVIDER_TIMEOUT"; 8]);
    assert_eq!((server.request_count(), rig.state("a")), (8, BreakerState::Open));
    rig.assert_idle().await;
    rig.assert_one_entry_per_call(8);
}

#[tokio::test]
async fn health_checks_close_an_open_circuit_breaker_without_traffic() {
    let fields = json!({
        "healthCheck": {"intervalMs": 50}, "breaker": {"failureThreshold": 1, "cooldownMs": NEVER_OVER},
    });
    let (server, rig) = single(Play::Failing, fields).await;
    let checks: Vec<_> = rig.gateway.checks().into_iter().map(tokio::spawn).collect();
    assert_eq!(checks.len(), 1);
    rig.call(request("hi"), false).await.unwrap_err();
    let before = server.model_lists();
    wait_until(|| server.model_lists() >= before + 3).await;
    assert_eq!(rig.state("a"), BreakerState::Open);
    server.play(Play::Healthy);
    wait_until(|| rig.state("a") == BreakerState::Closed).await;
    assert_eq!(server.request_count(), 1);
    rig.call(request("hi"), true).await.unwrap();
    // The checks end with the gateway.
    drop(rig);
    for check in checks {
        check.await.unwrap();
    }
}

#[tokio::test]
async fn service_without_a_list_of_models_is_not_unhealthy() {
    let fields = json!({"healthCheck": {"intervalMs": 20}, "breaker": {"failureThreshold": 1}});
    let (server, rig) = single(Play::Status(404, ""), fields).await;
    for check in rig.gateway.checks() {
        // It ends: there is nothing to look at.
        check.await;
    }
    assert_eq!((server.model_lists(), rig.state("a")), (1, BreakerState::Closed));
}

#[tokio::test]
async fn health_checks_end_when_the_gateway_is_closed() {
    let (server, rig) = single(Play::Healthy, json!({"healthCheck": {"intervalMs": 20}})).await;
    let checks: Vec<_> = rig.gateway.checks().into_iter().map(tokio::spawn).collect();
    wait_until(|| server.model_lists() >= 1).await;
    let _ = rig.gateway.close(std::time::Duration::from_secs(1)).await;
    for check in checks {
        check.await.unwrap();
    }
}
