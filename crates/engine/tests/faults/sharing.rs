//! Identical calls: one of them is sent, and it belongs to all who wait for it.

use futures::future::join_all;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::rig::{Begun, Rig, ask, begin, entry, until, wide_budget};
use crate::upstream::{Play, SAYS, TOKENS, Upstream};

async fn rig(settings: Value) -> (Upstream, Rig) {
    let server = Upstream::start(Play::Held, 1).await;
    let more = json!({"budgets": wide_budget(), "settings": settings});
    let rig = Rig::new(&[entry("a", &server, json!({}))], json!({"provider": "a"}), more);
    (server, rig)
}

/// `count` identical calls that wait for the server.
async fn waiting(rig: &Rig, count: usize, stream: bool) -> Vec<Begun<Result<bool, String>>> {
    let call = |_| {
        let rig = rig.clone();
        async move {
            let answer = rig.call(ask("the same"), stream).await.map_err(|error| error.code.to_string())?;
            assert_eq!(answer.answer.content, SAYS);
            Ok(answer.figures.cached)
        }
    };
    begin((0..count).map(call)).await
}

#[tokio::test]
async fn a_thousand_identical_calls_are_one() {
    for stream in [false, true] {
        let (server, rig) = rig(json!({"dedupe": true})).await;
        let calls = waiting(&rig, 1_000, stream).await;
        until(|| server.count() == 1).await;
        server.release();
        let answers = join_all(calls).await;
        let free = answers.iter().filter(|answer| *answer.as_ref().unwrap()).count();
        assert_eq!((answers.len(), free, server.count()), (1_000, 999, 1));
        rig.assert_idle().await;
        rig.assert_one_entry_per_call(1_000);
        let entries = rig.log.entries();
        let paid: Vec<_> = entries.iter().filter(|entry| entry.figures.total_tokens > 0).collect();
        assert_eq!(
            (paid.len(), paid[0].figures.total_tokens, paid[0].figures.cached),
            (1, TOKENS.0 + TOKENS.1, false)
        );
    }
}

#[tokio::test]
async fn who_leaves_takes_nobody_along() {
    for stream in [false, true] {
        let (server, rig) = rig(json!({"dedupe": true})).await;
        let mut calls = waiting(&rig, 10, stream).await;
        until(|| server.waiting() == 1).await;
        // The one that was first, and another.
        drop(calls.remove(0));
        drop(calls.remove(4));
        server.release();
        for answer in join_all(calls).await {
            assert!(answer.unwrap(), "only the first one pays");
        }
        assert_eq!((server.count(), server.left()), (1, 0));
        rig.assert_idle().await;
        rig.assert_one_entry_per_call(10);
        let entries = rig.log.entries();
        let (paid, gone) = (
            entries.iter().filter(|entry| entry.figures.total_tokens > 0).count(),
            entries.iter().filter(|entry| entry.call.error_code.as_deref() == Some("ABORTED")).count(),
        );
        assert_eq!((paid, gone), (1, 1), "the first one's own entry is that of the call");
    }
}

#[tokio::test]
async fn when_all_have_left_the_upstream_is_closed() {
    for stream in [false, true] {
        let (server, rig) = rig(json!({"dedupe": true})).await;
        let calls = waiting(&rig, 10, stream).await;
        until(|| server.waiting() == 1).await;
        drop(calls);
        until(|| server.left() == 1).await;
        rig.assert_idle().await;
        rig.assert_one_entry_per_call(10);
        assert_eq!((server.count(), server.waiting()), (1, 0));
    }
}

#[tokio::test]
async fn who_leaves_before_anything_is_sent_is_logged_too() {
    for stream in [false, true] {
        let (server, rig) = rig(json!({"dedupe": true})).await;
        drop(waiting(&rig, 3, stream).await);
        rig.assert_idle().await;
        rig.assert_one_entry_per_call(3);
        assert_eq!(server.count(), 0);
    }
}

