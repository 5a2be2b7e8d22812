//! Circuit breakers of nodes that share their state: one that opens here opens on the others, and the other way round.
//! Each node closes its own again, by its own probes.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use super::entry::Providers;
use super::health::{BreakerState, EntryHealth};
use crate::state::{Notice, StateStore, StoreError, digest};

const BOARD: &str = "breakers";

/// Between two looks at the board: what opens on one node is open on all within twice this time.
const INTERVAL: Duration = Duration::from_millis(250);

/// The breakers of a gateway, and the board where nodes tell each other of them.
pub struct SharedBreakers {
    store: Arc<dyn StateStore>,
    /// By service.
    entries: Mutex<HashMap<String, Arc<EntryHealth>>>,
}

/// What a notice says.
#[derive(Serialize, Deserialize)]
struct Opening {
    service: String,
    model: String,
    /// Unlike that of any other opening.
    id: String,
}

/// What a node has posted, and what it has done already.
#[derive(Default)]
struct Seen {
    /// Openings of own breakers that are posted, by notice.
    posted: HashMap<String, u64>,
    /// Ids by notice; own ones, too.
    heeded: HashMap<String, String>,
}

impl SharedBreakers {
    pub fn new(store: Arc<dyn StateStore>) -> Self {
        Self { store, entries: Mutex::default() }
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<String, Arc<EntryHealth>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Cares for the breakers of these entries from now on.
    pub fn watch(&self, providers: &Providers) {
        let entries = providers.iter().map(|(name, entry)| (entry.service(name), entry.health.clone()));
        *self.entries() = entries.collect();
    }

    /// Runs for ever.
    pub async fn keep(&self) {
        let mut seen = Seen::default();
        loop {
            if !self.store.is_away() {
                // What could not be told or heard now is with the next look.
                let _ = self.look(&mut seen).await;
            }
            sleep(INTERVAL).await;
        }
    }

    async fn look(&self, seen: &mut Seen) -> Result<(), StoreError> {
        let entries = self.entries().clone();
        let mut closed = HashSet::new();
        for (service, entry) in &entries {
            for (model, target) in entry.targets() {
                let (openings, left) = target.breaker().openings();
                if openings == 0 && seen.posted.is_empty() {
                    continue;
                }
                let name = digest(&[service, &model]);
                let before = seen.posted.get(&name).copied().unwrap_or(0);
                match left {
                    Some(left) if openings != before => {
                        let id = uuid::Uuid::new_v4().to_string();
                        let opening =
                            Opening { service: service.clone(), model: model.into(), id: id.clone() };
                        self.post(&name, &opening, left).await?;
                        seen.posted.insert(name.clone(), openings);
                        seen.heeded.insert(name, id);
                    }
                    None if before > 0 && target.state() == BreakerState::Closed => {
                        closed.insert(name);
                    }
                    _ => {}
                }
            }
        }
        self.heed(&entries, seen, &closed).await
    }

    async fn post(&self, name: &str, opening: &Opening, lasts: Duration) -> Result<(), StoreError> {
        let text = serde_json::to_string(opening).unwrap_or_default();
        let lasts_ms = i64::try_from(lasts.as_millis()).unwrap_or(i64::MAX);
        self.store.post(BOARD, &Notice { name: name.to_owned(), text, lasts_ms }).await
    }

    /// Opens what others have opened since the last look, and takes down what is true no more.
    async fn heed(
        &self,
        entries: &HashMap<String, Arc<EntryHealth>>,
        seen: &mut Seen,
        closed: &HashSet<String>,
    ) -> Result<(), StoreError> {
        let mut heeded = HashMap::new();
        for notice in self.store.notices(BOARD).await? {
            // A later program may write what this one cannot read.
            let Ok(opening) = serde_json::from_str::<Opening>(&notice.text) else { continue };
            if seen.heeded.get(&notice.name) == Some(&opening.id) {
                if closed.contains(&notice.name) && seen.posted.remove(&notice.name).is_some() {
                    // A check has closed it before its time; who starts now need not open it.
                    self.store.post(BOARD, &Notice { lasts_ms: 0, ..notice.clone() }).await?;
                }
            } else if let Some(entry) = entries.get(&opening.service) {
                let left = Duration::from_millis(u64::try_from(notice.lasts_ms).unwrap_or(0));
                entry.target(&opening.model).breaker().open_for(left);
            }
            heeded.insert(notice.name, opening.id);
        }
        seen.heeded = heeded;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::health::{Guard, Outcome};
    use super::*;
    use crate::state::played_store::PlayedStore;
    use gateway_model::error::GatewayError;

    const COOLDOWN: u64 = 8_000;

    struct Node {
        breakers: SharedBreakers,
        health: Arc<EntryHealth>,
        seen: Seen,
    }

    impl Node {
        fn of(store: &Arc<PlayedStore>, service: &str) -> Self {
            let entry = serde_json::json!({
                "name": "p", "provider": "openai",
                "breaker": {"failureThreshold": 2, "cooldownMs": COOLDOWN, "probesToClose": 1},
            });
            let health = Arc::new(EntryHealth::of(&serde_json::from_value(entry).unwrap()));
            let breakers = SharedBreakers::new(store.clone());
            breakers.entries().insert(service.to_owned(), health.clone());
            Self { breakers, health, seen: Seen::default() }
        }

        async fn look(&mut self) {
            self.breakers.look(&mut self.seen).await.unwrap();
        }

        fn fails(&self) {
            for _ in 0..2 {
                let error = GatewayError::from_http_status("p", 500, "");
                self.health.target("m").begin(Guard::Breaker).unwrap().failed(&error.into());
            }
        }

        fn state(&self) -> BreakerState {
            self.health.target("m").state()
        }

        fn left_ms(&self) -> Option<u128> {
            self.health.target("m").breaker_blocked().map(|left| left.as_millis())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_breaker_that_opens_on_one_node_opens_on_the_others_once() {
        let store = Arc::new(PlayedStore::default());
        let (mut one, mut two, mut other) =
            (Node::of(&store, "s"), Node::of(&store, "s"), Node::of(&store, "another"));
        one.fails();
        one.look().await;
        tokio::time::advance(Duration::from_millis(250)).await;
        two.look().await;
        other.look().await;
        assert_eq!((two.state(), other.state()), (BreakerState::Open, BreakerState::Closed));
        assert_eq!(store.board.lock().unwrap().len(), 1, "what was heard is not told again");

        // Each closes its own: the notice that is still there opens it no second time.
        two.health.record_check(Outcome::Succeeded);
        two.look().await;
        assert_eq!(two.state(), BreakerState::Closed);
        assert_eq!(store.board.lock().unwrap().len(), 1, "it is the other's to take down");

        // It fails again on the second: a new opening, heard by the first, whose cooldown is as long as the later one's.
        two.fails();
        two.look().await;
        one.look().await;
        assert_eq!(one.left_ms(), Some(u128::from(COOLDOWN)));

        two.health.record_check(Outcome::Succeeded);
        two.look().await;
        assert_eq!(store.board.lock().unwrap().len(), 0, "who starts now has no reason to leave it alone");
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_starts_later_hears_what_is_open_for_as_long_as_it_is() {
        let store = Arc::new(PlayedStore::default());
        let mut one = Node::of(&store, "s");
        one.fails();
        one.look().await;
        for notice in &mut *store.board.lock().unwrap() {
            notice.lasts_ms = 3_000;
        }
        let mut two = Node::of(&store, "s");
        two.look().await;
        assert_eq!((two.state(), two.left_ms()), (BreakerState::Open, Some(3_000)));
        store.board.lock().unwrap()[0].text = "{}".to_owned();
        two.look().await;
    }
}
