//! Configuration checks.

use napi_derive::napi;
use serde_json::Value;

use super::errors::settled;
use gateway_engine::config;
use gateway_model::error::GatewayError;

fn read(json: &str) -> Result<Value, GatewayError> {
    serde_json::from_str(json)
        .map_err(|error| GatewayError::config_invalid(format_args!("not JSON: {error}")))
}

/// Checks `{providers, routes: {rules, fallbackChains?}, budgets}`; `{"ok": null}` or the error with every fault.
#[napi(catch_unwind)]
pub fn check_config(raw: String) -> String {
    settled(read(&raw).and_then(|raw| config::check(&raw, &gateway_providers::has_defaults)))
}

/// Checks whether a `GatewayConfig` can be used at all; `{"ok": [warning, …]}` or the error. `strategies` are the names of the
/// program's own.
#[napi(catch_unwind)]
pub fn check_gateway_config(raw: String, strategies: Vec<String>) -> String {
    let checked = |raw: Value| config::parse_gateway(&raw, &strategies).map(|_| config::warnings(&raw));
    settled(read(&raw).and_then(checked))
}

/// Checks the entries of a `GatewayConfig` that the program gives keys for: `{"ok": null}` or the error.
#[napi(catch_unwind)]
pub fn check_keys(raw: String, entries: Vec<String>) -> String {
    settled(read(&raw).and_then(|raw| config::check_keys(&raw, &entries)))
}

/// What is wrong with a text that is not JSON, with line and column; it quotes nothing of the text. `null` for JSON.
#[napi(catch_unwind)]
pub fn json_fault(text: String) -> Option<String> {
    serde_json::from_str::<serde::de::IgnoredAny>(&text).err().map(|error| error.to_string())
}

/// The fields of the error that an upstream's HTTP status stands for, as JSON.
#[napi(catch_unwind)]
pub fn http_error(provider: String, status: u32, body: String) -> String {
    let status = u16::try_from(status).unwrap_or(u16::MAX);
    serde_json::to_string(&GatewayError::from_http_status(&provider, status, &body)).unwrap_or_default()
}
