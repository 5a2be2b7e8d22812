//! The one connection that writes, and its thread: what arrives while a transaction runs goes into the next one together.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use gateway_engine::state::{StoreError, StoreErrorKind};
use rusqlite::{Connection, Error};
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, oneshot};

use super::counter::Moment;
use super::fault::{self, DriverError};
use super::open::in_place;
use super::rollup::{self, Place, Texts};
use super::series::KnownSeries;
use super::transaction::{Done, Work, apply};
use crate::clock::now_ms;

/// No call waits longer. Half of it is SQLite's own patience with a locked file: a job may wait for one transaction before
/// its own.
pub(super) const PATIENCE: Duration = Duration::from_millis(150);

/// After so many calls in a row that found the file locked, it counts as away.
const FAILURES: u32 = 3;

/// How often one that is away is tried.
const RETRY: Duration = Duration::from_millis(200);

/// Jobs that wait; more wait at the door.
const QUEUE: usize = 4_096;

/// Jobs of one transaction.
const GROUP: usize = 256;

struct Job {
    work: Work,
    turn: Turn,
    reply: oneshot::Sender<Result<Done, StoreError>>,
}

/// Either the writer begins a job or its caller cancels it.
#[derive(Clone, Default)]
struct Turn(Arc<AtomicBool>);

impl Turn {
    /// Whether nobody has done so before.
    fn take(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }

    fn cancel(&self) -> bool {
        self.take()
    }
}

/// The way to the writer's thread.
pub(super) struct Writer {
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
    /// Told when the thread has closed the file.
    closed: Mutex<Option<oneshot::Receiver<()>>>,
    shared: Arc<Shared>,
}

/// What the thread and the store share.
pub(super) struct Shared {
    pub name: String,
    pub path: PathBuf,
    lease_ms: i64,
    /// How many were made.
    pub transactions: AtomicU64,
    failures: AtomicU32,
    is_away: AtomicBool,
}

impl Shared {
    pub fn new(name: String, path: PathBuf, lease: Duration) -> Self {
        Self {
            lease_ms: i64::try_from(lease.as_millis()).unwrap_or(i64::MAX),
            name,
            path,
            transactions: AtomicU64::new(0),
            failures: AtomicU32::new(0),
            is_away: AtomicBool::new(false),
        }
    }

    pub fn is_away(&self) -> bool {
        self.is_away.load(Ordering::Relaxed)
    }

    pub fn error(&self, error: &impl DriverError) -> StoreError {
        fault::store_error(&self.name, &self.path, error)
    }

    fn moment(&self) -> Moment {
        Moment { now: now_ms(), lease_ms: self.lease_ms }
    }

    fn away(&self, what: &str) -> StoreError {
        StoreError::away(self.name.clone(), format!("\"{}\" {what}", self.path.display()))
    }

    fn failed_to_start(&self, error: &std::io::Error) -> StoreError {
        StoreError::failed(self.name.clone(), format!("a thread for the file cannot be started: {error}"))
    }

    fn closed(&self) -> StoreError {
        self.away("is closed")
    }

    fn too_slow(&self) -> StoreError {
        self.failed();
        self.away(&format!("did not answer within {} ms: its disk is slow, or busy", PATIENCE.as_millis()))
    }

    fn failed(&self) {
        if self.failures.fetch_add(1, Ordering::Relaxed) + 1 >= FAILURES {
            self.is_away.store(true, Ordering::Relaxed);
        }
    }

    fn answered(&self) {
        self.transactions.fetch_add(1, Ordering::Relaxed);
        self.failures.store(0, Ordering::Relaxed);
        self.is_away.store(false, Ordering::Relaxed);
    }
}

impl Writer {
    pub async fn start(shared: Arc<Shared>) -> Result<Self, StoreError> {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let (opened, is_open) = oneshot::channel();
        let (closing, closed) = oneshot::channel();
        let of_thread = Arc::clone(&shared);
        let begun = thread::Builder::new().name("gateway-sqlite".to_owned()).spawn(move || {
            match in_place(&of_thread.path, PATIENCE / 2) {
                Ok(connection) => {
                    drop(opened.send(Ok(())));
                    run(connection, queue, of_thread);
                }
                Err(error) => drop(opened.send(Err(of_thread.error(&error)))),
            }
            drop(closing);
        });
        if let Err(error) = begun {
            return Err(shared.failed_to_start(&error));
        }
        is_open.await.map_err(|_| shared.closed())??;
        Ok(Self { jobs: Mutex::new(Some(jobs)), closed: Mutex::new(Some(closed)), shared })
    }

