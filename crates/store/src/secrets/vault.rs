use std::sync::{Arc, PoisonError, RwLock};

use futures::future::BoxFuture;
use gateway_engine::state::StoreError;
use zeroize::Zeroizing;

use super::{KeyRecord, Keyring, MasterKey, SecretError};

/// A secret as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedSecret {
    pub record: String,
    pub field: String,
    pub sealed: Vec<u8>,
}

/// Seals a secret anew.
pub type Reseal<'a> = dyn Fn(&SealedSecret) -> Result<Vec<u8>, SecretError> + Send + Sync + 'a;

/// Where sealed secrets and the records of their keys are stored.
pub trait SecretRecords: Send + Sync {
    fn keys(&self) -> BoxFuture<'_, Result<Vec<KeyRecord>, StoreError>>;

    /// Stores the first key record, unless there is one: then that one stays.
    fn add_first_key<'a>(&'a self, key: &'a KeyRecord) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Stores a secret in the place of the one there was. Fails when `key` is no longer the newest key: another process has
    /// changed the master key.
    fn put<'a>(&'a self, key: u32, secret: &'a SealedSecret) -> BoxFuture<'a, Result<(), StoreError>>;

    fn get<'a>(
        &'a self,
        record: &'a str,
        field: &'a str,
    ) -> BoxFuture<'a, Result<Option<Vec<u8>>, StoreError>>;

    fn remove<'a>(&'a self, record: &'a str, field: &'a str) -> BoxFuture<'a, Result<(), StoreError>>;

    /// In one transaction: every secret is replaced by what `reseal` makes of it, and all key records by `new`; answers
    /// how many secrets there were. Fails, and changes nothing, when `former` is no longer the newest key.
    fn replace_key<'a>(
        &'a self,
        former: u32,
        new: &'a KeyRecord,
        reseal: &'a Reseal<'a>,
    ) -> BoxFuture<'a, Result<usize, SecretError>>;
}

/// The secrets of a database, unlocked with its master key.
pub struct Vault {
    records: Arc<dyn SecretRecords>,
    keyring: RwLock<Arc<Keyring>>,
}

impl Vault {
    /// Makes the keys of the master key, once; a database without a key gets its first.
    pub async fn unlock(
        records: Arc<dyn SecretRecords>,
        master: &MasterKey,
        former: &[MasterKey],
    ) -> Result<Self, SecretError> {
        loop {
            let keys = records.keys().await?;
            let (master, former) = (master.clone(), former.to_vec());
            if keys.is_empty() {
                let (_, first) = in_the_background(move || Keyring::create(&master)).await?;
                records.add_first_key(&first).await?;
                // Whose key it became, is what is read next: several processes may have tried.
                continue;
            }
            let keyring = in_the_background(move || Keyring::unlock(&keys, &master, &former)).await?;
            if let Some(keyring) = keyring {
                return Ok(Self { records, keyring: RwLock::new(Arc::new(keyring)) });
            }
        }
    }

    pub fn keyring(&self) -> Arc<Keyring> {
        self.keyring.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub async fn store(&self, record: &str, field: &str, secret: &[u8]) -> Result<(), SecretError> {
        let keyring = self.keyring();
        let sealed = keyring.seal(record, field, secret)?;
        let secret = SealedSecret { record: record.into(), field: field.into(), sealed };
        Ok(self.records.put(keyring.newest(), &secret).await?)
    }

    pub async fn secret(&self, record: &str, field: &str) -> Result<Option<Zeroizing<Vec<u8>>>, SecretError> {
        let sealed = self.records.get(record, field).await?;
        sealed.map(|sealed| self.keyring().open(record, field, &sealed)).transpose()
    }

    pub async fn remove(&self, record: &str, field: &str) -> Result<(), SecretError> {
        Ok(self.records.remove(record, field).await?)
    }

    /// Encrypts every secret anew, under a key made of `new`; answers how many. Other processes on the same database have
    /// to start again with the new master key.
    pub async fn change_master_key(&self, new: &MasterKey) -> Result<usize, SecretError> {
        let (former, master) = (self.keyring(), new.clone());
        let ring = former.clone();
        let (successor, record) = in_the_background(move || ring.successor(&master)).await?;
        let reseal = |secret: &SealedSecret| {
            let plain = former.open(&secret.record, &secret.field, &secret.sealed)?;
            successor.seal(&secret.record, &secret.field, &plain)
        };
        let count = self.records.replace_key(former.newest(), &record, &reseal).await?;
        *self.keyring.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(successor);
        Ok(count)
    }
}

/// On a thread that nobody waits for: making a key takes some tenths of a second of a processor.
async fn in_the_background<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SecretError> + Send + 'static,
) -> Result<T, SecretError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err(SecretError::Derivation("the thread that made it was ended".into())))
}
