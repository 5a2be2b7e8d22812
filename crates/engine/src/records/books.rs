//! Keeps what calls come to: those that end together in one batch, one batch after the other, none twice.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep, timeout};

use super::{Batch, Kept, Lag, Recorder, UsageRow};
use crate::state::{Charge, StoreError};
use gateway_model::config::{RecordSettings, WhenFull};
use gateway_model::error::{ErrorKind, GatewayError};

/// What a call waits for its row to be kept. It is answered all the same when that takes longer.
const PATIENCE: Duration = Duration::from_millis(300);

/// Entries that wait at most, by default.
const QUEUE: usize = 10_000;

/// Calls of one batch.
const BATCH: usize = 500;

/// Between two tries with a store that does not do its work.
const FIRST_RETRY: Duration = Duration::from_millis(50);
const LAST_RETRY: Duration = Duration::from_secs(1);

/// A batch costs more than a record: where records come close together, a batch waits so long for so many of them.
const GATHERING: Duration = Duration::from_millis(2);
const ENOUGH: usize = 8;

/// Where fewer come, so many batches do not wait.
const FEW: usize = 4;
const WITHOUT_GATHERING: u32 = 32;

/// Charges of dropped records that are no further apart become one.
const ROUGHLY_AT_ONCE_MS: i64 = 1_000;

/// Hears what became of charges.
pub trait ChargeSink: Send + Sync {
    /// These charges were kept.
    fn kept(&self, charges: &[Charge], kept: &Kept);
}

/// The records of a gateway that are on their way to a [`Recorder`].
pub struct Books {
    recorder: Arc<dyn Recorder>,
    node: Arc<str>,
    /// Entries that wait at most.
    room: usize,
    when_full: WhenFull,
    queue: Mutex<Queue>,
    /// There is something to do.
    wake: Notify,
    /// The queue is empty, and nothing is under way.
    idle: Notify,
    dropped: AtomicU64,
    report: Arc<dyn Fn(String) + Send + Sync>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Pending>,
    /// Calls of the batch under way.
    under_way: usize,
    /// Why the last batch was not kept.
    failing: Option<StoreError>,
    /// From so many records on the task that hands them over is woken.
    enough: usize,
    /// When dropped records were last reported.
    reported_drops: Option<Instant>,
    is_closed: bool,
}

struct Pending {
    row: Option<UsageRow>,
    charges: Vec<Charge>,
    kept: oneshot::Sender<()>,
}

/// A call's place in the books.
#[must_use = "the call is acknowledged once it is kept"]
pub struct Entry {
    books: Arc<Books>,
    kept: oneshot::Receiver<()>,
}

impl Entry {
    /// Waits until the entry survives the process, or has taken too long: then it follows by itself.
    pub async fn kept(self) {
        if !self.books.is_failing() {
            // The result does not matter: what is not kept now is kept later, and reported until then.
            let _ = timeout(PATIENCE, self.kept).await;
        }
    }
}

impl Books {
    /// Books whose entries [`Books::run`] hands to `recorder`. `report` gets lines for the operator.
    pub fn new(
        recorder: Arc<dyn Recorder>,
        node: Arc<str>,
        settings: RecordSettings,
        report: Arc<dyn Fn(String) + Send + Sync>,
    ) -> Arc<Self> {
        let room = settings.queue.map_or(QUEUE, |queue| usize::try_from(queue).unwrap_or(usize::MAX));
        Arc::new(Self {
            recorder,
            node,
            room,
            when_full: settings.when_full,
            queue: Mutex::default(),
            wake: Notify::new(),
            idle: Notify::new(),
            dropped: AtomicU64::new(0),
            report,
        })
    }

