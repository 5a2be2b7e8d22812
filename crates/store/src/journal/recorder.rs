use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use gateway_engine::records::{Batch, Kept, Lag, Recorder};
use gateway_engine::state::{StateStore, StoreError};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::folder::Progress;
use super::read::Reader;
use super::replay::{self, DeadJournals};
use super::{BatchSink, Journal, JournalSettings, Log, Numbered, lock};

/// Rows that go to the database in one transaction, or a few more.
const GROUP_ROWS: usize = 1_000;
/// How long batches gather before they go to the database: they are safe already.
const GATHER: Duration = Duration::from_millis(50);
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// How often progress is written down.
const TIDY_EVERY: Duration = Duration::from_secs(1);
/// How long [`Recorder::close`] waits for the database. What it has not taken by then stays in the journal.
const CLOSE_WITHIN: Duration = Duration::from_secs(3);

/// Keeps batches in a journal, and moves them on to the database in the background. Takes over the journals of processes that
/// died.
pub struct JournaledRecorder {
    journal: Arc<Journal>,
    closing: CancellationToken,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl JournaledRecorder {
    /// `state`: where charges go, if it outlasts the process.
    pub fn start(
        settings: JournalSettings,
        records: Arc<dyn BatchSink>,
        state: Option<Arc<dyn StateStore>>,
        log: Log,
        runtime: &Handle,
    ) -> Result<Self, StoreError> {
        let folder = settings.folder.clone();
        let state_name = state.as_ref().map(|state| state.name());
        let journal = Journal::create(settings, records.name(), state_name, log.clone(), runtime.clone())?;
        let closing = CancellationToken::new();
        let dead = DeadJournals::new(folder, journal.id().to_owned(), records.clone(), state, log);
        let tasks = vec![
            runtime.spawn(forward(journal.clone(), records, closing.clone())),
            runtime.spawn(replay::watch(dead, closing.clone())),
        ];
        Ok(Self { journal, closing, tasks: Mutex::new(tasks) })
    }

    /// The node that the engine is to give to [`Recorder::keep`], and under which it passes the charges on to the state.
    pub fn node(&self) -> &str {
        self.journal.id()
    }

    /// As [`Journal::dropped_rows`].
    pub fn dropped_rows(&self) -> u64 {
        self.journal.dropped_rows()
    }
}

impl Recorder for JournaledRecorder {
    fn keep<'a>(&'a self, node: &'a str, batch: &'a Arc<Batch>) -> BoxFuture<'a, Result<Kept, StoreError>> {
        async move {
            // Under another name, charges that are replayed would count a second time.
            if node != self.journal.id() {
                let what = format!("belongs to the node {}, not to {node}", self.journal.id());
                return Err(StoreError::failed(self.journal.name(), what));
            }
            Ok(Kept::Journaled { sequence: self.journal.append(batch).await? })
        }
        .boxed()
    }

    fn charges_applied(&self, sequence: u64) {
        lock(&self.journal.books).segments.charges_applied(sequence);
        self.journal.appended.notify_one();
    }

    fn lag(&self) -> Lag {
        self.journal.lag()
    }

    fn close(&self) -> BoxFuture<'_, Lag> {
        async move {
            self.journal.close();
            self.closing.cancel();
            let tasks = std::mem::take(&mut *lock(&self.tasks));
            let until = Instant::now() + CLOSE_WITHIN;
            for mut task in tasks {
                if timeout(until.duration_since(Instant::now()), &mut task).await.is_err() {
                    task.abort();
                }
            }
            let lag = self.journal.lag();
            let journal = self.journal.clone();
            // Where it cannot be waited for, the journal is released when it is dropped.
            let _ = tokio::task::spawn_blocking(move || journal.release()).await;
            lag
        }
        .boxed()
    }
}

impl Drop for JournaledRecorder {
    fn drop(&mut self) {
        for task in lock(&self.tasks).iter() {
            task.abort();
        }
    }
}

