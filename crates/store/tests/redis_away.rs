//! A Redis that stops, freezes, is slow, cuts connections off or was never there: calls are bounded in time, soon fail at once, and
//! go on by themselves when it is back.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, dead_code)]

mod redis_server;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures::future::join_all;
use gateway_engine::state::{Spent, StateStore, StoreErrorKind};
use redis_server::proxy::Proxy;
use redis_server::watched::{Watched, assert_says};
use redis_server::{Cluster, Server};

fn spent(sequence: u64) -> Option<Spent> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Some(Spent { figures: [1, 0, 0, 7], at_ms: now.as_millis().try_into().unwrap(), sequence })
}

/// The number of connections that the server has, without the one that asks.
fn connections(server: &Server) -> usize {
    let list: String = redis::cmd("CLIENT").arg("LIST").query(&mut server.connection()).unwrap();
    list.lines().count() - 1
}

#[tokio::test]
async fn a_server_that_stopped_is_away_and_found_when_it_is_back() {
    let Some(mut server) = Server::start(&[]) else { return };
    let watched = Watched::new(&server.url());
    watched.call().await.unwrap();
    for _ in 0..2 {
        server.kill();
        let error = watched.goes_away().await;
        assert_eq!(error.kind, StoreErrorKind::Away);
        assert_says(&error.to_string(), &[&server.url(), "refused", "check that Redis runs"]);
        // Long enough for the pauses between dials to have grown.
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        watched.fails_at_once().await;
        server.launch();
        watched.comes_back().await;
    }
    let lines = watched.lines();
    let name = server.url();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert_says(&lines[0], &[&format!("state store {name} is away: "), "refused"]);
    assert_says(&lines[1], &[&format!("state store {name} is back; "), "calls that failed meanwhile: "]);
}

#[tokio::test]
async fn a_server_that_is_frozen_is_away_and_found_when_it_goes_on() {
    let Some(server) = Server::start(&[]) else { return };
    let watched = Watched::new(&server.url());
    watched.call().await.unwrap();
    for frozen in [0, 700, 1_900] {
        server.freeze();
        assert_eq!(watched.goes_away().await.kind, StoreErrorKind::Away);
        tokio::time::sleep(Duration::from_millis(frozen)).await;
        watched.fails_at_once().await;
        server.thaw();
        watched.comes_back().await;
    }
    // The connections that were given up are closed.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(connections(&server), 1);
}

#[tokio::test]
async fn many_calls_at_once_wait_once_for_a_frozen_server() {
    let Some(server) = Server::start(&[]) else { return };
    let watched = Watched::new(&server.url());
    watched.call().await.unwrap();
    server.freeze();
    let start = Instant::now();
    let failed = join_all((0..64).map(|_| watched.call())).await;
    assert!(failed.iter().all(Result::is_err));
    assert!(watched.store.is_away());
    watched.fails_at_once().await;
    assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
    server.thaw();
    watched.comes_back().await;
}

#[tokio::test]
async fn a_restart_forgets_scripts_and_nothing_is_seen_of_it() {
    let Some(mut server) = Server::start(&[]) else { return };
    let watched = Watched::new(&server.url());
    watched.call().await.unwrap();
    server.run(&["SCRIPT", "FLUSH"]);
    watched.call().await.unwrap();
    let before = watched.call().await.unwrap();
    server.kill();
    server.launch();
    let after = watched.comes_back().await;
    assert!(after.version > before.version, "versions grow, also where the counter was lost");
}

