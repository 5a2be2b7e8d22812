//! Builds the provider of an entry: its region, its key, and what belongs to the key.

use std::sync::Arc;

use super::BedrockWire;
use super::sign::{A_PAIR, KeyPair, Signer};
use crate::build::{BuildProblem, Builder, Connection};
use crate::keys::KeysFrom;
use gateway_model::Provider;
use gateway_model::config::{AuthType, ProviderConfig};

/// Where the id of an access key usually is, and a Bedrock API key.
pub const API_KEY_VARIABLE: &str = "AWS_ACCESS_KEY_ID";
pub const BEARER_VARIABLE: &str = "AWS_BEARER_TOKEN_BEDROCK";

const REGION_VARIABLES: [&str; 2] = ["AWS_REGION", "AWS_DEFAULT_REGION"];
const DEFAULT_REGION: &str = "us-east-1";
/// How the variable of an access key's id ends, and in its place those of what belongs to it.
const KEY_ID: &str = "ACCESS_KEY_ID";
const SECRET: &str = "SECRET_ACCESS_KEY";
const TOKEN: &str = "SESSION_TOKEN";

/// Builds the provider of an entry. A key pair of AWS signs; a Bedrock API key is a bearer token.
pub fn connect(builder: &Builder<'_>) -> Result<Arc<dyn Provider>, BuildProblem> {
    let config = builder.config;
    let region = region(config, builder.env.var).map_err(BuildProblem::Invalid)?;
    let base_url = format!("https://bedrock-runtime.{region}.amazonaws.com");
    let (mut signer, mut secrets) = (None, Vec::new());
    let is_pair = config.auth.kind == AuthType::ApiKey;
    let from_environment = matches!(builder.keys_from, KeysFrom::Environment);
    match builder.keys_from {
        KeysFrom::Program(keys) if is_pair => {
            let (first, others) =
                keys.split_first().map(|(first, others)| (&**first, others)).unwrap_or_default();
            let pair = KeyPair::read(first).filter(|_| others.is_empty());
            let KeyPair { id, secret, token } = pair.ok_or_else(|| {
                BuildProblem::invalid(format_args!("keys.{}: {A_PAIR}; give one for each entry", config.name))
            })?;
            secrets = [id.clone(), secret.clone()].into_iter().chain(token.clone()).collect();
            signer = Some(Signer::new(id, secret, token, region.clone()));
        }
        KeysFrom::Function(_) if is_pair => signer = Some(Signer::of_given_keys(region.clone())),
        _ => {}
    }
    let is_pair = is_pair && from_environment;
    if is_pair && config.auth.variables().len() > 1 {
        return Err(BuildProblem::invalid(
            "auth.envVars: key pairs do not take turns: name one ACCESS_KEY_ID in auth.envVar, and give each pair an \
             entry of its own",
        ));
    }
    if is_pair && let Some((name, key_id)) = builder.keys()?.found.into_iter().next() {
        let (secret, token) = siblings(&name).map_err(BuildProblem::Invalid)?;
        let secret = builder.variable(&secret)?;
        let token = builder.optional_variable(&token);
        secrets = std::iter::once(secret.clone()).chain(token.clone()).collect();
        signer = Some(Signer::new(key_id, secret, token, region));
    }
    let wire = BedrockWire { provider: config.name.clone(), signer };
    builder.http(Connection::new(wire).at(base_url).with_secrets(secrets))
}

/// The variables of the secret and of the session token that belong to an access key's id: `EU_SECRET_ACCESS_KEY` and
/// `EU_SESSION_TOKEN` for `EU_ACCESS_KEY_ID`.
///
/// # Errors
/// The name does not tell theirs.
fn siblings(key_id: &str) -> Result<(String, String), String> {
    let prefix = key_id.strip_suffix(KEY_ID).ok_or_else(|| {
        format!(
            "auth.envVar \"{key_id}\" must end in {KEY_ID}: the variable of the secret key is the same with {SECRET}"
        )
    })?;
    Ok((format!("{prefix}{SECRET}"), format!("{prefix}{TOKEN}")))
}

/// The variables that an entry's provider reads, beside the one of its key.
pub fn variables(entry: &ProviderConfig) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    if entry.options.region.is_none() {
        names.extend(REGION_VARIABLES.map(str::to_owned));
    }
    if entry.auth.kind == AuthType::ApiKey {
        let key_id = entry.auth.variables().first().copied().unwrap_or(API_KEY_VARIABLE);
        names.extend(siblings(key_id).into_iter().flat_map(|(secret, token)| [secret, token]));
    }
    names
}

