//! What an operator administers, in the file.

use sqlx::sqlite::SqliteRow;

use super::SqliteStore;
use super::administration::Change;
use super::script::{Script, rows};
use crate::admin::AdminError;
use crate::admin::tables::{self, Administered, Fault, Of, Transaction, Value};

fn script(sql: &str, values: &[Value<'_>]) -> Result<Script, sqlx::Error> {
    let mut script = Script::default();
    script.statement(sql);
    for value in values {
        match value {
            Value::Text(text) => script.bind(*text)?,
            Value::OwnedText(text) => script.bind(text.as_deref())?,
            Value::Number(number) => script.bind(*number)?,
            Value::Bytes(bytes) => script.bind(*bytes)?,
            Value::Flag(flag) => script.bind(*flag)?,
        }
    }
    Ok(script)
}

impl Transaction for Change<'_> {
    type Row = SqliteRow;

    /// Nobody else writes beside the transaction.
    const FOR_UPDATE: &'static str = "";

    async fn rows(&mut self, sql: &str, values: &[Value<'_>]) -> Result<Vec<SqliteRow>, Fault> {
        Ok(rows(&mut self.try_run(script(sql, values)?).await?, 0))
    }

    async fn expect_newest(&mut self, key: u32) -> Result<(), Fault> {
        self.expect_newest_key(key).await.map_err(|error| AdminError::from(error).into())
    }
}

impl Administered for SqliteStore {
    type Row = SqliteRow;

    async fn read<T: Send>(
        &self,
        sql: &str,
        values: &[Value<'_>],
        of: Of<SqliteRow, T>,
    ) -> Result<Vec<T>, AdminError> {
        let told = |error: sqlx::Error| self.shared.error(&error);
        let found = rows(&mut self.administered.read(script(sql, values).map_err(told)?).await?, 0);
        let read: Result<_, _> = found.iter().map(of).collect();
        Ok(read.map_err(told)?)
    }

    async fn change<C: tables::Change>(&self, change: &C) -> Result<C::Done, AdminError> {
        let mut transaction = self.administration.begin().await?;
        let done = change.run(&mut transaction).await.map_err(|fault| match fault {
            Fault::Refused(error) => error,
            Fault::Database(error) => self.shared.error(&error).into(),
        })?;
        transaction.commit().await?;
        Ok(done)
    }
}
