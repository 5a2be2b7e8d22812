//! Pool, cache, deduplication, limits, budgets and hedges together, on real threads, over upstreams that fail in every
//! way and callers that cancel at any time.

use std::time::Duration;

use gateway_model::{ErrorKind, GatewayError};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde_json::json;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::rig::{Rig, count_codes, entry, request, wide_budget};
use crate::upstream::{Play, Upstream};

const TASKS: usize = 16;
const CALLS: usize = 300;
/// Far longer than the calls take: one that is not over by then hangs.
const HANG_LIMIT: Duration = Duration::from_secs(300);
/// Milliseconds of an entry's timeout: long enough that only the upstreams that stall reach it, on a busy machine too.
const TIMEOUT: u64 = 500;
/// Milliseconds of a breaker's cooldown.
const COOLDOWN: u64 = 20;

/// The outcomes of a task's calls.
#[derive(Debug, Default)]
struct Ends {
    answered: usize,
    /// Error codes.
    failed: Vec<String>,
    cancelled: usize,
    dropped: usize,
}

fn cooldown_left(error: &GatewayError) -> Duration {
    let wait = error.details.as_ref().and_then(|details| details["retryAfterMs"].as_u64());
    Duration::from_millis(wait.unwrap_or(COOLDOWN).max(1))
}

async fn task(rig: Rig, seed: u64) -> Ends {
    let mut chance = SmallRng::seed_from_u64(seed);
    let mut ends = Ends::default();
    for _ in 0..CALLS {
        // A third of the calls repeat another one, so that they are deduplicated or answered from the cache.
        let mut request = request(&format!("question {}", chance.random_range(0..4_000) / 40));
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
                // Every breaker is open and refuses at once: a caller that did not wait for the cooldown would use up
                // its calls before the first half-open probe has ended.
                if error.kind == ErrorKind::ProviderUnavailable {
                    tokio::time::sleep(cooldown_left(&error)).await;
                }
                ends.failed.push(error.code.to_string());
            }
        }
    }
    ends
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn mixed_faults_lose_no_call_and_leak_no_permit_or_reservation() {
    let mut servers = Vec::new();
    let mut entries = Vec::new();
    for (number, name) in ["a", "b", "c", "d"].into_iter().enumerate() {
        let server = Upstream::start(Play::Any, 40 + number as u64).await;
        entries.push(entry(
            name,
            &server,
            json!({
                "timeoutMs": TIMEOUT, "maxConcurrency": 6, "priority": number,
                "breaker": {"failureThreshold": 4, "cooldownMs": COOLDOWN, "halfOpenMaxRequests": 1},
                "rateLimit": if name == "c" { json!({"requestsPerMinute": 120}) } else { json!({}) },
                "retry": if name == "b" { json!({"maxAttempts": 2, "backoffMs": 2}) } else { json!({}) },
            }),
        ));
        servers.push(server);
    }
    let rig = Rig::with_hedge(
        &entries,
        json!({
            "pool": [{"provider": "a"}, {"provider": "b"}, {"provider": "c"}],
            "strategy": "hybrid", "fallbackChain": "last",
        }),
        json!({"afterMs": 15, "maxExtra": 1}),
        json!({
            "budgets": wide_budget(),
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
    let all = tokio::time::timeout(HANG_LIMIT, tasks.join_all()).await.expect("a call hangs");
    let sum = |of: fn(&Ends) -> usize| all.iter().map(of).sum::<usize>();
    let (answered, failed) = (sum(|ends| ends.answered), sum(|ends| ends.failed.len()));
    let (cancelled, dropped) = (sum(|ends| ends.cancelled), sum(|ends| ends.dropped));
    let counts: Vec<_> = servers.iter().map(Upstream::request_count).collect();
    let failures: Vec<_> = all.iter().flat_map(|ends| ends.failed.clone()).collect();
    println!(
        "answered {answered}, cancelled {cancelled}, dropped {dropped}, failed {:?}; requests {counts:?}",
        count_codes(&failures)
    );
    assert_eq!(answered + failed + cancelled + dropped, TASKS * CALLS);
    assert!(answered > TASKS * CALLS / 2, "{answered}");
    rig.assert_idle().await;
    rig.assert_one_entry_per_call(TASKS * CALLS);
}
