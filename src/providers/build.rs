//! From a provider's entry to the provider: keys, addresses, headers.

use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use url::Url;

use super::anthropic::{AnthropicWire, VERSION};
use super::http::{SECRET_LENGTH, Secrets, Shared};
use super::openai::OpenAiWire;
use super::wire::Wire;
use super::{HttpProvider, MockProvider, Provider};
use crate::model::config::{AuthType, ProviderConfig};
use crate::transport::body::BodyLimit;
use crate::transport::{Endpoint, HttpClient, NetworkSettings};

/// Families with a provider of their own.
pub const FAMILIES: [&str; 4] = ["openai", "anthropic", "openrouter", "mock"];

/// What a provider takes from its surroundings, read when it is built.
pub struct Setup<'a> {
    /// Looks an environment variable up.
    pub var: &'a dyn Fn(&str) -> Option<String>,
    pub network: NetworkSettings,
}

pub fn default_base_url(family: &str) -> Option<&'static str> {
    match family {
        "openai" => Some("https://api.openai.com/v1"),
        "openrouter" => Some("https://openrouter.ai/api/v1"),
        "anthropic" => Some("https://api.anthropic.com"),
        _ => None,
    }
}

/// Builds the provider of `family` for an entry. The error is a sentence for people that names the entry;
/// an unknown family is `Ok(None)`.
pub fn build(
    family: &str,
    config: &ProviderConfig,
    setup: &Setup<'_>,
) -> Result<Option<Arc<dyn Provider>>, String> {
    let build = Builder { config, setup };
    let provider: Arc<dyn Provider> = match family {
        "openai" => Arc::new(build.http("openai", OpenAiWire, 30_000)?),
        "openrouter" => Arc::new(build.http("openrouter", OpenAiWire, 60_000)?),
        "anthropic" => Arc::new(build.http("anthropic", AnthropicWire, 60_000)?),
        "mock" => Arc::new(MockProvider::new(config)),
        _ => return Ok(None),
    };
    Ok(Some(provider))
}

struct Builder<'a> {
    config: &'a ProviderConfig,
    setup: &'a Setup<'a>,
}

impl Builder<'_> {
    fn fail(&self, problem: impl std::fmt::Display) -> String {
        format!("Provider \"{}\": {problem}", self.config.name)
    }

    fn http<W: Wire>(
        &self,
        family: &'static str,
        wire: W,
        timeout_ms: u64,
    ) -> Result<HttpProvider<W>, String> {
        let config = self.config;
        let key = self.key()?;
        let headers = self.headers(family, key.as_deref())?;
        let base = config.base_url.as_deref().or(default_base_url(family)).unwrap_or_default();
        let endpoint = Url::parse(&format!("{}{}", base.trim_end_matches('/'), W::PATH))
            .ok()
            .and_then(|url| Endpoint::new(url, headers))
            .ok_or_else(|| self.fail("baseUrl is not an http(s) address"))?;
        let own_headers =
            config.headers.values().filter(|value| value.trim().len() >= SECRET_LENGTH).cloned();
        Ok(HttpProvider {
            shared: Arc::new(Shared {
                name: config.name.clone(),
                timeout: Duration::from_millis(config.timeout_ms.unwrap_or(timeout_ms)),
                limit: config.max_response_bytes.map_or_else(BodyLimit::default, |max| BodyLimit { max }),
                secrets: Secrets::new(key.into_iter().chain(own_headers)),
            }),
            family,
            wire,
            client: HttpClient::new(&self.setup.network).map_err(|problem| self.fail(problem))?,
            endpoint,
            retry: config.retry.into(),
        })
    }

    /// `None` for `auth.type: "none"`.
    fn key(&self) -> Result<Option<String>, String> {
        let auth = &self.config.auth;
        let kind = match auth.kind {
            AuthType::None => return Ok(None),
            AuthType::ApiKey => "apiKey",
            AuthType::Bearer => "bearer",
            AuthType::CustomHeader => "customHeader",
        };
        let variable = auth.env_var.as_deref().filter(|name| !name.is_empty());
        let variable =
            variable.ok_or_else(|| self.fail(format_args!("auth.envVar is required for type \"{kind}\"")))?;
        let value =
            (self.setup.var)(variable).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        match value {
            Some(value) => Ok(Some(value)),
            None => Err(self.fail(format_args!("environment variable {variable} is not set"))),
        }
    }

    fn headers(&self, family: &str, key: Option<&str>) -> Result<HeaderMap, String> {
        let auth = &self.config.auth;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let anthropic = family == "anthropic";
        if anthropic {
            headers.insert("anthropic-version", HeaderValue::from_static(VERSION));
            if let Some(key) = key {
                headers.insert("x-api-key", self.secret(key, "the key")?);
            }
        }
        for (name, value) in &self.config.headers {
            let header = HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| self.fail(format_args!("headers: \"{name}\" is not a header name")))?;
            headers.insert(header, self.secret(value, &format!("headers.{name}"))?);
        }
        if let (Some(key), false) = (key, anthropic) {
            if auth.kind == AuthType::CustomHeader {
                if let Some(name) = auth.header_name.as_deref().filter(|name| !name.is_empty()) {
                    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
                        self.fail(format_args!("auth.headerName \"{name}\" is not a header name"))
                    })?;
                    headers.insert(name, self.secret(key, "the key")?);
                }
            } else {
                headers.insert(AUTHORIZATION, self.secret(&format!("Bearer {key}"), "the key")?);
            }
        }
        Ok(headers)
    }

    fn secret(&self, value: &str, what: &str) -> Result<HeaderValue, String> {
        let mut header = HeaderValue::from_str(value.trim())
            .map_err(|_| self.fail(format_args!("{what} holds a character that no header may hold")))?;
        header.set_sensitive(true);
        Ok(header)
    }
}
