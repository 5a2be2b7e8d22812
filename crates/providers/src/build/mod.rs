//! From a provider's entry to the provider: keys, addresses, headers. No family is known here by name.

mod address_secrets;
mod defaults;
mod error;
mod headers;

use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::HttpProvider;
use super::cloudflare::CloudflareRoute;
use super::http::{ChatEndpoint, GivenSecrets, ProviderContext, SECRET_LENGTH, Secrets};
use super::keys::{AskedKey, Key, KeyRing, KeysFrom};
use super::wire::{ChatPath, Wire};
use gateway_model::config::{AuthType, ProviderConfig};
use gateway_model::{Provider, RetryPolicy};
use gateway_transport::body::BodyLimit;
use gateway_transport::{Endpoint, HttpClient, HttpVersion, NetworkSettings};

pub(crate) use address_secrets::shown_variable;
pub use defaults::{FamilyDefaults, KeyHeader};
pub use error::{BuildError, BuildProblem};
pub(crate) use headers::KeyCarrier;

/// What a provider takes from its surroundings, read when it is built.
pub struct ProviderEnv<'a> {
    /// Looks an environment variable up.
    pub var: &'a dyn Fn(&str) -> Option<String>,
    pub network: NetworkSettings,
}

/// One entry, of which its family builds a provider.
pub struct Builder<'a> {
    pub family: &'static str,
    pub defaults: FamilyDefaults,
    pub config: &'a ProviderConfig,
    pub env: &'a ProviderEnv<'a>,
    pub keys_from: &'a KeysFrom,
}

/// What a family says of one entry: its format, where calls go, and what must show nowhere.
pub struct Connection {
    wire: Box<dyn Wire>,
    base_url: BaseUrl,
    secrets: Vec<String>,
}

enum BaseUrl {
    /// The family's default, unless the entry says another.
    Default,
    /// The same, worked out for this entry.
    WorkedOut(String),
    /// Made of what the entry says: nothing takes its place.
    Exact(String),
}

impl Connection {
    /// To the family's default base URL.
    pub fn new(wire: impl Wire) -> Self {
        Self { wire: Box::new(wire), base_url: BaseUrl::Default, secrets: Vec::new() }
    }

    /// To `base_url`, unless the entry has a `baseUrl` or goes through Cloudflare AI Gateway.
    pub fn at(self, base_url: String) -> Self {
        Self { base_url: BaseUrl::WorkedOut(base_url), ..self }
    }

    /// To `base_url`, which respects the entry's `baseUrl` already.
    pub fn exactly_at(self, base_url: String) -> Self {
        Self { base_url: BaseUrl::Exact(base_url), ..self }
    }

    /// With values that are kept out of errors, in addition to the keys and the entry's own headers.
    pub fn with_secrets(self, secrets: Vec<String>) -> Self {
        Self { secrets, ..self }
    }
}

/// The keys of an entry.
#[derive(Default)]
pub struct Keys {
    /// Variable and value.
    pub found: Vec<(String, String)>,
    /// Variables without a value.
    pub unset: Vec<String>,
}

