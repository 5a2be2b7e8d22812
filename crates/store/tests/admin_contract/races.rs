//! Processes that change the same thing at once.

use std::sync::Arc;

use futures::future::{join, join_all};
use gateway_store::admin::{AdminError, AdminRecords};

use super::channels::settings as channel_settings;
use super::{Place, actions, id_of, settings};

const ROUNDS: i64 = 10;

async fn open<P: Place>(place: &P, processes: usize) -> Vec<Arc<P::Records>> {
    let mut all = Vec::new();
    for _ in 0..processes {
        all.push(place.open().await);
    }
    all
}

/// One was made, and all others were told the version that it has made.
fn expect_one_winner<T>(outcomes: Vec<Result<T, AdminError>>, made: i64) {
    let (won, lost): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    assert_eq!(won.len(), 1);
    for outcome in lost {
        assert!(matches!(outcome, Err(AdminError::Changed { current }) if current == made));
    }
}

pub async fn of_changes_of_one_version_one_is_made(place: &impl Place) {
    let all = open(place, 3).await;
    all[0].create_key("root", "k1", &settings("one"), b"hash-1").await.unwrap();
    for version in 1..=ROUNDS {
        let chosen = settings(&format!("name-{version}"));
        let changes = all.iter().map(|records| records.change_key("ann", "k1", Some(version), &chosen));
        expect_one_winner(join_all(changes).await, version + 1);
    }
    assert_eq!(actions(&*all[0]).await.len(), 11, "what was refused is in no audit");
}

pub async fn rotations_at_once_leave_one_secret_that_holds(place: &impl Place) {
    let all = open(place, 2).await;
    all[0].create_key("root", "k1", &settings("one"), b"hash-0").await.unwrap();
    for round in 1..=ROUNDS {
        let hashes = [format!("hash-{round}-a"), format!("hash-{round}-b")];
        let (first, second) = join(
            all[0].rotate_key("ann", "k1", hashes[0].as_bytes(), 60_000),
            all[1].rotate_key("bob", "k1", hashes[1].as_bytes(), 60_000),
        )
        .await;
        let mut versions = [first.unwrap().version, second.unwrap().version];
        versions.sort_unstable();
        assert_eq!(versions, [2 * round, 2 * round + 1]);
        let hashes = all[0].key_hashes().await.unwrap();
        assert_eq!(i64::try_from(hashes.len()).unwrap(), 2 * round + 1);
        assert_eq!(hashes.iter().filter(|hash| hash.works_until.is_none()).count(), 1);
    }
}

pub async fn a_key_that_is_rotated_and_revoked_at_once_stays_revoked(place: &impl Place) {
    let all = open(place, 2).await;
    for round in 0..ROUNDS {
        let (id, old, new) = (format!("k{round}"), format!("old-{round}"), format!("new-{round}"));
        all[0].create_key("root", &id, &settings("one"), old.as_bytes()).await.unwrap();
        let (rotated, revoked) =
            join(all[0].rotate_key("ann", &id, new.as_bytes(), 60_000), all[1].revoke_key("bob", &id)).await;
        assert!(matches!(rotated, Ok(_) | Err(AdminError::Revoked(_))));
        revoked.unwrap();
        for hash in [old, new] {
            assert_eq!(id_of(&*all[0], hash.as_bytes()).await, None);
        }
    }
    assert_eq!(all[0].key_hashes().await.unwrap(), []);
}

pub async fn what_the_version_of_all_keys_counts_is_seen(place: &impl Place) {
    let all = open(place, 3).await;
    let write = |who: usize| {
        let records = all[who].clone();
        async move {
            for round in 0..ROUNDS {
                let id = format!("k{who}-{round}");
                records.create_key("root", &id, &settings("one"), id.as_bytes()).await.unwrap();
            }
        }
    };
    let look = async {
        loop {
            let version = all[2].keys_version().await.unwrap();
            let seen = all[2].keys(None, 1_000).await.unwrap().items.len();
            // Each of these changes has made a key.
            assert!(i64::try_from(seen).unwrap() >= version, "{seen} keys at version {version}");
            if version == 2 * ROUNDS {
                break;
            }
        }
    };
    join(join(write(0), write(1)), look).await;
}

