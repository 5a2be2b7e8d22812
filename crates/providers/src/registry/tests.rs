use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use gateway_model::ChatRequest;
use gateway_model::ProviderCall;
use gateway_model::error::ErrorKind;
use gateway_transport::NetworkSettings;

fn built(family: &str, options: &Value) -> Result<Arc<dyn Provider>, BuildError> {
    let entry = json!({
        "name": "p", "provider": family, "baseUrl": "http://127.0.0.1:9", "options": options,
        "auth": {"type": "apiKey", "envVar": "KEY"},
    });
    let entry: ProviderConfig = serde_json::from_value(entry).unwrap();
    let env = ProviderEnv { var: &|_| Some("0123456789".to_owned()), network: NetworkSettings::default() };
    build(family, &entry, &env).map(Option::unwrap)
}

#[test]
fn options_api_chooses_chat_or_responses() {
    for family in ["openai", "azure", "openrouter"] {
        for api in ["chat", "responses"] {
            assert!(built(family, &json!({ "api": api })).is_ok(), "{family} {api}");
        }
        let problem = built(family, &json!({"api": "assistants"})).err().unwrap();
        let problem = problem.to_string();
        assert!(problem.contains("options.api") && problem.contains("\"assistants\""), "{problem}");
    }
    let problem = built("azure", &json!({"api": "responses", "deployment": "d"})).err().unwrap();
    assert!(problem.to_string().contains("options.deployment"), "{problem}");
}

#[tokio::test]
async fn responses_api_refuses_audio_in_either_form() {
    let provider = built("openai", &json!({"api": "responses"})).unwrap();
    for part in [
        json!({"type": "audio", "data": "AA==", "mimeType": "audio/mpeg"}),
        json!({"type": "input_audio", "input_audio": {"data": "AA==", "format": "mp3"}}),
    ] {
        let request = json!({"messages": [{"role": "user", "content": [part]}]}).to_string();
        let call = ProviderCall {
            request: Arc::new(ChatRequest::from_json(&request).unwrap()),
            model: "m".to_owned(),
            max_tokens: None,
            timeout: None,
            deadline: None,
            sent: Default::default(),
        };
        let failure = provider.chat(&call).await.unwrap_err();
        assert_eq!(failure.kind(), Some(ErrorKind::InvalidRequest), "{failure}");
    }
}

#[test]
fn azure_entry_may_omit_its_key_variable() {
    let mut entry: ProviderConfig =
        serde_json::from_value(json!({"name": "p", "provider": "azure"})).unwrap();
    complete("azure", &mut entry);
    assert_eq!(variables("azure", &entry), ["AZURE_OPENAI_API_KEY"]);
}

#[test]
fn entry_may_omit_what_its_family_describes() {
    let completed = |entry: serde_json::Value| {
        let mut entry: ProviderConfig = serde_json::from_value(entry).unwrap();
        let family = entry.provider.clone();
        complete(&family, &mut entry);
        (entry.models, entry.auth.env_var)
    };
    let key = |name: &str| Some(name.to_owned());
    let bare = json!({"name": "g", "provider": "gemini", "models": [], "auth": {"type": "apiKey"}});
    assert_eq!(
        completed(bare),
        (
            crate::gemini::describe().models.iter().map(|&model| model.to_owned()).collect(),
            key("GEMINI_API_KEY")
        )
    );
    let own = json!({"name": "g", "provider": "gemini", "models": ["gemini-3.5-flash-lite"],
        "auth": {"type": "bearer", "envVar": "TOKEN"}});
    assert_eq!(completed(own), (vec!["gemini-3.5-flash-lite".to_owned()], key("TOKEN")));
    for family in ["openai", "anthropic", "unheard-of"] {
        let bare = json!({"name": "o", "provider": family, "models": [], "auth": {"type": "apiKey"}});
        assert_eq!(completed(bare), (Vec::new(), None), "{family}");
    }
}

/// The description and the documentation of every family, and the files of every wire format.
mod consistency {
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::build::KeyHeader;
    use crate::family::KeyVariable;

