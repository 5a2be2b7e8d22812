//! Client keys, channels and the audit.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use gateway_engine::records::{UsageQuery, UsageReader};
use gateway_store::admin::AdminRecords;
use gateway_store::postgres::PostgresRecords;

use super::server::{self, Schema};
use crate::admin_contract;
use crate::admin_contract::Place;
use crate::schema_or_return;

impl Place for Schema {
    type Records = PostgresRecords;

    async fn open(&self) -> Arc<PostgresRecords> {
        Arc::new(self.records())
    }
}

admin_contract!(Schema::new);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_that_take_long_do_not_delay_the_question_whether_keys_were_changed() {
    let schema = schema_or_return!();
    let records = Arc::new(schema.records());
    records.prepare().await.unwrap();
    let mut blocker = server::connect(&schema.url).await.unwrap();
    let lock = "BEGIN; LOCK TABLE usage_daily IN ACCESS EXCLUSIVE MODE";
    sqlx::Executor::execute(&mut blocker, lock).await.unwrap();
    let reports = (0..8).map(|_| {
        let records = records.clone();
        async move { records.usage(&UsageQuery::default()).await }
    });
    let reports = tokio::spawn(join_all(reports));
    tokio::time::sleep(Duration::from_millis(200)).await;
    let version = tokio::time::timeout(Duration::from_secs(1), records.keys_version()).await;
    assert_eq!(version.expect("within a second").unwrap(), 0);
    assert!(!reports.is_finished(), "they were under way");
    drop(blocker);
    assert!(reports.await.unwrap().iter().all(Result::is_ok));
}
