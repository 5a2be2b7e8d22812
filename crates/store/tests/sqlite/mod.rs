//! What the tests of the SQLite store share.

#![allow(dead_code)]

use std::path::PathBuf;

use gateway_engine::records::{RatesUsed, UsageRow};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Row, SqliteConnection};
use tempfile::TempDir;
use uuid::Uuid;

/// A folder of one test; gone when the test has ended.
pub struct Folder(TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn url(&self) -> String {
        format!("sqlite:{}", self.file("gateway.db").display())
    }
}

pub fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

/// An id that begins with the time.
pub fn id_at(at_ms: i64) -> String {
    let time = u64::try_from(at_ms).unwrap();
    let (_, random) = Uuid::new_v4().as_u64_pair();
    Uuid::from_u64_pair(time << 16 | 0x7000 | random & 0xfff, random).to_string()
}

/// A call like many: `number` decides its figures.
pub fn row(number: u64, at_ms: i64) -> UsageRow {
    UsageRow {
        request_id: id_at(at_ms),
        at_ms,
        provider: format!("provider-{}", number % 3),
        model: format!("model-{}", number % 5),
        route_rule: "default".into(),
        feature: Some("chat".into()),
        user_id: Some(format!("user-{}", number % 7)),
        key_id: (number.is_multiple_of(2)).then(|| "key-1".into()),
        success: number % 10 != 9,
        error_code: (number % 10 == 9).then(|| "provider_timeout".into()),
        input_tokens: 100 + number % 50,
        output_tokens: 20 + number % 30,
        cost: i64::try_from(1_000_000_001 + number * 1_000_003).unwrap(),
        rates: Some(RatesUsed { input: 0.000_15, output: 0.000_6 }),
        latency_ms: 50 + number * 37 % 2_000,
        first_token_ms: Some(40),
        streamed: number % 2 == 1,
        ..UsageRow::default()
    }
}

/// The file, past the store.
pub async fn open(folder: &Folder) -> SqliteConnection {
    SqliteConnectOptions::new().filename(folder.file("gateway.db")).connect().await.unwrap()
}

/// The one row of a query, as integers.
pub async fn integers(connection: &mut SqliteConnection, sql: &str) -> Vec<i64> {
    let row = sqlx::query(AssertSqlSafe(sql)).fetch_one(connection).await.unwrap();
    (0..row.len()).map(|place| row.try_get::<Option<i64>, _>(place).unwrap().unwrap_or(-1)).collect()
}

pub async fn text(connection: &mut SqliteConnection, sql: &str) -> String {
    sqlx::query(AssertSqlSafe(sql)).fetch_one(connection).await.unwrap().try_get(0).unwrap()
}

/// The sums of rows and of the roll-ups, which must be the same while rows are there.
pub async fn assert_rolled_up(connection: &mut SqliteConnection) {
    let sums = "SUM(calls), SUM(errors), SUM(input_tokens), SUM(output_tokens), \
                SUM(cost_micro) * 1000000 + SUM(cost_pico), SUM(saved_micro) * 1000000 + SUM(saved_pico)";
    let rows = integers(
        connection,
        "SELECT SUM(part = 0), SUM(part = 0 AND NOT success), SUM(input_tokens), SUM(output_tokens), SUM(cost), \
         SUM(saved) FROM usage_rows",
    )
    .await;
    for table in ["usage_hourly", "usage_daily"] {
        assert_eq!(integers(connection, &format!("SELECT {sums} FROM {table}")).await, rows, "{table}");
    }
    let measured = "SELECT COUNT(*) FROM usage_rows WHERE part = 0 AND success AND NOT cached";
    let measured = integers(connection, measured).await[0];
    for table in ["usage_hourly", "usage_daily"] {
        let texts = text(connection, &format!("SELECT group_concat(latencies, '') FROM {table}")).await;
        assert_eq!(latencies_in(&texts), measured, "{table}: {texts}");
    }
}

/// Characters with, after each, how many times if more than once.
fn latencies_in(texts: &str) -> i64 {
    let counts = texts.split(|character: char| !character.is_ascii_digit()).skip(1);
    counts.map(|count| count.parse().unwrap_or(1)).sum()
}
