//! A pool of three targets of which one is in trouble: fail-over answers the calls, and the circuit breaker isolates
//! that target.

use serde_json::json;

use crate::rig::{Rig, Tally, count_codes, entry, wide_budget};
use crate::upstream::{Play, Upstream};

const CALLS: usize = 2_000;
const AT_ONCE: usize = 32;
/// Failures in a row that open a breaker.
const THRESHOLD: usize = 5;
/// Milliseconds.
const COOLDOWN: usize = 200;
/// Milliseconds until a call to the stalling target times out. The other targets have as long as they need.
const STALL_TIMEOUT: usize = 300;

struct Run {
    tally: Tally,
    servers: Vec<Upstream>,
}

impl Run {
    /// Requests per call.
    fn amplification(&self) -> f64 {
        self.servers.iter().map(Upstream::request_count).sum::<usize>() as f64 / CALLS as f64
    }
}

/// Plays `play` at the first server, or at all of them; the others are healthy.
async fn run(strategy: &str, play: Play, all: bool, threshold: usize) -> Run {
    let mut servers = Vec::new();
    let mut entries = Vec::new();
    for (number, name) in ["a", "b", "c"].into_iter().enumerate() {
        let troubled = all || number == 0;
        let played = if troubled { play.clone() } else { Play::Healthy };
        let server = Upstream::start(played, 7 + number as u64).await;
        let timeout = if play == Play::Stalling && troubled { STALL_TIMEOUT } else { 60_000 };
        entries.push(entry(
            name,
            &server,
            json!({
                "timeoutMs": timeout,
                "breaker": {"failureThreshold": threshold, "cooldownMs": COOLDOWN, "halfOpenMaxRequests": 3},
            }),
        ));
        servers.push(server);
    }
    let pool = json!([{"provider": "a"}, {"provider": "b"}, {"provider": "c"}]);
    let target = json!({"pool": pool, "strategy": strategy});
    let rig = Rig::new(&entries, target, json!({"budgets": wide_budget()}));
    let tally = rig.load(CALLS, AT_ONCE).await;
    rig.assert_idle().await;
    rig.assert_one_entry_per_call(CALLS);
    let run = Run { tally, servers };
    let counts: Vec<_> = run.servers.iter().map(Upstream::request_count).collect();
    println!(
        "| {play:?}{} | {strategy} | {:.2} % | {} / {} / {} | {:.3} | {:?} |",
        match all {
            true => format!(" (all three, breakers open after {threshold})"),
            false => String::new(),
        },
        run.tally.answered as f64 / CALLS as f64 * 100.0,
        counts[0],
        counts[1],
        counts[2],
        run.amplification(),
        count_codes(&run.tally.failed),
    );
    run
}

/// At most one call in a thousand may fail.
fn assert_calls_answered(run: &Run) {
    let failed = &run.tally.failed;
    assert_eq!(run.tally.answered + failed.len(), CALLS);
    assert!(failed.len() * 1_000 <= CALLS, "{:?}", count_codes(failed));
}

/// A target that always fails may receive the failures that open its breaker, the calls that were in flight when it
/// opened (at most all but one of those at once), and then one probe per cooldown. The time is measured at the server,
/// from its first request to its last: a slow machine fits more cooldowns in, and as many more probes.
fn assert_target_isolated(run: &Run) {
    let requests = run.servers[0].requests();
    assert!(requests.len() >= THRESHOLD, "{}", requests.len());
    let time = requests[requests.len() - 1].at - requests[0].at;
    let probes = time.as_millis() as usize / COOLDOWN;
    let most = THRESHOLD + (AT_ONCE - 1) + probes;
    assert!(requests.len() <= most, "{} requests, more than {most}", requests.len());
}

macro_rules! scenarios {
    ($($name:ident: $play:expr => $($check:ident)*;)*) => {$(
        mod $name {
            use super::*;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn round_robin() {
                let run = run("round_robin", $play, false, THRESHOLD).await;
                assert_calls_answered(&run);
                $($check(&run);)*
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn least_busy() {
                let run = run("least_busy", $play, false, THRESHOLD).await;
                assert_calls_answered(&run);
                $($check(&run);)*
            }
        }
    )*};
}

/// At most a fifth more requests than calls.
fn assert_amplification_bounded(run: &Run) {
    assert!(run.amplification() <= 1.2, "{}", run.amplification());
}

/// No call failed, and none needed a second attempt.
fn assert_one_request_per_call(run: &Run) {
    assert_eq!((run.tally.answered, run.amplification()), (CALLS, 1.0));
}

scenarios! {
    healthy_targets_are_asked_once_per_call: Play::Healthy => assert_one_request_per_call;
    failing_target_is_isolated_by_its_circuit_breaker: Play::Failing => assert_target_isolated assert_amplification_bounded;
    flaky_target_is_failed_over: Play::Flaky(30) => assert_amplification_bounded;
    slow_target_is_not_a_failure: Play::Slow => assert_one_request_per_call;
    resetting_target_is_isolated_by_its_circuit_breaker: Play::Resetting => assert_target_isolated assert_amplification_bounded;
    stalling_target_is_isolated_by_its_circuit_breaker: Play::Stalling => assert_target_isolated assert_amplification_bounded;
    flapping_target_is_failed_over: Play::Flapping => assert_amplification_bounded;
}

/// Not all calls can be answered here; what can be demanded is that fail-over does not multiply the load, neither with
/// breakers that open nor with breakers that never do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fail_over_bounds_amplification_when_every_target_is_flaky() {
    for strategy in ["round_robin", "least_busy"] {
        assert_amplification_bounded(&run(strategy, Play::Flaky(30), true, THRESHOLD).await);
        assert_amplification_bounded(&run(strategy, Play::Flaky(30), true, CALLS).await);
    }
}
