//! The time of the machine's clock, which may be set.

use std::time::{Duration, SystemTime};

/// Since the Unix epoch; nothing where the clock stands before it.
pub(crate) fn since_epoch() -> Duration {
    SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default()
}
