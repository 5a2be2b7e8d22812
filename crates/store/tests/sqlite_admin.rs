//! Client keys, channels and the audit in an SQLite file.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod sqlite;

use gateway_store::admin::{
    AdminError, AdminRecords, ChannelSecret, ChannelSettings, ClientKey, KeySettings,
};
use gateway_store::secrets::{MasterKey, Vault};
use gateway_store::sqlite::{Role, SqliteStore};
use sqlite::{Folder, now_ms};

async fn store(folder: &Folder) -> SqliteStore {
    SqliteStore::open(&folder.url(), Role::Records).await.unwrap()
}

fn settings(name: &str) -> KeySettings {
    KeySettings {
        name: name.into(),
        owner: Some("ann".into()),
        tags: vec!["a".into(), "b\"c".into()],
        models: vec!["gpt-*".into()],
        expires_at: Some(now_ms() + 60_000),
        budget: Some(r#"{"window":"day"}"#.into()),
        requests_per_minute: Some(60),
        trust: vec!["userId".into()],
        ..KeySettings::default()
    }
}

async fn actions(store: &SqliteStore) -> Vec<String> {
    let page = store.audit(None, 100).await.unwrap();
    page.items
        .into_iter()
        .rev()
        .map(|entry| format!("{} {} {}", entry.actor, entry.action, entry.subject_id))
        .collect()
}

async fn id_of(store: &SqliteStore, hash: &[u8]) -> Option<String> {
    store.key_by_hash(hash).await.unwrap().map(|key: ClientKey| key.id)
}

#[tokio::test]
async fn a_key_is_found_by_its_hash_with_all_that_was_chosen() {
    let folder = Folder::new();
    let store = store(&folder).await;
    let made = store.create_key("root", "k1", &settings("one"), b"hash-1").await.unwrap();
    assert_eq!((&made.settings, made.version), (&settings_like(&made, "one"), 1));
    assert_eq!(store.key("k1").await.unwrap(), Some(made.clone()));
    assert_eq!(store.key_by_hash(b"hash-1").await.unwrap(), Some(made));
    assert_eq!(id_of(&store, b"hash-2").await, None);
    // A hash is one key's; nothing is left of a key that could not be made.
    assert!(store.create_key("root", "k2", &settings("two"), b"hash-1").await.is_err());
    assert_eq!(store.key("k2").await.unwrap(), None);
    assert_eq!(actions(&store).await, ["root create k1"]);
}

/// With the times of `key`.
fn settings_like(key: &ClientKey, name: &str) -> KeySettings {
    KeySettings { expires_at: key.settings.expires_at, ..settings(name) }
}

#[tokio::test]
async fn a_rotated_key_keeps_its_id_and_its_old_secret_works_for_its_grace() {
    let folder = Folder::new();
    let store = store(&folder).await;
    store.create_key("root", "k1", &settings("one"), b"hash-1").await.unwrap();
    let rotated = store.rotate_key("ann", "k1", b"hash-2", 300).await.unwrap();
    assert_eq!(rotated.version, 2);
    assert_eq!(id_of(&store, b"hash-1").await.as_deref(), Some("k1"));
    assert_eq!(id_of(&store, b"hash-2").await.as_deref(), Some("k1"));
    assert_eq!(store.key_hashes().await.unwrap().len(), 2);
    tokio::time::sleep(std::time::Duration::from_millis(350)).await;
    assert_eq!(id_of(&store, b"hash-1").await, None);
    assert_eq!(store.key_hashes().await.unwrap().len(), 1);
    store.rotate_key("ann", "k1", b"hash-3", 0).await.unwrap();
    assert_eq!(id_of(&store, b"hash-2").await, None, "without a grace it ends at once");
    assert_eq!(id_of(&store, b"hash-3").await.as_deref(), Some("k1"));
    // A rotation does not lengthen what a rotation before it has limited.
    store.rotate_key("ann", "k1", b"hash-4", 100).await.unwrap();
    store.rotate_key("ann", "k1", b"hash-5", 60_000).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(150)).await;
    assert_eq!(id_of(&store, b"hash-3").await, None);
    assert_eq!(id_of(&store, b"hash-4").await.as_deref(), Some("k1"));
}

#[tokio::test]
async fn a_revoked_key_is_refused_and_stays_in_the_list() {
    let folder = Folder::new();
    let store = store(&folder).await;
    store.create_key("root", "k1", &settings("one"), b"hash-1").await.unwrap();
    store.touch_keys(&[("k1".into(), 7), ("k1".into(), 5), ("gone".into(), 1)]).await.unwrap();
    let revoked = store.revoke_key("ann", "k1").await.unwrap();
    assert!(revoked.revoked_at.is_some());
    assert_eq!(revoked.last_used_at, Some(7));
    assert_eq!(store.revoke_key("bob", "k1").await.unwrap(), revoked);
    assert_eq!(id_of(&store, b"hash-1").await, None);
    assert_eq!(store.key_hashes().await.unwrap(), []);
    assert_eq!(store.keys(None, 10).await.unwrap().items, [revoked]);
    assert_eq!(actions(&store).await, ["root create k1", "ann revoke k1"]);
}

