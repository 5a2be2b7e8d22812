//! Channels and their secrets.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::{Audited, clock, expect_version, found, page, statement};
use crate::admin::{AdminError, Channel, ChannelSecret, ChannelSettings, Page};
use crate::sqlite::SqliteStore;
use crate::sqlite::administration::Change;

const COLUMNS: &str = "id, name, entry, disabled, created_at, updated_at, version";

fn channel(row: &SqliteRow) -> Result<Channel, sqlx::Error> {
    Ok(Channel {
        id: row.try_get(0)?,
        settings: ChannelSettings {
            name: row.try_get(1)?,
            entry: row.try_get(2)?,
            disabled: row.try_get(3)?,
        },
        created_at: row.try_get(4)?,
        updated_at: row.try_get(5)?,
        version: row.try_get(6)?,
    })
}

fn secret(row: &SqliteRow) -> Result<ChannelSecret, sqlx::Error> {
    Ok(ChannelSecret { id: row.try_get(0)?, ciphertext: row.try_get(1)?, hint: row.try_get(2)? })
}

fn id_of(row: &SqliteRow) -> Result<String, sqlx::Error> {
    row.try_get(0)
}

/// As the audit shows a channel: of its entry, whose headers may be secret, which fields are other ones than before; of its
/// secrets, what may be shown.
fn shown(
    before: Option<&ChannelSettings>,
    settings: &ChannelSettings,
    secrets: Option<(u32, &[ChannelSecret])>,
) -> Value {
    let hints = secrets.map(|(_, secrets)| secrets.iter().map(|secret| &secret.hint).collect::<Vec<_>>());
    let fields = |settings: &ChannelSettings| serde_json::from_str::<Map<String, Value>>(&settings.entry);
    let (old, new) = (before.map(fields).transpose(), fields(settings));
    let changed = old.ok().zip(new.ok()).map(|(old, new)| {
        let old = old.unwrap_or_default();
        let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        names.into_iter().filter(|name| old.get(*name) != new.get(*name)).cloned().collect::<Vec<_>>()
    });
    json!({"name": settings.name, "disabled": settings.disabled, "changed": changed, "secrets": hints})
}

impl SqliteStore {
    async fn channel_in(&self, change: &mut Change<'_>, id: &str) -> Result<Channel, AdminError> {
        let by_id = statement(&format!("SELECT {COLUMNS} FROM channels WHERE id = ?"), |s| s.bind(id));
        found(self.look(change, by_id, channel).await?, "channel", id)
    }

    /// Fails where another channel than `id` has the name.
    async fn expect_free(&self, change: &mut Change<'_>, id: &str, name: &str) -> Result<(), AdminError> {
        let other = statement("SELECT id FROM channels WHERE name = ? AND id <> ?", |script| {
            script.bind(name)?;
            script.bind(id)
        });
        match self.look(change, other, id_of).await? {
            Some(_) => Err(AdminError::NameTaken(name.to_owned())),
            None => Ok(()),
        }
    }

    async fn put_secrets(
        &self,
        change: &mut Change<'_>,
        id: &str,
        secrets: Option<(u32, &[ChannelSecret])>,
    ) -> Result<(), AdminError> {
        let Some((key, secrets)) = secrets else { return Ok(()) };
        self.is_newest(change, key).await?;
        let forget = statement("DELETE FROM channel_secrets WHERE channel_id = ?", |script| script.bind(id));
        self.write(change, forget).await?;
        for (place, secret) in (0_i64..).zip(secrets) {
            let sql = "INSERT INTO channel_secrets (id, channel_id, place, ciphertext, hint, created_at) \
                       VALUES (?, ?, ?, ?, ?, ?)";
            let insert = statement(sql, |script| {
                script.bind(secret.id.as_str())?;
                script.bind(id)?;
                script.bind(place)?;
                script.bind(secret.ciphertext.as_slice())?;
                script.bind(secret.hint.as_str())?;
                script.bind(clock::now())
            });
            self.write(change, insert).await?;
        }
        Ok(())
    }

