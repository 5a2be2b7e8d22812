//! A store whose calls are timed and whose log lines are kept.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gateway_engine::state::{
    Counter, CounterState, CounterWindow, Exchange, GrantRule, LeaseRequest, Spent, StateStore, StoreError,
};
use gateway_store::redis::{RedisSettings, RedisStore};

/// What a call may take that waits for a store: its bound of 150 ms, on a machine that is busy.
pub const LONGEST_CALL: Duration = Duration::from_millis(300);
/// Within which a store is found that is there again, and a moment for this machine.
pub const FOUND_AGAIN: Duration = Duration::from_millis(1_100);

pub struct Watched {
    pub store: Arc<RedisStore>,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Watched {
    pub fn new(url: &str) -> Self {
        Self::with(url, None)
    }

    pub fn with(url: &str, extra_roots: Option<Vec<u8>>) -> Self {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let written = lines.clone();
        let say = Arc::new(move |line| written.lock().unwrap().push(line));
        let settings = RedisSettings { extra_roots, ..RedisSettings::new(say) };
        Self { store: Arc::new(RedisStore::new(url, settings).unwrap()), lines }
    }

    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// A step with the counter `key`, which is never too long under way.
    pub async fn step(&self, key: &str, spent: Option<Spent>) -> Result<CounterState, StoreError> {
        let counter = Counter { key: key.into(), window: CounterWindow::Rolling { length_ms: 3_600_000 } };
        let keep = [1; 4];
        let lease = Some(LeaseRequest { keep, want: keep, spare: [0; 4], rule: GrantRule::Always });
        let start = Instant::now();
        let states = self.store.exchange("node", &[Exchange { counter, spent, lease }]).await;
        let took = start.elapsed();
        assert!(took < LONGEST_CALL, "a call took {took:?}: {states:?}");
        states.map(|states| states[0])
    }

    pub async fn call(&self) -> Result<CounterState, StoreError> {
        self.step("counter", None).await
    }

    /// Calls until the store is known to be away, which takes three of them at most; gives the last error.
    pub async fn goes_away(&self) -> StoreError {
        let mut failed = 0;
        loop {
            let Err(error) = self.call().await else {
                assert_eq!(failed, 0, "a call succeeded between failures");
                continue;
            };
            failed += 1;
            if self.store.is_away() {
                self.fails_at_once().await;
                return error;
            }
            assert!(failed < 3, "it is not away after {failed} failures");
        }
    }

    pub async fn fails_at_once(&self) {
        let start = Instant::now();
        for _ in 0..100 {
            assert!(self.call().await.is_err());
        }
        let took = start.elapsed();
        assert!(took < Duration::from_millis(100), "100 calls took {took:?}");
    }

    /// It is found without a call, and then answers.
    pub async fn comes_back(&self) -> CounterState {
        let start = Instant::now();
        while self.store.is_away() {
            assert!(start.elapsed() < FOUND_AGAIN, "it is still away after {:?}", start.elapsed());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.call().await.unwrap()
    }
}

/// Whether a text has each of these parts.
pub fn assert_says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
}
