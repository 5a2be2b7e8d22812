//! What a live journal knows of its segments: how large they are, and what of them is still needed.

use std::collections::VecDeque;

use gateway_engine::records::{Batch, Lag};

use super::Numbered;
use super::folder::Progress;

/// Batches that are so close to each other are of one age.
const SAME_AGE_MS: i64 = 1_000;

#[derive(Debug)]
struct Segment {
    number: u32,
    bytes: u64,
    last: u64,
    last_with_charges: u64,
    rows_waiting: u64,
}

#[derive(Debug)]
pub(super) struct Segments {
    /// The last one is being written.
    list: VecDeque<Segment>,
    progress: Progress,
    /// Whether charges have to reach a state that outlasts the process.
    charges_count: bool,
    /// Of batches whose rows wait: the last number and the time of some that were appended together.
    ages: VecDeque<(u64, i64)>,
}

impl Segments {
    pub fn new(charges_count: bool) -> Self {
        Self { list: VecDeque::new(), progress: Progress::default(), charges_count, ages: VecDeque::new() }
    }

    pub fn begin(&mut self, number: u32) {
        self.list.push_back(Segment { number, bytes: 0, last: 0, last_with_charges: 0, rows_waiting: 0 });
    }

    pub fn appended(&mut self, sequence: u64, batch: &Batch, bytes: u64, now_ms: i64) {
        let Some(segment) = self.list.back_mut() else { return };
        segment.bytes += bytes;
        segment.last = sequence;
        segment.rows_waiting += batch.rows.len() as u64;
        if !batch.charges.is_empty() {
            segment.last_with_charges = sequence;
        }
        match self.ages.back_mut() {
            Some((last, since)) if now_ms - *since < SAME_AGE_MS => *last = sequence,
            _ => self.ages.push_back((sequence, now_ms)),
        }
    }

    pub fn bytes(&self) -> u64 {
        self.list.iter().map(|segment| segment.bytes).sum()
    }

    /// Number and size of the segment that is being written.
    pub fn current(&self) -> Option<(u32, u64)> {
        self.list.back().map(|segment| (segment.number, segment.bytes))
    }

    pub fn progress(&self) -> Progress {
        self.progress
    }

    pub fn rows_applied(&mut self, batches: &[Numbered]) {
        for Numbered { sequence, batch } in batches {
            let at = self.list.partition_point(|segment| segment.last < *sequence);
            if let Some(segment) = self.list.get_mut(at) {
                segment.rows_waiting = segment.rows_waiting.saturating_sub(batch.rows.len() as u64);
            }
        }
        self.rows_done_up_to(batches.last().map_or(0, |last| last.sequence));
    }

    /// Rows up to there need not be waited for: they are in the database, or lost.
    pub fn rows_done_up_to(&mut self, sequence: u64) {
        self.progress.rows = self.progress.rows.max(sequence);
        let done = self.progress.rows;
        self.ages.retain(|(last, _)| *last > done);
        for segment in self.list.iter_mut().filter(|segment| segment.last <= done) {
            segment.rows_waiting = 0;
        }
    }

    pub fn charges_applied(&mut self, sequence: u64) {
        self.progress.charges = self.progress.charges.max(sequence);
    }

    fn is_applied(&self, segment: &Segment) -> bool {
        segment.last <= self.progress.rows
            && (!self.charges_count || segment.last_with_charges <= self.progress.charges)
    }

    /// Whether nothing is left that anybody needs.
    pub fn all_applied(&self) -> bool {
        self.list.iter().all(|segment| self.is_applied(segment))
    }

    /// Segments that nobody needs any more; they are forgotten here.
    pub fn take_applied(&mut self) -> Vec<u32> {
        let mut applied = Vec::new();
        while self.list.len() > 1
            && let Some(first) = self.list.front()
            && self.is_applied(first)
        {
            applied.push(first.number);
            self.list.pop_front();
        }
        applied
    }

    /// Gives the oldest segment up, unless it is being written: its number, how many rows of it were still waiting, and
    /// the number of its last batch.
    pub fn drop_oldest(&mut self) -> Option<(u32, u64, u64)> {
        if self.list.len() < 2 {
            return None;
        }
        self.list.pop_front().map(|oldest| (oldest.number, oldest.rows_waiting, oldest.last))
    }

    pub fn lag(&self, now_ms: i64) -> Lag {
        let rows = self.list.iter().map(|segment| segment.rows_waiting).sum();
        let oldest = self.ages.front().filter(|_| rows > 0).map_or(0, |(_, since)| now_ms - since);
        Lag { rows, oldest_ms: u64::try_from(oldest).unwrap_or(0) }
    }
}
