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

/// What one statement gave.
#[derive(Default)]
pub(super) struct Given {
    pub rows: Vec<SqliteRow>,
    /// Rows that it changed itself, without those of triggers.
    pub changes: u64,
}

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

    /// Adds a statement for so many rows of values. Its `?s` becomes `rows` times `(?, …)`, rounded up so that few texts are
    /// in use; the caller binds all rows, and [`Self::pad`] the rest.
    pub fn values(&mut self, before: &str, columns: usize, rows: usize, after: &str) -> usize {
        let place = self.statement(before);
        for row in 0..class(rows) {
            self.sql.push_str(if row == 0 { "(?" } else { ",(?" });
            for _ in 1..columns {
                self.sql.push_str(",?");
            }
            self.sql.push(')');
        }
        self.sql.push_str(after);
        place
    }

    /// Nothing, for the rows that rounding up has added.
    pub fn pad(&mut self, columns: usize, rows: usize) -> Result<(), sqlx::Error> {
        (0..(class(rows) - rows) * columns).try_for_each(|_| self.bind(None::<i64>))
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
                Either::Left(done) => {
                    given.push(Given { rows: std::mem::take(&mut rows), changes: done.rows_affected() });
                }
            }
        }
        Ok(given)
    }
}

/// The most rows that [`Script::values`] takes at once.
pub(super) const MOST_ROWS: usize = 128;

fn class(rows: usize) -> usize {
    rows.max(1).next_power_of_two()
}

/// The rows that a statement gave, if it was reached.
pub(super) fn rows(given: &mut [Given], place: usize) -> Vec<SqliteRow> {
    given.get_mut(place).map(|given| std::mem::take(&mut given.rows)).unwrap_or_default()
}
