//! A deadline that many threads look at and few set.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// Deadlines are stored as microseconds since then.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// A deadline, or none (0). Looking costs next to nothing while none is set.
#[derive(Debug, Default)]
pub struct AtomicDeadline(AtomicU64);

impl AtomicDeadline {
    pub fn set(&self, deadline: Instant) {
        self.0.store(micros(deadline).max(1), Ordering::Release);
    }

    /// Sets a later deadline; an earlier one changes nothing.
    pub fn extend(&self, deadline: Instant) {
        self.0.fetch_max(micros(deadline).max(1), Ordering::AcqRel);
    }

    pub fn clear(&self) {
        self.0.store(0, Ordering::Release);
    }

    /// Whether the deadline is still to come.
    #[inline]
    pub fn is_ahead(&self) -> bool {
        self.remaining().is_some()
    }

    /// Time until the deadline; `None` when it has passed or none is set.
    #[inline]
    pub fn remaining(&self) -> Option<Duration> {
        let deadline = self.0.load(Ordering::Acquire);
        // Reads the clock only where a deadline is set, and out of line: picks ask this of each of many targets.
        if deadline == 0 { None } else { remaining_until(deadline) }
    }
}

#[cold]
#[inline(never)]
fn remaining_until(deadline: u64) -> Option<Duration> {
    let remaining = deadline.saturating_sub(micros(Instant::now()));
    (remaining > 0).then(|| Duration::from_micros(remaining))
}

/// Rounds up: a deadline within the current microsecond has not passed.
fn micros(at: Instant) -> u64 {
    let since = at.saturating_duration_since(*START).as_nanos().div_ceil(1_000);
    u64::try_from(since).unwrap_or(u64::MAX)
}