    /// Enters what a call came to. Never waits: in a full queue the oldest entry gives way, or the queue grows by what is in
    /// flight ([`Books::refusal`] keeps further calls out).
    pub fn enter(self: &Arc<Self>, row: Option<UsageRow>, charges: Vec<Charge>) -> Entry {
        let (sender, kept) = oneshot::channel();
        let mut queue = self.queue();
        queue.waiting.push_back(Pending { row, charges, kept: sender });
        let is_too_long = self.when_full == WhenFull::DropOldest && queue.waiting.len() > self.room;
        let line = if is_too_long { self.drop_oldest(&mut queue) } else { None };
        let is_enough = queue.waiting.len() >= queue.enough;
        drop(queue);
        if let Some(line) = line {
            (self.report)(line);
        }
        if is_enough {
            self.wake.notify_one();
        }
        Entry { books: self.clone(), kept }
    }

    /// Drops the oldest record, and hands its charges to the one after it: what was spent stays spent. Answers with what is to
    /// be reported, once a minute.
    fn drop_oldest(&self, queue: &mut Queue) -> Option<String> {
        let oldest = queue.waiting.pop_front()?;
        if let Some(next) = queue.waiting.front_mut() {
            let charges = std::mem::replace(&mut next.charges, oldest.charges);
            charges.into_iter().for_each(|charge| add_roughly(&mut next.charges, charge));
        }
        let dropped = self.dropped.fetch_add(1, Ordering::Relaxed) + 1;
        if queue.reported_drops.is_some_and(|at| at.elapsed() < Duration::from_secs(60)) {
            return None;
        }
        queue.reported_drops = Some(Instant::now());
        let why = queue.failing.as_ref().map_or_else(String::new, |error| format!(" ({error})"));
        Some(format!(
            "the queue of usage records is full{why}: {dropped} of them were dropped so far, the oldest first; what they \
             spent of budgets is kept"
        ))
    }

    /// Why no further call may begin: its row could not be kept.
    pub fn refusal(&self) -> Option<GatewayError> {
        let queue = self.queue();
        if self.when_full == WhenFull::DropOldest || queue.waiting.len() < self.room {
            return None;
        }
        let why =
            queue.failing.as_ref().map_or_else(|| "it is slower than the calls".into(), ToString::to_string);
        let message = format!(
            "{} usage records wait for the database ({why}); calls are refused until they are written. Bring the \
             database back, or set records.whenFull to \"drop-oldest\"",
            queue.waiting.len()
        );
        Some(GatewayError::new(ErrorKind::ProviderUnavailable, message))
    }

    /// Whether entries are not being kept at this moment.
    fn is_failing(&self) -> bool {
        self.queue().failing.is_some()
    }

    /// Records that were dropped from a full queue.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// What is not in the database yet.
    pub fn lag(&self) -> Lag {
        let lag = self.recorder.lag();
        Lag { rows: lag.rows + self.waiting(), ..lag }
    }

    /// Hands entries to the recorder until the books are closed and empty.
    pub async fn run(self: Arc<Self>, sink: Arc<dyn ChargeSink>) {
        let mut do_without = 0;
        while let Some(batch) = self.next_batch().await {
            let (batch, waiting) = batch;
            self.keep(&batch, &*sink).await;
            self.queue().under_way = 0;
            for waiter in waiting {
                // A call that has gone on hears of nothing.
                let _ = waiter.send(());
            }
            do_without = if do_without > 0 { do_without - 1 } else { self.gather().await };
        }
        self.idle.notify_waiters();
    }

    /// Waits for more records where some came while the last batch was kept. Answers how many batches to do without, where
    /// too few came to be worth it.
    async fn gather(&self) -> u32 {
        {
            let mut queue = self.queue();
            if queue.waiting.is_empty() || queue.waiting.len() >= ENOUGH || queue.is_closed {
                return 0;
            }
            queue.enough = ENOUGH;
        }
        let enough = async {
            loop {
                self.wake.notified().await;
                let queue = self.queue();
                if queue.waiting.len() >= ENOUGH || queue.is_closed {
                    return;
                }
            }
        };
        let _ = timeout(GATHERING, enough).await;
        let mut queue = self.queue();
        queue.enough = 0;
        if queue.waiting.len() < FEW { WITHOUT_GATHERING } else { 0 }
    }

