//! A pool of three with one that is in trouble: the calls are answered all the same, and the trouble is left alone.

use serde_json::json;

use crate::rig::{Rig, Tally, codes, entry, wide_budget};
use crate::upstream::{Play, Upstream};

const CALLS: usize = 2_000;
const AT_ONCE: usize = 32;
/// Failures in a row that open a breaker.
const THRESHOLD: usize = 5;
/// Milliseconds.
const COOLDOWN: usize = 200;
/// Milliseconds: of a target that stalls. The others have as long as it takes.
const PATIENCE: usize = 300;

struct Run {
    tally: Tally,
    servers: Vec<Upstream>,
}

impl Run {
    /// Requests for each call.
    fn amplification(&self) -> f64 {
        self.servers.iter().map(Upstream::count).sum::<usize>() as f64 / CALLS as f64
    }
}

/// All servers but the first are healthy, or all do the same.
async fn run(strategy: &str, play: Play, all: bool, threshold: usize) -> Run {
    let mut servers = Vec::new();
    let mut entries = Vec::new();
    for (number, name) in ["a", "b", "c"].into_iter().enumerate() {
        let troubled = all || number == 0;
        let played = if troubled { play.clone() } else { Play::Healthy };
        let server = Upstream::start(played, 7 + number as u64).await;
        let timeout = if play == Play::Stalling && troubled { PATIENCE } else { 60_000 };
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
    let counts: Vec<_> = run.servers.iter().map(Upstream::count).collect();
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
        codes(&run.tally.failed),
    );
    run
}

/// One in a thousand may fail.
fn answered(run: &Run) {
    let failed = &run.tally.failed;
    assert_eq!(run.tally.answered + failed.len(), CALLS);
    assert!(failed.len() * 1_000 <= CALLS, "{:?}", codes(failed));
}

/// What a target that only fails may be asked: the failures that open its breaker; the calls that were let through
/// before it opened, at most all but one of those at once; and then a probe for each cooldown. The time is the
/// server's own, from its first request to its last: a slow machine has more cooldowns in it, and as many more probes.
fn left_alone(run: &Run) {
    let asked = run.servers[0].asked();
    assert!(asked.len() >= THRESHOLD, "{}", asked.len());
    let time = asked[asked.len() - 1].at - asked[0].at;
    let probes = time.as_millis() as usize / COOLDOWN;
    let most = THRESHOLD + (AT_ONCE - 1) + probes;
    assert!(asked.len() <= most, "asked {} times, not {most}", asked.len());
}

macro_rules! scenarios {
    ($($name:ident: $play:expr => $($check:ident)*;)*) => {$(
        mod $name {
            use super::*;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn round_robin() {
                let run = run("round_robin", $play, false, THRESHOLD).await;
                answered(&run);
                $($check(&run);)*
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn least_busy() {
                let run = run("least_busy", $play, false, THRESHOLD).await;
                answered(&run);
                $($check(&run);)*
            }
        }
    )*};
}

/// A fifth more at most.
fn bounded(run: &Run) {
    assert!(run.amplification() <= 1.2, "{}", run.amplification());
}

/// Nothing failed: each call has asked once.
fn asked_once(run: &Run) {
    assert_eq!((run.tally.answered, run.amplification()), (CALLS, 1.0));
}

scenarios! {
    all_are_healthy: Play::Healthy => asked_once;
    one_fails: Play::Failing => left_alone bounded;
    one_fails_now_and_then: Play::Flaky(30) => bounded;
    one_is_slow: Play::Slow => asked_once;
    one_resets: Play::Resetting => left_alone bounded;
    one_stalls: Play::Stalling => left_alone bounded;
    one_flaps: Play::Flapping => bounded;
}

/// Nobody could answer all of them; what can be asked for is that the trouble is not made worse, by what is left of the
/// traffic when breakers open, and by all of it when none does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_fail_now_and_then() {
    for strategy in ["round_robin", "least_busy"] {
        bounded(&run(strategy, Play::Flaky(30), true, THRESHOLD).await);
        bounded(&run(strategy, Play::Flaky(30), true, CALLS).await);
    }
}
