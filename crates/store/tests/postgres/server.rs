//! The PostgreSQL that tests run on: `DATABASE_URL`, else the usual local one. Each test has a schema of its own.

use std::str::FromStr;
use std::time::Duration;

use gateway_store::postgres::PostgresRecords;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, Row};

pub fn admin_url() -> String {
    std::env::var("DATABASE_URL").unwrap_or_else(|_| "postgres://postgres@127.0.0.1:5432/postgres".into())
}

pub async fn connect(url: &str) -> Option<PgConnection> {
    let options = PgConnectOptions::from_str(url).unwrap().disable_statement_logging();
    tokio::time::timeout(Duration::from_secs(5), options.connect()).await.ok()?.ok()
}

/// A schema that is dropped with it.
pub struct Schema {
    pub url: String,
    name: String,
}

impl Schema {
    /// `None`: there is no server, as was said.
    pub async fn new() -> Option<Self> {
        let Some(mut connection) = connect(&admin_url()).await else {
            let line = format!("skipped: no PostgreSQL at {}", admin_url());
            assert!(std::env::var_os("REQUIRE_SERVICES").is_none(), "{line}");
            println!("{line}");
            return None;
        };
        let name = format!("test_{}", uuid::Uuid::new_v4().simple());
        connection.execute(AssertSqlSafe(format!("CREATE SCHEMA {name}"))).await.unwrap();
        Some(Self { url: Self::url(&admin_url(), &name), name })
    }

    fn url(server: &str, name: &str) -> String {
        let first = if server.contains('?') { '&' } else { '?' };
        format!("{server}{first}options[search_path]={name}")
    }

    /// The same schema on a server that stands at another port of this machine.
    #[allow(dead_code, reason = "for one of the programs of tests")]
    pub fn through(&self, port: u16) -> String {
        let mut url = url::Url::parse(&self.url).unwrap();
        url.set_host(Some("127.0.0.1")).unwrap();
        url.set_port(Some(port)).unwrap();
        url.into()
    }

    #[allow(dead_code, reason = "for one of the programs of tests")]
    pub fn records(&self) -> PostgresRecords {
        PostgresRecords::new(&self.url).unwrap()
    }

    pub async fn rows(&self, sql: &str) -> Vec<PgRow> {
        let mut connection = connect(&self.url).await.unwrap();
        sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut connection).await.unwrap()
    }

    pub async fn number(&self, sql: &str) -> i64 {
        let sql = format!("SELECT coalesce(({sql})::bigint, 0)");
        self.rows(&sql).await[0].get(0)
    }

    #[allow(dead_code, reason = "for one of the programs of tests")]
    pub async fn run(&self, sql: &str) {
        let mut connection = connect(&self.url).await.unwrap();
        connection.execute(AssertSqlSafe(sql)).await.unwrap();
        connection.close().await.unwrap();
    }

    /// Sums are those of rows, and each row is there once, as its key says.
    pub async fn check_sums(&self) {
        for (sums, step) in [("hourly", 3_600_000), ("daily", 86_400_000)] {
            let time = if step == 3_600_000 { "hour" } else { "day" };
            let differences = format!(
                "SELECT count(*) FROM (SELECT at_ms / {step} AS at, series, count(*) FILTER (WHERE part = 0) AS calls, \
                 count(*) FILTER (WHERE part = 0 AND NOT success) AS errors, sum(input_tokens) AS input, \
                 sum(output_tokens) AS output, sum(cost) AS cost, sum(saved) AS saved FROM usage_rows GROUP BY 1, 2) AS r \
                 FULL JOIN usage_{sums} AS s ON s.{time} = r.at AND s.series = r.series \
                 WHERE (r.calls, r.errors, r.input, r.output, r.cost, r.saved) IS DISTINCT FROM \
                 (s.calls, s.errors, s.input_tokens::numeric, s.output_tokens::numeric, \
                 s.cost_micro::numeric * 1000000 + s.cost_pico, s.saved_micro::numeric * 1000000 + s.saved_pico)"
            );
            assert_eq!(self.number(&differences).await, 0, "sums by the {time}");
            // Each bucket once, in its place, whatever the length of the text.
            let counts = |text: &str| {
                format!(
                    "(SELECT string_agg(bucket || calls, '' ORDER BY bucket COLLATE \"C\") FROM (SELECT each[1] AS bucket, \
                     sum(CASE WHEN each[2] = '' THEN 1 ELSE each[2]::bigint END)::text AS calls \
                     FROM regexp_matches({text}, '([^0-9])([0-9]*)', 'g') AS each GROUP BY 1) AS counts)"
                )
            };
            let latencies = format!(
                "SELECT count(*) FROM usage_{sums} AS s JOIN (SELECT at_ms / {step} AS at, series, \
                 coalesce(string_agg(chr((latency_bucket + 64)::int), ''), '') AS latencies FROM usage_rows GROUP BY 1, 2) AS r \
                 ON s.{time} = r.at AND s.series = r.series WHERE {} IS DISTINCT FROM {}",
                counts("r.latencies"),
                counts("s.latencies"),
            );
            assert_eq!(self.number(&latencies).await, 0, "latencies by the {time}");
        }
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        let drop = format!("DROP SCHEMA {} CASCADE", self.name);
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                if let Some(mut connection) = connect(&admin_url()).await {
                    let _ = connection.execute(AssertSqlSafe("SET lock_timeout = '5s'")).await;
                    let _ = connection.execute(AssertSqlSafe(drop)).await;
                }
            });
        });
        let _ = dropped.join();
    }
}

/// Ends the test where there is no server.
#[macro_export]
macro_rules! schema_or_return {
    () => {
        match server::Schema::new().await {
            Some(schema) => schema,
            None => return,
        }
    };
}