/// Moves batches on to the database, in order, for as long as it takes.
async fn forward(journal: Arc<Journal>, records: Arc<dyn BatchSink>, closing: CancellationToken) {
    let mut source = Source { journal: journal.clone(), reader: None, done: 0 };
    let mut tidied = Tidied { journal: journal.clone(), saved: Progress::default(), next: Instant::now() };
    let mut wait = FIRST_WAIT;
    loop {
        let group = source.next().await;
        if group.is_empty() {
            if closing.is_cancelled() {
                if !journal.is_writing() {
                    break;
                }
                sleep(Duration::from_millis(1)).await;
                continue;
            }
            tokio::select! {
                () = journal.appended.notified() => {}
                () = tidied.due() => tidied.tidy().await,
                () = closing.cancelled() => {}
            }
            if source.is_behind() {
                tokio::select! { () = sleep(GATHER) => {}, () = closing.cancelled() => {} }
            }
            continue;
        }
        match records.apply(journal.id(), &group).await {
            Ok(()) => {
                source.done = group.last().map_or(source.done, |last| last.sequence);
                lock(&journal.books).segments.rows_applied(&group);
                wait = FIRST_WAIT;
                let line = || format!("{}: takes rows again", records.name());
                journal.notices.over("database", line);
                if tidied.is_due() {
                    tidied.tidy().await;
                }
            }
            Err(error) => {
                journal.notices.tell("database", || {
                    let lag = journal.lag();
                    format!(
                        "{error}; {} rows wait in {}, and go on when it takes them",
                        lag.rows,
                        journal.name()
                    )
                });
                if closing.is_cancelled() {
                    break;
                }
                tokio::select! { () = sleep(wait) => {}, () = closing.cancelled() => {} }
                wait = (wait * 2).min(LONGEST_WAIT);
            }
        }
    }
}

/// The batches that have not gone to the database: those at hand, or what the files hold.
struct Source {
    journal: Arc<Journal>,
    reader: Option<Reader>,
    done: u64,
}

impl Source {
    fn is_behind(&self) -> bool {
        lock(&self.journal.books).last > self.done
    }

    async fn next(&mut self) -> Vec<Numbered> {
        let (at_hand, last) = {
            let mut books = lock(&self.journal.books);
            (books.backlog.after(self.done, GROUP_ROWS), books.last)
        };
        match at_hand {
            Some(group) => {
                self.reader = None;
                group
            }
            None => self.read(last).await,
        }
    }

    async fn read(&mut self, last: u64) -> Vec<Numbered> {
        let done = self.done;
        let reader = self.reader.take().filter(|reader| reader.after() == done);
        let mut reader = reader.unwrap_or_else(|| Reader::new(self.journal.files.clone(), done));
        let journal = self.journal.clone();
        let read = tokio::task::spawn_blocking(move || {
            let group = reader.next(last, GROUP_ROWS).unwrap_or_else(|error| {
                journal.notices.tell("read", || error.to_string());
                Vec::new()
            });
            replay::tell_damage(&journal.notices, &mut reader);
            (group, reader)
        });
        let Ok((group, reader)) = read.await else { return Vec::new() };
        self.reader = Some(reader);
        if group.is_empty() {
            // They are not to be had any more, dropped or damaged, as was told.
            self.done = last;
            lock(&self.journal.books).segments.rows_done_up_to(last);
        }
        group
    }
}

/// Writes progress down, not too often.
struct Tidied {
    journal: Arc<Journal>,
    saved: Progress,
    next: Instant,
}

impl Tidied {
    fn is_due(&self) -> bool {
        Instant::now() >= self.next && lock(&self.journal.books).segments.progress() != self.saved
    }

    /// Ends when there is something to write down and it is time for it.
    async fn due(&self) {
        if lock(&self.journal.books).segments.progress() == self.saved {
            std::future::pending::<()>().await;
        }
        sleep_until(self.next).await;
    }

    async fn tidy(&mut self) {
        let (journal, mut saved) = (self.journal.clone(), self.saved);
        let tidied = tokio::task::spawn_blocking(move || {
            journal.tidy(&mut saved);
            saved
        });
        if let Ok(saved) = tidied.await {
            self.saved = saved;
        }
        self.next = Instant::now() + TIDY_EVERY;
    }
}