/// The AWS region of an entry.
///
/// # Errors
/// It is none: it would stand in an address.
fn region(entry: &ProviderConfig, var: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let filled = |text: String| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
    let own = entry.options.region.clone().and_then(filled).map(|region| ("options.region", region));
    let from_variable = |name| var(name).and_then(filled).map(|region| (name, region));
    let Some((source, region)) = own.or_else(|| REGION_VARIABLES.into_iter().find_map(from_variable)) else {
        return Ok(DEFAULT_REGION.to_owned());
    };
    if region.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-') {
        Ok(region)
    } else {
        Err(format!("{source} \"{region}\" is not the name of an AWS region"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde_json::{Value, json};

    use super::*;
    use crate::{self as providers, ProviderEnv};
    use gateway_transport::NetworkSettings;

    fn entry(auth: Value, options: Value) -> ProviderConfig {
        let entry = json!({ "name": "aws", "provider": "bedrock", "auth": auth, "options": options });
        serde_json::from_value(entry).unwrap()
    }

    fn region_of(options: Value, variables: &[(&str, &str)]) -> Result<String, String> {
        let variables: HashMap<_, _> = variables.iter().copied().collect();
        region(&entry(json!({}), options), &|name| variables.get(name).map(|&value| value.to_owned()))
    }

    #[test]
    fn region_comes_from_the_entry_then_the_environment() {
        let both = [("AWS_REGION", "eu-west-1"), ("AWS_DEFAULT_REGION", "eu-north-1")];
        let found = |options, variables: &[_]| region_of(options, variables).unwrap();
        assert_eq!(found(json!({ "region": "ap-south-1" }), &both), "ap-south-1");
        assert_eq!(found(json!({}), &both), "eu-west-1");
        assert_eq!(found(json!({}), &[("AWS_REGION", " "), both[1]]), "eu-north-1");
        assert_eq!(found(json!({}), &[]), "us-east-1");
        assert_eq!(
            region_of(json!({}), &[("AWS_REGION", "evil.example/")]),
            Err("AWS_REGION \"evil.example/\" is not the name of an AWS region".to_owned())
        );
    }

    #[test]
    fn an_entry_may_leave_out_where_its_key_is_and_its_models() {
        for (kind, expected) in [("apiKey", "AWS_ACCESS_KEY_ID"), ("bearer", "AWS_BEARER_TOKEN_BEDROCK")] {
            let mut entry = entry(json!({ "type": kind }), json!({}));
            providers::complete("bedrock", &mut entry);
            assert_eq!(
                (entry.auth.env_var.as_deref(), &*entry.models),
                (Some(expected), &["amazon.nova-lite-v1:0".to_owned()][..])
            );
        }
    }

    #[test]
    fn every_variable_that_an_entry_reads_is_listed() {
        let named = |auth, options| providers::variables("bedrock", &entry(auth, options)).join(" ");
        assert_eq!(
            named(json!({ "type": "apiKey", "envVar": "EU_ACCESS_KEY_ID" }), json!({})),
            "EU_ACCESS_KEY_ID AWS_REGION AWS_DEFAULT_REGION EU_SECRET_ACCESS_KEY EU_SESSION_TOKEN"
        );
        assert_eq!(named(json!({ "type": "bearer", "envVar": "B" }), json!({ "region": "eu-west-1" })), "B");
    }

    fn problem(auth: Value, variables: &[&str]) -> Option<String> {
        let var = |name: &str| variables.contains(&name).then(|| "a value".to_owned());
        let env = ProviderEnv { var: &var, network: NetworkSettings::default() };
        providers::build("bedrock", &entry(auth, json!({ "region": "us-east-1" })), &env)
            .err()
            .map(|error| error.to_string())
    }

    #[test]
    fn missing_key_variables_are_named() {
        let key = |name: &str| json!({ "type": "apiKey", "envVar": name });
        let pair = ["EU_ACCESS_KEY_ID", "EU_SECRET_ACCESS_KEY"];
        assert_eq!(problem(key("EU_ACCESS_KEY_ID"), &pair), None);
        assert_eq!(
            problem(key("EU_ACCESS_KEY_ID"), &pair[..1]).unwrap(),
            "Provider \"aws\": environment variable EU_SECRET_ACCESS_KEY is not set"
        );
        assert_eq!(
            problem(key("EU_ACCESS_KEY_ID"), &pair[1..]).unwrap(),
            "Provider \"aws\": environment variable EU_ACCESS_KEY_ID is not set"
        );
        assert_eq!(
            problem(key("MY_KEY"), &["MY_KEY"]).unwrap(),
            "Provider \"aws\": auth.envVar \"MY_KEY\" must end in ACCESS_KEY_ID: the variable of the secret key is the \
             same with SECRET_ACCESS_KEY"
        );
        assert_eq!(problem(json!({ "type": "bearer", "envVar": "TOKEN" }), &["TOKEN"]), None);
        assert_eq!(problem(json!({ "type": "none" }), &[]), None);
    }
}
