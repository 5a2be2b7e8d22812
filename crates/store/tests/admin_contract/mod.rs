//! What every database does with what an operator administers, as statements about the traits alone. A database's own test
//! file names how it is opened:
//!
//! ```ignore
//! mod admin_contract;
//! /// `None`: there is no server to test with.
//! async fn place() -> Option<impl Place> { … }
//! admin_contract!(place);
//! ```

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use gateway_store::admin::{AdminRecords, KeySettings};
use gateway_store::secrets::SecretRecords;

pub mod channels;
pub mod directory;
pub mod keys;
pub mod races;

/// A database of one test.
pub trait Place {
    type Records: AdminRecords + SecretRecords + 'static;

    /// As another process opens it: with connections of its own.
    async fn open(&self) -> Arc<Self::Records>;
}

/// One test for each statement.
#[macro_export]
macro_rules! admin_contract {
    ($place:path) => {
        admin_contract! { @$place;
            channels:
                a_channel_has_its_secrets_and_the_audit_has_none
                a_name_is_one_channels
                a_change_of_another_version_of_a_channel_is_refused
                channels_come_in_pages;
            directory:
                a_key_is_known_and_a_revoked_one_refused_everywhere_within_a_second
                a_rotated_key_has_two_secrets_for_its_grace
                a_key_expires_by_the_clock_and_lives_on_when_its_settings_say_so
                keys_that_were_never_read_are_not_taken_for_none
                more_keys_than_a_question_brings_are_all_known;
            keys:
                a_key_is_found_by_its_hash_with_all_that_was_chosen
                a_rotated_key_keeps_its_id_and_its_old_secret_works_for_its_grace
                a_revoked_key_is_refused_and_stays_in_the_list
                a_change_of_another_version_is_refused
                the_last_use_of_many_keys_is_noted_and_never_goes_back
                lists_come_in_pages
                every_change_of_a_key_is_told_by_the_version_of_all_keys;
            races:
                of_changes_of_one_version_one_is_made
                rotations_at_once_leave_one_secret_that_holds
                a_key_that_is_rotated_and_revoked_at_once_stays_revoked
                what_the_version_of_all_keys_counts_is_seen
                keys_are_touched_while_they_are_changed
                of_channels_with_one_name_one_is_made
                of_channels_that_take_one_name_one_gets_it
                of_changes_of_one_version_of_a_channel_one_is_made;
        }
    };
    (@$place:path; $($module:ident: $($statement:ident)*;)*) => {
        $($(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $statement() {
                let Some(place) = $place().await else { return };
                admin_contract::$module::$statement(&place).await;
            }
        )*)*
    };
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis().try_into().unwrap()
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

/// The audit, the oldest line first.
async fn actions(records: &impl AdminRecords) -> Vec<String> {
    let page = records.audit(None, 1_000).await.unwrap();
    page.items
        .into_iter()
        .rev()
        .map(|entry| format!("{} {} {}", entry.actor, entry.action, entry.subject_id))
        .collect()
}

/// The key that a hash opens.
async fn id_of(records: &impl AdminRecords, hash: &[u8]) -> Option<String> {
    records.key_by_hash(hash).await.unwrap().map(|key| key.id)
}
