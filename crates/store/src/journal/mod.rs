//! A journal before a database that may be away: batches are appended to a file, answered as kept, and moved on.
//!
//! What was appended survives the death of the process, not that of the machine: it is handed to the operating system with
//! one write, without waiting for the disk.
//!
//! Each recorder has a journal of its own in a common folder, under an id that is new each time:
//!
//! | file | |
//! |---|---|
//! | `ID.lock` | locked while its owner lives; says which database and state the journal is for |
//! | `ID.000001.journal`, … | segments: records one after the other ([`format`](self::format)) |
//! | `ID.applied` | how far it has been applied; behind the truth at times, which is harmless |
//!
//! Batches are numbered from 1 on. Rows go to the database with the number of the last one as the journal's mark, in the same
//! transaction; charges go to the state with the id as the node and the number as the sequence. So applying a batch again
//! changes nothing, whoever does it: a journal whose owner is dead is taken over by any process that has the same database.

mod backlog;
mod folder;
mod format;
mod notices;
mod read;
mod recorder;
mod replay;
mod rows;
mod segments;
mod write;

use std::path::PathBuf;
use std::sync::Arc;

use futures::future::BoxFuture;
use gateway_engine::records::Batch;
use gateway_engine::state::StoreError;

pub use recorder::JournaledRecorder;
pub use write::Journal;

/// Takes a line for the operator.
pub type Log = Arc<dyn Fn(String) + Send + Sync>;

/// Where a journal is, and how large it may become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalSettings {
    /// On a disk of this machine. Made where there is none.
    pub folder: PathBuf,
    /// A segment is begun when the one before it is as large.
    pub segment_bytes: u64,
    /// Of this journal, without those of other processes.
    pub max_bytes: u64,
    pub when_full: WhenFull,
}

impl JournalSettings {
    /// Segments of 16 MiB, at most 1 GiB (about two million calls), and no call is let go.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            segment_bytes: 16 << 20,
            max_bytes: 1 << 30,
            when_full: WhenFull::Block,
        }
    }
}

/// What becomes of a batch that finds the journal full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenFull {
    /// It is refused.
    Block,
    /// The oldest segment makes room for it. What it held is counted and told.
    DropOldest,
}

/// A batch with its number.
#[derive(Debug, Clone, PartialEq)]
pub struct Numbered {
    pub sequence: u64,
    pub batch: Arc<Batch>,
}

/// The database that rows of a journal go to.
pub trait BatchSink: Send + Sync {
    /// In one transaction: the rows of those batches whose number is above the journal's mark, then the mark. They are in
    /// the order of their numbers. Each call is bounded in time.
    fn apply<'a>(
        &'a self,
        journal: &'a str,
        batches: &'a [Numbered],
    ) -> BoxFuture<'a, Result<(), StoreError>>;

    /// As [`gateway_engine::state::StateStore::is_away`].
    fn is_away(&self) -> bool;

    /// What it is, as errors name it: a URL without its secrets. Journals for another one are left alone.
    fn name(&self) -> &str;
}

fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
