//! The store as [`StateStore`].

use std::collections::HashMap;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use gateway_engine::state::{CounterState, Exchange, Notice, StateStore, StoreError, Take, Taken};
use sqlx::Row;

use super::counter::{Lease, Stored};
use super::script::{Given, Script, rows};
use super::transaction::{Done, Work};
use super::{SqliteStore, clock, stored};

/// A larger value is left out.
const MOST_BYTES: usize = 4 * 1024 * 1024;

impl SqliteStore {
    /// An answer of another kind than the question is a fault of this crate.
    fn mismatch(&self) -> StoreError {
        StoreError::failed(self.shared.name.clone(), "the writer gave an answer of another kind")
    }

    fn unreadable(&self, error: &sqlx::Error) -> StoreError {
        self.shared.error(error)
    }
}

impl StateStore for SqliteStore {
    fn exchange<'a>(
        &'a self,
        node: &'a str,
        steps: &'a [Exchange],
    ) -> BoxFuture<'a, Result<Vec<CounterState>, StoreError>> {
        async move {
            let work = Work::Exchange { node: node.to_owned(), steps: steps.to_vec() };
            match self.writer.work(work).await? {
                Done::Exchanged(states) => Ok(states),
                _ => Err(self.mismatch()),
            }
        }
        .boxed()
    }

    fn counters<'a>(
        &'a self,
        node: &'a str,
        prefix: &'a str,
        most: usize,
    ) -> BoxFuture<'a, Result<Vec<(String, CounterState)>, StoreError>> {
        async move {
            let now = clock::now();
            let script = counters_script(prefix, most, now).map_err(|error| self.unreadable(&error))?;
            let given = self.state.read_soon(script).await?;
            let found = found_counters(given).map_err(|error| self.unreadable(&error))?;
            Ok(found.into_iter().map(|(key, counter)| (key, counter.seen_by(node, now))).collect())
        }
        .boxed()
    }

    fn take<'a>(&'a self, takes: &'a [Take]) -> BoxFuture<'a, Result<Vec<Taken>, StoreError>> {
        async move {
            match self.writer.work(Work::Take(takes.to_vec())).await? {
                Done::Taken(taken) => Ok(taken),
                _ => Err(self.mismatch()),
            }
        }
        .boxed()
    }

    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>, StoreError>> {
        async move {
            let mut script = Script::default();
            script.statement("SELECT value FROM state_values WHERE key = ? AND lapses_at > ?");
            let bound = script.bind(key).and_then(|()| script.bind(clock::now()));
            bound.map_err(|error| self.unreadable(&error))?;
            let rows = rows(&mut self.state.read_soon(script).await?, 0);
            let value = rows.first().map(|row| row.try_get(0)).transpose();
            value.map_err(|error| self.unreadable(&error))
        }
        .boxed()
    }

    fn put<'a>(
        &'a self,
        key: &'a str,
        value: &'a [u8],
        lasts: Duration,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        async move {
            if value.len() > MOST_BYTES {
                return Ok(());
            }
            let lasts = i64::try_from(lasts.as_millis()).unwrap_or(i64::MAX);
            let lapses_at = clock::now().saturating_add(lasts);
            let work = Work::Put { key: key.to_owned(), value: value.to_vec(), lapses_at };
            self.writer.work(work).await.map(drop)
        }
        .boxed()
    }

    fn post<'a>(&'a self, board: &'a str, notice: &'a Notice) -> BoxFuture<'a, Result<(), StoreError>> {
        async move {
            let lapses_at = clock::now().saturating_add(notice.lasts_ms);
            let work = Work::Post { board: board.to_owned(), notice: notice.clone(), lapses_at };
            self.writer.work(work).await.map(drop)
        }
        .boxed()
    }

    fn notices<'a>(&'a self, board: &'a str) -> BoxFuture<'a, Result<Vec<Notice>, StoreError>> {
        async move {
            let now = clock::now();
            let mut script = Script::default();
            script.statement(
                "SELECT name, text, lapses_at FROM state_notices WHERE board = ? AND lapses_at > ? ORDER BY name",
            );
            let bound = script.bind(board).and_then(|()| script.bind(now));
            bound.map_err(|error| self.unreadable(&error))?;
            let rows = rows(&mut self.state.read_soon(script).await?, 0);
            let notices = rows.iter().map(|row| {
                let lapses_at: i64 = row.try_get(2)?;
                Ok(Notice {
                    name: row.try_get(0)?,
                    text: row.try_get(1)?,
                    lasts_ms: lapses_at.saturating_sub(now),
                })
            });
            notices.collect::<Result<_, _>>().map_err(|error| self.unreadable(&error))
        }
        .boxed()
    }

    fn is_away(&self) -> bool {
        self.shared.is_away()
    }

    fn name(&self) -> &str {
        &self.shared.name
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.shut().boxed()
    }
}

/// Counters in the order of their keys, and their leases. Idle ones are as good as forgotten, and left out.
fn counters_script(prefix: &str, most: usize, now: i64) -> Result<Script, sqlx::Error> {
    let some = "FROM counters WHERE key >= ? AND key < ? AND (begins_at IS NULL OR ends_at > ? OR EXISTS \
                (SELECT 1 FROM leases WHERE counter = counters.key AND lapses_at > ?)) ORDER BY key LIMIT ?";
    let mut script = Script::default();
    for sql in [
        format!("SELECT {} {some}", stored::COUNTER),
        format!("SELECT {} FROM leases WHERE counter IN (SELECT key {some})", stored::LEASE),
    ] {
        script.statement(&sql);
        script.bind(prefix)?;
        script.bind(format!("{prefix}\u{10ffff}"))?;
        script.bind(now)?;
        script.bind(now)?;
        script.bind(i64::try_from(most).unwrap_or(i64::MAX))?;
    }
    Ok(script)
}

fn found_counters(mut given: Vec<Given>) -> Result<Vec<(String, Stored)>, sqlx::Error> {
    let mut leases: HashMap<String, Vec<Lease>> = HashMap::new();
    for row in rows(&mut given, 1) {
        leases.entry(row.try_get(0)?).or_default().push(stored::lease(&row)?);
    }
    let found = rows(&mut given, 0).into_iter().map(|row| {
        let key: String = row.try_get(0)?;
        let leases = leases.remove(&key).unwrap_or_default();
        Ok((key, Stored { leases, ..stored::counter(&row)? }))
    });
    found.collect()
}
