//! Deduplication: identical calls share one upstream request; the leader pays, the followers wait for its answer.

use futures::future::join_all;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::rig::{Rig, StartedCall, entry, request, start_all, wait_until, wide_budget};
use crate::upstream::{ANSWER_TEXT, Play, TOKENS, Upstream};

async fn rig(settings: Value) -> (Upstream, Rig) {
    let server = Upstream::start(Play::Held, 1).await;
    let more = json!({"budgets": wide_budget(), "settings": settings});
    let rig = Rig::new(&[entry("a", &server, json!({}))], json!({"provider": "a"}), more);
    (server, rig)
}

/// Starts `count` identical calls, which wait for the server.
async fn waiting(rig: &Rig, count: usize, stream: bool) -> Vec<StartedCall<Result<bool, String>>> {
    let call = |_| {
        let rig = rig.clone();
        async move {
            let answer =
                rig.call(request("the same"), stream).await.map_err(|error| error.code.to_string())?;
            assert_eq!(answer.answer.content, ANSWER_TEXT);
            Ok(answer.figures.cached)
        }
    };
    start_all((0..count).map(call)).await
}

#[tokio::test]
async fn thousand_identical_calls_are_deduplicated_into_one_request() {
    for stream in [false, true] {
        let (server, rig) = rig(json!({"dedupe": true})).await;
        let calls = waiting(&rig, 1_000, stream).await;
        wait_until(|| server.request_count() == 1).await;
        server.release();
        let answers = join_all(calls).await;
        let cached = answers.iter().filter(|answer| *answer.as_ref().unwrap()).count();
        assert_eq!((answers.len(), cached, server.request_count()), (1_000, 999, 1));
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
async fn cancelled_leader_and_follower_leave_the_shared_call_running() {
    for stream in [false, true] {
        let (server, rig) = rig(json!({"dedupe": true})).await;
        let mut calls = waiting(&rig, 10, stream).await;
        wait_until(|| server.waiting() == 1).await;
        // The leader and one follower.
        drop(calls.remove(0));
        drop(calls.remove(4));
        server.release();
        for answer in join_all(calls).await {
            assert!(answer.unwrap(), "only the leader pays");
        }
        assert_eq!((server.request_count(), server.disconnects()), (1, 0));
        rig.assert_idle().await;
        rig.assert_one_entry_per_call(10);
        let entries = rig.log.entries();
        let (paid, aborted) = (
            entries.iter().filter(|entry| entry.figures.total_tokens > 0).count(),
            entries.iter().filter(|entry| entry.call.error_code.as_deref() == Some("ABORTED")).count(),
        );
        assert_eq!((paid, aborted), (1, 1), "the leader's own entry is that of the shared call");
    }
}

#[tokio::test]
async fn shared_call_is_cancelled_upstream_when_all_its_callers_have_gone() {
    for stream in [false, true] {
        let (server, rig) = rig(json!({"dedupe": true})).await;
        let calls = waiting(&rig, 10, stream).await;
        wait_until(|| server.waiting() == 1).await;
        drop(calls);
        wait_until(|| server.disconnects() == 1).await;
        rig.assert_idle().await;
        rig.assert_one_entry_per_call(10);
        assert_eq!((server.request_count(), server.waiting()), (1, 0));
    }
}

#[tokio::test]
async fn callers_cancelled_before_the_shared_call_is_sent_are_logged() {
    for stream in [false, true] {
        let (server, rig) = rig(json!({"dedupe": true})).await;
        drop(waiting(&rig, 3, stream).await);
        rig.assert_idle().await;
        // The task that was to do the work may be dropped a moment after its callers.
        wait_until(|| rig.log.entries().len() == 3).await;
        rig.assert_one_entry_per_call(3);
        assert_eq!(server.request_count(), 0);
    }
}

#[tokio::test]
async fn rate_limit_refusal_of_a_leader_leaves_no_shared_call_behind() {
    for stream in [false, true] {
        let server = Upstream::start(Play::Healthy, 1).await;
        let settings = json!({"settings": {"dedupe": true, "limits": {"requestsPerMinute": 1}}});
        let rig = Rig::new(&[entry("a", &server, json!({}))], json!({"provider": "a"}), settings);
        rig.call(request("the same"), stream).await.unwrap();
        for _ in 0..3 {
            assert_eq!(rig.call(request("the same"), stream).await.unwrap_err().code, "RATE_LIMITED");
        }
        assert_eq!(server.request_count(), 1);
        rig.assert_idle().await;
    }
}

#[tokio::test]
async fn abort_signal_of_the_leader_cancels_that_caller_only() {
    for stream in [false, true] {
        let (server, rig) = rig(json!({"dedupe": true})).await;
        let signal = CancellationToken::new();
        let cancelled = {
            let (rig, signal) = (rig.clone(), signal.clone());
            async move { rig.call_until(request("the same"), stream, &signal).await }
        };
        let first = start_all([cancelled]).await.remove(0);
        let others = waiting(&rig, 3, stream).await;
        wait_until(|| server.waiting() == 1).await;
        signal.cancel();
        assert_eq!(first.await.unwrap_err().code, "ABORTED");
        server.release();
        for answer in join_all(others).await {
            answer.unwrap();
        }
        assert_eq!((server.request_count(), server.disconnects()), (1, 0));
        rig.assert_idle().await;
        rig.assert_one_entry_per_call(4);
    }
}

#[tokio::test]
async fn failure_of_a_shared_call_reaches_all_followers_and_is_not_cached() {
    for stream in [false, true] {
        let (server, rig) = rig(json!({"dedupe": true, "cache": {"enabled": true}})).await;
        server.play(Play::Failing);
        for answer in join_all(waiting(&rig, 20, stream).await).await {
            assert_eq!(answer.unwrap_err(), "PROVIDER_RESPONSE");
        }
        assert_eq!(server.request_count(), 1);
        server.play(Play::Healthy);
        rig.call(request("the same"), stream).await.unwrap();
        assert_eq!(server.request_count(), 2);
        rig.assert_idle().await;
        rig.assert_one_entry_per_call(21);
    }
}

#[tokio::test]
async fn users_share_neither_deduplicated_calls_nor_cached_answers() {
    for stream in [false, true] {
        let (server, rig) = rig(json!({"dedupe": true, "cache": {"enabled": true}})).await;
        let of = |user: Value| {
            let rig = rig.clone();
            let mut request = request("the same");
            request["userId"] = user;
            async move { rig.call(request, stream).await.unwrap().figures.cached }
        };
        let users = || [json!("one"), json!("two"), json!("one"), Value::Null];
        let calls = start_all(users().map(of)).await;
        wait_until(|| server.waiting() == 3).await;
        server.release();
        assert_eq!(join_all(calls).await, [false, false, true, false]);
        // By now from the cache, one entry per user.
        assert_eq!(join_all(users().map(of)).await, [true; 4]);
        assert!(!of(json!("three")).await);
        assert_eq!(server.request_count(), 4);
        rig.assert_idle().await;
        rig.assert_one_entry_per_call(9);
    }
}

#[tokio::test]
async fn caller_with_a_shorter_timeout_sends_a_call_of_its_own() {
    for stream in [false, true] {
        let (server, rig) = rig(json!({"dedupe": true})).await;
        let calls = waiting(&rig, 3, stream).await;
        wait_until(|| server.waiting() == 1).await;
        let mut impatient = request("the same");
        impatient["timeoutMs"] = json!(20);
        let error = rig.call(impatient, stream).await.unwrap_err();
        assert_eq!((error.kind, server.request_count()), (gateway_model::ErrorKind::ProviderTimeout, 2));
        server.release();
        assert!(join_all(calls).await.iter().all(Result::is_ok));
        rig.assert_idle().await;
        rig.assert_one_entry_per_call(4);
    }
}
