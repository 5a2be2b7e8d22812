//! Windows, rolling ones and those of the calendar: what was spent and is reserved for each scope value.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::amount::{Amount, Range};
use super::clock::Moment;
use gateway_model::config::BudgetWindow;

/// As far as a clock may have been set right while a window ran: a calendar window that is over is not begun again by a
/// clock that still shows its last minutes.
const CLOCK_SLACK_MS: i64 = 3_600_000;

/// When a window is over.
#[derive(Debug, Clone, Copy)]
struct End {
    /// Decides. A window that has begun lasts as long as it was to last, whatever becomes of the wall clock.
    at: Instant,
    /// What the calendar calls it, in milliseconds since the Unix epoch; `None`: the window rolls.
    calendar: Option<i64>,
}

impl End {
    /// Of the window that begins now; `before` is the end of the one before.
    fn of(window: &BudgetWindow, now: Moment, before: Option<Self>) -> Self {
        let wall = match before.and_then(|before| before.calendar) {
            Some(over) if (over - CLOCK_SLACK_MS..over).contains(&now.wall_ms) => over,
            _ => now.wall_ms,
        };
        match window.calendar_span(wall) {
            Some(span) => {
                let left = u64::try_from(span.ends.saturating_sub(wall)).unwrap_or_default();
                Self { at: now.at + Duration::from_millis(left), calendar: Some(span.ends) }
            }
            None => Self { at: now.at + window.duration().unwrap_or_default(), calendar: None },
        }
    }

    /// In milliseconds since the Unix epoch.
    fn wall_ms(&self, now: Moment) -> i64 {
        let left = self.at.saturating_duration_since(now.at).as_millis();
        let reckoned = now.wall_ms.saturating_add(i64::try_from(left).unwrap_or(i64::MAX));
        // The calendar's own word, unless the wall clock was set since.
        self.calendar.filter(|named| named.abs_diff(reckoned) < 1_000).unwrap_or(reckoned)
    }
}

#[derive(Debug)]
pub(super) struct Bucket {
    ends: End,
    pub spent: Amount,
    /// What the active calls reserve. It outlives the window, as they do.
    pub reserved: Range,
    pub active_calls: usize,
    /// Active calls that reserve an upper bound instead of a count.
    pub uncounted: usize,
    /// What other nodes hold, where the count is shared.
    pub others: Amount,
    /// The key of the counter that nodes share.
    pub share: Option<Arc<str>>,
}

impl Bucket {
    fn new(ends: End) -> Self {
        Self {
            ends,
            spent: Amount::default(),
            reserved: Range::default(),
            active_calls: 0,
            uncounted: 0,
            others: Amount::default(),
            share: None,
        }
    }

    fn expired(&self, now: Moment) -> bool {
        now.at >= self.ends.at
    }

    /// Ends the window where the store says that it does.
    pub fn ends_at(&mut self, at: Instant) {
        self.ends.at = at;
    }

    pub fn reserve(&mut self, range: Range, counted: bool) {
        self.reserved += range;
        self.active_calls += 1;
        self.uncounted += usize::from(!counted);
    }

    pub fn release(&mut self, range: Range, counted: bool) {
        self.reserved -= range;
        self.active_calls = self.active_calls.saturating_sub(1);
        self.uncounted = self.uncounted.saturating_sub(usize::from(!counted));
    }
}

/// The buckets of one window.
#[derive(Debug)]
pub(super) struct Buckets<K> {
    window: BudgetWindow,
    swept: Instant,
    by_key: HashMap<K, Bucket>,
}

impl<K: Hash + Eq> Buckets<K> {
    pub fn new(window: BudgetWindow, now: Moment) -> Self {
        Self { window, swept: now.at, by_key: HashMap::new() }
    }

    /// The bucket of `key`. Its window begins now if there is none, or if it is over.
    pub fn current(&mut self, key: K, now: Moment) -> &mut Bucket {
        self.sweep(now);
        let window = &self.window;
        let bucket = self.by_key.entry(key).or_insert_with(|| Bucket::new(End::of(window, now, None)));
        if bucket.expired(now) {
            bucket.ends = End::of(window, now, Some(bucket.ends));
            bucket.spent = Amount::default();
        }
        bucket
    }

    pub fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<&Bucket>
    where
        K: Borrow<Q>,
    {
        self.by_key.get(key)
    }

    pub fn get_mut<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<&mut Bucket>
    where
        K: Borrow<Q>,
    {
        self.by_key.get_mut(key)
    }

    /// What was spent in the window of `key` plus what active calls reserve. Begins no window.
    pub fn committed<Q: Hash + Eq + ?Sized>(&self, key: &Q, now: Moment) -> Range
    where
        K: Borrow<Q>,
    {
        self.by_key.get(key).map_or_else(Range::default, |bucket| {
            let spent = if bucket.expired(now) { Amount::default() } else { bucket.spent };
            Range::from(spent + bucket.others) + bucket.reserved
        })
    }

    /// Those whose window runs, or in which calls in flight reserve.
    pub fn in_use(&self, now: Moment) -> impl Iterator<Item = (&K, &Bucket)> {
        let is_used = move |bucket: &Bucket| bucket.active_calls > 0 || !bucket.expired(now);
        self.by_key.iter().filter(move |(_, bucket)| is_used(bucket))
    }

    /// When the window of `bucket` ends, in milliseconds since the Unix epoch. `None`: it is over.
    pub fn ends(&self, bucket: &Bucket, now: Moment) -> Option<i64> {
        (!bucket.expired(now)).then(|| bucket.ends.wall_ms(now))
    }

    /// When the calendar's window that holds now ends; `None`: no window runs until a call begins it.
    pub fn ends_unused(&self, now: Moment) -> Option<i64> {
        self.window.calendar_span(now.wall_ms).map(|span| span.ends)
    }

    pub fn spent(&self, now: Moment) -> Amount {
        let live = self.by_key.values().filter(|bucket| !bucket.expired(now));
        live.fold(Amount::default(), |sum, bucket| sum + bucket.spent)
    }

    pub fn reserved(&self) -> Amount {
        self.by_key.values().fold(Amount::default(), |sum, bucket| sum + bucket.reserved.high)
    }

    /// Keys are user input: once per window length, those out of use are forgotten.
    fn sweep(&mut self, now: Moment) {
        if now.at.saturating_duration_since(self.swept) < self.window.duration().unwrap_or_default() {
            return;
        }
        self.swept = now.at;
        self.by_key.retain(|_, bucket| bucket.active_calls > 0 || !bucket.expired(now));
        if self.by_key.len() < self.by_key.capacity() / 4 {
            self.by_key.shrink_to_fit();
        }
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    #[cfg(test)]
    pub fn values(&self) -> impl Iterator<Item = &Bucket> {
        self.by_key.values()
    }
}

impl Buckets<Arc<str>> {
    /// `name` as a key; copied only if it has no bucket yet.
    pub fn key(&self, name: &str) -> Arc<str> {
        self.by_key.get_key_value(name).map_or_else(|| Arc::from(name), |(key, _)| Arc::clone(key))
    }
}

#[cfg(test)]
mod tests;
