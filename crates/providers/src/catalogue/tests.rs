use std::fmt::Write;
use std::path::Path;

use serde_json::json;

use super::*;
use crate::family::EntryRule;
use crate::{ProviderEnv, build, complete, families, variables};
use gateway_model::TokenUsage;
use gateway_model::config::ProviderConfig;
use gateway_pricing as pricing;
use gateway_transport::NetworkSettings;

/// Which models there are is the account's business.
const MODELS_OF_ONES_OWN: [&str; 5] = ["azure", "databricks", "litellm", "portkey", "snowflake"];

fn is_loopback(service: &Service) -> bool {
    service.base_url.starts_with("http://127.0.0.1:")
}

#[test]
fn each_row_is_well_formed() {
    for list in [global::SERVICES, china::SERVICES, local::SERVICES] {
        for pair in list.windows(2) {
            assert!(pair[0].family < pair[1].family, "{} stands before {}", pair[0].family, pair[1].family);
        }
    }
    let mut names: Vec<&str> = families().collect();
    names.sort_unstable();
    let all = names.len();
    names.dedup();
    assert_eq!(names.len(), all, "a family has two rows");
    assert!(services().count() >= 60);
    for service in services() {
        let Service { family, title, base_url, key_variable, models, timeout_ms, .. } = *service;
        let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        assert!(!family.is_empty() && family.chars().all(is_name), "{family}: its name");
        assert!(!title.is_empty() && !title.contains('|'), "{family}: its title");
        assert!(
            base_url.is_empty() || base_url.starts_with("https://") || is_loopback(service),
            "{family}: {base_url} is neither https nor this machine"
        );
        assert!(!base_url.ends_with('/'), "{family}: {base_url} ends with a slash");
        let is_variable = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        assert!(key_variable.chars().all(is_variable), "{family}: {key_variable}");
        assert_eq!(
            key_variable.is_empty(),
            local::SERVICES.iter().any(|own| own.family == family),
            "{family}"
        );
        let has_none = key_variable.is_empty() || MODELS_OF_ONES_OWN.contains(&family);
        assert_eq!(models.is_empty(), has_none, "{family}: its models");
        assert!(models.iter().all(|model| !model.trim().is_empty()), "{family}: its models");
        assert!((1_000..=600_000).contains(&timeout_ms), "{family}: {timeout_ms} ms");
    }
}

/// An entry that says no more than it must.
fn entry(service: &Service) -> ProviderConfig {
    let mut entry = json!({"name": "it", "provider": service.family, "auth": {}});
    if service.base_url.is_empty() {
        entry["baseUrl"] = json!("https://host/v1");
    }
    if service.key_variable.is_empty() {
        entry["auth"]["type"] = json!("none");
    }
    if service.entry_rule == EntryRule::MustStateAll {
        entry["auth"]["envVar"] = json!(service.key_variable);
    }
    serde_json::from_value(entry).unwrap()
}

#[test]
fn every_family_builds_a_provider() {
    for service in services() {
        let mut entry = entry(service);
        complete(service.family, &mut entry);
        if service.entry_rule == EntryRule::MayOmitDefaults {
            assert_eq!(entry.models, service.models, "{}", service.family);
        }
        let key = Some(service.key_variable).filter(|name| !name.is_empty());
        assert_eq!(variables(service.family, &entry), Vec::from_iter(key), "{}", service.family);
        let var = |name: &str| (Some(name) == key).then(|| "sk-0123456789".to_owned());
        let env = ProviderEnv { var: &var, network: NetworkSettings::default() };
        let provider = build(service.family, &entry, &env).unwrap().unwrap();
        assert_eq!(provider.family(), service.family);
        let unset = ProviderEnv { var: &|_| None, network: NetworkSettings::default() };
        assert_eq!(build(service.family, &entry, &unset).is_err(), key.is_some(), "{}", service.family);
    }
}

fn is_priced(family: &str, model: &str) -> bool {
    !pricing::cost(family, model, &TokenUsage::new(1_000_000, 1_000_000)).is_zero()
}

#[test]
fn vendors_have_prices_under_our_names_for_them() {
    let mut unknown = Vec::new();
    for family in [
        "baseten",
        "cerebras",
        "cohere",
        "deepseek",
        "fireworks",
        "groq",
        "inception",
        "minimax",
        "minimax-intl",
        "mistral",
        "moonshot",
        "moonshot-intl",
        "morph",
        "novita",
        "openai",
        "ovhcloud",
        "perplexity",
        "qwen",
        "qwen-intl",
        "stepfun",
        "stepfun-intl",
        "together",
        "xai",
        "xiaomi",
        "zai",
        "zhipu",
    ] {
        let models = services().find(|service| service.family == family).unwrap().models;
        unknown.extend(models.iter().filter(|model| !is_priced(family, model)).map(|model| (family, *model)));
    }
    assert_eq!(unknown, []);
}

#[test]
fn servers_of_ones_own_cost_nothing() {
    for service in local::SERVICES {
        for model in ["mistral-small-latest", "openai/gpt-oss-120b", "deepseek-v4-flash"] {
            assert!(!is_priced(service.family, model), "{}: {model}", service.family);
        }
    }
}

fn table() -> String {
    let mut all: Vec<&Service> = services().collect();
    all.sort_unstable_by_key(|service| service.family);
    let code = |text: &str, none: &str| if text.is_empty() { none.to_owned() } else { format!("`{text}`") };
    let mut table = String::from("| family | service | key variable | base URL |\n|---|---|---|---|\n");
    for service in all {
        let key = code(service.key_variable, "none needed");
        let base_url = code(service.base_url, "`baseUrl` of the entry");
        writeln!(table, "| `{}` | {} | {key} | {base_url} |", service.family, service.title).unwrap();
    }
    table
}

const BEGIN: &str = "<!-- services: written by `cargo test -p gateway-providers --lib catalogue` -->\n";
const END: &str = "<!-- end of services -->";

/// `docs/providers.md` lists the rows: on a developer's machine the test sees to it, in CI it must be so.
#[test]
fn the_documentation_lists_every_service() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/providers.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("docs/providers.md: the begin of the table is marked");
    let (old, after) = rest.split_once(END).expect("docs/providers.md: the end of the table is marked");
    let new = table();
    if old == new {
        return;
    }
    if std::env::var_os("CI").is_none() {
        std::fs::write(&path, format!("{before}{BEGIN}{new}{END}{after}")).unwrap();
        return;
    }
    panic!(
        "the table in docs/providers.md is not that of the rows. Outside of CI, \
         `cargo test -p gateway-providers --lib catalogue` writes it; it is:\n{new}"
    );
}