#[tokio::test]
async fn a_refusal_is_everybodys_and_holds_nobody() {
    for stream in [false, true] {
        let server = Upstream::start(Play::Healthy, 1).await;
        let settings = json!({"settings": {"dedupe": true, "limits": {"requestsPerMinute": 1}}});
        let rig = Rig::new(&[entry("a", &server, json!({}))], json!({"provider": "a"}), settings);
        rig.call(ask("the same"), stream).await.unwrap();
        for _ in 0..3 {
            assert_eq!(rig.call(ask("the same"), stream).await.unwrap_err().code, "RATE_LIMITED");
        }
        assert_eq!(server.count(), 1);
        rig.assert_idle().await;
    }
}

#[tokio::test]
async fn a_signal_takes_one_caller_away() {
    for stream in [false, true] {
        let (server, rig) = rig(json!({"dedupe": true})).await;
        let signal = CancellationToken::new();
        let cancelled = {
            let (rig, signal) = (rig.clone(), signal.clone());
            async move { rig.call_until(ask("the same"), stream, &signal).await }
        };
        let first = begin([cancelled]).await.remove(0);
        let others = waiting(&rig, 3, stream).await;
        until(|| server.waiting() == 1).await;
        signal.cancel();
        assert_eq!(first.await.unwrap_err().code, "ABORTED");
        server.release();
        for answer in join_all(others).await {
            answer.unwrap();
        }
        assert_eq!((server.count(), server.left()), (1, 0));
        rig.assert_idle().await;
        rig.assert_one_entry_per_call(4);
    }
}

#[tokio::test]
async fn a_failure_is_everybodys_and_is_not_kept() {
    for stream in [false, true] {
        let (server, rig) = rig(json!({"dedupe": true, "cache": {"enabled": true}})).await;
        server.play(Play::Failing);
        for answer in join_all(waiting(&rig, 20, stream).await).await {
            assert_eq!(answer.unwrap_err(), "PROVIDER_RESPONSE");
        }
        assert_eq!(server.count(), 1);
        server.play(Play::Healthy);
        rig.call(ask("the same"), stream).await.unwrap();
        assert_eq!(server.count(), 2);
        rig.assert_idle().await;
        rig.assert_one_entry_per_call(21);
    }
}

#[tokio::test]
async fn tenants_share_neither_calls_nor_answers() {
    for stream in [false, true] {
        let (server, rig) = rig(json!({"dedupe": true, "cache": {"enabled": true}})).await;
        let of = |user: Value| {
            let rig = rig.clone();
            let mut request = ask("the same");
            request["userId"] = user;
            async move { rig.call(request, stream).await.unwrap().figures.cached }
        };
        let users = || [json!("one"), json!("two"), json!("one"), Value::Null];
        let calls = begin(users().map(of)).await;
        until(|| server.waiting() == 3).await;
        server.release();
        assert_eq!(join_all(calls).await, [false, false, true, false]);
        // From the cache by now, each from its own.
        assert_eq!(join_all(users().map(of)).await, [true; 4]);
        assert!(!of(json!("three")).await);
        assert_eq!(server.count(), 4);
        rig.assert_idle().await;
        rig.assert_one_entry_per_call(9);
    }
}

#[tokio::test]
async fn who_has_less_time_goes_alone_and_takes_nobody_along() {
    for stream in [false, true] {
        let (server, rig) = rig(json!({"dedupe": true})).await;
        let calls = waiting(&rig, 3, stream).await;
        until(|| server.waiting() == 1).await;
        let mut hasty = ask("the same");
        hasty["timeoutMs"] = json!(20);
        let error = rig.call(hasty, stream).await.unwrap_err();
        assert_eq!((error.kind, server.count()), (gateway_model::ErrorKind::ProviderTimeout, 2));
        server.release();
        assert!(join_all(calls).await.iter().all(Result::is_ok));
        rig.assert_idle().await;
        rig.assert_one_entry_per_call(4);
    }
}
