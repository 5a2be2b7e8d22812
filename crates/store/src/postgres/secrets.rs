//! Encrypted secrets: those of channels, and of other records.

use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use gateway_engine::state::StoreError;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Executor, Row};

use super::PostgresRecords;
use super::connections::Work;
use crate::secrets::{
    CHANNEL_SECRET_FIELD, Derivation, KeyRecord, Reseal, SealedSecret, SecretError, SecretRecords, not_newest,
};

const WITHIN: Duration = Duration::from_secs(10);

fn key_record(row: &PgRow) -> Result<KeyRecord, sqlx::Error> {
    let number = |at: usize| -> Result<u32, sqlx::Error> {
        u32::try_from(row.try_get::<i64, _>(at)?).map_err(|error| sqlx::Error::Decode(error.into()))
    };
    let salt = row.try_get::<&[u8], _>(1)?.try_into().map_err(|error| {
        let error: std::array::TryFromSliceError = error;
        sqlx::Error::Decode(error.into())
    })?;
    let derivation = Derivation { salt, memory_kib: number(2)?, passes: number(3)?, lanes: number(4)? };
    Ok(KeyRecord { id: number(0)?, derivation, check: row.try_get(5)? })
}

async fn insert_key(connection: &mut PgConnection, key: &KeyRecord) -> Result<(), sqlx::Error> {
    let KeyRecord { id, derivation: Derivation { salt, memory_kib, passes, lanes }, check } = key;
    sqlx::query(
        "INSERT INTO encryption_keys (id, salt, memory_kib, passes, lanes, check_value) VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(i64::from(*id))
    .bind(salt.as_slice())
    .bind(i64::from(*memory_kib))
    .bind(i64::from(*passes))
    .bind(i64::from(*lanes))
    .bind(check)
    .execute(connection)
    .await
    .map(drop)
}

/// Whether that key is the newest. It stays so until the transaction ends.
pub(super) async fn is_newest(connection: &mut PgConnection, key: u32) -> Result<bool, sqlx::Error> {
    let newest = sqlx::query("SELECT id FROM encryption_keys ORDER BY id DESC LIMIT 1 FOR SHARE");
    let newest = newest.fetch_optional(connection).await?;
    Ok(newest.map(|row| row.try_get::<i64, _>(0)).transpose()? == Some(i64::from(key)))
}

struct Keys;

impl Work for Keys {
    type Done = Vec<KeyRecord>;
    const WITHIN: Duration = WITHIN;

    async fn run(&self, connection: &mut PgConnection) -> Result<Self::Done, sqlx::Error> {
        let keys = "SELECT id, salt, memory_kib, passes, lanes, check_value FROM encryption_keys ORDER BY id";
        sqlx::query(keys).fetch_all(connection).await?.iter().map(key_record).collect()
    }
}

struct AddFirstKey<'a>(&'a KeyRecord);

impl Work for AddFirstKey<'_> {
    type Done = ();
    const WITHIN: Duration = WITHIN;

    async fn run(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        connection.execute("LOCK TABLE encryption_keys IN EXCLUSIVE MODE").await?;
        if connection.fetch_optional("SELECT 1 FROM encryption_keys LIMIT 1").await?.is_none() {
            insert_key(connection, self.0).await?;
        }
        Ok(())
    }
}

struct Put<'a> {
    key: u32,
    secret: &'a SealedSecret,
}

impl Work for Put<'_> {
    /// Whether the key is the newest.
    type Done = bool;
    const WITHIN: Duration = WITHIN;

    async fn run(&self, connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
        if !is_newest(connection, self.key).await? {
            return Ok(false);
        }
        let put = sqlx::query(
            "INSERT INTO secrets (record, field, ciphertext) VALUES ($1, $2, $3) \
             ON CONFLICT (record, field) DO UPDATE SET ciphertext = excluded.ciphertext",
        );
        let SealedSecret { record, field, sealed } = self.secret;
        put.bind(record).bind(field).bind(sealed).execute(connection).await?;
        Ok(true)
    }
}

struct Get<'a>(&'a str, &'a str);

impl Work for Get<'_> {
    type Done = Option<Vec<u8>>;
    const WITHIN: Duration = WITHIN;

    async fn run(&self, connection: &mut PgConnection) -> Result<Self::Done, sqlx::Error> {
        let get = sqlx::query("SELECT ciphertext FROM secrets WHERE record = $1 AND field = $2");
        let found = get.bind(self.0).bind(self.1).fetch_optional(connection).await?;
        found.map(|row| row.try_get(0)).transpose()
    }
}

struct Remove<'a>(&'a str, &'a str);

