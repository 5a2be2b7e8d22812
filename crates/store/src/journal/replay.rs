//! Taking over the journals of processes that died.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gateway_engine::records::Batch;
use gateway_engine::state::{Exchange, Spent, StateStore, StoreError};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::folder::{Destination, Files, OwnerLock, Progress, journals};
use super::notices::Notices;
use super::read::{ReadError, Reader};
use super::write::name;
use super::{BatchSink, Log, Numbered};

/// How often the folder is looked through.
const EVERY: Duration = Duration::from_secs(5);
const GROUP_ROWS: usize = 1_000;

/// What it takes to apply journals of others.
pub(super) struct DeadJournals {
    folder: PathBuf,
    own: String,
    records: Arc<dyn BatchSink>,
    state: Option<Arc<dyn StateStore>>,
    notices: Arc<Notices>,
}

/// Why a journal is left for later.
enum Stop {
    Store(StoreError),
    Read(ReadError),
    Io(std::io::Error),
    /// For a database or a state that is not ours.
    Foreign(String),
    Closing,
}

impl fmt::Display for Stop {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => write!(out, "{error}"),
            Self::Read(error) => write!(out, "{error}"),
            Self::Io(error) => write!(out, "its files cannot be used: {error}"),
            Self::Foreign(other) => write!(
                out,
                "it is for {other}; start once with that, or remove the files of this journal if it is no longer wanted"
            ),
            Self::Closing => write!(out, "the program ends"),
        }
    }
}

/// Applies what dead processes left, now and every few seconds.
pub(super) async fn watch(dead: DeadJournals, closing: CancellationToken) {
    loop {
        dead.apply_all(&closing).await;
        tokio::select! { () = sleep(EVERY) => {}, () = closing.cancelled() => return }
    }
}

impl DeadJournals {
    pub fn new(
        folder: PathBuf,
        own: String,
        records: Arc<dyn BatchSink>,
        state: Option<Arc<dyn StateStore>>,
        log: Log,
    ) -> Self {
        Self { folder, own, records, state, notices: Arc::new(Notices::new(log)) }
    }

    async fn apply_all(&self, closing: &CancellationToken) {
        let folder = self.folder.clone();
        let mut ids = blocking(move || journals(&folder)).await.unwrap_or_else(|error| {
            self.notices.tell("folder", || format!("journals in {}: {error}", self.folder.display()));
            Vec::new()
        });
        ids.sort_unstable();
        for id in ids.into_iter().filter(|id| *id != self.own) {
            let files = Files { folder: self.folder.clone(), id };
            let taken = files.clone();
            match blocking(move || taken.take_lock()).await {
                Ok(Some((lock, destination))) => self.take_over(files, lock, destination, closing).await,
                Ok(None) => {}
                Err(error) => self.left(&files, &Stop::Io(error)),
            }
            if closing.is_cancelled() {
                return;
            }
        }
    }

    async fn take_over(
        &self,
        files: Files,
        lock: OwnerLock,
        destination: Destination,
        closing: &CancellationToken,
    ) {
        match self.apply(&files, &destination, closing).await {
            Ok(0) | Err(Stop::Closing) => {}
            Ok(rows) => self.notices.tell(&files.id, || {
                format!(
                    "{}: {rows} rows that a process which died had left are in {}",
                    name(&files),
                    self.records.name()
                )
            }),
            Err(stop) => self.left(&files, &stop),
        }
        drop(lock);
    }

    fn left(&self, files: &Files, stop: &Stop) {
        self.notices
            .tell(&files.id, || format!("{} was left by a process that died and waits: {stop}", name(files)));
    }

    /// Answers with the number of rows.
    async fn apply(
        &self,
        files: &Files,
        destination: &Destination,
        closing: &CancellationToken,
    ) -> Result<usize, Stop> {
        if destination.database != self.records.name() {
            return Err(Stop::Foreign(format!("the database {}", destination.database)));
        }
        let mut progress = files.progress();
        let (rows, mut damaged) = self.apply_rows(files, &mut progress, closing).await?;
        if let Some(state) = &destination.state {
            damaged.extend(self.apply_charges(files, state, &mut progress, closing).await?);
        }
        let files = files.clone();
        blocking(move || files.remove(&damaged)).await.map_err(Stop::Io)?;
        Ok(rows)
    }

