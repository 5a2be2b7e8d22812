use std::str::FromStr;

use gateway_engine::state::StoreError;
use sqlx::postgres::PgConnectOptions;

/// Where a database is, and how errors name it.
#[derive(Clone)]
pub(super) struct Address {
    /// A URL without its password.
    pub name: String,
    pub options: PgConnectOptions,
}

impl Address {
    /// Of `postgres://USER:PASSWORD@HOST:PORT/DATABASE`, with the parameters of libpq (`sslmode`, `sslrootcert`, …). What is
    /// missing comes from the usual variables (`PGHOST`, `PGPASSWORD`, …).
    pub fn of(url: &str) -> Result<Self, StoreError> {
        let scheme = ["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme));
        // What cannot be read may hold a password anywhere: none of it is repeated.
        let wrong = |what: &str| StoreError::failed("postgres", what);
        if !scheme {
            return Err(wrong("a PostgreSQL URL begins with \"postgres://\""));
        }
        let options = PgConnectOptions::from_str(url).map_err(|_| {
            wrong(
                "the URL of the database cannot be read: write \"postgres://USER:PASSWORD@HOST:PORT/DATABASE\", with other \
                 characters than letters and digits percent-encoded",
            )
        })?;
        let place = match options.get_socket() {
            Some(socket) => socket.display().to_string(),
            None => format!("{}:{}", options.get_host(), options.get_port()),
        };
        let database = options.get_database().unwrap_or(options.get_username());
        let mut name = format!("postgres://{}@{place}/{database}", options.get_username());
        // A schema that is set there is another place.
        if let Some(settings) = options.get_options() {
            name.push_str(&format!("?options={settings}"));
        }
        Ok(Self { name, options: options.application_name("ai-gateway") })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_name_holds_no_password() {
        let address = Address::of("postgres://ann:s3cret@db.example:5433/usage?sslmode=require").unwrap();
        assert_eq!(address.name, "postgres://ann@db.example:5433/usage");
    }

    #[test]
    fn a_url_that_cannot_be_read_is_not_repeated() {
        for url in
            ["postgres://ann:s3#cret@[db:5/x", "postgres://ann:s3cret@db:port/x", "mysql://ann:s3cret@db/x"]
        {
            let error = Address::of(url).err().unwrap().to_string();
            assert!(error.contains("postgres://") && !error.contains("cret"), "{error}");
        }
    }
}
