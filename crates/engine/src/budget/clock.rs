//! The time, as budgets see it.

use std::time::Instant;

use crate::wall_clock::since_epoch;

/// One moment on both clocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    /// Never goes back, and knows no calendar.
    pub at: Instant,
    /// Milliseconds since the Unix epoch; may jump when the machine's clock is set.
    pub wall_ms: i64,
}

impl Moment {
    pub fn now() -> Self {
        let wall_ms = i64::try_from(since_epoch().as_millis()).unwrap_or(i64::MAX);
        Self { at: Instant::now(), wall_ms }
    }
}

/// The source of the current time; tests set it by hand.
#[derive(Debug, Clone, Default)]
pub(super) enum Clock {
    #[default]
    System,
    #[cfg(test)]
    Manual(std::sync::Arc<std::sync::Mutex<Moment>>),
}

impl Clock {
    pub fn now(&self) -> Moment {
        match self {
            Self::System => Moment::now(),
            #[cfg(test)]
            Self::Manual(now) => *now.lock().unwrap(),
        }
    }
}
