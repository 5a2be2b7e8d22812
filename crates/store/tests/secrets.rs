//! The vault over records in memory, and key files under processes that race for them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use futures::future::{BoxFuture, FutureExt, ready};
use gateway_engine::state::StoreError;
use gateway_store::secrets::{
    KeyFile, KeyFileOrigin, KeyRecord, MasterKey, Reseal, SealedSecret, SecretError, SecretRecords, Vault,
};

#[derive(Clone, Default)]
struct Stored {
    keys: Vec<KeyRecord>,
    secrets: BTreeMap<(String, String), Vec<u8>>,
}

#[derive(Default)]
struct InMemory(Mutex<Stored>);

impl SecretRecords for InMemory {
    fn keys(&self) -> BoxFuture<'_, Result<Vec<KeyRecord>, StoreError>> {
        ready(Ok(self.0.lock().unwrap().keys.clone())).boxed()
    }

    fn add_first_key<'a>(&'a self, key: &'a KeyRecord) -> BoxFuture<'a, Result<(), StoreError>> {
        let mut stored = self.0.lock().unwrap();
        if stored.keys.is_empty() {
            stored.keys.push(key.clone());
        }
        ready(Ok(())).boxed()
    }

    fn put<'a>(&'a self, key: u32, secret: &'a SealedSecret) -> BoxFuture<'a, Result<(), StoreError>> {
        let mut stored = self.0.lock().unwrap();
        if stored.keys.last().unwrap().id != key {
            return ready(Err(StoreError::failed("memory", "the key was replaced"))).boxed();
        }
        stored.secrets.insert((secret.record.clone(), secret.field.clone()), secret.sealed.clone());
        ready(Ok(())).boxed()
    }

    fn get<'a>(
        &'a self,
        record: &'a str,
        field: &'a str,
    ) -> BoxFuture<'a, Result<Option<Vec<u8>>, StoreError>> {
        let found = self.0.lock().unwrap().secrets.get(&(record.into(), field.into())).cloned();
        ready(Ok(found)).boxed()
    }

    fn remove<'a>(&'a self, record: &'a str, field: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        self.0.lock().unwrap().secrets.remove(&(record.into(), field.into()));
        ready(Ok(())).boxed()
    }

    fn replace_key<'a>(
        &'a self,
        former: u32,
        new: &'a KeyRecord,
        reseal: &'a Reseal<'a>,
    ) -> BoxFuture<'a, Result<usize, SecretError>> {
        let mut stored = self.0.lock().unwrap();
        let mut after = Stored { keys: vec![new.clone()], secrets: BTreeMap::new() };
        if stored.keys.last().unwrap().id != former {
            return ready(Err(StoreError::failed("memory", "the key was replaced").into())).boxed();
        }
        for ((record, field), sealed) in &stored.secrets {
            let secret =
                SealedSecret { record: record.clone(), field: field.clone(), sealed: sealed.clone() };
            match reseal(&secret) {
                Ok(sealed) => after.secrets.insert((record.clone(), field.clone()), sealed),
                Err(error) => return ready(Err(error)).boxed(),
            };
        }
        *stored = after;
        ready(Ok(stored.secrets.len())).boxed()
    }
}

fn master(text: &str) -> MasterKey {
    MasterKey::new(text).unwrap()
}

#[tokio::test]
async fn processes_that_unlock_a_new_database_at_once_have_one_key() {
    let records = Arc::new(InMemory::default());
    let one_key = master("one");
    let both = (Vault::unlock(records.clone(), &one_key, &[]), Vault::unlock(records.clone(), &one_key, &[]));
    let (first, second) = futures::future::join(both.0, both.1).await;
    first.unwrap().store("channel/1", "key", b"sk-1").await.unwrap();
    assert_eq!(second.unwrap().secret("channel/1", "key").await.unwrap().unwrap().as_slice(), b"sk-1");
    assert_eq!(records.0.lock().unwrap().keys.len(), 1);
}

