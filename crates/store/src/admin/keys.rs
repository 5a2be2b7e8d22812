//! Client keys and the hashes of their secrets.

use std::collections::BTreeMap;

use serde_json::json;

use super::audit::{self, Audited, expect_version, found, page};
use super::tables::{AdminRow, Administered, Change, Fault, Transaction, Value, values};
use super::{AdminError, ClientKey, KeyHash, KeySettings, Page};
use crate::clock::now_ms;

pub(super) const KIND: &str = "key";

const SELECT: &str = "SELECT id, name, owner, team, tags, models, expires_at, budget, requests_per_minute, \
     tokens_per_minute, max_concurrency, trust, created_at, last_used_at, revoked_at, version FROM client_keys";

/// How many keys one statement notes the use of.
const MOST_USED: usize = 128;

fn key<R: AdminRow>(row: &R) -> Result<ClientKey, sqlx::Error> {
    let list = |place: usize| -> Result<Vec<String>, sqlx::Error> {
        let text: Option<String> = row.read(place)?;
        let list = text.map(|text| serde_json::from_str(&text)).transpose();
        list.map(Option::unwrap_or_default).map_err(|error| sqlx::Error::Decode(error.into()))
    };
    let settings = KeySettings {
        name: row.read(1)?,
        owner: row.read(2)?,
        team: row.read(3)?,
        tags: list(4)?,
        models: list(5)?,
        expires_at: row.read(6)?,
        budget: row.read(7)?,
        requests_per_minute: row.read(8)?,
        tokens_per_minute: row.read(9)?,
        max_concurrency: row.read(10)?,
        trust: list(11)?,
    };
    Ok(ClientKey {
        id: row.read(0)?,
        settings,
        created_at: row.read(12)?,
        last_used_at: row.read(13)?,
        revoked_at: row.read(14)?,
        version: row.read(15)?,
    })
}

fn hash_row<R: AdminRow>(row: &R) -> Result<KeyHash, sqlx::Error> {
    Ok(KeyHash { hash: row.read(0)?, key_id: row.read(1)?, works_until: row.read(2)? })
}

/// In the order of the columns from `name` to `trust`, and one for the key itself.
fn settings_values<'a>(settings: &'a KeySettings, id: &'a str) -> Vec<Value<'a>> {
    let list = |list: &[String]| (!list.is_empty()).then(|| json!(list).to_string());
    Vec::from(values![
        settings.name.as_str(),
        settings.owner.as_deref(),
        settings.team.as_deref(),
        list(&settings.tags),
        list(&settings.models),
        settings.expires_at,
        settings.budget.as_deref(),
        settings.requests_per_minute,
        settings.tokens_per_minute,
        settings.max_concurrency,
        list(&settings.trust),
        id,
    ])
}

/// The key as it is now, which nobody else changes before the transaction ends.
async fn locked<T: Transaction>(transaction: &mut T, id: &str) -> Result<ClientKey, Fault> {
    let key = transaction.locked(&format!("{SELECT} WHERE id = $1"), &values![id], key).await?;
    Ok(found(key, KIND, id)?)
}

async fn add_hash<T: Transaction>(transaction: &mut T, id: &str, hash: &[u8]) -> Result<(), Fault> {
    let sql = "INSERT INTO client_key_hashes (hash, key_id, created_at) VALUES ($1, $2, $3)";
    transaction.write(sql, &values![hash, id, now_ms()]).await
}

pub(super) struct CreateKey<'a> {
    pub actor: &'a str,
    pub id: &'a str,
    pub settings: &'a KeySettings,
    pub hash: &'a [u8],
}

impl Change for CreateKey<'_> {
    type Done = ClientKey;

    async fn run<T: Transaction>(&self, transaction: &mut T) -> Result<ClientKey, Fault> {
        let &Self { actor, id, settings, hash } = self;
        let sql = "INSERT INTO client_keys (name, owner, team, tags, models, expires_at, budget, requests_per_minute, \
                   tokens_per_minute, max_concurrency, trust, id, created_at, version) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 1)";
        let mut values = settings_values(settings, id);
        values.push(now_ms().into());
        transaction.write(sql, &values).await?;
        add_hash(transaction, id, hash).await?;
        let detail = json!(settings);
        audit::write(transaction, Audited { actor, action: "create", kind: KIND, id, detail }).await?;
        locked(transaction, id).await
    }
}

pub(super) struct ChangeKey<'a> {
    pub actor: &'a str,
    pub id: &'a str,
    pub version: Option<i64>,
    pub settings: &'a KeySettings,
}

impl Change for ChangeKey<'_> {
    type Done = ClientKey;

    async fn run<T: Transaction>(&self, transaction: &mut T) -> Result<ClientKey, Fault> {
        let &Self { actor, id, version, settings } = self;
        let before = locked(transaction, id).await?;
        expect_version(version, before.version)?;
        let sql = "UPDATE client_keys SET name = $1, owner = $2, team = $3, tags = $4, models = $5, expires_at = $6, \
                   budget = $7, requests_per_minute = $8, tokens_per_minute = $9, max_concurrency = $10, \
                   trust = $11, version = version + 1 WHERE id = $12";
        transaction.write(sql, &settings_values(settings, id)).await?;
        let detail = json!({"before": before.settings, "after": settings});
        audit::write(transaction, Audited { actor, action: "change", kind: KIND, id, detail }).await?;
        locked(transaction, id).await
    }
}

