use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::{Log, lock};

/// How often the same condition is told.
const EVERY: Duration = Duration::from_secs(60);

/// Lines for the operator: of each condition one a minute, however often it occurs.
pub(super) struct Notices {
    log: Log,
    told: Mutex<HashMap<String, Instant>>,
}

impl Notices {
    pub fn new(log: Log) -> Self {
        Self { log, told: Mutex::new(HashMap::new()) }
    }

    pub fn tell(&self, condition: &str, line: impl FnOnce() -> String) {
        let now = Instant::now();
        let mut told = lock(&self.told);
        if told.get(condition).is_some_and(|last| now.duration_since(*last) < EVERY) {
            return;
        }
        told.retain(|_, last| now.duration_since(*last) < EVERY);
        told.insert(condition.to_owned(), now);
        drop(told);
        (self.log)(line());
    }

    /// The condition is over: it is told at once when it comes again.
    pub fn over(&self, condition: &str, line: impl FnOnce() -> String) {
        if lock(&self.told).remove(condition).is_some() {
            (self.log)(line());
        }
    }
}
