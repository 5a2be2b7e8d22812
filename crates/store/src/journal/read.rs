//! Reading a journal: batch after batch, past whatever is damaged.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;

use super::folder::Files;
use super::format::{self, Record};
use super::{Numbered, rows};

/// A place that could not be read; what follows it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Damage {
    pub path: PathBuf,
    pub offset: u64,
    pub bytes: u64,
}

#[derive(Debug)]
pub(super) enum ReadError {
    Io(PathBuf, io::Error),
    /// Written by a newer program: what it holds is not for this one to judge.
    Newer(PathBuf, u8),
}

impl std::fmt::Display for ReadError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(path, error) => write!(out, "{} cannot be read: {error}", path.display()),
            Self::Newer(path, version) => write!(
                out,
                "{} was written by a newer version of this program (format {version}); start that version to have it applied",
                path.display()
            ),
        }
    }
}

pub(super) struct Reader {
    files: Files,
    /// Batches up to this number are passed over.
    after: u64,
    at: Option<Loaded>,
    pub damage: Vec<Damage>,
    pub damaged_segments: BTreeSet<u32>,
}

/// A segment from `base` on.
struct Loaded {
    number: u32,
    path: PathBuf,
    base: u64,
    bytes: Vec<u8>,
    at: usize,
}

enum Step {
    Batch(Numbered),
    /// Passed over, known already or damaged.
    Passed,
    /// Nothing more that is whole.
    End,
}

impl Reader {
    pub fn new(files: Files, after: u64) -> Self {
        Self { files, after, at: None, damage: Vec::new(), damaged_segments: BTreeSet::new() }
    }

    pub fn files(&self) -> &Files {
        &self.files
    }

    /// Number of the last batch that was read.
    pub fn after(&self) -> u64 {
        self.after
    }

    /// The next batches with numbers up to `until`, as many as have about `most_rows` rows. None: there are no more.
    pub fn next(&mut self, until: u64, most_rows: usize) -> Result<Vec<Numbered>, ReadError> {
        let (mut found, mut count) = (Vec::new(), 0);
        while count < most_rows && self.after < until {
            match self.step(until)? {
                Step::Batch(numbered) => {
                    count += numbered.batch.rows.len().max(1);
                    found.push(numbered);
                }
                Step::Passed => {}
                Step::End if self.begin_next_segment()? => {}
                Step::End => break,
            }
        }
        Ok(found)
    }

    fn step(&mut self, until: u64) -> Result<Step, ReadError> {
        let Some(segment) = &mut self.at else { return Ok(Step::End) };
        let begin = segment.at;
        let (version, sequence, payload, end) = match format::read(&segment.bytes, begin) {
            Record::Whole { version, sequence, payload, end } => (version, sequence, payload, end),
            _ => return Ok(if self.pass_damage() { Step::Passed } else { Step::End }),
        };
        if sequence > until {
            return Ok(Step::End);
        }
        if version != format::VERSION {
            return Err(ReadError::Newer(segment.path.clone(), version));
        }
        segment.at = end;
        if sequence <= self.after {
            return Ok(Step::Passed);
        }
        self.after = sequence;
        match rows::decode(payload) {
            Ok(batch) => Ok(Step::Batch(Numbered { sequence, batch: Arc::new(batch) })),
            Err(_) => {
                self.note_damage(begin, end);
                Ok(Step::Passed)
            }
        }
    }

    /// Goes on at the next whole record of the segment. `false`: there is none.
    fn pass_damage(&mut self) -> bool {
        let Some(segment) = &mut self.at else { return false };
        let begin = segment.at;
        let mut at = begin;
        while let Some(next) = format::next_mark(&segment.bytes, at) {
            if matches!(format::read(&segment.bytes, next), Record::Whole { .. }) {
                segment.at = next;
                self.note_damage(begin, next);
                return true;
            }
            at = next;
        }
        false
    }

    fn note_damage(&mut self, begin: usize, end: usize) {
        let Some(segment) = &self.at else { return };
        self.damaged_segments.insert(segment.number);
        self.damage.push(Damage {
            path: segment.path.clone(),
            offset: segment.base + begin as u64,
            bytes: (end - begin) as u64,
        });
    }

    /// At the end of what is loaded: loads what was written since, or the next segment. `false`: there is neither.
    fn begin_next_segment(&mut self) -> Result<bool, ReadError> {
        let listed =
            self.files.segments().map_err(|error| ReadError::Io(self.files.folder.clone(), error))?;
        let current = self.at.as_ref().map_or(0, |segment| segment.number);
        // A segment that has a successor does not grow any more: first the successor is looked for, then the rest.
        let successor = listed.into_iter().find(|number| *number > current);
        if self.load_rest()? {
            return Ok(true);
        }
        let Some(number) = successor else {
            self.note_odd_tail();
            return Ok(false);
        };
        if let Some(segment) = &self.at
            && segment.at < segment.bytes.len()
        {
            self.note_damage(segment.at, segment.bytes.len());
        }
        let path = self.files.segment(number);
        self.at = Some(Loaded { number, path, base: 0, bytes: Vec::new(), at: 0 });
        self.load_rest()?;
        Ok(true)
    }

    /// A last record that is cut was being written when its process died, and nobody was told that it is kept. Anything
    /// else at the end is damage.
    fn note_odd_tail(&mut self) {
        if let Some(segment) = &mut self.at
            && format::read(&segment.bytes, segment.at) == Record::Damaged
        {
            let begin = std::mem::replace(&mut segment.at, segment.bytes.len());
            self.note_damage(begin, self.at.as_ref().map_or(begin, |segment| segment.bytes.len()));
        }
    }

    /// `false`: nothing new.
    fn load_rest(&mut self) -> Result<bool, ReadError> {
        let Some(segment) = &mut self.at else { return Ok(false) };
        let failed = |path: &PathBuf, error| ReadError::Io(path.clone(), error);
        let base = segment.base + segment.at as u64;
        let mut bytes = Vec::new();
        let read = File::open(&segment.path).and_then(|mut file| {
            file.seek(SeekFrom::Start(base))?;
            file.read_to_end(&mut bytes)
        });
        match read {
            Ok(_) => {}
            // Dropped meanwhile, to make room.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(failed(&segment.path, error)),
        }
        let grown = bytes.len() > segment.bytes.len() - segment.at;
        (segment.base, segment.bytes, segment.at) = (base, bytes, 0);
        Ok(grown)
    }
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
