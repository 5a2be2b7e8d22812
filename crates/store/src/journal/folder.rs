//! The files of a journal, by name.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// What a journal's rows and charges are for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Destination {
    pub database: String,
    /// `None`: the state died with its process.
    pub state: Option<String>,
}

/// How far a journal has been applied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Progress {
    /// Number of the last batch whose rows are in the database.
    pub rows: u64,
    /// Number of the last batch whose charges are in the state.
    pub charges: u64,
}

/// The files of one journal.
#[derive(Debug, Clone)]
pub(super) struct Files {
    pub folder: PathBuf,
    pub id: String,
}

/// Held while it lives.
#[derive(Debug)]
pub(super) struct OwnerLock(#[expect(dead_code, reason = "dropping it gives the lock back")] File);

impl Files {
    fn path(&self, rest: &str) -> PathBuf {
        self.folder.join(format!("{}.{rest}", self.id))
    }

    pub fn lock(&self) -> PathBuf {
        self.path("lock")
    }

    pub fn segment(&self, number: u32) -> PathBuf {
        self.path(&format!("{number:06}.journal"))
    }

    fn applied(&self) -> PathBuf {
        self.path("applied")
    }

    /// Makes the lock of a new journal. It has its name only when it is locked and written: nobody takes it for a dead one's.
    pub fn make_lock(&self, destination: &Destination) -> io::Result<OwnerLock> {
        fs::create_dir_all(&self.folder)?;
        let draft = self.path("lock.new");
        let mut file = OpenOptions::new().write(true).create_new(true).open(&draft)?;
        file.lock()?;
        file.write_all(&serde_json::to_vec(destination)?)?;
        fs::rename(&draft, self.lock())?;
        Ok(OwnerLock(file))
    }

    /// The lock of a journal whose owner is dead. `None`: it lives, or another process is taking the journal over, or has.
    pub fn take_lock(&self) -> io::Result<Option<(OwnerLock, Destination)>> {
        let mut file = match OpenOptions::new().read(true).write(true).open(self.lock()) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // Between opening and locking it may have been taken over and removed.
        if !self.lock().try_exists()? {
            return Ok(None);
        }
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        Ok(Some((OwnerLock(file), serde_json::from_str(&text)?)))
    }

    /// Numbers of the segments there are, ascending.
    pub fn segments(&self) -> io::Result<Vec<u32>> {
        let mut numbers = Vec::new();
        for name in names(&self.folder)? {
            let number: Option<u32> = name
                .strip_prefix(self.id.as_str())
                .and_then(|rest| rest.strip_prefix('.')?.strip_suffix(".journal")?.parse().ok());
            numbers.extend(number);
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    pub fn progress(&self) -> Progress {
        let text = fs::read(self.applied()).unwrap_or_default();
        // Without it the journal is applied from its start, which changes nothing.
        serde_json::from_slice(&text).unwrap_or_default()
    }

    pub fn save_progress(&self, progress: Progress) -> io::Result<()> {
        let draft = self.path("applied.new");
        fs::write(&draft, serde_json::to_vec(&progress)?)?;
        fs::rename(&draft, self.applied())
    }

    /// Removes all that is left; the lock last, as it leads to the rest. Segments in `damaged` are kept under another name.
    pub fn remove(&self, damaged: &[u32]) -> io::Result<()> {
        for number in self.segments()? {
            let path = self.segment(number);
            if damaged.contains(&number) {
                fs::rename(&path, path.with_extension("damaged"))?;
            } else {
                remove(&path)?;
            }
        }
        remove(&self.applied())?;
        remove(&self.lock())
    }
}

/// Removes a file, if it is there.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Ids of the journals in a folder.
pub(super) fn journals(folder: &Path) -> io::Result<Vec<String>> {
    let names = names(folder)?;
    Ok(names.iter().filter_map(|name| name.strip_suffix(".lock")).map(str::to_owned).collect())
}

fn names(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        names.extend(entry?.file_name().into_string().ok());
    }
    Ok(names)
}
