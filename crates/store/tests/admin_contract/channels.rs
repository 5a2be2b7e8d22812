use gateway_store::admin::{AdminError, AdminRecords, ChannelSecret, ChannelSettings};
use gateway_store::secrets::{MasterKey, Vault};

use super::{Place, actions};

pub fn settings(name: &str, header: &str) -> ChannelSettings {
    ChannelSettings {
        name: name.into(),
        entry: format!(r#"{{"provider":"openai","headers":{{"x":"{header}"}}}}"#),
        disabled: false,
    }
}

pub async fn a_channel_has_its_secrets_and_the_audit_has_none(place: &impl Place) {
    let records = place.open().await;
    let vault = Vault::unlock(records.clone(), &MasterKey::new("master").unwrap(), &[]).await.unwrap();
    let secret = |id: &str, text: &[u8]| ChannelSecret {
        id: id.into(),
        ciphertext: vault.keyring().seal(id, "key", text).unwrap(),
        hint: "sk-…9".into(),
    };
    let two = [secret("s2", b"sk-1"), secret("s1", b"sk-2")];
    let made =
        records.create_channel("root", "c1", &settings("main", "hidden-1"), Some((1, &two))).await.unwrap();
    assert_eq!((&made.settings, made.version), (&settings("main", "hidden-1"), 1));
    assert_eq!(records.channel("c1").await.unwrap(), Some(made));
    assert_eq!(records.channel_secrets("c1").await.unwrap(), two, "in the order they were given");
    records.change_channel("ann", "c1", Some(1), &settings("main", "hidden-2"), None).await.unwrap();
    assert_eq!(records.channel_secrets("c1").await.unwrap(), two, "they stay where none are given");
    // Sealed under a key that is not the newest: nothing is changed.
    let stale = records.change_channel("ann", "c1", None, &settings("other", ""), Some((7, &two))).await;
    assert!(matches!(stale, Err(AdminError::Store(_))));
    let stale = records.create_channel("ann", "c2", &settings("other", ""), Some((7, &two))).await;
    assert!(matches!(stale, Err(AdminError::Store(_))));
    assert_eq!(records.channels(None, 10).await.unwrap().items.len(), 1);
    let one = [secret("s3", b"sk-3")];
    let changed = records
        .change_channel("ann", "c1", Some(2), &settings("main", "hidden-2"), Some((1, &one)))
        .await
        .unwrap();
    assert_eq!((changed.version, records.channel_secrets("c1").await.unwrap()), (3, one.to_vec()));
    let details: Vec<String> =
        records.audit(None, 10).await.unwrap().items.into_iter().filter_map(|entry| entry.detail).collect();
    assert_eq!(details.len(), 3);
    assert!(details[1].contains(r#""changed":["headers"]"#), "{details:?}");
    assert!(details.iter().all(|detail| !detail.contains("hidden")), "{details:?}");
    records.remove_channel("root", "c1", None).await.unwrap();
    assert_eq!(records.channels(None, 10).await.unwrap().items, []);
    assert_eq!(records.channel_secrets("c1").await.unwrap(), []);
    let gone = records.remove_channel("root", "c1", None).await;
    assert!(matches!(gone, Err(AdminError::NotFound { kind: "channel", .. })));
}

pub async fn a_name_is_one_channels(place: &impl Place) {
    let records = place.open().await;
    records.create_channel("root", "c1", &settings("main", ""), None).await.unwrap();
    records.create_channel("root", "c2", &settings("other", ""), None).await.unwrap();
    let taken = records.create_channel("root", "c3", &settings("main", ""), None).await;
    assert!(matches!(taken, Err(AdminError::NameTaken(name)) if name == "main"));
    let taken = records.change_channel("root", "c2", Some(1), &settings("main", ""), None).await;
    assert!(matches!(taken, Err(AdminError::NameTaken(name)) if name == "main"));
    assert_eq!(records.channel("c2").await.unwrap().unwrap().version, 1);
    // Its own one is free to it, and that of a removed one to all.
    records.change_channel("root", "c1", Some(1), &settings("main", "x"), None).await.unwrap();
    records.remove_channel("root", "c1", Some(2)).await.unwrap();
    records.change_channel("root", "c2", Some(1), &settings("main", ""), None).await.unwrap();
    assert_eq!(
        actions(&*records).await,
        ["root create c1", "root create c2", "root change c1", "root remove c1", "root change c2"]
    );
}

pub async fn a_change_of_another_version_of_a_channel_is_refused(place: &impl Place) {
    let records = place.open().await;
    records.create_channel("root", "c1", &settings("main", ""), None).await.unwrap();
    records.change_channel("ann", "c1", Some(1), &settings("second", ""), None).await.unwrap();
    let stale = records.change_channel("bob", "c1", Some(1), &settings("third", ""), None).await;
    assert!(matches!(stale, Err(AdminError::Changed { current: 2 })));
    let stale = records.remove_channel("bob", "c1", Some(1)).await;
    assert!(matches!(stale, Err(AdminError::Changed { current: 2 })));
    let disabled = ChannelSettings { disabled: true, ..settings("second", "") };
    let changed = records.change_channel("bob", "c1", None, &disabled, None).await.unwrap();
    assert_eq!((changed.version, changed.settings), (3, disabled));
    let missing = records.change_channel("bob", "c9", None, &settings("third", ""), None).await;
    assert!(matches!(missing, Err(AdminError::NotFound { kind: "channel", .. })));
}

pub async fn channels_come_in_pages(place: &impl Place) {
    let records = place.open().await;
    for id in ["c1", "c2", "C3"] {
        records.create_channel("root", id, &settings(id, ""), None).await.unwrap();
    }
    let first = records.channels(None, 2).await.unwrap();
    let ids = |items: &[gateway_store::admin::Channel]| {
        items.iter().map(|channel| channel.id.clone()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&first.items), ["C3", "c1"]);
    let second = records.channels(first.next.as_deref(), 2).await.unwrap();
    assert_eq!((ids(&second.items), second.next), (vec!["c2".to_owned()], None));
}