pub async fn keys_are_touched_while_they_are_changed(place: &impl Place) {
    let all = open(place, 3).await;
    let ids: Vec<String> = (0..5).map(|number| format!("k{number}")).collect();
    for id in &ids {
        all[0].create_key("root", id, &settings(id), id.as_bytes()).await.unwrap();
    }
    for at in 1..=ROUNDS {
        let forth: Vec<_> = ids.iter().map(|id| (id.clone(), at)).collect();
        let back: Vec<_> = ids.iter().rev().map(|id| (id.clone(), at)).collect();
        let chosen = settings("changed");
        let changes = async {
            for id in &ids {
                all[2].change_key("ann", id, Some(at), &chosen).await.unwrap();
            }
        };
        let (touches, ()) = join(join(all[0].touch_keys(&forth), all[1].touch_keys(&back)), changes).await;
        touches.0.unwrap();
        touches.1.unwrap();
    }
    for key in all[0].keys(None, 10).await.unwrap().items {
        assert_eq!((key.last_used_at, key.version), (Some(ROUNDS), ROUNDS + 1));
    }
}

pub async fn of_channels_with_one_name_one_is_made(place: &impl Place) {
    let all = open(place, 3).await;
    for round in 0..ROUNDS {
        let chosen = channel_settings(&format!("name-{round}"), "");
        let ids: Vec<String> = (0..all.len()).map(|number| format!("c{round}-{number}")).collect();
        let creations =
            all.iter().zip(&ids).map(|(records, id)| records.create_channel("root", id, &chosen, None));
        let (won, lost): (Vec<_>, Vec<_>) =
            join_all(creations).await.into_iter().partition(|outcome| outcome.is_ok());
        assert_eq!(won.len(), 1);
        assert!(lost.iter().all(|outcome| matches!(outcome, Err(AdminError::NameTaken(_)))));
    }
}

pub async fn of_channels_that_take_one_name_one_gets_it(place: &impl Place) {
    let all = open(place, 2).await;
    for id in ["c0", "c1"] {
        all[0].create_channel("root", id, &channel_settings(id, ""), None).await.unwrap();
    }
    for round in 0..ROUNDS {
        let chosen = channel_settings(&format!("name-{round}"), "");
        let (first, second) = join(
            all[0].change_channel("ann", "c0", None, &chosen, None),
            all[1].change_channel("bob", "c1", None, &chosen, None),
        )
        .await;
        match (first, second) {
            (Ok(_), Err(AdminError::NameTaken(name))) | (Err(AdminError::NameTaken(name)), Ok(_)) => {
                assert_eq!(name, chosen.name);
            }
            other => panic!("{other:?}"),
        }
    }
    // Each takes the name that the other one still has, and none waits for ever.
    let [first, second] = ["c0", "c1"].map(|id| all[0].channel(id));
    let (first, second) = (first.await.unwrap().unwrap(), second.await.unwrap().unwrap());
    let (one, other) = join(
        all[0].change_channel("ann", "c0", None, &second.settings, None),
        all[1].change_channel("bob", "c1", None, &first.settings, None),
    )
    .await;
    assert!(matches!(one, Err(AdminError::NameTaken(_))), "{one:?}");
    assert!(matches!(other, Err(AdminError::NameTaken(_))), "{other:?}");
}

pub async fn of_changes_of_one_version_of_a_channel_one_is_made(place: &impl Place) {
    let all = open(place, 3).await;
    all[0].create_channel("root", "c1", &channel_settings("main", ""), None).await.unwrap();
    for version in 1..=ROUNDS {
        let chosen = channel_settings("main", &format!("{version}"));
        let changes =
            all.iter().map(|records| records.change_channel("ann", "c1", Some(version), &chosen, None));
        expect_one_winner(join_all(changes).await, version + 1);
    }
    let removals = all.iter().map(|records| records.remove_channel("ann", "c1", Some(ROUNDS + 1)));
    let removed = join_all(removals).await;
    assert_eq!(removed.iter().filter(|outcome| outcome.is_ok()).count(), 1);
}