    fn read(path: &str) -> String {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Folders whose `mod.rs` holds `text`.
    fn folders_with(text: &str) -> Vec<PathBuf> {
        let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let entries = std::fs::read_dir(src).unwrap().map(|entry| entry.unwrap().path());
        let has_text = |path: &PathBuf| {
            std::fs::read_to_string(path.join("mod.rs")).is_ok_and(|code| code.contains(text))
        };
        entries.filter(has_text).collect()
    }

    #[test]
    fn family_names_are_unique_and_well_formed() {
        let mut names = BTreeSet::new();
        for Family { name, title, .. } in describe_families() {
            assert!(names.insert(name), "{name} is there twice");
            let is_allowed =
                |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
            assert!(!name.is_empty() && name.chars().all(is_allowed), "{name}");
            assert!(!title.is_empty(), "{name}: its title");
        }
    }

    #[test]
    fn family_defaults_are_usable() {
        for Family { name, defaults, key_variable, models, .. } in describe_families() {
            let base_url = defaults.base_url;
            let is_local = base_url.starts_with("http://127.0.0.1:");
            assert!(
                base_url.is_empty() || is_local || base_url.starts_with("https://"),
                "{name}: {base_url}"
            );
            assert!(!base_url.ends_with('/'), "{name}: {base_url}");
            assert!((1_000..=600_000).contains(&defaults.timeout_ms), "{name}: {} ms", defaults.timeout_ms);
            if let KeyHeader::Named(header) | KeyHeader::Always(header) = defaults.key_header {
                assert_eq!(
                    header,
                    header.to_ascii_lowercase(),
                    "{name}: names of headers are in small letters"
                );
            }
            if let KeyVariable::Same(variable) = key_variable {
                assert!(
                    variable.bytes().all(|byte| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'_')),
                    "{name}"
                );
            }
            assert!(models.iter().all(|model| !model.trim().is_empty()), "{name}: its models");
        }
    }

    #[test]
    fn every_family_builds_from_an_entry_that_says_no_more_than_it_must() {
        for family in describe_families() {
            let mut entry: ProviderConfig = serde_json::from_value(json!({
                "name": "it", "provider": family.name, "models": ["m"],
                "auth": {"type": "apiKey", "envVar": "AWS_ACCESS_KEY_ID"}, "options": {"accountId": "account"},
            }))
            .unwrap();
            if family.defaults.base_url.is_empty() {
                entry.base_url = Some("https://host.example".to_owned());
            }
            let env = ProviderEnv {
                var: &|name| {
                    (name != "AWS_REGION" && name != "AWS_DEFAULT_REGION").then(|| "value-123".to_owned())
                },
                network: NetworkSettings::default(),
            };
            let provider = build(family.name, &entry, &env).unwrap().unwrap();
            assert_eq!(provider.family(), family.name);
        }
        let env = ProviderEnv { var: &|_| None, network: NetworkSettings::default() };
        let entry = serde_json::from_value(json!({"name": "it", "provider": "unheard-of"})).unwrap();
        assert!(build("unheard-of", &entry, &env).unwrap().is_none());
    }

    #[test]
    fn every_family_and_its_options_are_documented() {
        let (providers, configuration) =
            (read("../../docs/providers.md"), read("../../docs/configuration.md"));
        for family in describe_families() {
            assert!(providers.contains(&format!("`{}`", family.name)), "docs/providers.md: {}", family.name);
            for option in family.options {
                let is_told = configuration.contains(&format!("`{option}`"));
                assert!(is_told, "docs/configuration.md: option {option} of {}", family.name);
            }
        }
    }

    #[test]
    fn every_described_format_is_registered() {
        let registered = read("src/registry/mod.rs");
        for folder in folders_with("\npub fn describe() -> Family {") {
            let module = folder.file_name().unwrap().to_string_lossy().into_owned();
            assert!(
                registered.contains(&format!("crate::{module}::describe,")),
                "{module} is not registered"
            );
        }
    }

    #[test]
    fn every_wire_format_has_the_standard_files() {
        let formats = folders_with("\nimpl Wire for ");
        assert!(formats.len() >= 6, "{formats:?}");
        for format in formats {
            for file in ["mod.rs", "request.rs", "answer.rs", "stream.rs"] {
                assert!(format.join(file).is_file(), "{} has no {file}", format.display());
            }
        }
    }
}
