//! Several statements as one round trip: the driver runs a connection on a thread of its own, and each trip there wakes
//! two threads.

use futures::TryStreamExt;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Arguments, AssertSqlSafe, Either, Encode, Executor, Sqlite, SqliteConnection, Type};

/// Statements with their arguments, in order. Each text that is run stays prepared, so there should be few different ones.
#[derive(Default)]
pub(super) struct Script {
    sql: String,
    arguments: SqliteArguments,
    statements: usize,
}

/// The rows that one statement gave.
pub(super) type Given = Vec<SqliteRow>;

impl Script {
    /// Adds a statement; says at which place its result will be.
    pub fn statement(&mut self, sql: &str) -> usize {
        if !self.sql.is_empty() {
            self.sql.push(';');
        }
        self.sql.push_str(sql);
        self.statements += 1;
        self.statements - 1
    }

    pub fn bind<'a, T: Encode<'a, Sqlite> + Type<Sqlite>>(&mut self, value: T) -> Result<(), sqlx::Error> {
        self.arguments.add(value).map_err(sqlx::Error::Encode)
    }

    /// Runs all statements up to the first that fails. It does not end a transaction that was begun.
    pub async fn run(self, connection: &mut SqliteConnection) -> Result<Vec<Given>, sqlx::Error> {
        let mut given = Vec::with_capacity(self.statements);
        let query = sqlx::query_with(AssertSqlSafe(self.sql), self.arguments);
        let mut results = connection.fetch_many(query);
        let mut rows = Vec::new();
        while let Some(result) = results.try_next().await? {
            match result {
                Either::Right(row) => rows.push(row),
                Either::Left(_) => given.push(std::mem::take(&mut rows)),
            }
        }
        Ok(given)
    }
}

/// The rows that a statement gave, if it was reached.
pub(super) fn rows(given: &mut [Given], place: usize) -> Given {
    given.get_mut(place).map(std::mem::take).unwrap_or_default()
}
