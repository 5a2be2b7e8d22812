//! What an operator administers, in the file.

mod channels;
mod keys;

use futures::FutureExt;
use gateway_engine::state::StoreError;
use serde_json::Value;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::administration::Change;
use super::script::{Script, rows};
use super::{SqliteStore, clock};
use crate::admin::{
    AdminError, AdminRecords, Answer, AuditEntry, Channel, ChannelSecret, ChannelSettings, ClientKey,
    KeyHash, KeySettings, Page,
};

/// A statement whose `?` are bound by `bind`.
fn statement(
    sql: &str,
    bind: impl FnOnce(&mut Script) -> Result<(), sqlx::Error>,
) -> Result<Script, sqlx::Error> {
    let mut script = Script::default();
    script.statement(sql);
    bind(&mut script)?;
    Ok(script)
}

/// What a change is called in the audit, and by whom.
struct Audited<'a> {
    actor: &'a str,
    action: &'static str,
    kind: &'static str,
    id: &'a str,
    detail: Value,
}

impl SqliteStore {
    fn told(&self) -> impl Fn(sqlx::Error) -> StoreError {
        |error| self.shared.error(&error)
    }

    async fn read<T>(
        &self,
        script: Result<Script, sqlx::Error>,
        of: fn(&SqliteRow) -> Result<T, sqlx::Error>,
    ) -> Result<Vec<T>, AdminError> {
        let found = rows(&mut self.reports.read(script.map_err(self.told())?).await?, 0);
        let read: Result<_, _> = found.iter().map(of).collect();
        Ok(read.map_err(self.told())?)
    }

    /// As a change sees it.
    async fn look<T>(
        &self,
        change: &mut Change<'_>,
        script: Result<Script, sqlx::Error>,
        of: fn(&SqliteRow) -> Result<T, sqlx::Error>,
    ) -> Result<Option<T>, AdminError> {
        let found = rows(&mut change.run(script.map_err(self.told())?).await?, 0);
        Ok(found.first().map(of).transpose().map_err(self.told())?)
    }

    async fn write(
        &self,
        change: &mut Change<'_>,
        script: Result<Script, sqlx::Error>,
    ) -> Result<(), AdminError> {
        change.run(script.map_err(self.told())?).await?;
        Ok(())
    }

    async fn audited(&self, change: &mut Change<'_>, what: Audited<'_>) -> Result<(), AdminError> {
        let Audited { actor, action, kind, id, detail } = what;
        let sql =
            "INSERT INTO audit (at_ms, actor, action, subject, subject_id, detail) VALUES (?, ?, ?, ?, ?, ?)";
        let script = statement(sql, |script| {
            script.bind(clock::now())?;
            script.bind(actor)?;
            script.bind(action)?;
            script.bind(kind)?;
            script.bind(id)?;
            script.bind((!detail.is_null()).then(|| detail.to_string()))
        });
        self.write(change, script).await
    }
}

/// The value, or that there is none.
fn found<T>(value: Option<T>, kind: &'static str, id: &str) -> Result<T, AdminError> {
    value.ok_or_else(|| AdminError::NotFound { kind, id: id.to_owned() })
}

fn expect_version(wanted: Option<i64>, current: i64) -> Result<(), AdminError> {
    if wanted.is_some_and(|wanted| wanted != current) { Err(AdminError::Changed { current }) } else { Ok(()) }
}

/// A page of what was read, one more than fits.
fn page<T>(mut items: Vec<T>, most: u32, place: impl Fn(&T) -> String) -> Page<T> {
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let next = (items.len() > most).then(|| {
        items.truncate(most);
        items.last().map(place)
    });
    Page { items, next: next.flatten() }
}

fn audit_entry(row: &SqliteRow) -> Result<AuditEntry, sqlx::Error> {
    Ok(AuditEntry {
        id: row.try_get(0)?,
        at_ms: row.try_get(1)?,
        actor: row.try_get(2)?,
        action: row.try_get(3)?,
        subject: row.try_get(4)?,
        subject_id: row.try_get(5)?,
        detail: row.try_get(6)?,
    })
}

