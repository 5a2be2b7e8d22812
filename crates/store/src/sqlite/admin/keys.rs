//! Client keys and the hashes of their secrets.

use serde_json::json;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::{Audited, clock, expect_version, found, page, statement};
use crate::admin::{AdminError, ClientKey, KeyHash, KeySettings, Page};
use crate::sqlite::SqliteStore;
use crate::sqlite::administration::Change;
use crate::sqlite::script::Script;

const COLUMNS: &str = "id, name, owner, team, tags, models, expires_at, budget, requests_per_minute, tokens_per_minute, \
     max_concurrency, trust, created_at, last_used_at, revoked_at, version";

fn key(row: &SqliteRow) -> Result<ClientKey, sqlx::Error> {
    let list = |place: usize| -> Result<Vec<String>, sqlx::Error> {
        let text: Option<String> = row.try_get(place)?;
        let list = text.map(|text| serde_json::from_str(&text)).transpose();
        list.map(Option::unwrap_or_default).map_err(|error| sqlx::Error::Decode(error.into()))
    };
    let settings = KeySettings {
        name: row.try_get(1)?,
        owner: row.try_get(2)?,
        team: row.try_get(3)?,
        tags: list(4)?,
        models: list(5)?,
        expires_at: row.try_get(6)?,
        budget: row.try_get(7)?,
        requests_per_minute: row.try_get(8)?,
        tokens_per_minute: row.try_get(9)?,
        max_concurrency: row.try_get(10)?,
        trust: list(11)?,
    };
    Ok(ClientKey {
        id: row.try_get(0)?,
        settings,
        created_at: row.try_get(12)?,
        last_used_at: row.try_get(13)?,
        revoked_at: row.try_get(14)?,
        version: row.try_get(15)?,
    })
}

fn hash_row(row: &SqliteRow) -> Result<KeyHash, sqlx::Error> {
    Ok(KeyHash { hash: row.try_get(0)?, key_id: row.try_get(1)?, works_until: row.try_get(2)? })
}

/// In the order of the columns from `name` to `trust`.
fn bind_settings(script: &mut Script, settings: &KeySettings) -> Result<(), sqlx::Error> {
    let list = |list: &[String]| (!list.is_empty()).then(|| json!(list).to_string());
    script.bind(settings.name.as_str())?;
    script.bind(settings.owner.as_deref())?;
    script.bind(settings.team.as_deref())?;
    script.bind(list(&settings.tags))?;
    script.bind(list(&settings.models))?;
    script.bind(settings.expires_at)?;
    script.bind(settings.budget.as_deref())?;
    script.bind(settings.requests_per_minute)?;
    script.bind(settings.tokens_per_minute)?;
    script.bind(settings.max_concurrency)?;
    script.bind(list(&settings.trust))
}

fn add_hash(id: &str, hash: &[u8]) -> Result<Script, sqlx::Error> {
    statement("INSERT INTO client_key_hashes (hash, key_id, created_at) VALUES (?, ?, ?)", |script| {
        script.bind(hash)?;
        script.bind(id)?;
        script.bind(clock::now())
    })
}

impl SqliteStore {
    async fn key_in(&self, change: &mut Change<'_>, id: &str) -> Result<ClientKey, AdminError> {
        let by_id = statement(&format!("SELECT {COLUMNS} FROM client_keys WHERE id = ?"), |s| s.bind(id));
        found(self.look(change, by_id, key).await?, "key", id)
    }

    pub(super) async fn new_key(
        &self,
        actor: &str,
        id: &str,
        settings: &KeySettings,
        hash: &[u8],
    ) -> Result<ClientKey, AdminError> {
        let mut change = self.administration.begin().await?;
        let sql = "INSERT INTO client_keys (name, owner, team, tags, models, expires_at, budget, requests_per_minute, \
                   tokens_per_minute, max_concurrency, trust, id, created_at, version) \
                   VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1)";
        let insert = statement(sql, |script| {
            bind_settings(script, settings)?;
            script.bind(id)?;
            script.bind(clock::now())
        });
        self.write(&mut change, insert).await?;
        self.write(&mut change, add_hash(id, hash)).await?;
        let detail = json!(settings);
        self.audited(&mut change, Audited { actor, action: "create", kind: "key", id, detail }).await?;
        let made = self.key_in(&mut change, id).await?;
        change.commit().await?;
        Ok(made)
    }

    pub(super) async fn list_keys(
        &self,
        after: Option<&str>,
        most: u32,
    ) -> Result<Page<ClientKey>, AdminError> {
        let sql = format!("SELECT {COLUMNS} FROM client_keys WHERE id > ? ORDER BY id LIMIT ?");
        let script = statement(&sql, |script| {
            script.bind(after.unwrap_or_default())?;
            script.bind(i64::from(most) + 1)
        });
        Ok(page(self.read(script, key).await?, most, |key| key.id.clone()))
    }

    pub(super) async fn find_key(&self, id: &str) -> Result<Option<ClientKey>, AdminError> {
        let by_id = statement(&format!("SELECT {COLUMNS} FROM client_keys WHERE id = ?"), |s| s.bind(id));
        Ok(self.read(by_id, key).await?.pop())
    }

