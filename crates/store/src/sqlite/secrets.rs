//! Encrypted secrets: those of channels, and of other records.

use futures::FutureExt;
use futures::future::BoxFuture;
use gateway_engine::state::StoreError;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::SqliteStore;
use super::administration::Change;
use super::script::{Script, rows};
use crate::secrets::{
    CHANNEL_SECRET_FIELD, Derivation, KeyRecord, Reseal, SealedSecret, SecretError, SecretRecords, not_newest,
};

const NEW_KEY: &str = "INSERT INTO encryption_keys (id, salt, memory_kib, passes, lanes, check_value)";

/// The secrets that a change of the master key seals anew, with where they are.
const ALL: [(&str, &str); 2] = [
    (
        "SELECT record, field, ciphertext FROM secrets",
        "UPDATE secrets SET ciphertext = ? WHERE record = ? AND field = ?",
    ),
    (
        "SELECT id, ?, ciphertext FROM channel_secrets",
        "UPDATE channel_secrets SET ciphertext = ? WHERE id = ? AND ? IS NOT NULL",
    ),
];

fn key_record(row: &SqliteRow) -> Result<KeyRecord, sqlx::Error> {
    let number = |place: usize| -> Result<u32, sqlx::Error> {
        u32::try_from(row.try_get::<i64, _>(place)?).map_err(|error| sqlx::Error::Decode(error.into()))
    };
    let salt = <[u8; 16]>::try_from(row.try_get::<&[u8], _>(1)?);
    let salt = salt.map_err(|error| sqlx::Error::Decode(error.into()))?;
    let derivation = Derivation { salt, memory_kib: number(2)?, passes: number(3)?, lanes: number(4)? };
    Ok(KeyRecord { id: number(0)?, derivation, check: row.try_get(5)? })
}

fn bind_key(script: &mut Script, key: &KeyRecord) -> Result<(), sqlx::Error> {
    let KeyRecord { id, derivation: Derivation { salt, memory_kib, passes, lanes }, check } = key;
    script.bind(i64::from(*id))?;
    script.bind(salt.as_slice())?;
    script.bind(i64::from(*memory_kib))?;
    script.bind(i64::from(*passes))?;
    script.bind(i64::from(*lanes))?;
    script.bind(check.as_slice())
}

impl Change<'_> {
    /// Fails where another key is the newest.
    pub(super) async fn expect_newest_key(&mut self, key: u32) -> Result<(), StoreError> {
        let mut script = Script::default();
        script.statement("SELECT MAX(id) FROM encryption_keys");
        let found = rows(&mut self.run(script).await?, 0);
        let newest = found.first().and_then(|row| row.try_get::<Option<i64>, _>(0).ok()).flatten();
        if newest == Some(i64::from(key)) { Ok(()) } else { Err(not_newest(self.store())) }
    }
}

impl SqliteStore {
    /// One statement in a transaction of its own.
    async fn change(&self, script: Result<Script, sqlx::Error>) -> Result<(), StoreError> {
        let script = script.map_err(|error| self.shared.error(&error))?;
        let mut change = self.administration.begin().await?;
        change.run(script).await?;
        change.commit().await
    }

    async fn reseal_all(&self, change: &mut Change<'_>, reseal: &Reseal<'_>) -> Result<usize, SecretError> {
        let told = |error: sqlx::Error| self.shared.error(&error);
        let mut count = 0;
        for (select, update) in ALL {
            let mut script = Script::default();
            script.statement(select);
            if select.contains('?') {
                script.bind(CHANNEL_SECRET_FIELD).map_err(told)?;
            }
            for row in rows(&mut change.run(script).await?, 0) {
                let secret = secret(&row).map_err(told)?;
                let sealed = reseal(&secret)?;
                let mut script = Script::default();
                script.statement(update);
                for bound in [
                    script.bind(sealed),
                    script.bind(secret.record.as_str()),
                    script.bind(secret.field.as_str()),
                ] {
                    bound.map_err(told)?;
                }
                change.run(script).await?;
                count += 1;
            }
        }
        Ok(count)
    }
}

