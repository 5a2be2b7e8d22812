//! Failures as JSON.

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use gateway_model::error::{Failure, GatewayError};

/// A failure as the JS layer reads it: a `GatewayError`'s fields, or `{"foreign": ID}` for an error JavaScript has thrown.
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
    let failed = |error| Settled::Error(Box::new(error));
    let settled = result.map_or_else(failed, Settled::Ok);
    serde_json::to_string(&settled).unwrap_or_else(|problem| {
        let problem = format!("a result could not be written as JSON ({problem}); please report it");
        let failed = Settled::<()>::Error(Box::new(GatewayError::internal(problem)));
        serde_json::to_string(&failed).unwrap_or_default()
    })
}
