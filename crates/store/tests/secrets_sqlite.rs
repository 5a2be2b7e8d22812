//! Processes that are killed while they change the master key of an SQLite file.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use gateway_store::secrets::{MasterKey, SecretError, Vault};
use gateway_store::sqlite::{Role, SqliteStore};
use rand::Rng;

const FILE: &str = "SECRETS_TEST_FILE";
const KEYS: &str = "SECRETS_TEST_KEYS";

fn master(text: &str) -> MasterKey {
    MasterKey::new(text).unwrap()
}

async fn unlock(path: &Path, key: &str) -> Result<Vault, SecretError> {
    let store = SqliteStore::open(&format!("sqlite:{}", path.display()), Role::Both).await.unwrap();
    Vault::unlock(Arc::new(store), &master(key), &[]).await
}

/// The child: changes the master key back and forth until it is killed.
#[tokio::test]
#[ignore = "started by another test"]
async fn child() {
    let (Ok(file), Ok(keys)) = (std::env::var(FILE), std::env::var(KEYS)) else { return };
    let keys: Vec<&str> = keys.split(' ').collect();
    let vault = unlock(Path::new(&file), keys[0]).await.unwrap();
    std::fs::write(format!("{file}.begun"), "").unwrap();
    for turn in 1.. {
        vault.change_master_key(&master(keys[turn % 2])).await.unwrap();
    }
}

#[tokio::test]
async fn a_kill_in_a_change_leaves_all_as_before_or_all_as_after() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway.db");
    let mut keys = ["one", "two"];
    let vault = unlock(&path, keys[0]).await.unwrap();
    for number in 0..60 {
        vault.store(&format!("r{number}"), "f", b"secret").await.unwrap();
    }
    let begun = folder.path().join("gateway.db.begun");
    for _ in 0..4 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--ignored"])
            .env(FILE, &path)
            .env(KEYS, keys.join(" "))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        while !begun.exists() {
            assert!(child.try_wait().unwrap().is_none(), "the child ended by itself");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::time::sleep(Duration::from_millis(rand::rng().random_range(100..900))).await;
        child.kill().unwrap();
        child.wait().unwrap();
        std::fs::remove_file(&begun).unwrap();
        let vault = match unlock(&path, keys[0]).await {
            Ok(vault) => vault,
            Err(SecretError::WrongMasterKey { .. }) => {
                keys.reverse();
                unlock(&path, keys[0]).await.unwrap()
            }
            Err(error) => panic!("{error}"),
        };
        for number in 0..60 {
            let opened = vault.secret(&format!("r{number}"), "f").await.unwrap().unwrap();
            assert_eq!(opened.as_slice(), b"secret");
        }
    }
}
