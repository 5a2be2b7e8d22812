//! The list of all families, and what can be asked about them by name.

use std::sync::Arc;

use super::build::{BuildError, Builder, ProviderEnv};
use super::catalogue;
use super::family::{EntryRule, Family};
use super::keys::KeysFrom;
use gateway_model::Provider;
use gateway_model::config::ProviderConfig;

/// The wire formats that describe a family of their own, one line each. Families that speak OpenAI's format are rows of the
/// catalogue.
const FORMATS: &[fn() -> Family] = &[
    crate::anthropic::describe,
    crate::bedrock::describe,
    crate::gemini::describe,
    crate::mock::describe,
    crate::workers_ai::describe,
];

/// Every family there is.
pub fn describe_families() -> impl Iterator<Item = Family> {
    FORMATS.iter().map(|describe| describe()).chain(catalogue::describe_services())
}

/// The names of all families.
pub fn families() -> impl Iterator<Item = &'static str> {
    describe_families().map(|family| family.name)
}

fn find_family(name: &str) -> Option<Family> {
    describe_families().find(|family| family.name == name)
}

/// Whether an entry of this family may leave out its models, and where its key is.
pub fn has_defaults(family: &str) -> bool {
    find_family(family).is_some_and(|family| family.entry_rule == EntryRule::MayOmitDefaults)
}

/// Fills in what an entry may leave out: its models, and where its key is.
pub fn complete(family: &str, entry: &mut ProviderConfig) {
    let Some(family) = find_family(family) else { return };
    if family.entry_rule == EntryRule::MustStateAll {
        return;
    }
    if entry.models.is_empty() {
        entry.models = family.models.iter().map(|&model| model.to_owned()).collect();
    }
    if entry.auth.env_var.is_none() && entry.auth.env_vars.is_empty() {
        entry.auth.env_var = family.key_variable.get(entry.auth.kind).map(str::to_owned);
    }
}

/// The environment variables that the provider of an entry reads, beside those of the network.
pub fn variables(family: &str, entry: &ProviderConfig) -> Vec<String> {
    let token = entry.cloudflare_gateway.as_ref().and_then(|gateway| gateway.token_env_var.as_ref());
    let keys = entry.auth.variables().into_iter().chain(token.map(String::as_str)).map(str::to_owned);
    let others = find_family(family).map(|family| (family.other_variables)(entry));
    keys.chain(others.unwrap_or_default()).collect()
}

/// Builds the provider of `family` for an entry; `Ok(None)` where there is no such family.
///
/// # Errors
/// The entry cannot be used. The error's text is a sentence for people that names the entry and the field at fault.
pub fn build(
    family: &str,
    config: &ProviderConfig,
    env: &ProviderEnv<'_>,
) -> Result<Option<Arc<dyn Provider>>, BuildError> {
    build_with_keys(family, config, env, &KeysFrom::Environment)
}

/// As [`build`], for an entry whose keys may come from elsewhere.
///
/// # Errors
/// As [`build`].
pub fn build_with_keys(
    family: &str,
    config: &ProviderConfig,
    env: &ProviderEnv<'_>,
    keys_from: &KeysFrom,
) -> Result<Option<Arc<dyn Provider>>, BuildError> {
    let Some(family) = find_family(family) else { return Ok(None) };
    let builder = Builder { family: family.name, defaults: family.defaults, config, env, keys_from };
    family
        .build
        .build(&builder)
        .map(Some)
        .map_err(|problem| BuildError { provider: config.name.clone(), problem })
}

#[cfg(test)]
mod tests;