pub(super) struct RotateKey<'a> {
    pub actor: &'a str,
    pub id: &'a str,
    pub hash: &'a [u8],
    pub grace_ms: i64,
}

impl Change for RotateKey<'_> {
    type Done = ClientKey;

    async fn run<T: Transaction>(&self, transaction: &mut T) -> Result<ClientKey, Fault> {
        let &Self { actor, id, hash, grace_ms } = self;
        if locked(transaction, id).await?.revoked_at.is_some() {
            return Err(AdminError::Revoked(id.to_owned()).into());
        }
        let now = now_ms();
        let works_until = now.saturating_add(grace_ms.max(0));
        // One that ends sooner already keeps its end.
        let limit = "UPDATE client_key_hashes SET works_until = $1 \
                     WHERE key_id = $2 AND (works_until IS NULL OR works_until > $1)";
        transaction.write(limit, &values![works_until, id]).await?;
        let forget = "DELETE FROM client_key_hashes WHERE key_id = $1 AND works_until <= $2";
        transaction.write(forget, &values![id, now]).await?;
        add_hash(transaction, id, hash).await?;
        let sql = "UPDATE client_keys SET version = version + 1 WHERE id = $1";
        transaction.write(sql, &values![id]).await?;
        let detail = json!({"graceMs": grace_ms.max(0)});
        audit::write(transaction, Audited { actor, action: "rotate", kind: KIND, id, detail }).await?;
        locked(transaction, id).await
    }
}

pub(super) struct RevokeKey<'a> {
    pub actor: &'a str,
    pub id: &'a str,
}

impl Change for RevokeKey<'_> {
    type Done = ClientKey;

    async fn run<T: Transaction>(&self, transaction: &mut T) -> Result<ClientKey, Fault> {
        let &Self { actor, id } = self;
        let before = locked(transaction, id).await?;
        if before.revoked_at.is_some() {
            return Ok(before);
        }
        let revoke = "UPDATE client_keys SET revoked_at = $1, version = version + 1 WHERE id = $2";
        transaction.write(revoke, &values![now_ms(), id]).await?;
        transaction.write("DELETE FROM client_key_hashes WHERE key_id = $1", &values![id]).await?;
        let detail = json!({"name": before.settings.name});
        audit::write(transaction, Audited { actor, action: "revoke", kind: KIND, id, detail }).await?;
        locked(transaction, id).await
    }
}

pub(super) struct TouchKeys<'a>(pub &'a [(String, i64)]);

impl Change for TouchKeys<'_> {
    type Done = ();

    async fn run<T: Transaction>(&self, transaction: &mut T) -> Result<(), Fault> {
        let mut latest: BTreeMap<&str, i64> = BTreeMap::new();
        for (id, at) in self.0 {
            let time = latest.entry(id).or_insert(*at);
            *time = (*time).max(*at);
        }
        let latest: Vec<_> = latest.into_iter().collect();
        for some in latest.chunks(MOST_USED) {
            // The last one again, so that there are few different statements to prepare.
            let padded = some.iter().chain(std::iter::repeat_n(
                &some[some.len() - 1],
                some.len().next_power_of_two() - some.len(),
            ));
            let values: Vec<Value<'_>> = padded.flat_map(|(id, at)| values![*id, *at]).collect();
            let rows: Vec<_> =
                (1..values.len()).step_by(2).map(|place| format!("(${place}, ${})", place + 1)).collect();
            let sql = format!(
                "WITH used (id, at) AS (VALUES {}) UPDATE client_keys SET last_used_at = used.at FROM used \
                 WHERE client_keys.id = used.id AND coalesce(last_used_at < used.at, TRUE)",
                rows.join(", ")
            );
            transaction.write(&sql, &values).await?;
        }
        Ok(())
    }
}

pub(super) async fn list<D: Administered>(
    database: &D,
    after: Option<&str>,
    most: u32,
) -> Result<Page<ClientKey>, AdminError> {
    let sql = format!("{SELECT} WHERE id > $1 ORDER BY id LIMIT $2");
    let keys = database.read(&sql, &values![after.unwrap_or_default(), i64::from(most) + 1], key).await?;
    Ok(page(keys, most, |key| key.id.clone()))
}

pub(super) async fn find<D: Administered>(database: &D, id: &str) -> Result<Option<ClientKey>, AdminError> {
    Ok(database.read(&format!("{SELECT} WHERE id = $1"), &values![id], key).await?.pop())
}

pub(super) async fn find_by_hash<D: Administered>(
    database: &D,
    hash: &[u8],
) -> Result<Option<ClientKey>, AdminError> {
    let sql = format!(
        "{SELECT} WHERE id = (SELECT key_id FROM client_key_hashes \
         WHERE hash = $1 AND (works_until IS NULL OR works_until > $2))"
    );
    Ok(database.read(&sql, &values![hash, now_ms()], key).await?.pop())
}

pub(super) async fn hashes<D: Administered>(database: &D) -> Result<Vec<KeyHash>, AdminError> {
    let sql = "SELECT hash, key_id, works_until FROM client_key_hashes JOIN client_keys ON id = key_id \
               WHERE revoked_at IS NULL AND (works_until IS NULL OR works_until > $1)";
    database.read(sql, &values![now_ms()], hash_row).await
}
