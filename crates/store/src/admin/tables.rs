//! What administration asks of a database. Each change is written once, in the SQL that SQLite and PostgreSQL share: its `$1`,
//! `$2` … mean the same to both.

use std::future::Future;

use sqlx::{ColumnIndex, Database, Decode, Row, Type};

use super::AdminError;

/// What stands for a `$1` of a statement.
pub(crate) enum Value<'a> {
    Text(Option<&'a str>),
    OwnedText(Option<String>),
    Number(Option<i64>),
    Bytes(&'a [u8]),
    Flag(bool),
}

macro_rules! value_of {
    ($($type:ty: $value:ident => $made:expr;)*) => {
        $(impl<'a> From<$type> for Value<'a> {
            fn from($value: $type) -> Self {
                $made
            }
        })*
    };
}

value_of! {
    &'a str: text => Self::Text(Some(text));
    Option<&'a str>: text => Self::Text(text);
    String: text => Self::OwnedText(Some(text));
    Option<String>: text => Self::OwnedText(text);
    i64: number => Self::Number(Some(number));
    Option<i64>: number => Self::Number(number);
    &'a [u8]: bytes => Self::Bytes(bytes);
    bool: flag => Self::Flag(flag);
}

/// The [`Value`]s of a statement.
macro_rules! values {
    ($($value:expr),* $(,)?) => { [$($crate::admin::tables::Value::from($value)),*] };
}
pub(crate) use values;

/// A column of a row, by its place.
pub(crate) trait Read<T> {
    fn read(&self, at: usize) -> Result<T, sqlx::Error>;
}

impl<R: Row, T> Read<T> for R
where
    usize: ColumnIndex<R>,
    T: for<'r> Decode<'r, R::Database> + Type<R::Database>,
    R::Database: Database,
{
    fn read(&self, at: usize) -> Result<T, sqlx::Error> {
        self.try_get(at)
    }
}

/// A row of whichever database.
pub(crate) trait AdminRow:
    Read<String> + Read<Option<String>> + Read<i64> + Read<Option<i64>> + Read<Vec<u8>> + Read<bool> + Send
{
}

impl<R> AdminRow for R where
    R: Read<String>
        + Read<Option<String>>
        + Read<i64>
        + Read<Option<i64>>
        + Read<Vec<u8>>
        + Read<bool>
        + Send
{
}

/// Makes something of a row.
pub(crate) type Of<R, T> = fn(&R) -> Result<T, sqlx::Error>;

/// Why a change goes no further.
pub(crate) enum Fault {
    Refused(AdminError),
    Database(sqlx::Error),
}

impl From<AdminError> for Fault {
    fn from(error: AdminError) -> Self {
        Self::Refused(error)
    }
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

/// A transaction under way.
pub(crate) trait Transaction: Send {
    type Row: AdminRow;

    /// The end of a `SELECT` whose rows nobody else may change before the transaction ends.
    const FOR_UPDATE: &'static str;

    fn rows(
        &mut self,
        sql: &str,
        values: &[Value<'_>],
    ) -> impl Future<Output = Result<Vec<Self::Row>, Fault>> + Send;

    /// Fails where another key than this one is the newest that secrets are sealed under. It stays the newest until the
    /// transaction ends.
    fn expect_newest(&mut self, key: u32) -> impl Future<Output = Result<(), Fault>> + Send;

    fn write(&mut self, sql: &str, values: &[Value<'_>]) -> impl Future<Output = Result<(), Fault>> + Send {
        async move { self.rows(sql, values).await.map(drop) }
    }

    /// The first row, locked.
    fn locked<T: Send>(
        &mut self,
        sql: &str,
        values: &[Value<'_>],
        of: Of<Self::Row, T>,
    ) -> impl Future<Output = Result<Option<T>, Fault>> + Send {
        async move {
            let rows = self.rows(&format!("{sql}{}", Self::FOR_UPDATE), values).await?;
            Ok(rows.first().map(of).transpose()?)
        }
    }
}

/// A change of several steps. It may be begun anew, where it had to give way to another one.
pub(crate) trait Change: Sync {
    type Done: Send;

    fn run<T: Transaction>(
        &self,
        transaction: &mut T,
    ) -> impl Future<Output = Result<Self::Done, Fault>> + Send;
}

/// A database with the tables of administration.
pub(crate) trait Administered: Send + Sync {
    type Row: AdminRow;

    /// The rows of one statement.
    fn read<T: Send>(
        &self,
        sql: &str,
        values: &[Value<'_>],
        of: Of<Self::Row, T>,
    ) -> impl Future<Output = Result<Vec<T>, AdminError>> + Send;

    /// Makes the whole change, or none of it.
    fn change<C: Change>(&self, change: &C) -> impl Future<Output = Result<C::Done, AdminError>> + Send;
}
