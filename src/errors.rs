//! Failures as JSON.

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use gateway_model::error::{Failure, GatewayError};

/// A failure as the face reads it: a `GatewayError`'s fields, or `{"foreign": ID}` for an error JavaScript has thrown.
pub struct Payload<'a>(pub &'a Failure);

impl Serialize for Payload<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Failure::Gateway(error) => error.serialize(out),
            Failure::Foreign(error) => {
                let mut fields = out.serialize_map(Some(1))?;
                fields.serialize_entry("foreign", &error.id)?;
                fields.end()
            }
        }
    }
}

/// `{"ok": …}` or `{"error": …}`, for functions that answer at once.
pub fn settled<T: Serialize>(result: Result<T, GatewayError>) -> String {
    #[derive(Serialize)]
    #[serde(rename_all = "lowercase")]
    enum Settled<T> {
        Ok(T),
        Error(Box<GatewayError>),
    }
    let settled = match result {
        Ok(value) => Settled::Ok(value),
        Err(error) => Settled::Error(Box::new(error)),
    };
    serde_json::to_string(&settled).unwrap_or_else(|_| String::from("{\"ok\":null}"))
}