    pub(super) async fn find_key_by_hash(&self, hash: &[u8]) -> Result<Option<ClientKey>, AdminError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM client_keys WHERE id = (SELECT key_id FROM client_key_hashes \
             WHERE hash = ? AND (works_until IS NULL OR works_until > ?))"
        );
        let script = statement(&sql, |script| {
            script.bind(hash)?;
            script.bind(clock::now())
        });
        Ok(self.read(script, key).await?.pop())
    }

    pub(super) async fn working_hashes(&self) -> Result<Vec<KeyHash>, AdminError> {
        let sql = "SELECT hash, key_id, works_until FROM client_key_hashes JOIN client_keys ON id = key_id \
                   WHERE revoked_at IS NULL AND (works_until IS NULL OR works_until > ?)";
        self.read(statement(sql, |script| script.bind(clock::now())), hash_row).await
    }

    /// As keys stay when they are revoked, and versions only grow, their sum tells of each change.
    pub(super) async fn version_of_keys(&self) -> Result<i64, AdminError> {
        let script = statement("SELECT coalesce(sum(version), 0) FROM client_keys", |_| Ok(()));
        Ok(self.read(script, |row| row.try_get(0)).await?.pop().unwrap_or_default())
    }

    pub(super) async fn set_key(
        &self,
        actor: &str,
        id: &str,
        version: Option<i64>,
        settings: &KeySettings,
    ) -> Result<ClientKey, AdminError> {
        let mut change = self.administration.begin().await?;
        let before = self.key_in(&mut change, id).await?;
        expect_version(version, before.version)?;
        let sql = "UPDATE client_keys SET name = ?, owner = ?, team = ?, tags = ?, models = ?, expires_at = ?, \
                   budget = ?, requests_per_minute = ?, tokens_per_minute = ?, max_concurrency = ?, trust = ?, \
                   version = version + 1 WHERE id = ?";
        let update = statement(sql, |script| {
            bind_settings(script, settings)?;
            script.bind(id)
        });
        self.write(&mut change, update).await?;
        let detail = json!({"before": before.settings, "after": settings});
        self.audited(&mut change, Audited { actor, action: "change", kind: "key", id, detail }).await?;
        let after = self.key_in(&mut change, id).await?;
        change.commit().await?;
        Ok(after)
    }

    pub(super) async fn new_hash(
        &self,
        actor: &str,
        id: &str,
        hash: &[u8],
        grace_ms: i64,
    ) -> Result<ClientKey, AdminError> {
        let mut change = self.administration.begin().await?;
        self.key_in(&mut change, id).await?;
        let works_until = clock::now().saturating_add(grace_ms.max(0));
        // One that ends sooner already keeps its end.
        let sql =
            "UPDATE client_key_hashes SET works_until = min(coalesce(works_until, ?), ?) WHERE key_id = ?";
        let limit = statement(sql, |script| {
            script.bind(works_until)?;
            script.bind(works_until)?;
            script.bind(id)
        });
        self.write(&mut change, limit).await?;
        let over =
            statement("DELETE FROM client_key_hashes WHERE key_id = ? AND works_until <= ?", |script| {
                script.bind(id)?;
                script.bind(clock::now())
            });
        self.write(&mut change, over).await?;
        self.write(&mut change, add_hash(id, hash)).await?;
        let sql = "UPDATE client_keys SET version = version + 1 WHERE id = ?";
        self.write(&mut change, statement(sql, |script| script.bind(id))).await?;
        let detail = json!({"graceMs": grace_ms.max(0)});
        self.audited(&mut change, Audited { actor, action: "rotate", kind: "key", id, detail }).await?;
        let after = self.key_in(&mut change, id).await?;
        change.commit().await?;
        Ok(after)
    }

    pub(super) async fn end_key(&self, actor: &str, id: &str) -> Result<ClientKey, AdminError> {
        let mut change = self.administration.begin().await?;
        let before = self.key_in(&mut change, id).await?;
        if before.revoked_at.is_some() {
            return Ok(before);
        }
        let revoke = "UPDATE client_keys SET revoked_at = ?, version = version + 1 WHERE id = ?";
        let revoke = statement(revoke, |script| {
            script.bind(clock::now())?;
            script.bind(id)
        });
        self.write(&mut change, revoke).await?;
        let forget = statement("DELETE FROM client_key_hashes WHERE key_id = ?", |script| script.bind(id));
        self.write(&mut change, forget).await?;
        let detail = json!({"name": before.settings.name});
        self.audited(&mut change, Audited { actor, action: "revoke", kind: "key", id, detail }).await?;
        let after = self.key_in(&mut change, id).await?;
        change.commit().await?;
        Ok(after)
    }

    pub(super) async fn note_use(&self, used: &[(String, i64)]) -> Result<(), AdminError> {
        if used.is_empty() {
            return Ok(());
        }
        let mut change = self.administration.begin().await?;
        for (id, at) in used {
            let sql = "UPDATE client_keys SET last_used_at = max(coalesce(last_used_at, 0), ?) WHERE id = ?";
            let touch = statement(sql, |script| {
                script.bind(*at)?;
                script.bind(id.as_str())
            });
            self.write(&mut change, touch).await?;
        }
        Ok(change.commit().await?)
    }
}
