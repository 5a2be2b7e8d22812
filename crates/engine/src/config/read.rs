//! Reads a configuration into its types, one entry at a time.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::ValidationError;
use super::fields::{AN_ARRAY, AN_OBJECT, fault, must_be_one_of};
use crate::routing::pool::strategy_names;
use gateway_model::config::{GatewayConfig, ProviderConfig, RouteRule};

/// The entries that can be read; what is wrong with the others goes to `faults`.
pub fn config(raw: &Value, strategies: &[String], faults: &mut Vec<ValidationError>) -> GatewayConfig {
    let optional = |key| raw.get(key).filter(|list| !list.is_null());
    GatewayConfig {
        providers: providers(raw.get("providers").unwrap_or(&Value::Null), faults),
        routes: routes(raw.get("routes"), strategies, faults),
        fallback_chains: optional("fallbackChains")
            .map_or_else(Vec::new, |chains| list("fallbackChains", Some(chains), faults)),
        budgets: optional("budgets").map_or_else(Vec::new, |budgets| list("budgets", Some(budgets), faults)),
        settings: optional("settings")
            .and_then(|settings| one("settings", settings, faults))
            .unwrap_or_default(),
    }
}

pub fn providers(entries: &Value, faults: &mut Vec<ValidationError>) -> Vec<ProviderConfig> {
    list("providers", Some(entries), faults)
}

pub fn list<T: DeserializeOwned>(
    name: &str,
    list: Option<&Value>,
    faults: &mut Vec<ValidationError>,
) -> Vec<T> {
    list_with(name, list, faults, one)
}

/// Rules. Only the engine knows the names of its strategies: the model reads any text as one. `own` are the program's.
fn routes(rules: Option<&Value>, own: &[String], faults: &mut Vec<ValidationError>) -> Vec<RouteRule> {
    list_with("routes", rules, faults, |path, entry, faults| {
        let rule = one(path, entry, faults)?;
        let names = [strategy_names(), own.iter().map(String::as_str).collect()].concat();
        match entry.pointer("/target/strategy").and_then(Value::as_str) {
            Some(name) if !names.contains(&name) => {
                fault(faults, format!("{path}.target.strategy"), must_be_one_of(&names));
                None
            }
            _ => Some(rule),
        }
    })
}

/// What `read` makes of each element of `list`, which must be an array.
fn list_with<T>(
    name: &str,
    list: Option<&Value>,
    faults: &mut Vec<ValidationError>,
    read: impl Fn(&str, &Value, &mut Vec<ValidationError>) -> Option<T>,
) -> Vec<T> {
    let Some(list) = list.and_then(Value::as_array) else {
        fault(faults, name, AN_ARRAY);
        return Vec::new();
    };
    let numbered = list.iter().enumerate();
    numbered.filter_map(|(index, entry)| read(&format!("{name}[{index}]"), entry, faults)).collect()
}

fn one<T: DeserializeOwned>(path: &str, value: &Value, faults: &mut Vec<ValidationError>) -> Option<T> {
    // An array would be read as a structure's fields in their order.
    if !value.is_object() {
        fault(faults, path, AN_OBJECT);
        return None;
    }
    match serde_path_to_error::deserialize(value) {
        Ok(read) => Some(read),
        Err(error) => {
            let (inner, message) = describe(&error);
            fault(faults, path.to_owned() + &inner, message);
            None
        }
    }
}

/// Path in the entry, and message. Serde's own messages quote the value, which may be a secret.
fn describe(error: &serde_path_to_error::Error<serde_json::Error>) -> (String, String) {
    let mut path: String = error.path().iter().map(segment).collect();
    let words = error.inner().to_string();
    if let Some(field) = words.strip_prefix("missing field `") {
        path = format!("{path}.{}", field.trim_end_matches('`'));
        return (path, "required".to_owned());
    }
    if let Some((field, message)) = words.strip_prefix("in field `").and_then(|rest| rest.split_once("`: ")) {
        return (format!("{path}.{field}"), message.to_owned());
    }
    let message = match words.rsplit_once(", expected ") {
        Some((_, "a string")) => "must be a string".to_owned(),
        Some((_, "a sequence")) => AN_ARRAY.to_owned(),
        Some((_, expected)) if expected.starts_with("struct ") || expected == "a map" => AN_OBJECT.to_owned(),
        Some((_, expected)) => {
            format!("must be {}", expected.replace("one of ", "one of: ").replace('`', ""))
        }
        None if words.starts_with("must ") => words,
        None => "cannot be used".to_owned(),
    };
    (path, message)
}

fn segment(segment: &serde_path_to_error::Segment) -> String {
    match segment {
        serde_path_to_error::Segment::Seq { index } => format!("[{index}]"),
        serde_path_to_error::Segment::Map { key } => format!(".{key}"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests;
