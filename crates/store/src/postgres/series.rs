//! The numbers of series: those that were met are remembered.

use std::collections::{BTreeMap, HashMap};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use gateway_engine::records::UsageRow;
use gateway_engine::state::StoreError;
use sqlx::Row;
use sqlx::postgres::PgConnection;

use super::connections::{Connections, Work};
use super::rows::clean;
use crate::series::{self, COLUMNS, SeriesDigest, values};

type Values = [Option<String>; COLUMNS];

pub(super) fn digest(row: &UsageRow) -> SeriesDigest {
    let mut text = String::with_capacity(128);
    series::text(row, &mut text);
    series::digest(&text)
}

/// The numbers of series that are in the database for certain.
#[derive(Debug, Default)]
pub(super) struct KnownSeries(RwLock<HashMap<SeriesDigest, i64>>);

impl KnownSeries {
    /// The numbers of the series of these rows; those that the database lacks are added, in a transaction of its own: a
    /// series without rows does no harm, and is soon unlocked.
    pub async fn numbers(
        &self,
        connections: &Connections,
        rows: &[(SeriesDigest, &UsageRow)],
    ) -> Result<HashMap<SeriesDigest, i64>, StoreError> {
        let mut numbers = HashMap::new();
        let mut unknown = BTreeMap::new();
        {
            let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
            for (digest, row) in rows {
                match known.get(digest) {
                    Some(number) => drop(numbers.insert(*digest, *number)),
                    None => drop(unknown.insert(*digest, values(row).map(|value| value.map(clean)))),
                }
            }
        }
        if !unknown.is_empty() {
            let learned = connections.transact(&Ensure(unknown)).await?;
            numbers.extend(&learned);
            series::remember(&mut self.0.write().unwrap_or_else(PoisonError::into_inner), learned);
        }
        Ok(numbers)
    }
}

/// Makes sure that series are there, in the order of their digests.
struct Ensure(BTreeMap<SeriesDigest, Values>);

impl Work for Ensure {
    type Done = HashMap<SeriesDigest, i64>;
    const WITHIN: Duration = Duration::from_secs(10);

    async fn run(&self, connection: &mut PgConnection) -> Result<Self::Done, sqlx::Error> {
        let digests: Vec<&[u8]> = self.0.keys().map(|digest| digest.as_slice()).collect();
        let mut insert = sqlx::query(
            "INSERT INTO usage_series \
             (digest, provider, model, route_rule, key_id, team, user_id, feature, user_tier) \
             SELECT * FROM UNNEST ($1::bytea[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], \
             $8::text[], $9::text[]) ON CONFLICT (digest) DO NOTHING",
        )
        .bind(&digests);
        for column in 0..COLUMNS {
            let column: Vec<Option<&str>> = self.0.values().map(|values| values[column].as_deref()).collect();
            insert = insert.bind(column);
        }
        insert.execute(&mut *connection).await?;
        let read = sqlx::query("SELECT digest, id FROM usage_series WHERE digest = ANY ($1)").bind(&digests);
        let mut numbers = HashMap::with_capacity(self.0.len());
        for row in read.fetch_all(connection).await? {
            let digest: &[u8] = row.try_get(0)?;
            if let Ok(digest) = SeriesDigest::try_from(digest) {
                numbers.insert(digest, row.try_get(1)?);
            }
        }
        Ok(numbers)
    }
}
