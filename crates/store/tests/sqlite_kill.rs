//! Two processes write on one file and are killed at any moment: what they were told is kept is there, once.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::sync::Arc;

mod sqlite;

use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use gateway_engine::records::{Batch, Recorder};
use gateway_engine::state::{Charge, Counter, CounterWindow, Exchange, GrantRule, LeaseRequest, StateStore};
use gateway_store::sqlite::{Options, Role, SqliteStore};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use sqlite::{Folder, assert_rolled_up, integers, now_ms, open, row};
use sqlx::{Connection, Row};
use uuid::Uuid;

const KILLS: usize = 50;
const COST: i64 = 1_000_003;
/// Calls that a round's budget has room for.
const ROOM: i64 = 60;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a child of the test here"]
async fn child_calls() {
    let Ok(file) = std::env::var("GATEWAY_CHILD_FILE") else { return };
    let round = std::env::var("GATEWAY_CHILD_ROUND").unwrap();
    let options = Options { lease: Duration::from_millis(500), ..Options::default() };
    let store = SqliteStore::open_with(&format!("sqlite:{file}"), Role::Both, options).await.unwrap();
    let node = Uuid::new_v4().to_string();
    let counter = Counter {
        key: format!("round-{round}").into(),
        window: CounterWindow::Rolling { length_ms: 3_600_000 },
    };
    for number in 0.. {
        let request = LeaseRequest {
            keep: [0; 4],
            want: [0, 0, 0, COST],
            spare: [0; 4],
            rule: GrantRule::Within([None, None, None, Some(ROOM * COST)]),
        };
        let ask = Exchange { counter: counter.clone(), spent: None, lease: Some(request) };
        let Ok(states) = store.exchange(&node, &[ask]).await else { continue };
        if states[0].held[3] < COST {
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        }
        let mut row = row(number, now_ms());
        row.cost = COST;
        row.feature = Some(format!("round-{round}"));
        println!("begun {}", row.request_id);
        let charge = Charge { counter: counter.clone(), figures: [1, 0, 0, COST], at_ms: now_ms() };
        let batch = Arc::new(Batch { rows: vec![row], charges: vec![charge] });
        // Until it is kept, as the engine does.
        while store.keep(&node, &batch).await.is_err() {}
        println!("kept {}", batch.rows[0].request_id);
    }
}

fn child(
    folder: &Folder,
    round: usize,
    lines: &mpsc::Sender<String>,
) -> (Child, std::thread::JoinHandle<()>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_calls", "--ignored", "--nocapture"])
        .env("GATEWAY_CHILD_FILE", folder.file("gateway.db"))
        .env("GATEWAY_CHILD_ROUND", round.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let lines = lines.clone();
    let reader = std::thread::spawn(move || {
        for line in output.lines().map_while(Result::ok) {
            drop(lines.send(line));
        }
    });
    (child, reader)
}

async fn ids_of(folder: &Folder) -> Vec<String> {
    let mut file = open(folder).await;
    let rows = sqlx::query("SELECT request_id FROM usage_rows").fetch_all(&mut file).await.unwrap();
    file.close().await.unwrap();
    rows.iter().map(|row| Uuid::from_slice(row.get(0)).unwrap().to_string()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_being_killed_at_any_moment() {
    let seed =
        std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| rand::rng().random());
    println!("SEED={seed}");
    let mut random = SmallRng::seed_from_u64(seed);
    let folder = Folder::new();
    let (mut begun, mut kept) = (HashSet::new(), HashSet::new());
    let mut kills = 0;
    let mut round = 0;
    while kills < KILLS {
        let (sender, lines) = mpsc::channel();
        let children = [child(&folder, round, &sender), child(&folder, round, &sender)];
        drop(sender);
        let mut note = |line: String| match line.split_once(' ') {
            Some(("begun", id)) => drop(begun.insert(id.to_owned())),
            Some(("kept", id)) => drop(kept.insert(id.to_owned())),
            _ => {}
        };
        // From the first call on, at any moment.
        let first = lines.iter().find(|line| line.starts_with("begun"));
        first.into_iter().for_each(&mut note);
        for (mut child, reader) in children {
            std::thread::sleep(Duration::from_micros(random.random_range(0..100_000)));
            child.kill().unwrap();
            child.wait().unwrap();
            reader.join().unwrap();
            kills += 1;
        }
        lines.iter().for_each(&mut note);
        assert_whole(&folder, round, &begun, &kept).await;
        round += 1;
    }
    println!("{} calls were acknowledged", kept.len());
    assert!(kept.len() > KILLS);
}

async fn assert_whole(folder: &Folder, round: usize, begun: &HashSet<String>, kept: &HashSet<String>) {
    let store = SqliteStore::open(&folder.url(), Role::Both).await.unwrap();
    let found = ids_of(folder).await;
    let ids: HashSet<String> = found.iter().cloned().collect();
    assert_eq!(found.len(), ids.len(), "each once");
    assert!(kept.is_subset(&ids), "{} acknowledged calls are not there", kept.difference(&ids).count());
    assert!(ids.is_subset(begun), "rows that nobody sent");
    let mut file = open(folder).await;
    assert_eq!(sqlite::text(&mut file, "PRAGMA integrity_check").await, "ok");
    if !found.is_empty() {
        assert_rolled_up(&mut file).await;
    }
    let sum = format!(
        "SELECT COUNT(*), COALESCE(SUM(cost), 0) FROM usage_rows JOIN usage_series ON id = series \
         WHERE feature = 'round-{round}'"
    );
    let sum = integers(&mut file, &sum).await;
    file.close().await.unwrap();
    let counters = store.counters("test", &format!("round-{round}"), 10).await.unwrap();
    let spent = counters.iter().find(|(key, _)| *key == format!("round-{round}"));
    let spent = spent.map(|(_, state)| state.spent).unwrap_or_default();
    assert_eq!((spent[0], spent[3]), (sum[0], sum[1]), "spent is the sum of the rows");
    assert!(spent[3] <= ROOM * COST, "the limit was passed");
    Recorder::close(&store).await;
}