impl AdminRecords for SqliteStore {
    fn create_key<'a>(
        &'a self,
        actor: &'a str,
        id: &'a str,
        settings: &'a KeySettings,
        hash: &'a [u8],
    ) -> Answer<'a, ClientKey> {
        self.new_key(actor, id, settings, hash).boxed()
    }

    fn keys<'a>(&'a self, after: Option<&'a str>, most: u32) -> Answer<'a, Page<ClientKey>> {
        self.list_keys(after, most).boxed()
    }

    fn key<'a>(&'a self, id: &'a str) -> Answer<'a, Option<ClientKey>> {
        self.find_key(id).boxed()
    }

    fn key_by_hash<'a>(&'a self, hash: &'a [u8]) -> Answer<'a, Option<ClientKey>> {
        self.find_key_by_hash(hash).boxed()
    }

    fn key_hashes(&self) -> Answer<'_, Vec<KeyHash>> {
        self.working_hashes().boxed()
    }

    fn keys_version(&self) -> Answer<'_, i64> {
        self.version_of_keys().boxed()
    }

    fn change_key<'a>(
        &'a self,
        actor: &'a str,
        id: &'a str,
        version: Option<i64>,
        settings: &'a KeySettings,
    ) -> Answer<'a, ClientKey> {
        self.set_key(actor, id, version, settings).boxed()
    }

    fn rotate_key<'a>(
        &'a self,
        actor: &'a str,
        id: &'a str,
        hash: &'a [u8],
        grace_ms: i64,
    ) -> Answer<'a, ClientKey> {
        self.new_hash(actor, id, hash, grace_ms).boxed()
    }

    fn revoke_key<'a>(&'a self, actor: &'a str, id: &'a str) -> Answer<'a, ClientKey> {
        self.end_key(actor, id).boxed()
    }

    fn touch_keys<'a>(&'a self, used: &'a [(String, i64)]) -> Answer<'a, ()> {
        self.note_use(used).boxed()
    }

    fn create_channel<'a>(
        &'a self,
        actor: &'a str,
        id: &'a str,
        settings: &'a ChannelSettings,
        secrets: Option<(u32, &'a [ChannelSecret])>,
    ) -> Answer<'a, Channel> {
        self.new_channel(actor, id, settings, secrets).boxed()
    }

    fn channels<'a>(&'a self, after: Option<&'a str>, most: u32) -> Answer<'a, Page<Channel>> {
        self.list_channels(after, most).boxed()
    }

    fn channel<'a>(&'a self, id: &'a str) -> Answer<'a, Option<Channel>> {
        self.find_channel(id).boxed()
    }

    fn channel_secrets<'a>(&'a self, id: &'a str) -> Answer<'a, Vec<ChannelSecret>> {
        self.list_channel_secrets(id).boxed()
    }

    fn change_channel<'a>(
        &'a self,
        actor: &'a str,
        id: &'a str,
        version: Option<i64>,
        settings: &'a ChannelSettings,
        secrets: Option<(u32, &'a [ChannelSecret])>,
    ) -> Answer<'a, Channel> {
        self.set_channel(actor, id, version, settings, secrets).boxed()
    }

    fn remove_channel<'a>(&'a self, actor: &'a str, id: &'a str, version: Option<i64>) -> Answer<'a, ()> {
        self.drop_channel(actor, id, version).boxed()
    }

    fn audit<'a>(&'a self, before: Option<&'a str>, most: u32) -> Answer<'a, Page<AuditEntry>> {
        async move {
            let before = before.and_then(|before| before.parse().ok()).unwrap_or(i64::MAX);
            let sql = "SELECT id, at_ms, actor, action, subject, subject_id, detail FROM audit WHERE id < ? \
                       ORDER BY id DESC LIMIT ?";
            let script = statement(sql, |script| {
                script.bind(before)?;
                script.bind(i64::from(most) + 1)
            });
            let entries = self.read(script, audit_entry).await?;
            Ok(page(entries, most, |entry| entry.id.to_string()))
        }
        .boxed()
    }
}
