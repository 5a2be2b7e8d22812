//! Rolling windows: what was spent and is reserved for each scope value.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::amount::{Amount, Range};

/// The source of the current time; tests set it by hand.
#[derive(Debug, Clone, Default)]
pub(super) enum Clock {
    #[default]
    System,
    #[cfg(test)]
    Manual(Arc<std::sync::Mutex<Instant>>),
}

impl Clock {
    pub fn now(&self) -> Instant {
        match self {
            Self::System => Instant::now(),
            #[cfg(test)]
            Self::Manual(now) => *now.lock().unwrap(),
        }
    }
}

#[derive(Debug)]
pub(super) struct Bucket {
    started: Instant,
    pub spent: Amount,
    /// What the active calls reserve. It outlives the window, as they do.
    pub reserved: Range,
    pub active_calls: usize,
    /// Active calls that reserve an upper bound instead of a count.
    pub uncounted: usize,
}

impl Bucket {
    fn new(now: Instant) -> Self {
        Self {
            started: now,
            spent: Amount::default(),
            reserved: Range::default(),
            active_calls: 0,
            uncounted: 0,
        }
    }

    fn expired(&self, duration: Duration, now: Instant) -> bool {
        now.saturating_duration_since(self.started) >= duration
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

/// The buckets of one window length.
#[derive(Debug)]
pub(super) struct Buckets<K> {
    duration: Duration,
    swept: Instant,
    by_key: HashMap<K, Bucket>,
}

impl<K: Hash + Eq> Buckets<K> {
    pub fn new(duration: Duration, now: Instant) -> Self {
        Self { duration, swept: now, by_key: HashMap::new() }
    }

    /// The bucket of `key`. Its window begins now if there is none, or if it is over.
    pub fn current(&mut self, key: K, now: Instant) -> &mut Bucket {
        self.sweep(now);
        let bucket = self.by_key.entry(key).or_insert_with(|| Bucket::new(now));
        if bucket.expired(self.duration, now) {
            bucket.started = now;
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
    pub fn committed<Q: Hash + Eq + ?Sized>(&self, key: &Q, now: Instant) -> Range
    where
        K: Borrow<Q>,
    {
        self.by_key.get(key).map_or_else(Range::default, |bucket| {
            let spent = if bucket.expired(self.duration, now) { Amount::default() } else { bucket.spent };
            Range::from(spent) + bucket.reserved
        })
    }

    /// Those whose window runs, or in which calls in flight reserve.
    pub fn in_use(&self, now: Instant) -> impl Iterator<Item = (&K, &Bucket)> {
        let is_used = move |bucket: &Bucket| bucket.active_calls > 0 || !bucket.expired(self.duration, now);
        self.by_key.iter().filter(move |(_, bucket)| is_used(bucket))
    }

    /// When the window of `bucket` ends; `None`: it is over.
    pub fn ends(&self, bucket: &Bucket, now: Instant) -> Option<Instant> {
        let ends = bucket.started + self.duration;
        (now < ends).then_some(ends)
    }

    pub fn spent(&self, now: Instant) -> Amount {
        let live = self.by_key.values().filter(|bucket| !bucket.expired(self.duration, now));
        live.fold(Amount::default(), |sum, bucket| sum + bucket.spent)
    }

    pub fn reserved(&self) -> Amount {
        self.by_key.values().fold(Amount::default(), |sum, bucket| sum + bucket.reserved.high)
    }

    /// Keys are user input: once per window length, those out of use are forgotten.
    fn sweep(&mut self, now: Instant) {
        if now.saturating_duration_since(self.swept) < self.duration {
            return;
        }
        self.swept = now;
        self.by_key.retain(|_, bucket| bucket.active_calls > 0 || !bucket.expired(self.duration, now));
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
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn one_token() -> Amount {
        Amount { input: 1, ..Amount::default() }
    }

    #[test]
    fn window_begins_with_its_first_use_and_ends_after_its_length() {
        let start = Instant::now();
        let mut buckets = Buckets::new(HOUR, start - HOUR / 2);
        buckets.current("k", start).spent += one_token();
        let before = start + HOUR - Duration::from_nanos(1);
        assert_eq!(buckets.current("k", before).spent, one_token());
        assert_eq!(buckets.spent(before), one_token());
        assert_eq!(buckets.spent(start + HOUR), Amount::default());
        assert_eq!(buckets.current("k", start + HOUR).spent, Amount::default());
    }

    #[test]
    fn expired_buckets_are_forgotten_unless_a_call_is_active() {
        let start = Instant::now();
        let mut buckets = Buckets::new(HOUR, start);
        for key in 0..1000 {
            buckets.current(key, start).spent += one_token();
        }
        buckets.current(7, start).reserve(Range::from(one_token()), true);
        buckets.current(5000, start + HOUR);
        assert_eq!(buckets.len(), 2);
        assert_eq!(buckets.current(7, start + HOUR).spent, Amount::default());
        assert_eq!(buckets.reserved(), one_token());
    }
}
