//! What a step costs over loopback; figures for a reader, which no test asserts:
//! `cargo test -p gateway-store --test redis_latency -- --ignored --nocapture`

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, dead_code)]

mod redis_server;

use std::time::{Duration, Instant};

use futures::future::join_all;
use gateway_engine::state::{Counter, CounterWindow, Take};
use gateway_engine::state::{Exchange, GrantRule, LeaseRequest, Spent, StateStore};
use redis_server::Server;
use redis_server::watched::Watched;

fn exchange(counter: &Counter, sequence: u64) -> Exchange {
    let lease = LeaseRequest {
        keep: [1; 4],
        want: [2; 4],
        spare: [3; 4],
        rule: GrantRule::Within([Some(1_000_000_000), None, None, Some(1_000_000_000_000_000)]),
    };
    let spent = Spent { figures: [100, 200, 300, 4_000_000], at_ms: i64::MAX, sequence };
    Exchange { counter: counter.clone(), spent: Some(spent), lease: Some(lease) }
}

fn print(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |share: f64| times[(times.len() as f64 * share) as usize];
    println!("{what}: p50 {:?}, p90 {:?}, p99 {:?}", at(0.5), at(0.9), at(0.99));
}

#[tokio::test]
#[ignore = "a measurement"]
async fn a_step_over_loopback() {
    let Some(server) = Server::start(&[]) else { return };
    let watched = Watched::new(&server.url());
    let store = &watched.store;
    let counter =
        |name: &str| Counter { key: name.into(), window: CounterWindow::Rolling { length_ms: 3_600_000 } };
    let one = counter("one");
    let mut sequence = 0;
    for nodes in [1, 3, 10] {
        for node in 0..nodes {
            store.exchange(&format!("other {node}"), &[exchange(&one, 1)]).await.unwrap();
        }
        let mut times = Vec::new();
        for _ in 0..5_000 {
            sequence += 1;
            let step = exchange(&one, sequence);
            let start = Instant::now();
            store.exchange("node", &[step]).await.unwrap();
            times.push(start.elapsed());
        }
        print(&format!("one step, {nodes} other nodes"), times);
    }
    let several: Vec<_> = (0..5).map(|at| counter(&format!("several {at}"))).collect();
    let mut times = Vec::new();
    for sequence in 1..3_000 {
        let steps: Vec<_> = several.iter().map(|counter| exchange(counter, sequence)).collect();
        let start = Instant::now();
        store.exchange("node", &steps).await.unwrap();
        times.push(start.elapsed());
    }
    print("five steps", times);
    let mut times = Vec::new();
    for _ in 0..3_000 {
        let start = Instant::now();
        store
            .take(&[Take { key: "bucket".into(), buckets: vec![(1_000_000, 1), (1_000_000_000, 500)] }])
            .await
            .unwrap();
        times.push(start.elapsed());
    }
    print("a take from two buckets", times);
    let mut times = Vec::new();
    for _ in 0..3_000 {
        let start = Instant::now();
        store.get("value").await.unwrap();
        times.push(start.elapsed());
    }
    print("a GET", times);
    let start = Instant::now();
    let rounds = 300;
    for round in 0..rounds {
        join_all((0..64).map(|at| {
            let step = exchange(&one, 100_000 + round * 64 + at);
            async move { store.exchange("node", &[step]).await.unwrap() }
        }))
        .await;
    }
    println!("64 at once: {:?} each", start.elapsed() / (rounds as u32 * 64));
}