    async fn next_batch(&self) -> Option<(Arc<Batch>, Vec<oneshot::Sender<()>>)> {
        loop {
            {
                let mut queue = self.queue();
                let count = queue.waiting.len().min(BATCH);
                if count > 0 {
                    queue.under_way = count;
                    let (mut batch, mut waiting) = (Batch::default(), Vec::with_capacity(count));
                    for Pending { row, charges, kept } in queue.waiting.drain(..count) {
                        batch.rows.extend(row);
                        batch.charges.extend(charges);
                        waiting.push(kept);
                    }
                    return Some((Arc::new(batch), waiting));
                }
                self.idle.notify_waiters();
                if queue.is_closed {
                    return None;
                }
            }
            self.wake.notified().await;
        }
    }

    /// Tries until the batch is kept.
    async fn keep(&self, batch: &Arc<Batch>, sink: &dyn ChargeSink) {
        let mut pause = FIRST_RETRY;
        let mut said: Option<Instant> = None;
        loop {
            match self.recorder.keep(&self.node, batch).await {
                Ok(kept) => {
                    sink.kept(&batch.charges, &kept);
                    if self.queue().failing.take().is_some() {
                        (self.report)("usage records are written again".to_owned());
                    }
                    return;
                }
                Err(error) => {
                    let mut queue = self.queue();
                    let waiting = queue.waiting.len() + queue.under_way;
                    queue.failing = Some(error.clone());
                    let gives_up = queue.is_closed;
                    drop(queue);
                    if said.is_none_or(|at| at.elapsed() >= Duration::from_secs(60)) {
                        said = Some(Instant::now());
                        (self.report)(format!(
                            "usage records cannot be written: {error}; {waiting} of them wait"
                        ));
                    }
                    if gives_up {
                        let count = batch.rows.len() as u64;
                        self.dropped.fetch_add(count, Ordering::Relaxed);
                        return;
                    }
                }
            }
            tokio::select! {
                () = sleep(pause) => {}
                // Closing gives one more try at once.
                () = self.wake.notified(), if self.queue().is_closed => {}
            }
            pause = (pause * 2).min(LAST_RETRY);
        }
    }

    /// Keeps what there is, for `grace` at most.
    pub async fn drain(&self, grace: Duration) {
        let drained = async {
            loop {
                let idle = self.idle.notified();
                tokio::pin!(idle);
                idle.as_mut().enable();
                if self.waiting() == 0 {
                    return;
                }
                // Woken after each empty queue; looked at again in case the last batch ended in between.
                let _ = timeout(Duration::from_millis(20), idle).await;
            }
        };
        let _ = timeout(grace, drained).await;
    }

    /// Closes the recorder. Answers with what was left: rows that are not in the database, of which those in a journal follow at
    /// the next start.
    pub async fn close(&self) -> Lag {
        let left = self.waiting();
        self.release();
        let lag = self.recorder.close().await;
        Lag { rows: lag.rows + left, ..lag }
    }

    /// Lets [`Books::run`] end once everything is kept.
    pub(crate) fn release(&self) {
        self.queue().is_closed = true;
        self.wake.notify_one();
    }

    fn waiting(&self) -> u64 {
        let queue = self.queue();
        (queue.waiting.len() + queue.under_way) as u64
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds a charge to those there are, in the order of their times: to the last one of its counter where that is as good as
/// simultaneous.
fn add_roughly(charges: &mut Vec<Charge>, charge: Charge) {
    let same = charges
        .iter_mut()
        .rev()
        .take_while(|one| charge.at_ms - one.at_ms < ROUGHLY_AT_ONCE_MS)
        .find(|one| one.counter == charge.counter);
    match same {
        Some(same) => {
            for (sum, figure) in same.figures.iter_mut().zip(charge.figures) {
                *sum = sum.saturating_add(figure);
            }
            same.at_ms = same.at_ms.max(charge.at_ms);
        }
        None => charges.push(charge),
    }
}
