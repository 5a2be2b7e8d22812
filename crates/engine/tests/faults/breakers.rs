//! Breakers of single targets, and what closes them.

use std::time::Duration;

use gateway_engine::routing::health::BreakerState;
use gateway_model::ErrorKind;
use serde_json::{Value, json};

use crate::rig::{Rig, ask, begin, entry, until};
use crate::upstream::{Play, Upstream};

/// Milliseconds: longer than any test.
const EVER: u64 = 600_000;

async fn single(play: Play, fields: Value) -> (Upstream, Rig) {
    let server = Upstream::start(play, 1).await;
    let rig = Rig::new(&[entry("a", &server, fields)], json!({"provider": "a"}), json!({}));
    (server, rig)
}

#[tokio::test]
async fn an_open_breaker_refuses_at_once() {
    let breaker = json!({"breaker": {"failureThreshold": 2, "cooldownMs": EVER}});
    let (server, rig) = single(Play::Failing, breaker).await;
    for stream in [false, true] {
        assert_eq!(rig.call(ask("hi"), stream).await.unwrap_err().kind, ErrorKind::ProviderResponse);
    }
    for stream in [false, true] {
        let error = rig.call(ask("hi"), stream).await.unwrap_err();
        assert_eq!((error.kind, error.http_status), (ErrorKind::ProviderUnavailable, 503));
        let wait = error.details.unwrap()["retryAfterMs"].as_u64().unwrap();
        assert!(wait > 0 && wait <= EVER);
    }
    assert_eq!((server.count(), rig.state("a")), (2, BreakerState::Open));
    rig.assert_idle().await;
    rig.assert_one_entry_per_call(4);
}

#[tokio::test]
async fn a_chain_falls_back_from_an_open_breaker() {
    let (a, b) = (Upstream::start(Play::Failing, 1).await, Upstream::start(Play::Healthy, 2).await);
    let breaker = json!({"breaker": {"failureThreshold": 2, "cooldownMs": EVER}});
    let entries = [entry("a", &a, breaker), entry("b", &b, json!({}))];
    let chains = json!([{"name": "both", "steps": [{"provider": "a"}, {"provider": "b", "when": ["provider_error"]}]}]);
    let target = json!({"provider": "a", "fallbackChain": "both"});
    let rig = Rig::new(&entries, target, json!({"fallbackChains": chains}));
    for number in 0..8 {
        let answer = rig.call(ask("hi"), number % 2 == 1).await.unwrap();
        assert_eq!((&*answer.figures.provider, answer.figures.fallback_from.as_deref()), ("b", Some("a")));
    }
    assert_eq!((a.count(), b.count()), (2, 8));
}

#[tokio::test]
async fn the_breaker_is_asked_before_each_retry() {
    for stream in [false, true] {
        let fields = json!({
            "breaker": {"failureThreshold": 3, "cooldownMs": EVER}, "retry": {"maxAttempts": 10, "backoffMs": 1},
        });
        let (server, rig) = single(Play::Status(503, ""), fields).await;
        assert_eq!(rig.call(ask("hi"), stream).await.unwrap_err().upstream_status(), Some(503));
        assert_eq!((server.count(), rig.state("a")), (3, BreakerState::Open));
        rig.assert_idle().await;
    }
}

#[tokio::test]
async fn a_cancelled_probe_makes_room_for_another() {
    let breaker = json!({"breaker": {"failureThreshold": 1, "cooldownMs": 50, "halfOpenMaxRequests": 1}});
    let (server, rig) = single(Play::Failing, breaker).await;
    rig.call(ask("hi"), false).await.unwrap_err();
    server.play(Play::Held);
    for stream in [false, true] {
        tokio::time::sleep(Duration::from_millis(60)).await;
        let probe = {
            let rig = rig.clone();
            async move { rig.call(ask("probe"), stream).await.map(drop) }
        };
        let mut probe = begin([probe]).await.remove(0);
        tokio::select! {
            _ = &mut probe => panic!("nobody answers it"),
            () = until(|| server.waiting() == 1) => {}
        }
        // One at a time.
        let error = rig.call(ask("hi"), false).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::ProviderUnavailable);
        drop(probe);
        until(|| server.waiting() == 0).await;
    }
    server.play(Play::Healthy);
    rig.call(ask("hi"), true).await.unwrap();
    assert_eq!((rig.state("a"), server.count()), (BreakerState::Closed, 4));
    rig.assert_idle().await;
}

#[tokio::test]
async fn streams_that_break_off_open_the_breaker() {
    let fields = json!({"timeoutMs": 100, "breaker": {"failureThreshold": 4, "cooldownMs": EVER}});
    let (server, rig) = single(Play::StallingLate, fields).await;
    let tally = rig.load(8, 8).await;
    assert_eq!(tally.failed, ["PROVIDER_TIMEOUT"; 8]);
    assert_eq!((server.count(), rig.state("a")), (8, BreakerState::Open));
    rig.assert_idle().await;
    rig.assert_one_entry_per_call(8);
}

#[tokio::test]
async fn health_checks_close_a_breaker_without_traffic() {
    let fields = json!({
        "healthCheck": {"intervalMs": 50}, "breaker": {"failureThreshold": 1, "cooldownMs": EVER},
    });
    let (server, rig) = single(Play::Failing, fields).await;
    let checks: Vec<_> = rig.gateway.checks().into_iter().map(tokio::spawn).collect();
    assert_eq!(checks.len(), 1);
    rig.call(ask("hi"), false).await.unwrap_err();
    let before = server.checks();
    until(|| server.checks() >= before + 3).await;
    assert_eq!(rig.state("a"), BreakerState::Open);
    server.play(Play::Healthy);
    until(|| rig.state("a") == BreakerState::Closed).await;
    assert_eq!(server.count(), 1);
    rig.call(ask("hi"), true).await.unwrap();
    // They end with the gateway.
    drop(rig);
    for check in checks {
        check.await.unwrap();
    }
}