#[tokio::test]
async fn a_changed_master_key_opens_what_the_former_one_sealed() {
    let records = Arc::new(InMemory::default());
    let vault = Vault::unlock(records.clone(), &master("one"), &[]).await.unwrap();
    let elsewhere = Vault::unlock(records.clone(), &master("one"), &[]).await.unwrap();
    vault.store("channel/1", "key", b"sk-1").await.unwrap();
    vault.store("channel/2", "key", b"sk-2").await.unwrap();
    assert_eq!(vault.change_master_key(&master("two")).await.unwrap(), 2);
    assert_eq!(vault.secret("channel/2", "key").await.unwrap().unwrap().as_slice(), b"sk-2");

    let wrong = Vault::unlock(records.clone(), &master("one"), &[]).await.err().unwrap();
    assert_eq!(wrong, SecretError::WrongMasterKey { key: 2 });
    let again = Vault::unlock(records.clone(), &master("two"), &[]).await.unwrap();
    assert_eq!(again.secret("channel/1", "key").await.unwrap().unwrap().as_slice(), b"sk-1");

    // A process of before neither reads what it has no key for, nor writes what nobody could read.
    let unread = elsewhere.secret("channel/1", "key").await.unwrap_err();
    assert!(matches!(unread, SecretError::UnknownKey { key: 2, .. }), "{unread}");
    assert!(elsewhere.store("channel/3", "key", b"sk-3").await.is_err());
    assert!(elsewhere.change_master_key(&master("three")).await.is_err());
}

#[tokio::test]
async fn a_damaged_secret_stops_the_change_and_nothing_is_changed() {
    let records = Arc::new(InMemory::default());
    let vault = Vault::unlock(records.clone(), &master("one"), &[]).await.unwrap();
    vault.store("channel/1", "key", b"sk-1").await.unwrap();
    vault.store("channel/2", "key", b"sk-2").await.unwrap();
    records.0.lock().unwrap().secrets.get_mut(&("channel/2".into(), "key".into())).unwrap()[20] ^= 1;
    let error = vault.change_master_key(&master("two")).await.unwrap_err();
    assert_eq!(error, SecretError::Damaged { record: "channel/2".into(), field: "key".into() });
    let again = Vault::unlock(records, &master("one"), &[]).await.unwrap();
    assert_eq!(again.secret("channel/1", "key").await.unwrap().unwrap().as_slice(), b"sk-1");
}

#[tokio::test]
async fn a_secret_moved_to_another_record_does_not_open() {
    let records = Arc::new(InMemory::default());
    let vault = Vault::unlock(records.clone(), &master("one"), &[]).await.unwrap();
    vault.store("channel/1", "key", b"sk-1").await.unwrap();
    let sealed = records.0.lock().unwrap().secrets[&("channel/1".into(), "key".into())].clone();
    records.0.lock().unwrap().secrets.insert(("channel/2".into(), "key".into()), sealed);
    assert!(matches!(vault.secret("channel/2", "key").await, Err(SecretError::Damaged { .. })));
    vault.remove("channel/1", "key").await.unwrap();
    assert!(vault.secret("channel/1", "key").await.unwrap().is_none());
}

#[test]
fn an_empty_master_key_is_refused() {
    assert_eq!(MasterKey::new(" \n").unwrap_err(), SecretError::EmptyMasterKey);
}

#[test]
fn a_key_file_is_made_once_however_many_make_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = KeyFile::path_beside(&folder.path().join("gateway.db"));
    assert_eq!(path, folder.path().join("gateway.db.key"));
    assert!(KeyFile::read(&path).unwrap().is_none());
    let files: Vec<KeyFile> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| KeyFile::read_or_make(&path).unwrap())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let made = files.iter().filter(|file| file.origin == KeyFileOrigin::Made).count();
    assert_eq!(made, 1);
    assert!(files.iter().all(|file| !file.exposed));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "drafts are removed");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.trim().len() == 64 && text.trim().bytes().all(|byte| byte.is_ascii_hexdigit()));
    assert!(!format!("{files:?}").contains(text.trim()));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(KeyFile::read(&path).unwrap().unwrap().exposed);
    }
}

#[test]
fn a_damaged_key_file_is_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway.db.key");
    for text in ["", "abc\n", &"g".repeat(64)] {
        std::fs::write(&path, text).unwrap();
        let error = KeyFile::read_or_make(&path).unwrap_err().to_string();
        assert!(error.contains("gateway.db.key") && error.contains("64 hexadecimal digits"), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }
}

#[test]
fn a_folder_that_is_not_there_is_told() {
    let error = KeyFile::read_or_make("/nowhere/gateway.db.key".as_ref()).unwrap_err().to_string();
    assert!(error.contains("/nowhere/gateway.db.key") && error.contains("GATEWAY_MASTER_KEY"), "{error}");
}
