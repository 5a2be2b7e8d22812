//! Appending: callers queue up, and one thread writes for all of them at once.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use gateway_engine::records::{Batch, Lag};
use gateway_engine::state::StoreError;
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};

use super::backlog::Backlog;
use super::folder::{Destination, Files, OwnerLock, Progress, remove};
use super::notices::Notices;
use super::segments::Segments;
use super::{JournalSettings, Log, Numbered, WhenFull, format, lock, rows};
use crate::clock::now_ms;

/// Batches that are written at once.
const GROUP: usize = 256;

/// The journal of this recorder.
pub struct Journal {
    pub(super) files: Files,
    pub(super) notices: Notices,
    settings: JournalSettings,
    runtime: Handle,
    queue: Mutex<Queue>,
    writer: Mutex<Writer>,
    pub(super) books: Mutex<Books>,
    /// Woken by each write.
    pub(super) appended: Notify,
    dropped_rows: AtomicU64,
    owner: Mutex<Option<OwnerLock>>,
}

#[derive(Default)]
struct Queue {
    waiting: Vec<Waiting>,
    last: u64,
    /// Whether a thread is at work that looks into the queue before it goes.
    writing: bool,
    closed: bool,
}

struct Waiting {
    numbered: Numbered,
    done: oneshot::Sender<Result<(), StoreError>>,
}

#[derive(Default)]
struct Writer {
    file: Option<File>,
    last_number: u32,
}

pub(super) struct Books {
    pub segments: Segments,
    pub backlog: Backlog,
    /// Number of the last batch that is in the journal.
    pub last: u64,
}

impl Journal {
    /// A new journal in the folder. `database` and `state` say what it is for: only who has the same takes it over.
    pub fn create(
        settings: JournalSettings,
        database: &str,
        state: Option<&str>,
        log: Log,
        runtime: Handle,
    ) -> Result<Arc<Self>, StoreError> {
        // Ordered by time, so that journals of one folder are taken over in the order of their beginning.
        let files = Files { folder: settings.folder.clone(), id: uuid::Uuid::now_v7().to_string() };
        let destination = Destination { database: database.into(), state: state.map(Into::into) };
        let owner = files.make_lock(&destination).map_err(|error| {
            StoreError::failed(
                name(&files),
                format!("cannot be made ({error}); make the folder writable, or name another one in settings.journal"),
            )
        })?;
        let books = Books { segments: Segments::new(state.is_some()), backlog: Backlog::default(), last: 0 };
        Ok(Arc::new(Self {
            files,
            notices: Notices::new(log),
            settings,
            runtime,
            queue: Mutex::default(),
            writer: Mutex::default(),
            books: Mutex::new(books),
            appended: Notify::new(),
            dropped_rows: AtomicU64::new(0),
            owner: Mutex::new(Some(owner)),
        }))
    }

    /// The node under which charges of this journal's batches go to the state.
    pub fn id(&self) -> &str {
        &self.files.id
    }

    /// What it is, as errors name it.
    pub fn name(&self) -> String {
        name(&self.files)
    }

    /// Rows that were let go to make room and had not reached the database.
    pub fn dropped_rows(&self) -> u64 {
        self.dropped_rows.load(Ordering::Relaxed)
    }

    pub fn lag(&self) -> Lag {
        lock(&self.books).segments.lag(now_ms())
    }

    /// Appends a batch as a whole or not at all; answers with its number. What it answers for survives the process.
    pub async fn append(self: &Arc<Self>, batch: &Arc<Batch>) -> Result<u64, StoreError> {
        let batch = Arc::clone(batch);
        let (done, outcome) = oneshot::channel();
        let (sequence, begin) = {
            let mut queue = lock(&self.queue);
            if queue.closed {
                return Err(StoreError::failed(self.name(), "is closed"));
            }
            queue.last += 1;
            let sequence = queue.last;
            queue.waiting.push(Waiting { numbered: Numbered { sequence, batch }, done });
            (sequence, !std::mem::replace(&mut queue.writing, true))
        };
        if begin {
            let journal = self.clone();
            self.runtime.spawn_blocking(move || journal.write_what_waits());
        }
        let ended = || StoreError::failed(self.name(), "was not written: the program ends");
        outcome.await.unwrap_or_else(|_| Err(ended())).map(|()| sequence)
    }

    fn write_what_waits(&self) {
        let mut writer = lock(&self.writer);
        loop {
            let waiting = {
                let mut queue = lock(&self.queue);
                if queue.waiting.is_empty() {
                    queue.writing = false;
                    return;
                }
                let most = queue.waiting.len().min(GROUP);
                queue.waiting.drain(..most).collect()
            };
            self.write_group(&mut writer, waiting);
            self.appended.notify_one();
        }
    }

