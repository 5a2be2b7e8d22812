//! The store as [`StateStore`].

use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use gateway_engine::state::{CounterState, Exchange, Notice, StateStore, StoreError, Take, Taken};
use rusqlite::{Connection, Error, OptionalExtension};

use super::counter::Stored;
use super::transaction::{Done, Work};
use super::{SqliteStore, stored};
use crate::clock::now_ms;

const FIND_COUNTERS: &str = "SELECT key FROM counters WHERE key >= ?1 AND key < ?2 AND (begins_at IS NULL OR \
     ends_at > ?3 OR EXISTS (SELECT 1 FROM leases WHERE counter = counters.key AND lapses_at > ?3)) ORDER BY key LIMIT ?4";

/// A larger value is left out.
const MOST_BYTES: usize = 4 * 1024 * 1024;

impl SqliteStore {
    /// An answer of another kind than the question is a fault of this crate.
    fn mismatch(&self) -> StoreError {
        StoreError::failed(self.shared.name.clone(), "the writer gave an answer of another kind")
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
            let now = now_ms();
            let prefix = prefix.to_owned();
            let found = self.state.read_soon(move |file| found_counters(file, &prefix, most, now)).await?;
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
            let key = key.to_owned();
            let read = move |file: &mut Connection| {
                let sql = "SELECT value FROM state_values WHERE key = ? AND lapses_at > ?";
                file.prepare_cached(sql)?.query_row((key, now_ms()), |row| row.get(0)).optional()
            };
            self.state.read_soon(read).await
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
            let lapses_at = now_ms().saturating_add(lasts);
            let work = Work::Put { key: key.to_owned(), value: value.to_vec(), lapses_at };
            self.writer.work(work).await.map(drop)
        }
        .boxed()
    }

    fn post<'a>(&'a self, board: &'a str, notice: &'a Notice) -> BoxFuture<'a, Result<(), StoreError>> {
        async move {
            let lapses_at = now_ms().saturating_add(notice.lasts_ms);
            let work = Work::Post { board: board.to_owned(), notice: notice.clone(), lapses_at };
            self.writer.work(work).await.map(drop)
        }
        .boxed()
    }

    fn notices<'a>(&'a self, board: &'a str) -> BoxFuture<'a, Result<Vec<Notice>, StoreError>> {
        async move {
            let (board, now) = (board.to_owned(), now_ms());
            let read = move |file: &mut Connection| {
                let mut select = file.prepare_cached(
                    "SELECT name, text, lapses_at FROM state_notices WHERE board = ? AND lapses_at > ? ORDER BY name",
                )?;
                let notices = select.query_map((board, now), |row| {
                    let lapses_at: i64 = row.get(2)?;
                    Ok(Notice {
                        name: row.get(0)?,
                        text: row.get(1)?,
                        lasts_ms: lapses_at.saturating_sub(now),
                    })
                })?;
                notices.collect()
            };
            self.state.read_soon(read).await
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

/// Counters in the order of their keys, with their leases, all of one moment. Idle ones are as good as forgotten, and left out.
fn found_counters(
    file: &mut Connection,
    prefix: &str,
    most: usize,
    now: i64,
) -> Result<Vec<(String, Stored)>, Error> {
    let moment = file.transaction()?;
    let mut select = moment.prepare_cached(FIND_COUNTERS)?;
    let arguments = (prefix, format!("{prefix}\u{10ffff}"), now, i64::try_from(most).unwrap_or(i64::MAX));
    let keys = select.query_map(arguments, |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?;
    let found = keys.into_iter().map(|key| {
        let counter = stored::read_counter(&moment, &key)?;
        Ok((key, counter))
    });
    found.collect()
}
