//! All of it at once, on real threads: pool, cache, shared calls, limits, budgets and hedges, over servers that fail in
//! every way and callers that leave at any time.

use std::time::Duration;

use gateway_model::ErrorKind;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde_json::json;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::rig::{Rig, ask, codes, entry, wide_budget};
use crate::upstream::{Play, Upstream};

const TASKS: usize = 16;
const CALLS: usize = 300;
/// Far longer than it takes: a call that is not over by then hangs.
const PATIENCE: Duration = Duration::from_secs(100);

/// What became of a task's calls.
#[derive(Debug, Default)]
struct Ends {
    answered: usize,
    /// Codes.
    failed: Vec<String>,
    cancelled: usize,
    dropped: usize,
}

async fn task(rig: Rig, seed: u64) -> Ends {
    let mut chance = SmallRng::seed_from_u64(seed);
    let mut ends = Ends::default();
    for _ in 0..CALLS {
        // A third of the calls are made by several at once, or again.
        let mut request = ask(&format!("question {}", chance.random_range(0..4_000) / 40));
        request["userId"] = json!(["one", "two", "three"][chance.random_range(0..3)]);
        request["cache"] = json!(chance.random_bool(0.5));
        let stream = chance.random_bool(0.5);
        let signal = CancellationToken::new();
        let call = rig.call_until(request, stream, &signal);
        let after = Duration::from_millis(chance.random_range(0..20));
        let result = match chance.random_range(0..10) {
            0 => {
                let cancel = async {
                    tokio::time::sleep(after).await;
                    signal.cancel();
                };
                tokio::join!(call, cancel).0
            }
            1 => match tokio::time::timeout(after, call).await {
                Ok(result) => result,
                Err(_) => {
                    ends.dropped += 1;
                    continue;
                }
            },
            _ => call.await,
        };
        match result {
            Ok(_) => ends.answered += 1,
            Err(error) if error.kind == ErrorKind::Aborted => ends.cancelled += 1,
            Err(error) => {
                assert_ne!(error.kind, ErrorKind::Internal, "{error}");
                ends.failed.push(error.code.to_string());
            }
        }
    }
    ends
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_lost_and_nothing_is_left() {
    let mut servers = Vec::new();
    let mut entries = Vec::new();
    for (number, name) in ["a", "b", "c", "d"].into_iter().enumerate() {
        let server = Upstream::start(Play::Any, 40 + number as u64).await;
        entries.push(entry(
            name,
            &server,
            json!({
                "timeoutMs": 60, "maxConcurrency": 6, "priority": number,
                "breaker": {"failureThreshold": 4, "cooldownMs": 20, "halfOpenMaxRequests": 1},
                "rateLimit": if name == "c" { json!({"requestsPerMinute": 120}) } else { json!({}) },
                "retry": if name == "b" { json!({"maxAttempts": 2, "backoffMs": 2}) } else { json!({}) },
            }),
        ));
        servers.push(server);
    }
    let rig = Rig::new(
        &entries,
        json!({
            "pool": [{"provider": "a"}, {"provider": "b"}, {"provider": "c"}],
            "strategy": "hybrid", "fallbackChain": "last",
        }),
        json!({
            "budgets": wide_budget(), "hedge": {"afterMs": 15, "maxExtra": 1},
            "fallbackChains": [{"name": "last", "steps": [{"provider": "d"}]}],
            "settings": {
                "dedupe": true, "cache": {"enabled": false, "ttlMs": 200},
                "limits": {"requestsPerMinute": 2_000}, "retryBudget": {"ratio": 0.5, "reserve": 50},
            },
        }),
    );
    let mut tasks = JoinSet::new();
    for seed in 0..TASKS as u64 {
        tasks.spawn(task(rig.clone(), seed));
    }
    let all = tokio::time::timeout(PATIENCE, tasks.join_all()).await.expect("a call hangs");
    let sum = |of: fn(&Ends) -> usize| all.iter().map(of).sum::<usize>();
    let (answered, failed) = (sum(|ends| ends.answered), sum(|ends| ends.failed.len()));
    let (cancelled, dropped) = (sum(|ends| ends.cancelled), sum(|ends| ends.dropped));
    let counts: Vec<_> = servers.iter().map(Upstream::count).collect();
    let failures: Vec<_> = all.iter().flat_map(|ends| ends.failed.clone()).collect();
    println!(
        "answered {answered}, cancelled {cancelled}, dropped {dropped}, failed {:?}; asked {counts:?}",
        codes(&failures)
    );
    assert_eq!(answered + failed + cancelled + dropped, TASKS * CALLS);
    assert!(answered > TASKS * CALLS / 2, "{answered}");
    rig.assert_idle().await;
    rig.assert_one_entry_per_call(TASKS * CALLS);
}
