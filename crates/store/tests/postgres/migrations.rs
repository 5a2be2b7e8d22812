use std::time::Duration;

use gateway_engine::state::StoreErrorKind;
use gateway_store::journal::BatchSink;
use gateway_store::postgres::PostgresRecords;

use super::{DAY, numbered, row, server};
use crate::schema_or_return;

const TABLES: &str = "SELECT count(*) FROM pg_tables WHERE schemaname = current_schema()";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_migrate_at_once_have_one_schema() {
    let schema = schema_or_return!();
    let starts = (0..8).map(|_| {
        let records = schema.records();
        tokio::spawn(async move { records.prepare().await })
    });
    for start in starts.collect::<Vec<_>>() {
        start.await.unwrap().unwrap();
    }
    assert_eq!(schema.number("SELECT version FROM schema_info").await, 1);
    assert_eq!(schema.number("SELECT count(*) FROM schema_info").await, 1);
}

#[tokio::test]
async fn a_newer_schema_that_may_be_used_is_used_and_another_one_is_refused() {
    let schema = schema_or_return!();
    schema.records().prepare().await.unwrap();
    schema.run("UPDATE schema_info SET version = 9").await;
    schema.records().apply("j", &[numbered(1, vec![row(DAY)])]).await.unwrap();
    assert_eq!(schema.number("SELECT version FROM schema_info").await, 9);
    schema.run("UPDATE schema_info SET readable_by = 8").await;
    let error = schema.records().apply("j", &[numbered(2, vec![row(DAY)])]).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Failed);
    let text = error.to_string();
    assert!(
        text.contains("version 9") && text.contains("version 8") && text.contains("Update the program"),
        "{text}"
    );
    assert_eq!(schema.number("SELECT count(*) FROM usage_rows").await, 1);
}

#[tokio::test]
async fn tables_of_another_program_are_left_alone() {
    let schema = schema_or_return!();
    schema.run("CREATE TABLE invoices (id bigint)").await;
    schema.run("CREATE TABLE audit (id text)").await;
    let error = schema.records().prepare().await.unwrap_err().to_string();
    assert!(error.contains("table audit") && error.contains("Nothing was changed"), "{error}");
    assert_eq!(schema.number(TABLES).await, 2);
    schema.run("DROP TABLE audit").await;
    schema.records().prepare().await.unwrap();
}

#[tokio::test]
async fn a_database_whose_texts_are_not_in_utf_8_is_refused() {
    let schema = schema_or_return!();
    let name = format!("latin_{}", uuid::Uuid::new_v4().simple());
    schema
        .run(&format!(
            "CREATE DATABASE {name} ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"
        ))
        .await;
    let mut url = url::Url::parse(&server::admin_url()).unwrap();
    url.set_path(&name);
    let error = PostgresRecords::new(url.as_str()).unwrap().prepare().await.unwrap_err();
    schema.run(&format!("DROP DATABASE {name} WITH (FORCE)")).await;
    assert!(error.to_string().contains("ENCODING 'UTF8'"), "{error}");
}

#[tokio::test]
async fn a_migration_that_fails_in_its_midst_changes_nothing() {
    let schema = schema_or_return!();
    // The function that the migration makes is in its way.
    schema.run("CREATE FUNCTION usage_rows_are_summed_up() RETURNS int LANGUAGE sql AS 'SELECT 1'").await;
    let error = schema.records().prepare().await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Failed);
    assert!(error.to_string().contains("migration \"initial\" failed"), "{error}");
    assert_eq!(schema.number(TABLES).await, 0);
    schema.run("DROP FUNCTION usage_rows_are_summed_up()").await;
    schema.records().prepare().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_that_is_cut_off_anywhere_is_done_by_the_next_process() {
    for cut_after_ms in [2, 5, 8, 12, 16, 20, 30, 50] {
        let schema = schema_or_return!();
        let records = schema.records();
        // Its connection closes in the midst of whatever it does.
        let _ = tokio::time::timeout(Duration::from_millis(cut_after_ms), records.prepare()).await;
        drop(records);
        let tables = schema.number(TABLES).await;
        assert!(tables == 0 || tables > 10, "all or nothing, not {tables}");
        schema.records().apply("j", &[numbered(1, vec![row(DAY)])]).await.unwrap();
        schema.check_sums().await;
    }
}
