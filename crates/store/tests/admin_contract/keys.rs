use std::time::Duration;

use gateway_store::admin::{AdminError, AdminRecords, KeySettings};
use tokio::time::sleep;

use super::{Place, actions, id_of, settings};

pub async fn a_key_is_found_by_its_hash_with_all_that_was_chosen(place: &impl Place) {
    let records = place.open().await;
    let chosen = settings("one");
    let made = records.create_key("root", "k1", &chosen, b"hash-1").await.unwrap();
    assert_eq!((&made.settings, made.version), (&chosen, 1));
    assert_eq!(records.key("k1").await.unwrap(), Some(made.clone()));
    assert_eq!(records.key_by_hash(b"hash-1").await.unwrap(), Some(made));
    assert_eq!(id_of(&*records, b"hash-2").await, None);
    // A hash is one key's; nothing is left of a key that could not be made.
    assert!(records.create_key("root", "k2", &settings("two"), b"hash-1").await.is_err());
    assert_eq!(records.key("k2").await.unwrap(), None);
    assert_eq!(actions(&*records).await, ["root create k1"]);
    // A character that one of the databases cannot keep.
    records.create_key("ro\0ot", "k3", &settings("th\0ree"), b"hash-3").await.unwrap();
    assert_eq!(records.key("k\0").await.unwrap(), None);
    let empty = KeySettings { name: "bare".into(), ..KeySettings::default() };
    assert_eq!(records.create_key("root", "k4", &empty, b"hash-4").await.unwrap().settings, empty);
}

pub async fn a_rotated_key_keeps_its_id_and_its_old_secret_works_for_its_grace(place: &impl Place) {
    let records = place.open().await;
    records.create_key("root", "k1", &settings("one"), b"hash-1").await.unwrap();
    let rotated = records.rotate_key("ann", "k1", b"hash-2", 500).await.unwrap();
    assert_eq!(rotated.version, 2);
    assert_eq!(id_of(&*records, b"hash-1").await.as_deref(), Some("k1"));
    assert_eq!(id_of(&*records, b"hash-2").await.as_deref(), Some("k1"));
    assert_eq!(records.key_hashes().await.unwrap().len(), 2);
    sleep(Duration::from_millis(550)).await;
    assert_eq!(id_of(&*records, b"hash-1").await, None);
    assert_eq!(records.key_hashes().await.unwrap().len(), 1);
    records.rotate_key("ann", "k1", b"hash-3", 0).await.unwrap();
    assert_eq!(id_of(&*records, b"hash-2").await, None, "without a grace it ends at once");
    assert_eq!(id_of(&*records, b"hash-3").await.as_deref(), Some("k1"));
    // A rotation does not lengthen what a rotation before it has limited.
    records.rotate_key("ann", "k1", b"hash-4", 100).await.unwrap();
    records.rotate_key("ann", "k1", b"hash-5", 60_000).await.unwrap();
    sleep(Duration::from_millis(150)).await;
    assert_eq!(id_of(&*records, b"hash-3").await, None);
    assert_eq!(id_of(&*records, b"hash-4").await.as_deref(), Some("k1"));
    let missing = records.rotate_key("ann", "k9", b"hash-9", 0).await;
    assert!(matches!(missing, Err(AdminError::NotFound { kind: "key", .. })));
}

pub async fn a_revoked_key_is_refused_and_stays_in_the_list(place: &impl Place) {
    let records = place.open().await;
    records.create_key("root", "k1", &settings("one"), b"hash-1").await.unwrap();
    records.touch_keys(&[("k1".into(), 7), ("k1".into(), 5), ("gone".into(), 1)]).await.unwrap();
    let revoked = records.revoke_key("ann", "k1").await.unwrap();
    assert!(revoked.revoked_at.is_some());
    assert_eq!(revoked.last_used_at, Some(7));
    assert_eq!(records.revoke_key("bob", "k1").await.unwrap(), revoked);
    assert_eq!(id_of(&*records, b"hash-1").await, None);
    let rotated = records.rotate_key("bob", "k1", b"hash-2", 0).await;
    assert!(matches!(rotated, Err(AdminError::Revoked(id)) if id == "k1"));
    assert_eq!(id_of(&*records, b"hash-2").await, None);
    assert_eq!(records.key_hashes().await.unwrap(), []);
    assert_eq!(records.keys(None, 10).await.unwrap().items, [revoked]);
    assert_eq!(actions(&*records).await, ["root create k1", "ann revoke k1"]);
}

