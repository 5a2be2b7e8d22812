//! Configuration as users write it: checked field by field, then read into its types.

mod fields;
mod guards;
mod read;
mod references;
mod stores;
mod validate;

use serde::Serialize;
use serde_json::Value;

use gateway_model::config::{BudgetPolicy, GatewayConfig, ProviderConfig};
use gateway_model::error::GatewayError;

use guards::Parts;
pub use validate::validate;

/// One fault of a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ValidationError {
    /// The field at fault, as in `providers[0].auth.envVar`.
    pub path: String,
    pub message: String,
}

/// Whether a family has default models and a default variable for its key, so that an entry may omit them.
pub type HasDefaults<'a> = &'a dyn Fn(&str) -> bool;

/// Checks `{providers, routes: {rules, fallbackChains?}, budgets}`.
///
/// # Errors
/// One `config_invalid` that lists every fault.
pub fn check(raw: &Value, has_defaults: HasDefaults<'_>) -> Result<(), GatewayError> {
    let mut faults = validate(raw, has_defaults);
    references::check("rules", raw.get("providers"), raw.pointer("/routes/rules"), &mut faults);
    let providers = raw.get("providers");
    let parts = Parts {
        providers: list(providers.map(|file| file.get("providers").unwrap_or(file))),
        rules_name: "rules",
        rules: list(raw.pointer("/routes/rules")),
        chains: list(raw.pointer("/routes/fallbackChains")),
        budgets: list(raw.get("budgets")),
        settings: raw.get("settings"),
    };
    guards::check(&parts, &mut faults, &mut Vec::new());
    refuse(&faults)
}

fn list(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// Reads `{providers, routes, fallbackChains, budgets}`, where `routes` is the list of rules. More is accepted than
/// [`check`] does: a field that can be left out may be `null`, and numbers may be written as text.
///
/// # Errors
/// `config_invalid` with the path of each entry's first fault. Values never appear in it: they could be secrets.
pub fn parse(raw: &Value) -> Result<GatewayConfig, GatewayError> {
    parse_with(raw, &[])
}

fn parse_with(raw: &Value, strategies: &[String]) -> Result<GatewayConfig, GatewayError> {
    let mut faults = Vec::new();
    let config = read::config(raw, strategies, &mut faults);
    references::check("routes", raw.get("providers"), raw.get("routes"), &mut faults);
    refuse(&faults).map(|()| config)
}

/// Reads a gateway's configuration: [`parse`], and refuses slips that would turn a guard off. `strategies` are the names of the
/// program's own.
///
/// # Errors
/// As [`parse`]; also `config_invalid` for limits that limit nothing, rules that match everything by a slip, and policies
/// that cannot be told apart.
pub fn parse_gateway(raw: &Value, strategies: &[String]) -> Result<GatewayConfig, GatewayError> {
    let config = parse_with(raw, strategies)?;
    let mut faults = Vec::new();
    guards::check(&parts_of_gateway(raw), &mut faults, &mut Vec::new());
    refuse(&faults).map(|()| config)
}

/// Checks that a gateway's configuration has the entries that its program gives keys for.
///
/// # Errors
/// `config_invalid` for entries that are not there, or that send no key.
pub fn check_keys(raw: &Value, names: &[String]) -> Result<(), GatewayError> {
    let entries = list(raw.get("providers"));
    let mut faults = Vec::new();
    for name in names {
        let path = format!("keys.{name}");
        match entries.iter().find(|entry| entry.get("name").and_then(Value::as_str) == Some(name)) {
            None => {
                let known = entries.iter().filter_map(|entry| entry.get("name")?.as_str());
                fields::fault(&mut faults, path, guards::names_no_provider(name, known));
            }
            Some(entry) if entry.pointer("/auth/type").and_then(Value::as_str) == Some("none") => {
                fields::fault(&mut faults, path, "its entry sends no key: auth.type is \"none\"");
            }
            Some(_) => {}
        }
    }
    refuse(&faults)
}

/// What looks like a slip in a configuration that [`parse_gateway`] takes, each with its path.
pub fn warnings(raw: &Value) -> Vec<String> {
    let mut warnings = Vec::new();
    guards::check(&parts_of_gateway(raw), &mut Vec::new(), &mut warnings);
    warnings.iter().map(|warning| format!("{}: {}", warning.path, warning.message)).collect()
}

fn parts_of_gateway(raw: &Value) -> Parts<'_> {
    Parts {
        providers: list(raw.get("providers")),
        rules_name: "routes",
        rules: list(raw.get("routes")),
        chains: list(raw.get("fallbackChains")),
        budgets: list(raw.get("budgets")),
        settings: raw.get("settings"),
    }
}

/// Reads one provider's entry, as [`parse`] does.
///
/// # Errors
/// `config_invalid` with the path of the first fault.
pub fn provider(entry: &Value) -> Result<ProviderConfig, GatewayError> {
    let mut faults = Vec::new();
    let provider = read::providers(&Value::Array(vec![entry.clone()]), &mut faults).pop();
    refuse(&faults)?;
    provider.ok_or_else(|| GatewayError::config_invalid("a provider entry is missing"))
}

/// Reads a list of budget policies, as [`parse`] does.
///
/// # Errors
/// `config_invalid` with the path of each policy's first fault.
pub fn budgets(list: &Value) -> Result<Vec<BudgetPolicy>, GatewayError> {
    let mut faults = Vec::new();
    let budgets = read::list("budgets", Some(list), &mut faults);
    refuse(&faults).map(|()| budgets)
}

fn refuse(faults: &[ValidationError]) -> Result<(), GatewayError> {
    if faults.is_empty() {
        return Ok(());
    }
    let lines: String =
        faults.iter().map(|fault| format!("\n  - {}: {}", fault.path, fault.message)).collect();
    Err(GatewayError::config_invalid(format_args!("{} validation error(s):{lines}", faults.len())))
}
