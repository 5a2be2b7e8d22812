//! Channels and their secrets.

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json, json};

use super::audit::{self, Audited, expect_version, found, page};
use super::tables::{AdminRow, Administered, Change, Fault, Transaction, values};
use super::{AdminError, Channel, ChannelSecret, ChannelSettings, NewSecrets, Page};
use crate::clock::now_ms;

const KIND: &str = "channel";

const SELECT: &str = "SELECT id, name, entry, disabled, created_at, updated_at, version FROM channels";

fn channel<R: AdminRow>(row: &R) -> Result<Channel, sqlx::Error> {
    Ok(Channel {
        id: row.read(0)?,
        settings: ChannelSettings { name: row.read(1)?, entry: row.read(2)?, disabled: row.read(3)? },
        created_at: row.read(4)?,
        updated_at: row.read(5)?,
        version: row.read(6)?,
    })
}

fn secret<R: AdminRow>(row: &R) -> Result<ChannelSecret, sqlx::Error> {
    Ok(ChannelSecret { id: row.read(0)?, ciphertext: row.read(1)?, hint: row.read(2)? })
}

/// As the audit shows a channel: of its entry, whose headers may be secret, which fields are other ones than before; of its
/// secrets, what may be shown.
fn shown(before: Option<&ChannelSettings>, settings: &ChannelSettings, secrets: NewSecrets<'_>) -> Json {
    let hints = secrets.map(|(_, secrets)| secrets.iter().map(|secret| &secret.hint).collect::<Vec<_>>());
    let fields = |settings: &ChannelSettings| serde_json::from_str::<Map<String, Json>>(&settings.entry);
    let (old, new) = (before.map(fields).transpose(), fields(settings));
    let changed = old.ok().zip(new.ok()).map(|(old, new)| {
        let old = old.unwrap_or_default();
        let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        names.into_iter().filter(|name| old.get(*name) != new.get(*name)).cloned().collect::<Vec<_>>()
    });
    json!({"name": settings.name, "disabled": settings.disabled, "changed": changed, "secrets": hints})
}

/// The channel as it is now, which nobody else changes before the transaction ends.
async fn locked<T: Transaction>(transaction: &mut T, id: &str) -> Result<Channel, Fault> {
    let channel = transaction.locked(&format!("{SELECT} WHERE id = $1"), &values![id], channel).await?;
    Ok(found(channel, KIND, id)?)
}

async fn put_secrets<T: Transaction>(
    transaction: &mut T,
    id: &str,
    secrets: NewSecrets<'_>,
) -> Result<(), Fault> {
    let Some((key, secrets)) = secrets else { return Ok(()) };
    transaction.expect_newest(key).await?;
    transaction.write("DELETE FROM channel_secrets WHERE channel_id = $1", &values![id]).await?;
    for (place, secret) in (0_i64..).zip(secrets) {
        let sql = "INSERT INTO channel_secrets (id, channel_id, place, ciphertext, hint, created_at) \
                   VALUES ($1, $2, $3, $4, $5, $6)";
        let ChannelSecret { id: secret_id, ciphertext, hint } = secret;
        let values = values![secret_id.as_str(), id, place, ciphertext.as_slice(), hint.as_str(), now_ms()];
        transaction.write(sql, &values).await?;
    }
    Ok(())
}

/// Where a name is the only thing that has to be unique.
fn name_taken(fault: Fault, name: &str) -> Fault {
    match fault {
        Fault::Database(sqlx::Error::Database(error)) if error.is_unique_violation() => {
            AdminError::NameTaken(name.to_owned()).into()
        }
        other => other,
    }
}

pub(super) struct CreateChannel<'a> {
    pub actor: &'a str,
    pub id: &'a str,
    pub settings: &'a ChannelSettings,
    pub secrets: NewSecrets<'a>,
}

