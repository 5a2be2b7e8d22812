//! Batches of a journal, once each: their rows, the sums that triggers make of them, and the journal's mark.

use std::time::Duration;

use gateway_engine::records::UsageRow;
use gateway_engine::state::StoreError;
use sqlx::Row;
use sqlx::postgres::PgConnection;

use super::connections::{Connections, Work};
use super::rows;
use super::series::{KnownSeries, digest};
use crate::clock::now_ms;
use crate::journal::Numbered;
use crate::row::{self, integer};

struct Apply<'a> {
    journal: &'a str,
    /// Number of the batch, identity and series of the row; ordered by identity.
    rows: Vec<(u64, Vec<u8>, i64, &'a UsageRow)>,
    last: u64,
}

pub(super) async fn apply(
    connections: &Connections,
    known: &KnownSeries,
    journal: &str,
    batches: &[Numbered],
) -> Result<(), StoreError> {
    let Some(last) = batches.last() else { return Ok(()) };
    let all = || batches.iter().flat_map(|each| each.batch.rows.iter().map(|row| (each.sequence, row)));
    let digests: Vec<_> = all().map(|(_, row)| (digest(row), row)).collect();
    let numbers = known.numbers(connections, &digests).await?;
    let mut rows = Vec::with_capacity(digests.len());
    for ((sequence, row), (digest, _)) in all().zip(&digests) {
        let series = *numbers.get(digest).ok_or_else(|| {
            StoreError::failed(connections.address.name.clone(), "a usage series has no number")
        })?;
        rows.push((sequence, row::id(row), series, row));
    }
    rows.sort_by(|(_, id, _, row), (_, other_id, _, other)| (id, row.part).cmp(&(other_id, other.part)));
    connections.transact(&Apply { journal, rows, last: last.sequence }).await
}

impl Work for Apply<'_> {
    type Done = ();
    const WITHIN: Duration = Duration::from_secs(10);

    async fn run(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        // Whoever else applies this journal waits here.
        let mark = sqlx::query(
            "INSERT INTO journal_marks AS mark (journal, sequence, updated_at) VALUES ($1, 0, $2) \
             ON CONFLICT (journal) DO UPDATE SET updated_at = excluded.updated_at RETURNING sequence",
        );
        let mark = mark.bind(self.journal).bind(now_ms()).fetch_one(&mut *connection).await?;
        let mark: i64 = mark.try_get(0)?;
        if integer(self.last) <= mark {
            return Ok(());
        }
        let above = self.rows.iter().filter(|(sequence, ..)| integer(*sequence) > mark);
        let new: Vec<_> = above.map(|(_, id, series, row)| (id.clone(), *series, *row)).collect();
        if !new.is_empty() {
            rows::insert(connection, &new).await?;
        }
        let moved = sqlx::query("UPDATE journal_marks SET sequence = $2 WHERE journal = $1");
        moved.bind(self.journal).bind(integer(self.last)).execute(connection).await?;
        Ok(())
    }
}