#[tokio::test]
async fn a_connection_that_is_cut_is_dialled_again_at_once_and_no_call_fails() {
    let Some(server) = Server::start(&[]) else { return };
    let watched = Watched::new(&server.url());
    watched.call().await.unwrap();
    for _ in 0..5 {
        server.run(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        // Without a call.
        let start = Instant::now();
        while connections(&server) == 0 {
            assert!(start.elapsed() < Duration::from_millis(500), "it is not dialled again");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        watched.call().await.unwrap();
        server.run(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        watched.call().await.unwrap();
    }
    assert_eq!(watched.lines(), [] as [String; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sent_again_after_cuts_counts_once() {
    let Some(server) = Server::start(&[]) else { return };
    let watched = Arc::new(Watched::new(&server.url()));
    let calls = (0..8).map(|at| {
        let watched = watched.clone();
        tokio::spawn(async move {
            let key = format!("counter {at}");
            for sequence in 1..=400 {
                while watched.step(&key, spent(sequence)).await.is_err() {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
            let state = watched.step(&key, spent(400)).await.unwrap();
            assert_eq!(state.spent, [400, 0, 0, 2_800]);
        })
    });
    let calls = tokio::spawn(join_all(calls));
    let mut connection = server.connection();
    while !calls.is_finished() {
        let kill: redis::RedisResult<i64> =
            redis::cmd("CLIENT").arg(&["KILL", "TYPE", "normal", "SKIPME", "yes"]).query(&mut connection);
        kill.unwrap();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for call in calls.await.unwrap() {
        call.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_answers_are_borne_up_to_the_bound() {
    let Some(server) = Server::start(&[]) else { return };
    let proxy = Proxy::before(server.port).await;
    let watched = Watched::new(&proxy.url());
    proxy.delay(Duration::from_millis(30));
    for _ in 0..5 {
        let _ = watched.call().await;
    }
    watched.call().await.unwrap();
    assert!(!watched.store.is_away());
    proxy.delay(Duration::from_millis(400));
    assert_eq!(watched.goes_away().await.kind, StoreErrorKind::Away);
    // A server that answers too late is not taken for one that is back.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert!(watched.store.is_away());
    watched.fails_at_once().await;
    proxy.delay(Duration::ZERO);
    watched.comes_back().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_fell_silent_is_replaced_after_one_call() {
    let Some(server) = Server::start(&[]) else { return };
    let proxy = Proxy::before(server.port).await;
    let watched = Watched::new(&proxy.url());
    watched.call().await.unwrap();
    proxy.forget_connections();
    assert_says(&watched.call().await.unwrap_err().to_string(), &["did not answer within 150 ms"]);
    tokio::time::sleep(Duration::from_millis(100)).await;
    watched.call().await.unwrap();
    assert!(!watched.store.is_away());
    assert_eq!(watched.lines(), [] as [String; 0]);
}

#[tokio::test]
async fn a_server_that_starts_later_is_found() {
    let Some(mut server) = Server::prepare(&[]) else { return };
    let watched = Watched::new(&server.url());
    assert!(!watched.store.is_away(), "nothing is known before the first call");
    watched.goes_away().await;
    server.launch();
    watched.comes_back().await;
    let lines = watched.lines();
    assert_eq!(lines.len(), 2, "{lines:?}");
}

#[test]
fn a_store_is_made_without_a_server_and_without_a_runtime() {
    let watched = Watched::new("redis://127.0.0.1:1");
    assert_eq!(watched.store.name(), "redis://127.0.0.1:1");
    drop(watched);
}

#[tokio::test]
async fn a_store_that_is_closed_has_ended_its_calls_and_its_connections() {
    let Some(server) = Server::start(&[]) else { return };
    let watched = Watched::new(&server.url());
    watched.call().await.unwrap();
    let (calls, ()) = futures::join!(join_all((0..50).map(|_| watched.call())), watched.store.close());
    assert!(calls.iter().filter(|call| call.is_ok()).count() > 0, "what was under way has ended well");
    assert_says(&watched.call().await.unwrap_err().to_string(), &["closed"]);
    let start = Instant::now();
    while connections(&server) > 0 {
        assert!(start.elapsed() < Duration::from_secs(3), "it is still connected");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_without_one_of_its_masters_is_away_and_found_when_it_is_whole() {
    let Some(mut cluster) = Cluster::start() else { return };
    let watched = Watched::new(&cluster.url());
    watched.call().await.unwrap();
    cluster.nodes[1].kill();
    // The others answer until they notice; then none of them does, as the cluster is not whole.
    let latest = Instant::now() + Duration::from_secs(15);
    while !watched.store.is_away() {
        assert!(Instant::now() < latest, "the cluster is not away");
        let _ = watched.call().await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    cluster.nodes[1].launch();
    let latest = Instant::now() + Duration::from_secs(15);
    loop {
        let calls = join_all((0..20).map(|at| {
            let watched = &watched;
            async move { watched.step(&format!("counter {at}"), None).await }
        }));
        if calls.await.iter().all(Result::is_ok) {
            break;
        }
        assert!(Instant::now() < latest, "the cluster is not found again: {:?}", watched.lines());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(!watched.store.is_away());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_is_frozen_is_away_and_found_when_it_goes_on() {
    let Some(cluster) = Cluster::start() else { return };
    let watched = Watched::new(&cluster.url());
    watched.call().await.unwrap();
    for node in &cluster.nodes {
        node.freeze();
    }
    watched.goes_away().await;
    for node in &cluster.nodes {
        node.thaw();
    }
    let start = Instant::now();
    while watched.call().await.is_err() {
        assert!(start.elapsed() < Duration::from_secs(15), "{:?}", watched.lines());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    eprintln!("the cluster was found after {:?}", start.elapsed());
}