    /// Has the work done, in a transaction with what else is there. Where that takes too long, it may be done all the same.
    pub async fn work(&self, work: Work) -> Result<Done, StoreError> {
        let (answer, turn) = self.hand_in(work).await?;
        match tokio::time::timeout(PATIENCE, answer).await {
            Ok(done) => done.map_err(|_| self.shared.closed())?,
            Err(_) => {
                turn.cancel();
                Err(self.shared.too_slow())
            }
        }
    }

    /// The same for what may not be done twice: once it has begun, its end is waited for.
    pub async fn work_out(&self, work: Work) -> Result<Done, StoreError> {
        let (mut answer, turn) = self.hand_in(work).await?;
        let done = match tokio::time::timeout(PATIENCE, &mut answer).await {
            Ok(done) => done,
            Err(_) if turn.cancel() => return Err(self.shared.too_slow()),
            Err(_) => answer.await,
        };
        done.map_err(|_| self.shared.closed())?
    }

    async fn hand_in(
        &self,
        work: Work,
    ) -> Result<(oneshot::Receiver<Result<Done, StoreError>>, Turn), StoreError> {
        if self.shared.is_away() {
            return Err(self.shared.away("does not answer, and is tried again in the background"));
        }
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let jobs = jobs.ok_or_else(|| self.shared.closed())?;
        let (reply, answer) = oneshot::channel();
        let turn = Turn::default();
        let job = Job { work, turn: turn.clone(), reply };
        match tokio::time::timeout(PATIENCE, jobs.send(job)).await {
            Ok(Ok(())) => Ok((answer, turn)),
            Ok(Err(_)) => Err(self.shared.closed()),
            Err(_) => Err(self.shared.too_slow()),
        }
    }

    /// Does what is in the queue, and closes the connection.
    pub async fn close(&self) {
        drop(self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take());
        let closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(closed) = closed {
            drop(closed.await);
        }
    }
}

fn run(connection: Connection, mut queue: mpsc::Receiver<Job>, shared: Arc<Shared>) {
    let mut thread = WriterThread {
        connection,
        known: KnownSeries::default(),
        texts: Texts::default(),
        long: Vec::new(),
        shared,
    };
    let mut group = Vec::with_capacity(GROUP);
    loop {
        if thread.shared.is_away() {
            thread::sleep(RETRY);
            thread.probe();
            match queue.try_recv() {
                Ok(job) => group.push(job),
                Err(TryRecvError::Empty) => continue,
                Err(TryRecvError::Disconnected) => break,
            }
        } else if queue.blocking_recv_many(&mut group, GROUP) == 0 {
            break;
        }
        // Callers that waited too long have gone, and were told that it was not done.
        group.retain(|job: &Job| !job.reply.is_closed() && job.turn.take());
        if !group.is_empty() {
            thread.apply(&mut group);
            thread.shorten();
        }
    }
}

/// What the thread has of its own.
struct WriterThread {
    connection: Connection,
    known: KnownSeries,
    texts: Texts,
    long: Vec<Place>,
    shared: Arc<Shared>,
}

impl WriterThread {
    /// Tries whether the write lock can be had.
    fn probe(&mut self) {
        match self.transaction(&[]) {
            Err(error) if fault::is_busy(&error) => {}
            // It answers: calls are told what is wrong.
            _ => self.shared.answered(),
        }
    }

    fn transaction(&mut self, work: &[&Work]) -> Result<Vec<Done>, Error> {
        let Self { connection, known, texts, long, shared } = self;
        let applied = apply(connection, known, work, shared.moment())?;
        long.extend(texts.grown(applied.longer));
        Ok(applied.done)
    }

    /// After the answers: nobody waits for it.
    fn shorten(&mut self) {
        for place in std::mem::take(&mut self.long) {
            // A text that stays long is as right as before.
            let _ = rollup::shorten(&mut self.connection, place);
        }
    }

    fn apply(&mut self, group: &mut Vec<Job>) {
        let work: Vec<&Work> = group.iter().map(|job| &job.work).collect();
        match self.transaction(&work) {
            Ok(done) => {
                self.shared.answered();
                for (job, done) in group.drain(..).zip(done) {
                    drop(job.reply.send(Ok(done)));
                }
            }
            Err(error) if group.len() > 1 && fault::is_of_statements(&error) => {
                // One of them is at fault, and the others are not.
                for job in group.drain(..) {
                    let done = self.transaction(&[&job.work]).map_err(|error| self.shared.error(&error));
                    drop(job.reply.send(done.map(|mut done| done.pop().unwrap_or(Done::Nothing))));
                }
            }
            Err(error) => {
                let told = self.shared.error(&error);
                if told.kind == StoreErrorKind::Away {
                    self.shared.failed();
                } else {
                    self.shared.answered();
                }
                for job in group.drain(..) {
                    drop(job.reply.send(Err(told.clone())));
                }
            }
        }
    }
}