impl Work for Remove<'_> {
    type Done = ();
    const WITHIN: Duration = WITHIN;

    async fn run(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let remove = sqlx::query("DELETE FROM secrets WHERE record = $1 AND field = $2");
        remove.bind(self.0).bind(self.1).execute(connection).await.map(drop)
    }
}

struct ReplaceKey<'a> {
    former: u32,
    new: &'a KeyRecord,
    reseal: &'a Reseal<'a>,
}

/// What a change of the master key came to; with an error of ours nothing was changed.
enum Replaced {
    All(usize),
    NotNewest,
    Refused(SecretError),
}

impl ReplaceKey<'_> {
    /// `Err`: what could not be opened.
    async fn reseal_all(
        &self,
        connection: &mut PgConnection,
    ) -> Result<Result<usize, SecretError>, sqlx::Error> {
        let mut count = 0;
        for row in
            sqlx::query("SELECT record, field, ciphertext FROM secrets").fetch_all(&mut *connection).await?
        {
            let secret =
                SealedSecret { record: row.try_get(0)?, field: row.try_get(1)?, sealed: row.try_get(2)? };
            let sealed = match (self.reseal)(&secret) {
                Ok(sealed) => sealed,
                Err(error) => return Ok(Err(error)),
            };
            let update = sqlx::query("UPDATE secrets SET ciphertext = $3 WHERE record = $1 AND field = $2");
            update.bind(secret.record).bind(secret.field).bind(sealed).execute(&mut *connection).await?;
            count += 1;
        }
        for row in
            sqlx::query("SELECT id, ciphertext FROM channel_secrets").fetch_all(&mut *connection).await?
        {
            let (record, sealed): (String, Vec<u8>) = (row.try_get(0)?, row.try_get(1)?);
            let secret = SealedSecret { record, field: CHANNEL_SECRET_FIELD.into(), sealed };
            let sealed = match (self.reseal)(&secret) {
                Ok(sealed) => sealed,
                Err(error) => return Ok(Err(error)),
            };
            let update = sqlx::query("UPDATE channel_secrets SET ciphertext = $2 WHERE id = $1");
            update.bind(secret.record).bind(sealed).execute(&mut *connection).await?;
            count += 1;
        }
        Ok(Ok(count))
    }
}

impl Work for ReplaceKey<'_> {
    type Done = Replaced;
    const WITHIN: Duration = Duration::from_secs(60);

    async fn run(&self, connection: &mut PgConnection) -> Result<Replaced, sqlx::Error> {
        connection.execute("LOCK TABLE encryption_keys, secrets, channel_secrets IN EXCLUSIVE MODE").await?;
        if !is_newest(connection, self.former).await? {
            return Ok(Replaced::NotNewest);
        }
        match self.reseal_all(connection).await? {
            Ok(count) => {
                connection.execute("DELETE FROM encryption_keys").await?;
                insert_key(connection, self.new).await?;
                Ok(Replaced::All(count))
            }
            Err(error) => {
                // What was sealed anew before it is taken back; the commit that follows then has nothing to do.
                connection.execute("ROLLBACK").await?;
                Ok(Replaced::Refused(error))
            }
        }
    }
}

impl SecretRecords for PostgresRecords {
    fn keys(&self) -> BoxFuture<'_, Result<Vec<KeyRecord>, StoreError>> {
        self.connections.ask(&Keys).boxed()
    }

    fn add_first_key<'a>(&'a self, key: &'a KeyRecord) -> BoxFuture<'a, Result<(), StoreError>> {
        async move { self.connections.ask(&AddFirstKey(key)).await }.boxed()
    }

    fn put<'a>(&'a self, key: u32, secret: &'a SealedSecret) -> BoxFuture<'a, Result<(), StoreError>> {
        async move {
            let put = self.connections.ask(&Put { key, secret }).await?;
            if put { Ok(()) } else { Err(not_newest(&self.connections.address.name)) }
        }
        .boxed()
    }

    fn get<'a>(
        &'a self,
        record: &'a str,
        field: &'a str,
    ) -> BoxFuture<'a, Result<Option<Vec<u8>>, StoreError>> {
        async move { self.connections.ask(&Get(record, field)).await }.boxed()
    }

    fn remove<'a>(&'a self, record: &'a str, field: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        async move { self.connections.ask(&Remove(record, field)).await }.boxed()
    }

    fn replace_key<'a>(
        &'a self,
        former: u32,
        new: &'a KeyRecord,
        reseal: &'a Reseal<'a>,
    ) -> BoxFuture<'a, Result<usize, SecretError>> {
        async move {
            match self.connections.ask(&ReplaceKey { former, new, reseal }).await? {
                Replaced::All(count) => Ok(count),
                Replaced::NotNewest => Err(not_newest(&self.connections.address.name).into()),
                Replaced::Refused(error) => Err(error),
            }
        }
        .boxed()
    }
}