    fn write_group(&self, writer: &mut Writer, waiting: Vec<Waiting>) {
        let mut bytes = Vec::new();
        let mut accepted: Vec<(Waiting, u64)> = Vec::with_capacity(waiting.len());
        for each in waiting {
            let begin = bytes.len();
            let encoded = rows::encode(&each.numbered.batch)
                .is_ok_and(|payload| format::write(&mut bytes, each.numbered.sequence, &payload));
            if !encoded {
                let _ = each.done.send(Err(StoreError::failed(self.name(), "the batch is too large")));
            } else if let Err(full) = self.make_room(writer, bytes.len() as u64) {
                bytes.truncate(begin);
                let _ = each.done.send(Err(full));
            } else {
                let length = (bytes.len() - begin) as u64;
                accepted.push((each, length));
            }
        }
        if accepted.is_empty() {
            return;
        }
        let written = self.write(writer, &bytes).map_err(|error| {
            self.notices.tell("write", || format!("{}: cannot be written: {error}", self.name()));
            let what = format!("cannot be written ({error}); free space on its disk, or name another folder in settings.journal");
            StoreError::failed(self.name(), what)
        });
        if written.is_ok() {
            let mut books = lock(&self.books);
            for (Waiting { numbered, .. }, length) in &accepted {
                books.segments.appended(numbered.sequence, &numbered.batch, *length, now_ms());
                books.last = numbered.sequence;
                books.backlog.push(numbered.clone());
            }
        }
        for (each, _) in accepted {
            let _ = each.done.send(written.clone());
        }
    }

    /// With one write. What fails in its midst is taken back, or left as the end of a segment that is not written again.
    fn write(&self, writer: &mut Writer, bytes: &[u8]) -> io::Result<()> {
        let current = lock(&self.books).segments.current();
        let full =
            current.is_none_or(|(_, size)| size > 0 && size + bytes.len() as u64 > self.segment_bytes());
        if writer.file.is_none() || full {
            self.begin_segment(writer)?;
        }
        let Some(file) = &mut writer.file else { return Err(io::Error::other("no segment")) };
        let before = file.metadata()?.len();
        let written = file.write_all(bytes);
        if written.is_err() && file.set_len(before).is_err() {
            writer.file = None;
        }
        written
    }

    fn begin_segment(&self, writer: &mut Writer) -> io::Result<()> {
        let number = writer.last_number + 1;
        let path = self.files.segment(number);
        writer.file = Some(OpenOptions::new().append(true).create_new(true).open(path)?);
        writer.last_number = number;
        lock(&self.books).segments.begin(number);
        Ok(())
    }

    /// At least four, so that little is lost when one is dropped.
    fn segment_bytes(&self) -> u64 {
        self.settings.segment_bytes.min(self.settings.max_bytes / 4).max(1)
    }

    fn make_room(&self, writer: &mut Writer, bytes: u64) -> Result<(), StoreError> {
        let most = self.settings.max_bytes;
        loop {
            let held = lock(&self.books).segments.bytes();
            if held + bytes <= most {
                return Ok(());
            }
            if self.settings.when_full == WhenFull::Block {
                return Err(StoreError::failed(
                    self.name(),
                    format!(
                        "is full ({held} of {most} bytes): the database has not taken its rows; make it reachable again"
                    ),
                ));
            }
            let dropped = lock(&self.books).segments.drop_oldest();
            match dropped {
                Some((number, rows, last)) => self.give_up(number, rows, last),
                // All of it is in the segment that is being written: that one becomes the oldest.
                None if held > 0 => {
                    self.begin_segment(writer).map_err(|error| {
                        StoreError::failed(self.name(), format!("cannot begin a segment ({error})"))
                    })?;
                }
                None => return Ok(()),
            }
        }
    }

    fn give_up(&self, number: u32, rows: u64, last: u64) {
        let all = self.dropped_rows.fetch_add(rows, Ordering::Relaxed) + rows;
        lock(&self.books).segments.rows_done_up_to(last);
        if rows > 0 {
            self.notices.tell("dropped", || {
                format!(
                    "{}: full, as the database does not take its rows: the oldest were let go, {all} so far",
                    self.name()
                )
            });
        }
        if let Err(error) = remove(&self.files.segment(number)) {
            self.notices.tell("remove", || format!("{}: a segment cannot be removed: {error}", self.name()));
        }
    }

    /// Removes segments that are not needed and notes how far all is applied. For a thread that may wait for the disk.
    pub(super) fn tidy(&self, saved: &mut Progress) {
        let (applied, progress) = {
            let mut books = lock(&self.books);
            (books.segments.take_applied(), books.segments.progress())
        };
        let mut outcome = Ok(());
        if progress != *saved {
            outcome = self.files.save_progress(progress);
            *saved = progress;
        }
        for number in applied {
            outcome = outcome.and(remove(&self.files.segment(number)));
        }
        if let Err(error) = outcome {
            self.notices.tell("remove", || format!("{}: cannot be tidied: {error}", self.name()));
        }
    }

    /// No batch is taken any more.
    pub(super) fn close(&self) {
        lock(&self.queue).closed = true;
    }

    /// Whether batches still wait to be written.
    pub(super) fn is_writing(&self) -> bool {
        lock(&self.queue).writing
    }

    /// Gives the journal out of hand: removed where all of it is applied, else left to whoever takes it over.
    pub(super) fn release(&self) {
        let mut owner = lock(&self.owner);
        if owner.is_none() {
            return;
        }
        lock(&self.writer).file = None;
        let (done, progress) = {
            let books = lock(&self.books);
            (books.segments.all_applied(), books.segments.progress())
        };
        let outcome = if done { self.files.remove(&[]) } else { self.files.save_progress(progress) };
        if let Err(error) = outcome {
            (self.notices).tell("remove", || format!("{}: cannot be tidied: {error}", self.name()));
        }
        *owner = None;
    }
}

pub(super) fn name(files: &Files) -> String {
    format!("journal {}", files.folder.join(&files.id).display())
}