pub async fn a_change_of_another_version_is_refused(place: &impl Place) {
    let records = place.open().await;
    records.create_key("root", "k1", &settings("one"), b"hash-1").await.unwrap();
    let changed = records.change_key("ann", "k1", Some(1), &settings("two")).await.unwrap();
    assert_eq!((changed.settings.name.as_str(), changed.version), ("two", 2));
    let stale = records.change_key("bob", "k1", Some(1), &settings("three")).await;
    assert!(matches!(stale, Err(AdminError::Changed { current: 2 })));
    assert_eq!(records.change_key("bob", "k1", None, &settings("three")).await.unwrap().version, 3);
    let missing = records.change_key("bob", "k9", None, &settings("three")).await;
    assert!(matches!(missing, Err(AdminError::NotFound { kind: "key", .. })));
    assert_eq!(actions(&*records).await, ["root create k1", "ann change k1", "bob change k1"]);
}

pub async fn the_last_use_of_many_keys_is_noted_and_never_goes_back(place: &impl Place) {
    let records = place.open().await;
    // More than one statement takes, and no power of two.
    let ids: Vec<String> = (0..150).map(|number| format!("k{number:03}")).collect();
    for id in &ids {
        records.create_key("root", id, &settings(id), id.as_bytes()).await.unwrap();
    }
    let uses = |at: i64| ids.iter().map(|id| (id.clone(), at)).collect::<Vec<_>>();
    records.touch_keys(&uses(20)).await.unwrap();
    records.touch_keys(&uses(10)).await.unwrap();
    records.touch_keys(&[(ids[3].clone(), 30), (ids[3].clone(), 25)]).await.unwrap();
    records.touch_keys(&[]).await.unwrap();
    let keys = records.keys(None, 1_000).await.unwrap().items;
    assert_eq!(keys.len(), ids.len());
    for key in keys {
        assert_eq!(key.last_used_at, Some(if key.id == ids[3] { 30 } else { 20 }), "{}", key.id);
        assert_eq!(key.version, 1);
    }
}

pub async fn lists_come_in_pages(place: &impl Place) {
    let records = place.open().await;
    // In the order of their bytes, whatever the database's own order is.
    for id in ["k0", "k1", "k2", "k_3", "K4", "kä", "k-6"] {
        records.create_key("root", id, &settings(id), id.as_bytes()).await.unwrap();
    }
    let (mut ids, mut after) = (Vec::new(), None);
    loop {
        let page = records.keys(after.as_deref(), 3).await.unwrap();
        ids.extend(page.items.into_iter().map(|key| key.id));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(ids, ["K4", "k-6", "k0", "k1", "k2", "k_3", "kä"]);
    let newest = records.audit(None, 3).await.unwrap();
    assert_eq!(
        newest.items.iter().map(|entry| entry.subject_id.as_str()).collect::<Vec<_>>(),
        ["k-6", "kä", "K4"]
    );
    let older = records.audit(newest.next.as_deref(), 10).await.unwrap();
    assert_eq!((older.items.len(), older.next), (4, None));
}

pub async fn every_change_of_a_key_is_told_by_the_version_of_all_keys(place: &impl Place) {
    let (records, elsewhere) = (place.open().await, place.open().await);
    let mut last = elsewhere.keys_version().await.unwrap();
    for number in 0..5 {
        match number {
            0 => records.create_key("root", "k1", &settings("one"), b"hash-1").await,
            1 => records.change_key("root", "k1", None, &settings("two")).await,
            2 => records.rotate_key("root", "k1", b"hash-2", 60_000).await,
            3 => records.create_key("root", "k2", &settings("two"), b"hash-3").await,
            _ => records.revoke_key("root", "k1").await,
        }
        .unwrap();
        let version = elsewhere.keys_version().await.unwrap();
        assert!(version > last, "{number}: {version} after {last}");
        last = version;
    }
    records.touch_keys(&[("k2".into(), 1)]).await.unwrap();
    records.revoke_key("root", "k1").await.unwrap();
    assert!(records.change_key("root", "k2", Some(9), &settings("three")).await.is_err());
    assert!(records.create_key("root", "k3", &settings("three"), b"hash-3").await.is_err());
    let channel =
        gateway_store::admin::ChannelSettings { name: "main".into(), entry: "{}".into(), disabled: false };
    records.create_channel("root", "c1", &channel, None).await.unwrap();
    assert_eq!(elsewhere.keys_version().await.unwrap(), last, "none of these changed a key");
}
