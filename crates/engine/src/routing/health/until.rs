//! A moment that many look at and few set.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// Moments are told as microseconds since then.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Until when something holds; looking costs next to nothing while nothing does.
#[derive(Debug, Default)]
pub struct Until(AtomicU64);

impl Until {
    pub fn set(&self, until: Instant) {
        self.0.store(micros(until).max(1), Ordering::Release);
    }

    /// Not before an earlier `set` says.
    pub fn extend(&self, until: Instant) {
        self.0.fetch_max(micros(until).max(1), Ordering::AcqRel);
    }

    pub fn clear(&self) {
        self.0.store(0, Ordering::Release);
    }

    /// [`Until::left`], without saying how long.
    #[inline]
    pub fn holds(&self) -> bool {
        self.left().is_some()
    }

    /// How long it still holds.
    #[inline]
    pub fn left(&self) -> Option<Duration> {
        let until = self.0.load(Ordering::Acquire);
        // The clock is read where something was set, and out of line: picks ask this of each of many targets.
        if until == 0 { None } else { left_until(until) }
    }
}

#[cold]
#[inline(never)]
fn left_until(until: u64) -> Option<Duration> {
    let left = until.saturating_sub(micros(Instant::now()));
    (left > 0).then(|| Duration::from_micros(left))
}

/// Rounded up: what ends within a microsecond has not ended.
fn micros(at: Instant) -> u64 {
    let since = at.saturating_duration_since(*START).as_nanos().div_ceil(1_000);
    u64::try_from(since).unwrap_or(u64::MAX)
}
