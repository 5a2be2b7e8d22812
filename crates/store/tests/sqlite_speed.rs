//! What keeping rows costs. Printed and not asserted: `cargo test --release -p gateway-store --test sqlite_speed -- --ignored
//! --nocapture`.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::sync::Arc;

mod sqlite;

use std::time::{Duration, Instant};

use gateway_engine::records::{Batch, Recorder, UsageRow};
use gateway_engine::state::{Charge, Counter, CounterWindow};
use gateway_store::sqlite::{Role, SqliteStore};
use sqlite::{Folder, now_ms, row};

/// Of the process, in hundredths of a second.
fn cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap();
    let after = text.rsplit(") ").next().unwrap();
    let ticks: Vec<u64> = after.split(' ').skip(11).take(2).map(|ticks| ticks.parse().unwrap()).collect();
    Duration::from_millis(ticks.iter().sum::<u64>() * 10)
}

fn charges(of: usize) -> Vec<Charge> {
    let window = CounterWindow::Rolling { length_ms: 3_600_000 };
    let charge = |number| Charge {
        counter: Counter { key: format!("budget-{number}").into(), window },
        figures: [100, 20, 120, 1_000_000],
        at_ms: now_ms(),
    };
    (0..of).map(charge).collect()
}

async fn measure(name: &str, rows: u64, batches: u64, charged: usize, at_once: usize, series: u64) {
    if std::env::var("ONLY").is_ok_and(|only| !name.contains(&only)) {
        return;
    }
    let folder = Folder::new();
    let store = SqliteStore::open(&folder.url(), Role::Both).await.unwrap();
    let make = |number: u64| {
        let rows = (0..rows)
            .map(|place| of_series(row(number * rows + place, now_ms()), (number * rows + place) % series))
            .collect();
        Arc::new(Batch { rows, charges: charges(charged) })
    };
    store.keep("a", &make(0)).await.unwrap();
    let mut walls = Vec::new();
    let mut cpu_of_rows = Duration::ZERO;
    let begun = Instant::now();
    let mut number = 0;
    while number < batches {
        let some: Vec<Arc<Batch>> = (0..100.max(at_once as u64)).map(|place| make(number + place)).collect();
        number += some.len() as u64;
        let before = cpu();
        for together in some.chunks(at_once) {
            let begun = Instant::now();
            let kept = futures::future::join_all(together.iter().map(|batch| store.keep("a", batch))).await;
            walls.push(begun.elapsed());
            kept.into_iter().for_each(|kept| drop(kept.unwrap()));
        }
        cpu_of_rows += cpu() - before;
    }
    let all = begun.elapsed();
    walls.sort();
    let count = (rows * number) as f64;
    println!(
        "{name}: {:.0} rows/s, {:.1} µs of CPU a row, p50 {:?}, p99 {:?}",
        count / all.as_secs_f64(),
        cpu_of_rows.as_secs_f64() * 1e6 / count,
        walls[walls.len() / 2],
        walls[walls.len() * 99 / 100],
    );
    Recorder::close(&store).await;
}

fn of_series(row: UsageRow, series: u64) -> UsageRow {
    let user_id = Some(format!("user-{series}"));
    UsageRow { provider: "openai".into(), model: "gpt-5-mini".into(), key_id: None, user_id, ..row }
}

#[tokio::test]
#[ignore = "a measurement"]
async fn what_a_row_costs() {
    for _ in 0..2 {
        measure("1 row, no charge", 1, 10_000, 0, 1, 4).await;
        measure("1 row, 2 charges", 1, 10_000, 2, 1, 4).await;
        for series in [1, 8, 64, 1_000] {
            measure(&format!("64 rows of {series} series, no charge"), 64, 2_000, 0, 1, series).await;
        }
        measure("64 rows of 8 series, 2 charges", 64, 2_000, 2, 1, 8).await;
        measure("64 callers at once, 1 row of 8 series, 2 charges", 1, 64_000, 2, 64, 8).await;
    }
}
