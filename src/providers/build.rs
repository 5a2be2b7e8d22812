//! From a provider's entry to the provider: keys, addresses, headers.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use url::Url;

use super::anthropic::{AnthropicWire, VERSION};
use super::catalogue::{self, KeyHeader, Service};
use super::http::{SECRET_LENGTH, Secrets, Shared};
use super::openai::OpenAiWire;
use super::wire::{Wire, path_segment};
use super::workers_ai::WorkersAiWire;
use super::{HttpProvider, MockProvider, Provider};
use crate::model::config::{AuthType, ProviderConfig};
use crate::transport::body::BodyLimit;
use crate::transport::{Endpoint, HttpClient, NetworkSettings};

/// Families with a wire format of their own; those of the catalogue speak OpenAI's.
const OWN_FORMATS: [&str; 3] = ["anthropic", "mock", "workers-ai"];

/// What a provider takes from its surroundings, read when it is built.
pub struct Setup<'a> {
    /// Looks an environment variable up.
    pub var: &'a dyn Fn(&str) -> Option<String>,
    pub network: NetworkSettings,
}

/// Every family there is a provider for.
pub fn families() -> impl Iterator<Item = &'static str> {
    OWN_FORMATS.into_iter().chain(catalogue::services().map(|service| service.family))
}

/// Fills in what an entry of the catalogue may leave out: its models, and where its key is. The original's own families
/// must say it.
pub fn complete(entry: &mut ProviderConfig) {
    if entry.provider == "workers-ai" && entry.auth.env_var.is_none() {
        entry.auth.env_var = Some("CLOUDFLARE_API_TOKEN".to_owned());
    }
    let Some(service) = catalogue::service(&entry.provider).filter(|service| service.has_defaults()) else {
        return;
    };
    if entry.models.is_empty() {
        entry.models = service.models.iter().map(|&model| model.to_owned()).collect();
    }
    if entry.auth.env_var.is_none() && !service.key_variable.is_empty() {
        entry.auth.env_var = Some(service.key_variable.to_owned());
    }
}

/// The environment variables that the provider of an entry reads, beside those of the network.
pub fn variables(entry: &ProviderConfig) -> Vec<String> {
    let auth = &entry.auth;
    auth.env_var.iter().chain(&auth.env_vars).cloned().collect()
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
        "anthropic" => Arc::new(build.http(Place::anthropic(), AnthropicWire)?),
        "mock" => Arc::new(MockProvider::new(config)),
        "workers-ai" => Arc::new(build.http(build.workers_ai()?, WorkersAiWire)?),
        family => match catalogue::service(family) {
            Some(service) => Arc::new(build.http(Place::of(service), OpenAiWire::new(service.dialect))?),
            None => return Ok(None),
        },
    };
    Ok(Some(provider))
}

/// Where a family's calls go, and how they show who is calling.
struct Place {
    family: &'static str,
    /// Empty: the entry must say it.
    base_url: Cow<'static, str>,
    key: KeyHeader,
    timeout_ms: u64,
    headers: Vec<(&'static str, HeaderValue)>,
}

impl Place {
    fn of(service: &Service) -> Self {
        Self {
            family: service.family,
            base_url: Cow::Borrowed(service.base_url),
            key: service.key_header,
            timeout_ms: service.timeout_ms,
            headers: Vec::new(),
        }
    }

    fn anthropic() -> Self {
        Self {
            family: "anthropic",
            base_url: Cow::Borrowed("https://api.anthropic.com"),
            key: KeyHeader::Named("x-api-key"),
            timeout_ms: 60_000,
            headers: vec![("anthropic-version", HeaderValue::from_static(VERSION))],
        }
    }
}

struct Builder<'a> {
    config: &'a ProviderConfig,
    setup: &'a Setup<'a>,
}

