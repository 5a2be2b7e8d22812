//! Client keys, channels and the audit.

use std::sync::Arc;

use gateway_store::postgres::PostgresRecords;

use super::server::Schema;
use crate::admin_contract;
use crate::admin_contract::Place;

impl Place for Schema {
    type Records = PostgresRecords;

    async fn open(&self) -> Arc<PostgresRecords> {
        Arc::new(self.records())
    }
}

admin_contract!(Schema::new);
