//! Records in PostgreSQL.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod admin;
#[path = "../admin_contract/mod.rs"]
mod admin_contract;
mod death;
mod migrations;
mod records;
mod reports;
mod secrets;
mod server;

use std::sync::Arc;

use gateway_engine::records::{Batch, UsageRow};
use gateway_store::journal::Numbered;
use rand::Rng;

const HOUR_MS: i64 = 3_600_000;
/// A midnight.
const DAY: i64 = 1_790_000_000_000 / (24 * HOUR_MS) * (24 * HOUR_MS);

/// A call that ended then, and began at that moment.
fn row(at_ms: i64) -> UsageRow {
    let mut rng = rand::rng();
    let mut id = [0; 16];
    rng.fill(&mut id);
    id[..6].copy_from_slice(&at_ms.to_be_bytes()[2..]);
    UsageRow {
        request_id: uuid::Uuid::from_bytes(id).to_string(),
        at_ms,
        provider: ["openai", "anthropic"][rng.random_range(0..2)].into(),
        model: ["a", "b", "c"][rng.random_range(0..3)].into(),
        team: [None, Some("red".into()), Some("blue".into())][rng.random_range(0..3)].clone(),
        success: rng.random_bool(0.9),
        input_tokens: rng.random_range(0..1_000),
        output_tokens: rng.random_range(0..1_000),
        cost: rng.random_range(0..3_000_000_000),
        saved: rng.random_range(0..3),
        latency_ms: rng.random_range(0..3_000),
        cached: rng.random_bool(0.1),
        part: u32::from(rng.random_bool(0.1)),
        ..UsageRow::default()
    }
}

fn numbered(sequence: u64, rows: Vec<UsageRow>) -> Numbered {
    Numbered { sequence, batch: Arc::new(Batch { rows, charges: vec![] }) }
}
