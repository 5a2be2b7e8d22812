use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::{Log, lock};

/// How often the same condition is told.
const EVERY: Duration = Duration::from_secs(60);

/// How long the end of a condition is still worth a line.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Lines for the operator: of each condition one a minute, however often it comes and goes.
pub(super) struct Notices {
    log: Log,
    told: Mutex<HashMap<String, Told>>,
}

struct Told {
    at: Instant,
    /// Its end was not told yet.
    stands: bool,
}

impl Notices {
    pub fn new(log: Log) -> Self {
        Self { log, told: Mutex::new(HashMap::new()) }
    }

    pub fn tell(&self, condition: &str, line: impl FnOnce() -> String) {
        let now = Instant::now();
        let mut told = lock(&self.told);
        if told.get(condition).is_some_and(|last| now.duration_since(last.at) < EVERY) {
            return;
        }
        told.retain(|_, last| now.duration_since(last.at) < if last.stands { LONGEST } else { EVERY });
        told.insert(condition.to_owned(), Told { at: now, stands: true });
        drop(told);
        (self.log)(line());
    }

    /// The condition is over, which is told if the condition was.
    pub fn over(&self, condition: &str, line: impl FnOnce() -> String) {
        let mut told = lock(&self.told);
        let stood = told.get_mut(condition).is_some_and(|last| std::mem::take(&mut last.stands));
        drop(told);
        if stood {
            (self.log)(line());
        }
    }
}
