//! What an error of SQLite means for the store, and what to do about it.

use std::fmt::Display;
use std::path::Path;

use gateway_engine::state::{StoreError, StoreErrorKind};

/// SQLite's primary result codes.
const BUSY: i64 = 5;
const LOCKED: i64 = 6;

/// An error of either of the drivers.
pub(super) trait DriverError: Display {
    /// SQLite's result code with its details, where the error came from SQLite.
    fn extended_code(&self) -> Option<i64>;

    /// The driver itself is gone.
    fn is_of_driver(&self) -> bool;
}

impl DriverError for sqlx::Error {
    fn extended_code(&self) -> Option<i64> {
        self.as_database_error()?.code()?.parse().ok()
    }

    fn is_of_driver(&self) -> bool {
        matches!(self, Self::WorkerCrashed)
    }
}

impl DriverError for rusqlite::Error {
    fn extended_code(&self) -> Option<i64> {
        Some(i64::from(self.sqlite_error()?.extended_code))
    }

    fn is_of_driver(&self) -> bool {
        false
    }
}

fn code(error: &impl DriverError) -> Option<i64> {
    error.extended_code().map(|code| code & 0xff)
}

/// Whether somebody else holds the file, which passes.
pub(super) fn is_busy(error: &impl DriverError) -> bool {
    matches!(code(error), Some(BUSY | LOCKED))
}

/// Whether the statements or their values are at fault, and not the file or the disk.
pub(super) fn is_of_statements(error: &rusqlite::Error) -> bool {
    code(error).is_none_or(|code| matches!(code, 1 | 18 | 19 | 20 | 25))
}

/// The error as a caller is told it.
pub(super) fn store_error(name: &str, path: &Path, error: &impl DriverError) -> StoreError {
    let mut told = told(name, path, code(error), error);
    if error.is_of_driver() {
        told.kind = StoreErrorKind::Away;
    }
    told
}

fn told(name: &str, path: &Path, code: Option<i64>, error: &dyn Display) -> StoreError {
    let path = path.display();
    let kind = match code {
        Some(BUSY | LOCKED) => StoreErrorKind::Away,
        _ => StoreErrorKind::Failed,
    };
    let message = match code {
        Some(BUSY | LOCKED) => {
            format!(
                "another process keeps \"{path}\" locked. A backup or a shell may hold a transaction open on it"
            )
        }
        Some(8) => format!("\"{path}\" is read-only. Make the file and its folder writable for this user"),
        Some(13) => {
            format!(
                "the disk of \"{path}\" is full. Free some space: what is there stays whole, and writing goes on"
            )
        }
        Some(10) => format!(
            "reading or writing \"{path}\" failed ({error}). Check the disk and its free space: what is there stays whole"
        ),
        Some(11) => format!(
            "\"{path}\" is damaged ({error}). Restore a backup, or rescue what can be read with `sqlite3 \"{path}\" .recover`"
        ),
        Some(14) => {
            format!("\"{path}\" cannot be opened. Its folder must exist and be writable for this user")
        }
        Some(26) => format!("\"{path}\" is not an SQLite database. Name another file, or move this one away"),
        _ => format!("\"{path}\": {error}"),
    };
    StoreError { store: name.to_owned(), kind, message }
}