    async fn apply_rows(
        &self,
        files: &Files,
        progress: &mut Progress,
        closing: &CancellationToken,
    ) -> Result<(usize, Vec<u32>), Stop> {
        let mut rows = 0;
        let mut reader = Reader::new(files.clone(), progress.rows);
        while let Some(group) = self.next(&mut reader, closing).await? {
            self.records.apply(&files.id, &group).await.map_err(Stop::Store)?;
            rows += group.iter().map(|each| each.batch.rows.len()).sum::<usize>();
            progress.rows = group.last().map_or(progress.rows, |last| last.sequence);
            save(files, *progress).await?;
        }
        Ok((rows, reader.damaged_segments.into_iter().collect()))
    }

    async fn apply_charges(
        &self,
        files: &Files,
        wanted: &str,
        progress: &mut Progress,
        closing: &CancellationToken,
    ) -> Result<Vec<u32>, Stop> {
        let mut reader = Reader::new(files.clone(), progress.charges);
        while let Some(group) = self.next(&mut reader, closing).await? {
            let charged = group.iter().filter(|each| !each.batch.charges.is_empty());
            for Numbered { sequence, batch } in charged {
                let state = self.state.as_ref().filter(|state| state.name() == wanted);
                let state = state.ok_or_else(|| Stop::Foreign(format!("the state {wanted}")))?;
                state.exchange(&files.id, &steps(*sequence, batch)).await.map_err(Stop::Store)?;
            }
            progress.charges = group.last().map_or(progress.charges, |last| last.sequence);
            save(files, *progress).await?;
        }
        Ok(reader.damaged_segments.into_iter().collect())
    }

    async fn next(
        &self,
        reader: &mut Reader,
        closing: &CancellationToken,
    ) -> Result<Option<Vec<Numbered>>, Stop> {
        if closing.is_cancelled() {
            return Err(Stop::Closing);
        }
        let mut taken = std::mem::replace(reader, Reader::new(reader.files().clone(), 0));
        let (taken, group) = blocking(move || {
            let group = taken.next(u64::MAX, GROUP_ROWS);
            Ok((taken, group))
        })
        .await
        .map_err(Stop::Io)?;
        *reader = taken;
        tell_damage(&self.notices, reader);
        let group = group.map_err(Stop::Read)?;
        Ok((!group.is_empty()).then_some(group))
    }
}

pub(super) fn tell_damage(notices: &Notices, reader: &mut Reader) {
    for damage in std::mem::take(&mut reader.damage) {
        let place = format!("{}, byte {}", damage.path.display(), damage.offset);
        notices.tell(&place, || {
            format!(
                "{place}: {} bytes are damaged, and what they said is lost; all else is applied",
                damage.bytes
            )
        });
    }
}

/// What a batch charges: one step for each counter.
fn steps(sequence: u64, batch: &Batch) -> Vec<Exchange> {
    let mut steps: Vec<Exchange> = Vec::new();
    for charge in &batch.charges {
        let known = steps.iter_mut().find(|step| step.counter == charge.counter);
        match known.and_then(|step| step.spent.as_mut()) {
            Some(spent) => {
                for (sum, more) in spent.figures.iter_mut().zip(charge.figures) {
                    *sum = sum.saturating_add(more);
                }
                spent.at_ms = spent.at_ms.max(charge.at_ms);
            }
            None => {
                let spent = Spent { figures: charge.figures, at_ms: charge.at_ms, sequence };
                steps.push(Exchange { counter: charge.counter.clone(), spent: Some(spent), lease: None });
            }
        }
    }
    steps
}

async fn save(files: &Files, progress: Progress) -> Result<(), Stop> {
    let files = files.clone();
    blocking(move || files.save_progress(progress)).await.map_err(Stop::Io)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> std::io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(std::io::Error::other(error)))
}