#[tokio::test]
async fn a_change_of_another_version_is_refused() {
    let folder = Folder::new();
    let store = store(&folder).await;
    store.create_key("root", "k1", &settings("one"), b"hash-1").await.unwrap();
    let changed = store.change_key("ann", "k1", Some(1), &settings("two")).await.unwrap();
    assert_eq!((changed.settings.name.as_str(), changed.version), ("two", 2));
    let stale = store.change_key("bob", "k1", Some(1), &settings("three")).await;
    assert!(matches!(stale, Err(AdminError::Changed { current: 2 })));
    assert_eq!(store.change_key("bob", "k1", None, &settings("three")).await.unwrap().version, 3);
    let missing = store.change_key("bob", "k9", None, &settings("three")).await;
    assert!(matches!(missing, Err(AdminError::NotFound { kind: "key", .. })));
    assert_eq!(actions(&store).await, ["root create k1", "ann change k1", "bob change k1"]);
}

#[tokio::test]
async fn lists_come_in_pages() {
    let folder = Folder::new();
    let store = store(&folder).await;
    for number in 0..7 {
        let (id, hash) = (format!("k{number}"), format!("hash-{number}"));
        store.create_key("root", &id, &settings(&id), hash.as_bytes()).await.unwrap();
    }
    let (mut ids, mut after) = (Vec::new(), None);
    loop {
        let page = store.keys(after.as_deref(), 3).await.unwrap();
        ids.extend(page.items.into_iter().map(|key| key.id));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(ids, ["k0", "k1", "k2", "k3", "k4", "k5", "k6"]);
    let newest = store.audit(None, 3).await.unwrap();
    assert_eq!(
        newest.items.iter().map(|entry| entry.subject_id.as_str()).collect::<Vec<_>>(),
        ["k6", "k5", "k4"]
    );
    let older = store.audit(newest.next.as_deref(), 10).await.unwrap();
    assert_eq!((older.items.len(), older.next), (4, None));
}

#[tokio::test]
async fn a_channel_has_its_secrets_and_the_audit_has_none() {
    let folder = Folder::new();
    let store = std::sync::Arc::new(store(&folder).await);
    let vault = Vault::unlock(store.clone(), &MasterKey::new("master").unwrap(), &[]).await.unwrap();
    let secret = |id: &str, text: &[u8]| ChannelSecret {
        id: id.into(),
        ciphertext: vault.keyring().seal(id, "key", text).unwrap(),
        hint: "sk-…9".into(),
    };
    let settings = |name: &str, header: &str| ChannelSettings {
        name: name.into(),
        entry: format!(r#"{{"provider":"openai","headers":{{"x":"{header}"}}}}"#),
        disabled: false,
    };
    let two = [secret("s1", b"sk-1"), secret("s2", b"sk-2")];
    let made =
        store.create_channel("root", "c1", &settings("main", "hidden-1"), Some((1, &two))).await.unwrap();
    assert_eq!(store.channel("c1").await.unwrap(), Some(made));
    assert_eq!(store.channel_secrets("c1").await.unwrap(), two);
    let taken = store.create_channel("root", "c2", &settings("main", ""), None).await;
    assert!(matches!(taken, Err(AdminError::NameTaken(name)) if name == "main"));
    store.change_channel("ann", "c1", Some(1), &settings("main", "hidden-2"), None).await.unwrap();
    assert_eq!(store.channel_secrets("c1").await.unwrap(), two, "they stay where none are given");
    // Sealed under a key that is not the newest: nothing is changed.
    let stale = store.change_channel("ann", "c1", None, &settings("other", ""), Some((7, &two))).await;
    assert!(matches!(stale, Err(AdminError::Store(_))));
    let one = [secret("s3", b"sk-3")];
    let changed = store
        .change_channel("ann", "c1", Some(2), &settings("main", "hidden-2"), Some((1, &one)))
        .await
        .unwrap();
    assert_eq!((changed.version, store.channel_secrets("c1").await.unwrap()), (3, one.to_vec()));
    let details: Vec<String> =
        store.audit(None, 10).await.unwrap().items.into_iter().filter_map(|entry| entry.detail).collect();
    assert_eq!(details.len(), 3);
    assert!(details[1].contains(r#""changed":["headers"]"#), "{details:?}");
    assert!(details.iter().all(|detail| !detail.contains("hidden")), "{details:?}");
    store.remove_channel("root", "c1", None).await.unwrap();
    assert_eq!(store.channels(None, 10).await.unwrap().items, []);
    assert_eq!(store.channel_secrets("c1").await.unwrap(), []);
    let gone = store.remove_channel("root", "c1", None).await;
    assert!(matches!(gone, Err(AdminError::NotFound { kind: "channel", .. })));
}
