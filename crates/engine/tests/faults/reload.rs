//! Reload: the configuration is replaced under load.

use gateway_engine::routing::health::BreakerState;
use gateway_model::ErrorKind;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::rig::{Rig, entry, raw_config, request, wait_until, wide_budget};
use crate::upstream::{Play, TOKENS, Upstream};

const CALLS: usize = 64;

fn config(entries: &[Value], target: Value) -> Value {
    let mut raw = raw_config(entries, target);
    raw["budgets"] = wide_budget();
    raw
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reload_lets_calls_in_flight_finish_and_keeps_breakers_reservations_and_spend() {
    let (held, dead) = (Upstream::start(Play::Held, 1).await, Upstream::start(Play::Failing, 2).await);
    let breaker = json!({"breaker": {"failureThreshold": 1, "cooldownMs": 600_000}, "maxConcurrency": 100});
    let entries = [entry("held", &held, breaker.clone()), entry("dead", &dead, breaker)];
    let before = Rig::from_config(&config(&entries, json!({"provider": "dead"})));
    before.call(request("trips"), false).await.unwrap_err();
    let before = before.reload_with(&config(&entries, json!({"provider": "held"})));

    let mut calls = JoinSet::new();
    for number in 0..CALLS {
        let rig = before.clone();
        calls.spawn(async move { rig.call(request(&number.to_string()), number % 2 == 1).await.map(drop) });
    }
    wait_until(|| held.waiting() == CALLS).await;
    let after = before.reload_with(&config(&entries, json!({"provider": "dead"})));
    // The new gateway sees what the calls of the old one hold.
    assert_eq!((after.health("held").in_flight, after.health("dead").in_flight), (CALLS, 0));
    let reserved = after.gateway.budgets().reserved()[0].1;
    assert!(reserved.output_tokens >= 50 * CALLS as u64, "{reserved:?}");
    // The breaker stays open.
    assert_eq!(after.state("dead"), BreakerState::Open);
    assert_eq!(after.call(request("hi"), true).await.unwrap_err().kind, ErrorKind::ProviderUnavailable);
    assert_eq!(dead.request_count(), 1);
    drop(before);

    held.release();
    for result in calls.join_all().await {
        result.unwrap();
    }
    after.assert_idle().await;
    after.assert_one_entry_per_call(CALLS + 2);
    let spent = after.gateway.budgets().spent()[0].1;
    assert_eq!((spent.input_tokens, spent.output_tokens), (TOKENS.0 * CALLS as u64, TOKENS.1 * CALLS as u64));
}

#[tokio::test]
async fn reload_with_another_base_url_resets_the_circuit_breaker() {
    let (dead, well) = (Upstream::start(Play::Failing, 1).await, Upstream::start(Play::Healthy, 2).await);
    let breaker = json!({"breaker": {"failureThreshold": 1, "cooldownMs": 600_000}});
    let target = json!({"provider": "a"});
    let rig = Rig::from_config(&config(&[entry("a", &dead, breaker.clone())], target.clone()));
    rig.call(request("trips"), false).await.unwrap_err();
    let rig = rig.reload_with(&config(&[entry("a", &well, breaker)], target));
    assert_eq!(rig.state("a"), BreakerState::Closed);
    rig.call(request("hi"), true).await.unwrap();
    rig.assert_one_entry_per_call(2);
}
