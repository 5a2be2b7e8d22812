//! Deleting what is old, in steps that nobody notices.

use std::sync::Weak;
use std::time::Duration;

use gateway_engine::state::StoreError;
use gateway_model::config::Retention;
use sqlx::Row;
use sqlx::postgres::PgConnection;

use super::connections::{Connections, Work};
use crate::clock::now_ms;

/// Rows that one step deletes at most.
const STEP: i64 = 500;
/// Between two steps.
const PAUSE: Duration = Duration::from_millis(50);
/// A journal that nobody has applied for so long is not to be expected any more.
const MARKS_LAST_MS: i64 = 400 * 24 * 60 * 60 * 1000;

/// How often it is looked for rows that are too old.
const EVERY: Duration = Duration::from_secs(60 * 60);
/// Before the first look: a start has other things to do.
const FIRST: Duration = Duration::from_secs(60);
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Deletes what is older than `retention` says, for as long as the connections are in use. A database that is away is looked
/// at again later.
pub(super) async fn keep_pruning(connections: Weak<Connections>, retention: Retention) {
    let days = i64::try_from(retention.days()).unwrap_or(i64::MAX);
    let mut pause = FIRST;
    loop {
        tokio::time::sleep(pause).await;
        pause = EVERY;
        let Some(connections) = connections.upgrade() else { return };
        let ended_before = now_ms().saturating_sub(days.saturating_mul(DAY_MS));
        // Whoever writes to the database tells what is wrong with it.
        let _ = prune(&connections, ended_before).await;
    }
}

struct Step {
    ended_before_ms: i64,
}

pub(super) async fn prune(connections: &Connections, ended_before_ms: i64) -> Result<u64, StoreError> {
    let mut all = 0;
    loop {
        let deleted = connections.transact(&Step { ended_before_ms }).await?;
        all += deleted;
        if deleted == 0 {
            return Ok(all);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Ids begin with the time of the call's beginning: none that ended before is above this one.
fn first_id_after(at_ms: i64) -> Vec<u8> {
    let [_, _, time @ ..] = at_ms.max(0).to_be_bytes();
    time.to_vec()
}

impl Work for Step {
    type Done = u64;
    const WITHIN: Duration = Duration::from_secs(10);

    async fn run(&self, connection: &mut PgConnection) -> Result<u64, sqlx::Error> {
        let alone =
            "SELECT pg_try_advisory_xact_lock(hashtext('ai-gateway prune'), hashtext(current_schema()))";
        if !sqlx::query(alone).fetch_one(&mut *connection).await?.try_get::<bool, _>(0)? {
            return Ok(0);
        }
        let rows = sqlx::query(
            "DELETE FROM usage_rows WHERE (request_id, part) IN \
             (SELECT request_id, part FROM usage_rows WHERE request_id < $1 AND at_ms < $2 \
              ORDER BY request_id, part LIMIT $3)",
        );
        let rows = rows.bind(first_id_after(self.ended_before_ms)).bind(self.ended_before_ms).bind(STEP);
        let deleted = rows.execute(&mut *connection).await?.rows_affected();
        let marks = sqlx::query("DELETE FROM journal_marks WHERE updated_at < $1");
        marks.bind(self.ended_before_ms.saturating_sub(MARKS_LAST_MS)).execute(connection).await?;
        Ok(deleted)
    }
}
