//! What an error of PostgreSQL means for the store, and what to do about it.

use gateway_engine::state::{StoreError, StoreErrorKind};

fn code(error: &sqlx::Error) -> Option<String> {
    error.as_database_error()?.code().map(Into::into)
}

/// Whether the transaction gave way to another one, and is to be tried again at once.
pub(super) fn gave_way(error: &sqlx::Error) -> bool {
    matches!(code(error).as_deref(), Some("40001" | "40P01"))
}

/// The error as a caller is told it.
pub(super) fn store_error(name: &str, error: &sqlx::Error) -> StoreError {
    let away = |message: String| StoreError::away(name, message);
    let failed = |message: String| StoreError::failed(name, message);
    let Some(code) = code(error) else {
        return match error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::WorkerCrashed => away(format!("cannot be reached ({error})")),
            _ => failed(error.to_string()),
        };
    };
    let text = error.as_database_error().map_or_else(String::new, |error| error.message().to_owned());
    match code.as_str() {
        "28000" | "28P01" => failed(format!(
            "refuses to let this program in ({text}). Check user and password in settings.database, and pg_hba.conf"
        )),
        "3D000" => failed(format!("{text}. Create the database (createdb), or name another one")),
        "42501" => failed(format!(
            "{text}. Give the user the right to create tables and to write to them (GRANT), or name another user"
        )),
        "25006" => failed(format!("{text}. It may be a replica: name the primary server")),
        "53100" => failed(format!("its disk is full ({text}). Free some space there: rows wait until then")),
        "57014" => away(format!("did not answer in time ({text})")),
        _ if code.starts_with("08") || code.starts_with("53") || code.starts_with("57") => {
            away(format!("does not serve now ({text})"))
        }
        "40001" | "40P01" | "55P03" => away(format!("is busy ({text})")),
        _ => failed(format!("{text} ({code})")),
    }
}

pub(super) fn is_away(error: &StoreError) -> bool {
    error.kind == StoreErrorKind::Away
}
