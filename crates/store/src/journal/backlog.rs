use std::collections::VecDeque;

use super::Numbered;

/// Rows that are kept at hand.
const MOST_ROWS: usize = 4_096;

/// The batches that were appended last, so that a database that keeps up costs no reading of files.
#[derive(Default)]
pub(super) struct Backlog {
    batches: VecDeque<Numbered>,
    rows: usize,
    /// All batches above this number are here.
    complete_above: u64,
}

fn rows(numbered: &Numbered) -> usize {
    numbered.batch.rows.len().max(1)
}

impl Backlog {
    pub fn push(&mut self, numbered: Numbered) {
        self.rows += rows(&numbered);
        self.batches.push_back(numbered);
        while self.rows > MOST_ROWS
            && let Some(first) = self.pop()
        {
            self.complete_above = first.sequence;
        }
    }

    fn pop(&mut self) -> Option<Numbered> {
        let first = self.batches.pop_front()?;
        self.rows -= rows(&first);
        Some(first)
    }

    /// The batches after that number, with about `most_rows` rows. `None`: not all of them are here any more.
    pub fn after(&mut self, sequence: u64, most_rows: usize) -> Option<Vec<Numbered>> {
        while self.batches.front().is_some_and(|first| first.sequence <= sequence) {
            self.pop();
        }
        if sequence < self.complete_above {
            return None;
        }
        let mut left = most_rows;
        let fits = |numbered: &&Numbered| {
            let fits = left > 0;
            left = left.saturating_sub(rows(numbered));
            fits
        };
        Some(self.batches.iter().take_while(fits).cloned().collect())
    }
}
