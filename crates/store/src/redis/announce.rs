//! Log lines about the store: one a minute, and not one a call.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use gateway_engine::state::StoreError;

/// Where log lines go.
pub type Say = Arc<dyn Fn(String) + Send + Sync>;

const PAUSE: Duration = Duration::from_secs(60);

/// What was said last, and what has happened since.
#[derive(Default)]
struct Said {
    /// When a line last said that something is wrong.
    at: Option<Instant>,
    /// Whether that line still waits for the one that says it is well again.
    is_open: bool,
    /// Calls that failed since that line.
    calls: u64,
}

pub(super) struct Announcer {
    say: Say,
    said: Mutex<Said>,
}

impl Announcer {
    pub fn new(say: Say) -> Self {
        Self { say, said: Mutex::default() }
    }

    /// The store is away, or a call found that it still is.
    pub fn away(&self, error: &StoreError) {
        self.away_at(Instant::now(), error);
    }

    fn away_at(&self, now: Instant, error: &StoreError) {
        let line = {
            let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
            if said.at.is_some_and(|at| now.saturating_duration_since(at) < PAUSE) {
                return;
            }
            let since = match said.calls {
                0 => String::new(),
                calls => format!("; calls that failed since: {calls}"),
            };
            *said = Said { at: Some(now), is_open: true, calls: 0 };
            format!("state store {} is away: {}{since}", error.store, error.message)
        };
        (self.say)(line);
    }

    /// A call failed at once or by being too late.
    pub fn count(&self) {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).calls += 1;
    }

    /// The store does what it is asked for.
    pub fn back(&self, store: &str) {
        let calls = {
            let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
            if !said.is_open {
                return;
            }
            said.is_open = false;
            std::mem::take(&mut said.calls)
        };
        (self.say)(format!("state store {store} is back; calls that failed meanwhile: {calls}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_minute_tells_what_happened_since_the_last_one() {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let written = lines.clone();
        let announcer = Announcer::new(Arc::new(move |line| written.lock().unwrap().push(line)));
        let error = StoreError::away("redis://host", "it is gone");
        let start = Instant::now();
        announcer.back("redis://host");
        for second in 0..61 {
            announcer.away_at(start + Duration::from_secs(second), &error);
            announcer.count();
        }
        announcer.back("redis://host");
        announcer.back("redis://host");
        announcer.away_at(start + Duration::from_secs(70), &error);
        announcer.back("redis://host");
        assert_eq!(
            *lines.lock().unwrap(),
            [
                "state store redis://host is away: it is gone",
                "state store redis://host is away: it is gone; calls that failed since: 60",
                "state store redis://host is back; calls that failed meanwhile: 1",
            ]
        );
    }
}
