//! Azure OpenAI: OpenAI's formats at addresses of its own.
//!
//! Source: Microsoft's REST API reference of Azure OpenAI, and its page on the lifecycle of API versions.

use super::build::BuildProblem;
use super::openai::{Dialect, OpenAiWire};
use super::wire::entry_segment;
use gateway_model::config::ProviderConfig;

/// The latest general release among the dated versions, of which the addresses by deployment need one.
const DATED_VERSION: &str = "2024-10-21";

/// The base URL of an entry, and the format with what its addresses say in addition to the path.
pub fn addressed(
    config: &ProviderConfig,
    dialect: Dialect,
) -> Result<(Option<String>, OpenAiWire), BuildProblem> {
    let options = &config.options;
    let given = match (&config.base_url, &options.resource) {
        (Some(url), _) => url.trim_end_matches('/').to_owned(),
        (None, Some(name)) if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') => {
            format!("https://{name}.openai.azure.com")
        }
        (None, Some(name)) => {
            return Err(BuildProblem::Invalid(format!(
                "options.resource \"{name}\" is not a resource's name"
            )));
        }
        (None, None) => {
            let needed_by = "family \"azure\"".to_owned();
            return Err(BuildProblem::Required { field: "baseUrl or options.resource", needed_by });
        }
    };
    if let Some(name) = options.deployment.as_deref().filter(|name| entry_segment(name).is_none()) {
        return Err(BuildProblem::invalid(format_args!(
            "options.deployment {name:?} is not a deployment's name"
        )));
    }
    let root = ["/openai/v1", "/openai"].iter().find_map(|path| given.strip_suffix(path));
    let is_host = given.split_once("://").is_some_and(|(_, rest)| !rest.contains('/'));
    let base = match (&options.deployment, root) {
        (Some(_), root) => format!("{}/openai", root.unwrap_or(&given)),
        (None, Some(root)) => format!("{root}/openai/v1"),
        (None, None) if is_host => format!("{given}/openai/v1"),
        // A gateway of the user's own stands before the service.
        (None, None) => given,
    };
    let dated = options.deployment.as_ref().map(|_| DATED_VERSION.to_owned());
    let api_version = options.api_version.clone().or(dated);
    Ok((Some(base), OpenAiWire { dialect, api_version, deployment: options.deployment.clone() }))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::embeddings::EmbeddingFormat;
    use crate::wire::{ChatPath, Wire};

    fn addresses(base_url: Option<&str>, options: &Value) -> Result<[String; 3], BuildProblem> {
        let entry = json!({"name": "a", "provider": "azure", "baseUrl": base_url, "options": options});
        let config: ProviderConfig = serde_json::from_value(entry).unwrap();
        let (base, wire) = addressed(&config, Dialect::OPENAI)?;
        let base = base.unwrap();
        let ChatPath::Fixed(chat) = wire.chat_path() else { panic!("the path names no model") };
        let paths = [chat, EmbeddingFormat::path(&wire, "m").into(), wire.models_path().unwrap()];
        Ok(paths.map(|path| format!("{base}{path}")))
    }

    #[test]
    fn every_spelling_of_the_base_url_leads_to_the_same_addresses() {
        let current = ["chat/completions", "embeddings", "models"]
            .map(|path| format!("https://my-res.openai.azure.com/openai/v1/{path}"));
        let dated = ["deployments/my%20gpt/chat/completions", "deployments/my%20gpt/embeddings", "models"]
            .map(|path| format!("https://my-res.openai.azure.com/openai/{path}?api-version=2024-10-21"));
        let host = "https://my-res.openai.azure.com";
        for path in ["", "/", "/openai", "/openai/", "/openai/v1", "/openai/v1/"] {
            let base_url = format!("{host}{path}");
            assert_eq!(addresses(Some(&base_url), &json!({})), Ok(current.clone()), "{base_url}");
            let deployed = addresses(Some(&base_url), &json!({"deployment": "my gpt"}));
            assert_eq!(deployed, Ok(dated.clone()), "{base_url}");
        }
        assert_eq!(addresses(None, &json!({"resource": "my-res"})), Ok(current));
        let both = json!({"resource": "my-res", "deployment": "my gpt", "apiVersion": "2025-04-01-preview"});
        let preview = dated.map(|address| address.replace("2024-10-21", "2025-04-01-preview"));
        assert_eq!(addresses(None, &both), Ok(preview));
    }

    #[test]
    fn an_api_version_stands_in_every_address() {
        let addresses = addresses(Some("https://proxy.example/azure"), &json!({"apiVersion": "preview"}));
        let expected = ["chat/completions", "embeddings", "models"]
            .map(|path| format!("https://proxy.example/azure/{path}?api-version=preview"));
        assert_eq!(addresses, Ok(expected));
    }

    #[test]
    fn an_entry_says_where_its_resource_is() {
        assert!(addresses(None, &json!({})).unwrap_err().to_string().contains("options.resource"));
        let climbing = json!({"resource": "r", "deployment": ".."});
        assert!(addresses(None, &climbing).unwrap_err().to_string().contains("\"..\""));
        assert!(addresses(None, &json!({"resource": "a/b"})).unwrap_err().to_string().contains("\"a/b\""));
    }
}
