//! Encrypted secrets in an SQLite file.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod sqlite;

use std::fs;
use std::sync::Arc;

use gateway_engine::records::Recorder;
use gateway_store::secrets::{MasterKey, SecretError, SecretRecords, Vault};
use gateway_store::sqlite::{Role, SqliteStore};
use sqlite::{Folder, integers, open};

async fn store(folder: &Folder) -> Arc<SqliteStore> {
    Arc::new(SqliteStore::open(&folder.url(), Role::Records).await.unwrap())
}

fn master(text: &str) -> MasterKey {
    MasterKey::new(text).unwrap()
}

#[tokio::test]
async fn secrets_outlast_the_process_and_the_change_of_the_master_key() {
    let folder = Folder::new();
    let first = store(&folder).await;
    let vault = Vault::unlock(first.clone(), &master("first"), &[]).await.unwrap();
    vault.store("config", "token", b"sk-secret-1").await.unwrap();
    vault.store("config", "token", b"sk-secret-2").await.unwrap();
    vault.store("config", "other", b"sk-secret-3").await.unwrap();
    vault.remove("config", "other").await.unwrap();
    // A channel's secret is one, too.
    let sealed = vault.keyring().seal("secret-1", "key", b"sk-channel").unwrap();
    let mut file = open(&folder).await;
    for (sql, ciphertext) in [
        (
            "INSERT INTO channels (id, name, entry, disabled, created_at, updated_at, version) VALUES ('c', 'c', '{}', 0, 0, 0, 1)",
            None,
        ),
        (
            "INSERT INTO channel_secrets (id, channel_id, place, ciphertext, hint, created_at) VALUES ('secret-1', 'c', 0, ?, '', 0)",
            Some(sealed),
        ),
    ] {
        let query = sqlx::query(sql);
        let query = match ciphertext {
            Some(ciphertext) => query.bind(ciphertext),
            None => query,
        };
        query.execute(&mut file).await.unwrap();
    }
    let stale = Vault::unlock(first.clone(), &master("first"), &[]).await.unwrap();
    assert_eq!(vault.change_master_key(&master("second")).await.unwrap(), 2);
    assert!(stale.store("config", "late", b"sk").await.is_err(), "its key is no longer the newest");
    assert!(stale.change_master_key(&master("third")).await.is_err());
    Recorder::close(&*first).await;

    let again = store(&folder).await;
    let wrong = Vault::unlock(again.clone(), &master("first"), &[]).await;
    assert!(matches!(wrong.err(), Some(SecretError::WrongMasterKey { .. })));
    let vault = Vault::unlock(again.clone(), &master("second"), &[]).await.unwrap();
    assert_eq!(vault.secret("config", "token").await.unwrap().unwrap().as_slice(), b"sk-secret-2");
    assert_eq!(vault.secret("config", "other").await.unwrap(), None);
    let sealed: Vec<u8> = sqlx::Row::get(
        &sqlx::query("SELECT ciphertext FROM channel_secrets").fetch_one(&mut file).await.unwrap(),
        0,
    );
    assert_eq!(vault.keyring().open("secret-1", "key", &sealed).unwrap().as_slice(), b"sk-channel");
    drop(file);
    Recorder::close(&*again).await;
    for entry in fs::read_dir(folder.file("")).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(9).any(|part| part == b"sk-secret"), "nothing is kept as it is");
    }
}

#[tokio::test]
async fn a_secret_that_cannot_be_sealed_anew_leaves_all_as_they_were() {
    let folder = Folder::new();
    let store = store(&folder).await;
    let vault = Vault::unlock(store.clone(), &master("first"), &[]).await.unwrap();
    vault.store("a", "token", b"one").await.unwrap();
    vault.store("b", "token", b"two").await.unwrap();
    let mut file = open(&folder).await;
    sqlx::query("UPDATE secrets SET ciphertext = x'00' WHERE record = 'b'").execute(&mut file).await.unwrap();
    assert!(vault.change_master_key(&master("second")).await.is_err());
    assert_eq!(vault.secret("a", "token").await.unwrap().unwrap().as_slice(), b"one");
    assert_eq!(integers(&mut file, "SELECT MAX(id), COUNT(*) FROM encryption_keys").await, [1, 1]);
    let keys = store.keys().await.unwrap();
    store.add_first_key(&keys[0]).await.unwrap();
    assert_eq!(store.keys().await.unwrap(), keys);
    vault.store("a", "token", b"three").await.unwrap();
}
