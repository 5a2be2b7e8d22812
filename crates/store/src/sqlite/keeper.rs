//! Housekeeping of the file, beside the calls: moves what was written from the log into the file, so that no call waits for
//! the disk; deletes what has lapsed in small steps; gives space back.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use gateway_engine::state::StoreError;
use gateway_model::config::Retention;
use sqlx::{Connection, Row, SqliteConnection};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::open::connect;
use super::rollup::DAY_MS;
use super::script::{Script, rows};
use super::sweep::{STEP, Sweep};
use super::transaction::{Done, Work};
use super::writer::{PATIENCE, Shared, Writer};
use crate::clock::now_ms;

const TICK: Duration = Duration::from_secs(1);

/// Ticks between two sweeps.
const SWEEP_EACH: u64 = 60;

/// Between two steps of a sweep, in which calls are served.
const PAUSE: Duration = Duration::from_millis(50);

/// A log of more pages (32 MiB) is begun anew, for which writers wait a moment.
const LONG_LOG: i64 = 8_192;

/// Deletes what has lapsed.
#[derive(Clone)]
pub(super) struct Sweeper {
    pub writer: Weak<Writer>,
    pub shared: Arc<Shared>,
    pub retention: Retention,
}

impl Sweeper {
    /// One pass over all that may have lapsed.
    pub async fn pass(&self, connection: &mut SqliteConnection) -> Result<(), StoreError> {
        for sweep in [Sweep::Values, Sweep::Notices, Sweep::Buckets, Sweep::Leases, Sweep::Counters] {
            self.all_of(sweep).await?;
        }
        let days = i64::try_from(self.retention.days()).unwrap_or(i64::MAX);
        let ended_before = now_ms().saturating_sub(days.saturating_mul(DAY_MS));
        self.all_of(Sweep::Rows { ended_before }).await?;
        match self.retention.max_bytes {
            Some(most) => self.shrink(connection, i64::try_from(most).unwrap_or(i64::MAX)).await,
            None => Ok(()),
        }
    }

    async fn all_of(&self, sweep: Sweep) -> Result<(), StoreError> {
        while self.step(sweep.clone()).await? >= STEP {
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    /// One step; answers with how many rows it deleted.
    async fn step(&self, sweep: Sweep) -> Result<i64, StoreError> {
        let Some(writer) = self.writer.upgrade() else { return Ok(0) };
        match writer.work(Work::Sweep(sweep)).await? {
            Done::Swept(deleted) => Ok(i64::try_from(deleted).unwrap_or(i64::MAX)),
            _ => Ok(0),
        }
    }

    /// Deletes the oldest rows until what is used fits, and then cuts the file.
    async fn shrink(&self, connection: &mut SqliteConnection, most: i64) -> Result<(), StoreError> {
        loop {
            let size = size(connection).await.map_err(|error| self.shared.error(&error))?;
            if size.used <= most {
                break;
            }
            if self.step(Sweep::Oldest).await? == 0 {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
        loop {
            let size = size(connection).await.map_err(|error| self.shared.error(&error))?;
            if size.used + size.free <= most || size.free == 0 {
                return Ok(());
            }
            self.step(Sweep::Vacuum).await?;
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Bytes of the file.
struct Size {
    used: i64,
    free: i64,
}

async fn size(connection: &mut SqliteConnection) -> Result<Size, sqlx::Error> {
    let mut figures = [0; 3];
    for (pragma, figure) in ["page_size", "page_count", "freelist_count"].into_iter().zip(&mut figures) {
        let mut script = Script::default();
        script.statement(&format!("PRAGMA {pragma}"));
        if let Some(row) = rows(&mut script.run(connection).await?, 0).first() {
            *figure = row.try_get(0)?;
        }
    }
    let [page, pages, free] = figures;
    Ok(Size { used: page * (pages - free), free: page * free })
}

/// Moves what is in the log into the file; writers go on meanwhile.
async fn checkpoint(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    let mut script = Script::default();
    script.statement("PRAGMA wal_checkpoint(PASSIVE)");
    let pages = rows(&mut script.run(connection).await?, 0).first().map(|row| row.try_get(1)).transpose()?;
    if pages.is_some_and(|pages: i64| pages > LONG_LOG) {
        let mut script = Script::default();
        script.statement("PRAGMA wal_checkpoint(RESTART)");
        script.run(connection).await?;
    }
    Ok(())
}

/// The task that does it.
pub(super) struct Keeper {
    task: Mutex<Option<JoinHandle<()>>>,
    stop: Arc<Notify>,
}

impl Keeper {
    pub fn start(sweeper: Sweeper) -> Self {
        let stop = Arc::new(Notify::new());
        let stopped = Arc::clone(&stop);
        let task = tokio::spawn(async move {
            tokio::select! {
                () = stopped.notified() => {}
                () = run(&sweeper) => {}
            }
        });
        Self { task: Mutex::new(Some(task)), stop }
    }

    pub async fn close(&self) {
        self.stop.notify_one();
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            drop(task.await);
        }
    }
}

/// Ends when the store is gone. What fails is tried again with the next tick: calls report what is wrong with the file.
async fn run(sweeper: &Sweeper) {
    let mut connection = None;
    let mut seen = 0;
    for tick in 1_u64.. {
        tokio::time::sleep(TICK).await;
        if sweeper.writer.strong_count() == 0 {
            break;
        }
        let written = sweeper.shared.transactions.load(Ordering::Relaxed);
        let sweeps = tick % SWEEP_EACH == 0;
        if written == seen && !sweeps {
            continue;
        }
        let mut open = match connection.take() {
            Some(open) => open,
            None => match connect(&sweeper.shared.path, PATIENCE / 2).await {
                Ok(open) => open,
                Err(_) => continue,
            },
        };
        seen = written;
        let mut is_well = checkpoint(&mut open).await.is_ok();
        if sweeps {
            is_well &= sweeper.pass(&mut open).await.is_ok();
        }
        if is_well {
            connection = Some(open);
        }
    }
    if let Some(connection) = connection {
        drop(connection.close().await);
    }
}
