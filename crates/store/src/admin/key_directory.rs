//! The client keys of a database as a process knows them: a call is checked without asking the database, and a change of keys
//! is known within half a second.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{AdminError, AdminRecords, ClientKey, SecretHash};
use crate::Report;

/// Between two questions whether keys were changed.
const INTERVAL: Duration = Duration::from_millis(400);

/// Between two lines about a database that is away.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);

/// Keys of one question to the database.
const PAGE: u32 = 1_000;

pub struct KeyDirectory {
    records: Arc<dyn AdminRecords>,
    /// `None`: they were never read.
    known: RwLock<Option<Arc<Known>>>,
    report: Report,
}

struct Known {
    version: i64,
    keys: HashMap<SecretHash, KnownKey>,
}

struct KnownKey {
    key: Arc<ClientKey>,
    /// Milliseconds since the epoch; `None`: until it is rotated.
    works_until: Option<i64>,
}

/// Why a secret opens nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyRefusal {
    #[error("the key is not one of this gateway's, or was revoked")]
    Unknown,
    #[error("the key has expired")]
    Expired,
    #[error("the gateway's keys could not be read yet, as its database is away")]
    NotReady,
}

impl KeyDirectory {
    pub fn new(records: Arc<dyn AdminRecords>, report: Report) -> Self {
        Self { records, known: RwLock::new(None), report }
    }

    /// The key whose secret this is; `now_ms`: milliseconds since the epoch.
    pub fn find(&self, secret: &str, now_ms: i64) -> Result<Arc<ClientKey>, KeyRefusal> {
        let known = self.known().ok_or(KeyRefusal::NotReady)?;
        let found = known.keys.get(&SecretHash::of(secret)).ok_or(KeyRefusal::Unknown)?;
        if found.works_until.is_some_and(|until| until <= now_ms) {
            return Err(KeyRefusal::Unknown);
        }
        if found.key.settings.expires_at.is_some_and(|at| at <= now_ms) {
            return Err(KeyRefusal::Expired);
        }
        Ok(found.key.clone())
    }

    /// Whether there is no key at all; `None`: that is not known yet.
    pub fn is_empty(&self) -> Option<bool> {
        self.known().map(|known| known.keys.is_empty())
    }

    /// Reads the keys where they were changed since the last time.
    pub async fn refresh(&self) -> Result<(), AdminError> {
        // Asked for first: what is changed while the keys are read is found with the next question.
        let version = self.records.keys_version().await?;
        if self.known().is_some_and(|known| known.version == version) {
            return Ok(());
        }
        let known = Known { version, keys: self.read().await? };
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(known));
        Ok(())
    }

    /// Keeps up with changes, for ever. While the database is away the keys stay as they were last known: calls are not lost
    /// with it.
    pub async fn keep(&self) {
        let mut reported: Option<Instant> = None;
        loop {
            match self.refresh().await {
                Ok(()) if reported.take().is_some() => (self.report)("client keys are read again".to_owned()),
                Ok(()) => {}
                Err(_) if reported.is_some_and(|at| at.elapsed() < REPORT_INTERVAL) => {}
                Err(error) => {
                    reported = Some(Instant::now());
                    (self.report)(format!(
                        "client keys cannot be read, changes of them are not seen until they can: {error}"
                    ));
                }
            }
            sleep(INTERVAL).await;
        }
    }

    async fn read(&self) -> Result<HashMap<SecretHash, KnownKey>, AdminError> {
        let hashes = self.records.key_hashes().await?;
        let mut keys = HashMap::new();
        let mut after = None;
        loop {
            let page = self.records.keys(after.as_deref(), PAGE).await?;
            keys.extend(page.items.into_iter().map(|key| (key.id.clone(), Arc::new(key))));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let known = hashes.into_iter().filter_map(|hash| {
            // One that was made since the hashes were read is found with the next question.
            let key = keys.get(&hash.key_id).filter(|key| key.revoked_at.is_none())?.clone();
            let known = KnownKey { key, works_until: hash.works_until };
            SecretHash::try_from(&*hash.hash).ok().map(|hash| (hash, known))
        });
        Ok(known.collect())
    }

    fn known(&self) -> Option<Arc<Known>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
