//! What an operator administers, in the database.

use std::time::Duration;

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Executor};

use super::PostgresRecords;
use super::connections::Work;
use super::rows::clean;
use super::secrets::is_newest;
use crate::admin::AdminError;
use crate::admin::tables::{Administered, Change, Fault, Of, Transaction, Value};
use crate::secrets::not_newest;

const WITHIN: Duration = Duration::from_secs(10);

async fn rows(
    connection: &mut PgConnection,
    sql: &str,
    values: &[Value<'_>],
) -> Result<Vec<PgRow>, sqlx::Error> {
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for value in values {
        query = match value {
            Value::Text(text) => query.bind(text.map(clean)),
            Value::OwnedText(text) => query.bind(text.as_deref().map(clean)),
            Value::Number(number) => query.bind(*number),
            Value::Bytes(bytes) => query.bind(*bytes),
            Value::Flag(flag) => query.bind(*flag),
        };
    }
    query.fetch_all(connection).await
}

struct Steps<'a> {
    connection: &'a mut PgConnection,
    /// Of the database, in errors.
    name: &'a str,
}

impl Transaction for Steps<'_> {
    type Row = PgRow;

    const FOR_UPDATE: &'static str = " FOR UPDATE";

    async fn rows(&mut self, sql: &str, values: &[Value<'_>]) -> Result<Vec<PgRow>, Fault> {
        Ok(rows(self.connection, sql, values).await?)
    }

    async fn expect_newest(&mut self, key: u32) -> Result<(), Fault> {
        if is_newest(self.connection, key).await? {
            Ok(())
        } else {
            Err(AdminError::from(not_newest(self.name)).into())
        }
    }
}

struct Whole<'a, C> {
    change: &'a C,
    name: &'a str,
}

impl<C: Change> Work for Whole<'_, C> {
    type Done = Result<C::Done, AdminError>;
    const WITHIN: Duration = WITHIN;

    async fn run(&self, connection: &mut PgConnection) -> Result<Self::Done, sqlx::Error> {
        match self.change.run(&mut Steps { connection: &mut *connection, name: self.name }).await {
            Ok(done) => Ok(Ok(done)),
            Err(Fault::Refused(error)) => {
                // The commit that follows then has nothing to do.
                connection.execute("ROLLBACK").await?;
                Ok(Err(error))
            }
            Err(Fault::Database(error)) => Err(error),
        }
    }
}

struct Question<'a, T> {
    sql: &'a str,
    values: &'a [Value<'a>],
    of: Of<PgRow, T>,
}

impl<T: Send> Work for Question<'_, T> {
    type Done = Vec<T>;
    const WITHIN: Duration = WITHIN;

    async fn run(&self, connection: &mut PgConnection) -> Result<Vec<T>, sqlx::Error> {
        rows(connection, self.sql, self.values).await?.iter().map(self.of).collect()
    }
}

impl Administered for PostgresRecords {
    type Row = PgRow;

    async fn read<T: Send>(
        &self,
        sql: &str,
        values: &[Value<'_>],
        of: Of<PgRow, T>,
    ) -> Result<Vec<T>, AdminError> {
        Ok(self.administration.ask(&Question { sql, values, of }).await?)
    }

    async fn change<C: Change>(&self, change: &C) -> Result<C::Done, AdminError> {
        self.administration.ask(&Whole { change, name: &self.administration.address.name }).await?
    }
}
