//! Checks names by which one part of a configuration refers to another.

use std::collections::HashSet;

use serde_json::Value;

use super::ValidationError;
use super::fields::fault;

/// Checks that the members of pools name entries. A rule's single target may name an entry that does not exist, as
/// in ai-gateway-lite: calls then find no provider.
///
/// `name` is what the list of rules is called in paths; `providers` may be the object form of its file.
pub fn check(
    name: &str,
    providers: Option<&Value>,
    rules: Option<&Value>,
    faults: &mut Vec<ValidationError>,
) {
    let entries = providers.map(|file| file.get("providers").unwrap_or(file));
    let entries = entries.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let known: HashSet<&str> = entries.iter().filter_map(|entry| entry.get("name")?.as_str()).collect();
    let rules = rules.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for (rule, value) in rules.iter().enumerate() {
        let members = value.pointer("/target/pool").and_then(Value::as_array);
        for (member, value) in members.into_iter().flatten().enumerate() {
            if let Some(provider) = value.get("provider").and_then(Value::as_str)
                && !known.contains(provider)
            {
                let path = format!("{name}[{rule}].target.pool[{member}].provider");
                fault(faults, path, format!("names no provider: \"{provider}\""));
            }
        }
    }
}
