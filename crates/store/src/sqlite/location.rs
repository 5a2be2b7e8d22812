//! Where a database file is: the forms of its URL, and a folder and a file that only this user may read.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf, absolute};

use gateway_engine::state::StoreError;

/// A file, and the URL that names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Location {
    /// `sqlite:` and the path.
    pub name: String,
    pub path: PathBuf,
}

impl Location {
    /// Of `sqlite:PATH` (absolute or relative to the working folder), `sqlite://PATH` or `sqlite:///PATH`.
    pub fn of(url: &str) -> Result<Self, StoreError> {
        let wrong = |what: &str| StoreError::failed(url, what);
        let rest =
            url.strip_prefix("sqlite:").ok_or_else(|| wrong("an SQLite URL begins with \"sqlite:\""))?;
        let path = rest.strip_prefix("//").unwrap_or(rest);
        if path == ":memory:" {
            return Err(wrong(
                "an SQLite database in memory is shared with nobody: write \"memory:\" in its place",
            ));
        }
        if path.is_empty() {
            return Err(wrong("a file is missing: write \"sqlite:PATH\""));
        }
        if path.contains('\0') || path.contains('?') {
            return Err(wrong("a path has neither parameters (\"?\") nor NUL characters"));
        }
        let path =
            absolute(path).map_err(|error| wrong(&format!("its path cannot be made absolute: {error}")))?;
        Ok(Self { name: format!("sqlite:{}", path.display()), path })
    }

    /// Makes the folder (0700) and the file (0600) where they are missing, and checks that both can be used.
    pub fn prepare(&self) -> Result<(), StoreError> {
        let failed = |path: &Path, what: &str, error: &io::Error| {
            let text = format!(
                "{what} \"{}\" failed: {error}. Name a place that this user may write to, or make it writable",
                path.display()
            );
            StoreError::failed(self.name.clone(), text)
        };
        if let Some(folder) = self.path.parent().filter(|folder| !folder.is_dir()) {
            private_folder(folder).map_err(|error| failed(folder, "making the folder", &error))?;
        }
        if self.path.is_dir() {
            let text = format!("\"{}\" is a folder. Name a file in it", self.path.display());
            return Err(StoreError::failed(self.name.clone(), text));
        }
        let opened = private_file(&self.path);
        opened.map(drop).map_err(|error| failed(&self.path, "opening the file", &error))
    }
}

#[cfg(unix)]
fn private_folder(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(not(unix))]
fn private_folder(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)
}

/// SQLite gives the files beside it the same mode.
fn private_file(path: &Path) -> io::Result<fs::File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
