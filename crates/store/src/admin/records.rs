//! The records of administration, in whichever database.

use futures::FutureExt;

use super::channels::{self, ChangeChannel, CreateChannel, RemoveChannel};
use super::keys::{self, ChangeKey, CreateKey, RevokeKey, RotateKey, TouchKeys};
use super::tables::Administered;
use super::{
    AdminRecords, Answer, AuditEntry, Channel, ChannelSecret, ChannelSettings, ClientKey, KeyHash,
    KeySettings, NewSecrets, Page, audit,
};

impl<D: Administered> AdminRecords for D {
    fn create_key<'a>(
        &'a self,
        actor: &'a str,
        id: &'a str,
        settings: &'a KeySettings,
        hash: &'a [u8],
    ) -> Answer<'a, ClientKey> {
        async move { self.change(&CreateKey { actor, id, settings, hash }).await }.boxed()
    }

    fn keys<'a>(&'a self, after: Option<&'a str>, most: u32) -> Answer<'a, Page<ClientKey>> {
        keys::list(self, after, most).boxed()
    }

    fn key<'a>(&'a self, id: &'a str) -> Answer<'a, Option<ClientKey>> {
        keys::find(self, id).boxed()
    }

    fn key_by_hash<'a>(&'a self, hash: &'a [u8]) -> Answer<'a, Option<ClientKey>> {
        keys::find_by_hash(self, hash).boxed()
    }

    fn key_hashes(&self) -> Answer<'_, Vec<KeyHash>> {
        keys::hashes(self).boxed()
    }

    fn keys_version(&self) -> Answer<'_, i64> {
        audit::count(self, keys::KIND).boxed()
    }

    fn change_key<'a>(
        &'a self,
        actor: &'a str,
        id: &'a str,
        version: Option<i64>,
        settings: &'a KeySettings,
    ) -> Answer<'a, ClientKey> {
        async move { self.change(&ChangeKey { actor, id, version, settings }).await }.boxed()
    }

    fn rotate_key<'a>(
        &'a self,
        actor: &'a str,
        id: &'a str,
        hash: &'a [u8],
        grace_ms: i64,
    ) -> Answer<'a, ClientKey> {
        async move { self.change(&RotateKey { actor, id, hash, grace_ms }).await }.boxed()
    }

    fn revoke_key<'a>(&'a self, actor: &'a str, id: &'a str) -> Answer<'a, ClientKey> {
        async move { self.change(&RevokeKey { actor, id }).await }.boxed()
    }

    fn touch_keys<'a>(&'a self, used: &'a [(String, i64)]) -> Answer<'a, ()> {
        async move {
            if used.is_empty() {
                return Ok(());
            }
            self.change(&TouchKeys(used)).await
        }
        .boxed()
    }

    fn create_channel<'a>(
        &'a self,
        actor: &'a str,
        id: &'a str,
        settings: &'a ChannelSettings,
        secrets: NewSecrets<'a>,
    ) -> Answer<'a, Channel> {
        async move { self.change(&CreateChannel { actor, id, settings, secrets }).await }.boxed()
    }

    fn channels<'a>(&'a self, after: Option<&'a str>, most: u32) -> Answer<'a, Page<Channel>> {
        channels::list(self, after, most).boxed()
    }

    fn channel<'a>(&'a self, id: &'a str) -> Answer<'a, Option<Channel>> {
        channels::find(self, id).boxed()
    }

    fn channel_secrets<'a>(&'a self, id: &'a str) -> Answer<'a, Vec<ChannelSecret>> {
        channels::secrets(self, id).boxed()
    }

    fn change_channel<'a>(
        &'a self,
        actor: &'a str,
        id: &'a str,
        version: Option<i64>,
        settings: &'a ChannelSettings,
        secrets: NewSecrets<'a>,
    ) -> Answer<'a, Channel> {
        async move { self.change(&ChangeChannel { actor, id, version, settings, secrets }).await }.boxed()
    }

    fn remove_channel<'a>(&'a self, actor: &'a str, id: &'a str, version: Option<i64>) -> Answer<'a, ()> {
        async move { self.change(&RemoveChannel { actor, id, version }).await }.boxed()
    }

    fn audit<'a>(&'a self, before: Option<&'a str>, most: u32) -> Answer<'a, Page<AuditEntry>> {
        audit::list(self, before, most).boxed()
    }
}