impl Builder<'_> {
    /// A provider that speaks over HTTP.
    pub fn http(&self, connection: Connection) -> Result<Arc<dyn Provider>, BuildProblem> {
        let config = self.config;
        let Connection { wire, base_url, secrets } = connection;
        let timeout = Duration::from_millis(config.timeout_ms.unwrap_or(self.defaults.timeout_ms));
        let Keys { found, unset } = self.keys()?;
        let (carrier, given) = (self.key_carrier()?, GivenSecrets::default());
        let retry: RetryPolicy = config.retry.into();
        let keys = match self.keys_from {
            KeysFrom::Function(source) if config.auth.kind != AuthType::None => {
                let (name, label) = (config.name.clone(), self.given_label());
                let asked = AskedKey::new(name, label, source.clone(), carrier, timeout, given.clone());
                KeyRing::of_function(asked)
            }
            _ => {
                let key = |(variable, key): &(String, String)| {
                    let header = carrier.carry(key, &format!("the key in {variable}"))?;
                    Ok(Key::new(variable.clone(), header))
                };
                let keys = found.iter().map(key).collect::<Result<_, BuildProblem>>()?;
                KeyRing::new(keys, unset, retry.max_retry_after)
            }
        };
        let mut headers = self.headers()?;
        if let Some((name, value)) = keys.first_header() {
            headers.insert(name, value);
        }
        let (route, token) = self.cloudflare_route(&base_url)?;
        if let Some(route) = &route {
            headers.extend(route.headers.clone());
        }
        let base = match (&base_url, &config.base_url, &route) {
            (BaseUrl::Exact(exact), _, _) => exact,
            (_, Some(own), _) => own,
            (_, None, Some(route)) => route.base_url.as_str(),
            (BaseUrl::WorkedOut(base_url), None, None) => base_url,
            (BaseUrl::Default, None, None) => self.defaults.base_url,
        };
        if base.is_empty() {
            let needed_by = format!("family \"{}\"", self.family);
            return Err(BuildProblem::Required { field: "baseUrl", needed_by });
        }
        let endpoint = Url::parse(base)
            .ok()
            .and_then(|url| Endpoint::new(url, headers))
            .ok_or_else(|| BuildProblem::invalid("baseUrl is not an http(s) address"))?
            .allow_redirects_to(&config.redirect_hosts);
        let below = |path: &str| {
            endpoint.at(path).ok_or_else(|| BuildProblem::invalid("baseUrl is not an http(s) address"))
        };
        let version = if config.http2 { HttpVersion::Http2 } else { HttpVersion::Http1 };
        let own_headers =
            config.headers.values().filter(|value| value.trim().len() >= SECRET_LENGTH).cloned();
        Ok(Arc::new(HttpProvider {
            context: Arc::new(ProviderContext {
                name: config.name.clone(),
                timeout,
                limit: config.max_response_bytes.map_or_else(BodyLimit::default, |max| BodyLimit { max }),
                send_user_id: config.send_user_id,
                secrets: Secrets::new(
                    found
                        .into_iter()
                        .map(|(_, key)| key)
                        .chain(token)
                        .chain(own_headers)
                        .chain(secrets)
                        .chain(self.address_secrets()),
                )
                .with_given(given),
            }),
            family: self.family,
            chat: match wire.chat_path() {
                ChatPath::Fixed(path) => ChatEndpoint::Fixed(Box::new(below(&path)?)),
                ChatPath::PerCall(path) => ChatEndpoint::PerCall(path),
            },
            base: endpoint,
            wire,
            client: HttpClient::new(&self.env.network, version).map_err(BuildProblem::invalid)?,
            keys,
            retry,
            route,
        }))
    }

    /// The route through Cloudflare AI Gateway, and the secret token for it.
    fn cloudflare_route(
        &self,
        base_url: &BaseUrl,
    ) -> Result<(Option<CloudflareRoute>, Option<String>), BuildProblem> {
        let says_where = self.config.base_url.is_some() || matches!(base_url, BaseUrl::Exact(_));
        let Some(gateway) = self.config.cloudflare_gateway.as_ref().filter(|_| !says_where) else {
            return Ok((None, None));
        };
        let token = gateway.token_env_var.as_deref().map(|name| self.variable(name)).transpose()?;
        let route =
            CloudflareRoute::new(self.family, gateway, token.as_deref()).map_err(BuildProblem::Invalid)?;
        Ok((Some(route), token))
    }

    /// What is secret in the addresses that the entry names, and in those of the proxies on the way.
    fn address_secrets(&self) -> Vec<String> {
        let gateway = self.config.cloudflare_gateway.as_ref().and_then(|gateway| gateway.base_url.as_deref());
        let own = self.config.base_url.as_deref().into_iter().chain(gateway);
        let proxies = self.env.network.proxy_addresses().filter_map(|address| Url::parse(address).ok());
        own.flat_map(address_secrets::address_secrets)
            .chain(proxies.flat_map(|url| address_secrets::credentials(&url)))
            .collect()
    }

    /// The keys of the entry that are set; none for `auth.type: "none"`.
    ///
    /// # Errors
    /// The entry names no variable, or none that it names is set.
    pub fn keys(&self) -> Result<Keys, BuildProblem> {
        let auth = &self.config.auth;
        let kind = match auth.kind {
            AuthType::None => return Ok(Keys::default()),
            AuthType::ApiKey => "apiKey",
            AuthType::Bearer => "bearer",
            AuthType::CustomHeader => "customHeader",
        };
        match self.keys_from {
            KeysFrom::Environment => {}
            KeysFrom::Program(keys) => return Ok(self.given_keys(keys)),
            KeysFrom::Function(_) => return Ok(Keys::default()),
        }
        let variables = auth.variables();
        let Some(first) = variables.first() else {
            let needed_by = format!("type \"{kind}\"");
            return Err(BuildProblem::Required { field: "auth.envVar", needed_by });
        };
        let mut keys = Keys::default();
        for &name in &variables {
            match self.optional_variable(name) {
                Some(key) => keys.found.push((name.to_owned(), key)),
                None => keys.unset.push(name.to_owned()),
            }
        }
        if keys.found.is_empty() { Err(BuildProblem::VariableNotSet((*first).to_owned())) } else { Ok(keys) }
    }

    /// What errors and reports call a key that the program gives.
    fn given_label(&self) -> String {
        format!("keys.{}", self.config.name)
    }

    fn given_keys(&self, keys: &[String]) -> Keys {
        let label = self.given_label();
        let name = |index: usize| if keys.len() == 1 { label.clone() } else { format!("{label}[{index}]") };
        let found = keys.iter().enumerate().map(|(index, key)| (name(index), key.trim().to_owned()));
        Keys { found: found.collect(), unset: Vec::new() }
    }

    /// The value of an environment variable that must be set.
    pub fn variable(&self, name: &str) -> Result<String, BuildProblem> {
        self.optional_variable(name).ok_or_else(|| BuildProblem::VariableNotSet(name.to_owned()))
    }

    /// The value of an environment variable; `None` where it is not set, or blank.
    pub fn optional_variable(&self, name: &str) -> Option<String> {
        (self.env.var)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }
}