impl Change for CreateChannel<'_> {
    type Done = Channel;

    async fn run<T: Transaction>(&self, transaction: &mut T) -> Result<Channel, Fault> {
        let &Self { actor, id, settings, secrets } = self;
        let ChannelSettings { name, entry, disabled } = settings;
        let sql = "INSERT INTO channels (id, name, entry, disabled, created_at, updated_at, version) \
                   VALUES ($1, $2, $3, $4, $5, $5, 1) ON CONFLICT (name) DO NOTHING RETURNING id";
        let values = values![id, name.as_str(), entry.as_str(), *disabled, now_ms()];
        if transaction.rows(sql, &values).await?.is_empty() {
            return Err(AdminError::NameTaken(name.clone()).into());
        }
        put_secrets(transaction, id, secrets).await?;
        let detail = shown(None, settings, secrets);
        audit::write(transaction, Audited { actor, action: "create", kind: KIND, id, detail }).await?;
        locked(transaction, id).await
    }
}

pub(super) struct ChangeChannel<'a> {
    pub actor: &'a str,
    pub id: &'a str,
    pub version: Option<i64>,
    pub settings: &'a ChannelSettings,
    pub secrets: NewSecrets<'a>,
}

impl Change for ChangeChannel<'_> {
    type Done = Channel;

    async fn run<T: Transaction>(&self, transaction: &mut T) -> Result<Channel, Fault> {
        let &Self { actor, id, version, settings, secrets } = self;
        let before = locked(transaction, id).await?;
        expect_version(version, before.version)?;
        let ChannelSettings { name, entry, disabled } = settings;
        let sql = "UPDATE channels SET name = $1, entry = $2, disabled = $3, updated_at = $4, version = version + 1 \
                   WHERE id = $5";
        let values = values![name.as_str(), entry.as_str(), *disabled, now_ms(), id];
        transaction.write(sql, &values).await.map_err(|fault| name_taken(fault, name))?;
        put_secrets(transaction, id, secrets).await?;
        let detail = shown(Some(&before.settings), settings, secrets);
        audit::write(transaction, Audited { actor, action: "change", kind: KIND, id, detail }).await?;
        locked(transaction, id).await
    }
}

pub(super) struct RemoveChannel<'a> {
    pub actor: &'a str,
    pub id: &'a str,
    pub version: Option<i64>,
}

impl Change for RemoveChannel<'_> {
    type Done = ();

    async fn run<T: Transaction>(&self, transaction: &mut T) -> Result<(), Fault> {
        let &Self { actor, id, version } = self;
        let before = locked(transaction, id).await?;
        expect_version(version, before.version)?;
        for sql in ["DELETE FROM channel_secrets WHERE channel_id = $1", "DELETE FROM channels WHERE id = $1"]
        {
            transaction.write(sql, &values![id]).await?;
        }
        let detail = json!({"name": before.settings.name});
        audit::write(transaction, Audited { actor, action: "remove", kind: KIND, id, detail }).await
    }
}

pub(super) async fn list<D: Administered>(
    database: &D,
    after: Option<&str>,
    most: u32,
) -> Result<Page<Channel>, AdminError> {
    let sql = format!("{SELECT} WHERE id > $1 ORDER BY id LIMIT $2");
    let values = values![after.unwrap_or_default(), i64::from(most) + 1];
    let channels = database.read(&sql, &values, channel).await?;
    Ok(page(channels, most, |channel| channel.id.clone()))
}

pub(super) async fn find<D: Administered>(database: &D, id: &str) -> Result<Option<Channel>, AdminError> {
    Ok(database.read(&format!("{SELECT} WHERE id = $1"), &values![id], channel).await?.pop())
}

pub(super) async fn secrets<D: Administered>(
    database: &D,
    id: &str,
) -> Result<Vec<ChannelSecret>, AdminError> {
    let sql = "SELECT id, ciphertext, hint FROM channel_secrets WHERE channel_id = $1 ORDER BY place";
    database.read(sql, &values![id], secret).await
}