impl Builder<'_> {
    fn fail(&self, problem: impl std::fmt::Display) -> String {
        format!("Provider \"{}\": {problem}", self.config.name)
    }

    fn workers_ai(&self) -> Result<Place, String> {
        let config = self.config;
        let account = match (&config.options.account_id, &config.base_url) {
            (Some(account), _) => path_segment(account),
            (None, Some(_)) => String::new(),
            (None, None) => {
                return Err(self.fail("options.accountId is required for family \"workers-ai\""));
            }
        };
        Ok(Place {
            family: "workers-ai",
            base_url: Cow::Owned(format!("https://api.cloudflare.com/client/v4/accounts/{account}/ai")),
            key: KeyHeader::Bearer,
            timeout_ms: 60_000,
            headers: Vec::new(),
        })
    }

    fn http<W: Wire>(&self, place: Place, wire: W) -> Result<HttpProvider<W>, String> {
        let config = self.config;
        let key = self.key()?;
        let headers = self.headers(&place, key.as_deref())?;
        let base = config.base_url.as_deref().unwrap_or(&place.base_url).trim_end_matches('/');
        if base.is_empty() {
            return Err(self.fail(format_args!("baseUrl is required for family \"{}\"", place.family)));
        }
        let endpoint = |path: &str| {
            Url::parse(&format!("{base}{path}"))
                .ok()
                .and_then(|url| Endpoint::new(url, headers.clone()))
                .ok_or_else(|| self.fail("baseUrl is not an http(s) address"))
        };
        let own_headers =
            config.headers.values().filter(|value| value.trim().len() >= SECRET_LENGTH).cloned();
        Ok(HttpProvider {
            shared: Arc::new(Shared {
                name: config.name.clone(),
                timeout: Duration::from_millis(config.timeout_ms.unwrap_or(place.timeout_ms)),
                limit: config.max_response_bytes.map_or_else(BodyLimit::default, |max| BodyLimit { max }),
                secrets: Secrets::new(key.into_iter().chain(own_headers)),
            }),
            family: place.family,
            base: endpoint("")?,
            chat: endpoint(&wire.path())?,
            wire,
            client: HttpClient::new(&self.setup.network).map_err(|problem| self.fail(problem))?,
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
        self.variable(variable).map(Some)
    }

    /// An environment variable that must be set.
    fn variable(&self, name: &str) -> Result<String, String> {
        let value = (self.setup.var)(name).map(|value| value.trim().to_owned());
        value
            .filter(|value| !value.is_empty())
            .ok_or_else(|| self.fail(format_args!("environment variable {name} is not set")))
    }

    fn headers(&self, place: &Place, key: Option<&str>) -> Result<HeaderMap, String> {
        let auth = &self.config.auth;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, value) in &place.headers {
            headers.insert(*name, value.clone());
        }
        // Anthropic's key comes before the entry's headers, which may replace it; the others' after them.
        let anthropic = place.family == "anthropic";
        if let (Some(key), true) = (key, anthropic) {
            headers.insert("x-api-key", self.secret(key, "the key")?);
        }
        for (name, value) in &self.config.headers {
            let header = HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| self.fail(format_args!("headers: \"{name}\" is not a header name")))?;
            headers.insert(header, self.secret(value, &format!("headers.{name}"))?);
        }
        let Some(key) = key.filter(|_| !anthropic) else { return Ok(headers) };
        let key_header = match (auth.kind, place.key) {
            (AuthType::CustomHeader, _) => {
                match auth.header_name.as_deref().filter(|name| !name.is_empty()) {
                    Some(name) => name,
                    None => return Ok(headers),
                }
            }
            (AuthType::ApiKey, KeyHeader::Named(name)) => name,
            _ => {
                headers.insert(AUTHORIZATION, self.secret(&format!("Bearer {key}"), "the key")?);
                return Ok(headers);
            }
        };
        let name = HeaderName::from_bytes(key_header.as_bytes())
            .map_err(|_| self.fail(format_args!("auth.headerName \"{key_header}\" is not a header name")))?;
        headers.insert(name, self.secret(key, "the key")?);
        Ok(headers)
    }

    fn secret(&self, value: &str, what: &str) -> Result<HeaderValue, String> {
        let mut header = HeaderValue::from_str(value.trim())
            .map_err(|_| self.fail(format_args!("{what} holds a character that no header may hold")))?;
        header.set_sensitive(true);
        Ok(header)
    }
}