fn secret(row: &SqliteRow) -> Result<SealedSecret, sqlx::Error> {
    Ok(SealedSecret { record: row.try_get(0)?, field: row.try_get(1)?, sealed: row.try_get(2)? })
}

/// A statement about one secret.
fn about(sql: &str, record: &str, field: &str) -> Result<Script, sqlx::Error> {
    let mut script = Script::default();
    script.statement(sql);
    script.bind(record)?;
    script.bind(field)?;
    Ok(script)
}

impl SecretRecords for SqliteStore {
    fn keys(&self) -> BoxFuture<'_, Result<Vec<KeyRecord>, StoreError>> {
        async move {
            let mut script = Script::default();
            script.statement(
                "SELECT id, salt, memory_kib, passes, lanes, check_value FROM encryption_keys ORDER BY id",
            );
            let found = rows(&mut self.secrets.read(script).await?, 0);
            let keys: Result<_, _> = found.iter().map(key_record).collect();
            keys.map_err(|error| self.shared.error(&error))
        }
        .boxed()
    }

    fn add_first_key<'a>(&'a self, key: &'a KeyRecord) -> BoxFuture<'a, Result<(), StoreError>> {
        async move {
            let mut script = Script::default();
            script.statement(&format!(
                "{NEW_KEY} SELECT ?, ?, ?, ?, ?, ? WHERE NOT EXISTS (SELECT 1 FROM encryption_keys)"
            ));
            let bound = bind_key(&mut script, key);
            self.change(bound.map(|()| script)).await
        }
        .boxed()
    }

    fn put<'a>(&'a self, key: u32, secret: &'a SealedSecret) -> BoxFuture<'a, Result<(), StoreError>> {
        async move {
            let put = "INSERT OR REPLACE INTO secrets (record, field, ciphertext) VALUES (?, ?, ?)";
            let script = about(put, &secret.record, &secret.field).and_then(|mut script| {
                script.bind(secret.sealed.as_slice())?;
                Ok(script)
            });
            let script = script.map_err(|error| self.shared.error(&error))?;
            let mut change = self.administration.begin().await?;
            change.expect_newest_key(key).await?;
            change.run(script).await?;
            change.commit().await
        }
        .boxed()
    }

    fn get<'a>(
        &'a self,
        record: &'a str,
        field: &'a str,
    ) -> BoxFuture<'a, Result<Option<Vec<u8>>, StoreError>> {
        async move {
            let told = |error: sqlx::Error| self.shared.error(&error);
            let get = "SELECT ciphertext FROM secrets WHERE record = ? AND field = ?";
            let script = about(get, record, field).map_err(told)?;
            let found = rows(&mut self.secrets.read(script).await?, 0);
            found.first().map(|row| row.try_get(0)).transpose().map_err(told)
        }
        .boxed()
    }

    fn remove<'a>(&'a self, record: &'a str, field: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        let remove = "DELETE FROM secrets WHERE record = ? AND field = ?";
        async move { self.change(about(remove, record, field)).await }.boxed()
    }

    fn replace_key<'a>(
        &'a self,
        former: u32,
        new: &'a KeyRecord,
        reseal: &'a Reseal<'a>,
    ) -> BoxFuture<'a, Result<usize, SecretError>> {
        async move {
            let mut change = self.administration.begin().await?;
            change.expect_newest_key(former).await?;
            let count = self.reseal_all(&mut change, reseal).await?;
            let mut script = Script::default();
            script.statement("DELETE FROM encryption_keys");
            script.statement(&format!("{NEW_KEY} VALUES (?, ?, ?, ?, ?, ?)"));
            bind_key(&mut script, new).map_err(|error| self.shared.error(&error))?;
            change.run(script).await?;
            change.commit().await?;
            Ok(count)
        }
        .boxed()
    }
}