    pub(super) async fn new_channel(
        &self,
        actor: &str,
        id: &str,
        settings: &ChannelSettings,
        secrets: Option<(u32, &[ChannelSecret])>,
    ) -> Result<Channel, AdminError> {
        let mut change = self.administration.begin().await?;
        self.expect_free(&mut change, id, &settings.name).await?;
        let sql = "INSERT INTO channels (id, name, entry, disabled, created_at, updated_at, version) \
                   VALUES (?, ?, ?, ?, ?, ?, 1)";
        let now = clock::now();
        let insert = statement(sql, |script| {
            script.bind(id)?;
            script.bind(settings.name.as_str())?;
            script.bind(settings.entry.as_str())?;
            script.bind(settings.disabled)?;
            script.bind(now)?;
            script.bind(now)
        });
        self.write(&mut change, insert).await?;
        self.put_secrets(&mut change, id, secrets).await?;
        let detail = shown(None, settings, secrets);
        self.audited(&mut change, Audited { actor, action: "create", kind: "channel", id, detail }).await?;
        let made = self.channel_in(&mut change, id).await?;
        change.commit().await?;
        Ok(made)
    }

    pub(super) async fn list_channels(
        &self,
        after: Option<&str>,
        most: u32,
    ) -> Result<Page<Channel>, AdminError> {
        let sql = format!("SELECT {COLUMNS} FROM channels WHERE id > ? ORDER BY id LIMIT ?");
        let script = statement(&sql, |script| {
            script.bind(after.unwrap_or_default())?;
            script.bind(i64::from(most) + 1)
        });
        Ok(page(self.read(script, channel).await?, most, |channel| channel.id.clone()))
    }

    pub(super) async fn find_channel(&self, id: &str) -> Result<Option<Channel>, AdminError> {
        let by_id = statement(&format!("SELECT {COLUMNS} FROM channels WHERE id = ?"), |s| s.bind(id));
        Ok(self.read(by_id, channel).await?.pop())
    }

    pub(super) async fn list_channel_secrets(&self, id: &str) -> Result<Vec<ChannelSecret>, AdminError> {
        let sql = "SELECT id, ciphertext, hint FROM channel_secrets WHERE channel_id = ? ORDER BY place";
        self.read(statement(sql, |script| script.bind(id)), secret).await
    }

    pub(super) async fn set_channel(
        &self,
        actor: &str,
        id: &str,
        version: Option<i64>,
        settings: &ChannelSettings,
        secrets: Option<(u32, &[ChannelSecret])>,
    ) -> Result<Channel, AdminError> {
        let mut change = self.administration.begin().await?;
        let before = self.channel_in(&mut change, id).await?;
        expect_version(version, before.version)?;
        self.expect_free(&mut change, id, &settings.name).await?;
        let sql = "UPDATE channels SET name = ?, entry = ?, disabled = ?, updated_at = ?, version = version + 1 \
                   WHERE id = ?";
        let update = statement(sql, |script| {
            script.bind(settings.name.as_str())?;
            script.bind(settings.entry.as_str())?;
            script.bind(settings.disabled)?;
            script.bind(clock::now())?;
            script.bind(id)
        });
        self.write(&mut change, update).await?;
        self.put_secrets(&mut change, id, secrets).await?;
        let detail = shown(Some(&before.settings), settings, secrets);
        self.audited(&mut change, Audited { actor, action: "change", kind: "channel", id, detail }).await?;
        let after = self.channel_in(&mut change, id).await?;
        change.commit().await?;
        Ok(after)
    }

    pub(super) async fn drop_channel(
        &self,
        actor: &str,
        id: &str,
        version: Option<i64>,
    ) -> Result<(), AdminError> {
        let mut change = self.administration.begin().await?;
        let before = self.channel_in(&mut change, id).await?;
        expect_version(version, before.version)?;
        for sql in ["DELETE FROM channel_secrets WHERE channel_id = ?", "DELETE FROM channels WHERE id = ?"] {
            self.write(&mut change, statement(sql, |script| script.bind(id))).await?;
        }
        let detail = json!({"name": before.settings.name});
        self.audited(&mut change, Audited { actor, action: "remove", kind: "channel", id, detail }).await?;
        Ok(change.commit().await?)
    }
}
