//! From a provider's entry to the provider: keys, addresses, headers.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use url::Url;

use super::anthropic::{AnthropicWire, VERSION};
use super::azure;
use super::bedrock::{self, BedrockWire};
use super::catalogue::{self, KeyHeader, Service};
use super::cloudflare::Through;
use super::gemini::{self, GeminiWire};
use super::http::{ChatEndpoint, SECRET_LENGTH, Secrets, Shared};
use super::keys::{Key, KeyRing};
use super::openai::OpenAiWire;
use super::responses::ResponsesWire;
use super::wire::{ChatPath, Wire, path_segment};
use super::workers_ai::{self, WorkersAiWire};
use super::{HttpProvider, MockProvider};
use gateway_model::Provider;
use gateway_model::config::{AuthType, ProviderConfig};
use gateway_transport::body::BodyLimit;
use gateway_transport::{Endpoint, HttpClient, NetworkSettings, RetryPolicy};

/// Families with a wire format of their own; those of the catalogue speak OpenAI's.
const OWN_FORMATS: [&str; 5] = ["anthropic", "bedrock", "gemini", "mock", "workers-ai"];

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

/// Whether an entry of this family may leave out its models, and where its key is.
pub fn has_defaults(family: &str) -> bool {
    defaults(family, AuthType::default()).is_some()
}

/// Fills in what an entry may leave out: its models, and where its key is. Those of the original's own families must say it.
pub fn complete(family: &str, entry: &mut ProviderConfig) {
    let Some((key_variable, models)) = defaults(family, entry.auth.kind) else { return };
    if entry.models.is_empty() {
        entry.models = models.iter().map(|&model| model.to_owned()).collect();
    }
    if entry.auth.env_var.is_none() && entry.auth.env_vars.is_empty() && !key_variable.is_empty() {
        entry.auth.env_var = Some(key_variable.to_owned());
    }
}

/// A family's variable for its key (empty: there is none) and its models, where entries may leave them out.
fn defaults(family: &str, auth: AuthType) -> Option<(&'static str, &'static [&'static str])> {
    match family {
        "bedrock" => Some((bedrock::key_variable(auth), bedrock::MODELS)),
        "gemini" => Some((gemini::KEY_VARIABLE, gemini::MODELS)),
        "workers-ai" => Some((workers_ai::KEY_VARIABLE, workers_ai::MODELS)),
        family => {
            let service = catalogue::service(family).filter(|service| service.has_defaults())?;
            Some((service.key_variable, service.models))
        }
    }
}

/// The environment variables that the provider of an entry reads, beside those of the network.
pub fn variables(family: &str, entry: &ProviderConfig) -> Vec<String> {
    let token = entry.cloudflare_gateway.as_ref().and_then(|gateway| gateway.token_env_var.as_ref());
    let keys = entry.auth.variables().into_iter().chain(token.map(String::as_str)).map(str::to_owned);
    let own = match family {
        "bedrock" => bedrock::variables(entry),
        _ => Vec::new(),
    };
    keys.chain(own).collect()
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
        "bedrock" => Arc::new(build.bedrock()?),
        "gemini" => Arc::new(build.http(Place::gemini(), GeminiWire)?),
        "mock" => Arc::new(MockProvider::new(config)),
        "workers-ai" => Arc::new(build.http(build.workers_ai()?, WorkersAiWire)?),
        family => match catalogue::service(family) {
            Some(service) if service.family == "azure" => {
                let (base, wire) =
                    azure::addressed(config, service.dialect).map_err(|problem| build.fail(problem))?;
                let config = &ProviderConfig { base_url: Some(base), ..config.clone() };
                Builder { config, setup }.openai(service, wire)?
            }
            Some(service) => build.openai(service, OpenAiWire::new(service.dialect))?,
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

    fn bedrock(region: &str) -> Self {
        Self {
            family: "bedrock",
            base_url: Cow::Owned(format!("https://bedrock-runtime.{region}.amazonaws.com")),
            key: KeyHeader::Unsent,
            timeout_ms: 60_000,
            headers: Vec::new(),
        }
    }

    fn gemini() -> Self {
        Self {
            family: "gemini",
            base_url: Cow::Borrowed("https://generativelanguage.googleapis.com/v1beta"),
            key: KeyHeader::Named("x-goog-api-key"),
            timeout_ms: 60_000,
            headers: Vec::new(),
        }
    }
}

/// The keys of an entry: variable and value.
#[derive(Default)]
struct Keys {
    found: Vec<(String, String)>,
    /// Variables without a value.
    unset: Vec<String>,
}

struct Builder<'a> {
    config: &'a ProviderConfig,
    setup: &'a Setup<'a>,
}

impl Builder<'_> {
    fn fail(&self, problem: impl std::fmt::Display) -> String {
        format!("Provider \"{}\": {problem}", self.config.name)
    }

    /// A service that speaks OpenAI's formats, in the one that the entry chooses.
    fn openai(&self, service: &'static Service, chat: OpenAiWire) -> Result<Arc<dyn Provider>, String> {
        let place = Place::of(service);
        match self.config.options.api.as_deref() {
            None | Some("chat") => Ok(Arc::new(self.http(place, chat)?)),
            Some("responses") if chat.deployment.is_some() => {
                let problem = "options.api \"responses\" has no address by deployment: leave options.deployment out, and \
                               name the deployment as the model";
                Err(self.fail(problem))
            }
            Some("responses") => {
                // OpenAI's word of today; services that follow it know the older one.
                let newest = matches!(service.family, "openai" | "azure");
                let user = if newest { "safety_identifier" } else { service.dialect.user };
                Ok(Arc::new(self.http(place, ResponsesWire { chat, user })?))
            }
            Some(other) => {
                Err(self.fail(format_args!("options.api must be \"chat\" or \"responses\", not \"{other}\"")))
            }
        }
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

    fn http(&self, place: Place, wire: impl Wire) -> Result<HttpProvider, String> {
        self.http_with(place, Box::new(wire), Vec::new())
    }

    /// `secrets`: what must show nowhere, beside the key and the entry's own headers.
    fn http_with(
        &self,
        place: Place,
        wire: Box<dyn Wire>,
        secrets: Vec<String>,
    ) -> Result<HttpProvider, String> {
        let config = self.config;
        let Keys { found, unset } = self.keys()?;
        let mut keys = Vec::new();
        for (variable, key) in &found {
            keys.push(Key::new(variable.clone(), self.key_header(&place, variable, key)?));
        }
        let retry: RetryPolicy = config.retry.into();
        let keys = KeyRing::new(keys, unset, retry.max_retry_after);
        let mut headers = self.headers(&place)?;
        if let Some((name, value)) = keys.first_header() {
            headers.insert(name, value);
        }
        let (through, token) = self.through(place.family)?;
        if let Some(through) = &through {
            headers.extend(through.headers.clone());
        }
        let base = match (&config.base_url, &through) {
            (Some(own), _) => own,
            (None, Some(through)) => through.base_url.as_str(),
            (None, None) => &place.base_url,
        };
        let base = base.trim_end_matches('/');
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
                secrets: Secrets::new(
                    found.into_iter().map(|(_, key)| key).chain(token).chain(own_headers).chain(secrets),
                ),
            }),
            family: place.family,
            base: endpoint("")?,
            chat: match wire.chat_path() {
                ChatPath::Fixed(path) => ChatEndpoint::Fixed(endpoint(&path)?),
                ChatPath::PerCall(path) => ChatEndpoint::PerCall(path),
            },
            wire,
            client: HttpClient::new(&self.setup.network).map_err(|problem| self.fail(problem))?,
            keys,
            retry,
            through,
        })
    }

    /// The way through Cloudflare AI Gateway, and the secret token for it.
    fn through(&self, family: &str) -> Result<(Option<Through>, Option<String>), String> {
        let Some(gateway) =
            self.config.cloudflare_gateway.as_ref().filter(|_| self.config.base_url.is_none())
        else {
            return Ok((None, None));
        };
        let token = gateway.token_env_var.as_deref().map(|name| self.variable(name)).transpose()?;
        let through =
            Through::new(family, gateway, token.as_deref()).map_err(|problem| self.fail(problem))?;
        Ok((Some(through), token))
    }

    /// A key pair of AWS signs; a Bedrock API key is a bearer token.
    fn bedrock(&self) -> Result<HttpProvider, String> {
        let (config, var) = (self.config, self.setup.var);
        let region = bedrock::region(config, var).map_err(|problem| self.fail(problem))?;
        let place = Place::bedrock(&region);
        let (mut signer, mut secrets) = (None, Vec::new());
        let is_pair = config.auth.kind == AuthType::ApiKey;
        if is_pair && config.auth.variables().len() > 1 {
            let problem = "auth.envVars: key pairs do not take turns: name one ACCESS_KEY_ID in auth.envVar, and give each \
                           pair an entry of its own";
            return Err(self.fail(problem));
        }
        if is_pair && let Some((name, key_id)) = self.keys()?.found.into_iter().next() {
            let (secret, token) = bedrock::siblings(&name).map_err(|problem| self.fail(problem))?;
            let secret = self.variable(&secret)?;
            let token = var(&token).map(|token| token.trim().to_owned()).filter(|token| !token.is_empty());
            secrets = std::iter::once(secret.clone()).chain(token.clone()).collect();
            signer = Some(bedrock::Signer::new(key_id, secret, token, region));
        }
        self.http_with(place, Box::new(BedrockWire { provider: config.name.clone(), signer }), secrets)
    }

    /// The keys of the entry that are set; none for `auth.type: "none"`.
    fn keys(&self) -> Result<Keys, String> {
        let auth = &self.config.auth;
        let kind = match auth.kind {
            AuthType::None => return Ok(Keys::default()),
            AuthType::ApiKey => "apiKey",
            AuthType::Bearer => "bearer",
            AuthType::CustomHeader => "customHeader",
        };
        let variables = auth.variables();
        let Some(first) = variables.first() else {
            return Err(self.fail(format_args!("auth.envVar is required for type \"{kind}\"")));
        };
        let mut keys = Keys::default();
        for name in &variables {
            match self.variable(name) {
                Ok(key) => keys.found.push(((*name).to_owned(), key)),
                Err(_) => keys.unset.push((*name).to_owned()),
            }
        }
        if keys.found.is_empty() { self.variable(first).map(|_| keys) } else { Ok(keys) }
    }

    /// An environment variable that must be set.
    fn variable(&self, name: &str) -> Result<String, String> {
        let value = (self.setup.var)(name).map(|value| value.trim().to_owned());
        value
            .filter(|value| !value.is_empty())
            .ok_or_else(|| self.fail(format_args!("environment variable {name} is not set")))
    }

    /// What every call sends, but for its key.
    fn headers(&self, place: &Place) -> Result<HeaderMap, String> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, value) in &place.headers {
            headers.insert(*name, value.clone());
        }
        for (name, value) in &self.config.headers {
            let header = HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| self.fail(format_args!("headers: \"{name}\" is not a header name")))?;
            headers.insert(header, self.secret(value, &format!("headers.{name}"))?);
        }
        Ok(headers)
    }

    /// What carries a key; `None`: no header does.
    fn key_header(
        &self,
        place: &Place,
        variable: &str,
        key: &str,
    ) -> Result<Option<(HeaderName, HeaderValue)>, String> {
        let auth = &self.config.auth;
        let secret = |value: &str| self.secret(value, &format!("the key in {variable}"));
        let name = match (auth.kind, place.key) {
            // An entry's own header replaces Anthropic's key; the others' keys replace it.
            _ if place.family == "anthropic" => {
                let own = self.config.headers.keys().any(|name| name.eq_ignore_ascii_case("x-api-key"));
                let carried = (HeaderName::from_static("x-api-key"), secret(key)?);
                return Ok(Some(carried).filter(|_| !own));
            }
            (AuthType::CustomHeader, _) => {
                match auth.header_name.as_deref().filter(|name| !name.is_empty()) {
                    Some(name) => name,
                    None => return Ok(None),
                }
            }
            (AuthType::ApiKey, KeyHeader::Named(name)) => name,
            (AuthType::ApiKey, KeyHeader::Unsent) => return Ok(None),
            _ => return Ok(Some((AUTHORIZATION, secret(&format!("Bearer {key}"))?))),
        };
        let header = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| self.fail(format_args!("auth.headerName \"{name}\" is not a header name")))?;
        Ok(Some((header, secret(key)?)))
    }

    fn secret(&self, value: &str, what: &str) -> Result<HeaderValue, String> {
        let mut header = HeaderValue::from_str(value.trim())
            .map_err(|_| self.fail(format_args!("{what} holds a character that no header may hold")))?;
        header.set_sensitive(true);
        Ok(header)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use gateway_model::ChatRequest;
    use gateway_model::ProviderCall;
    use gateway_model::error::ErrorKind;

    fn built(family: &str, options: &Value) -> Result<Arc<dyn Provider>, String> {
        let entry = json!({
            "name": "p", "provider": family, "baseUrl": "http://127.0.0.1:9", "options": options,
            "auth": {"type": "apiKey", "envVar": "KEY"},
        });
        let entry: ProviderConfig = serde_json::from_value(entry).unwrap();
        let setup = Setup { var: &|_| Some("0123456789".to_owned()), network: NetworkSettings::default() };
        build(family, &entry, &setup).map(Option::unwrap)
    }

    #[test]
    fn an_entry_chooses_among_the_apis_of_its_service() {
        for family in ["openai", "azure", "openrouter"] {
            for api in ["chat", "responses"] {
                assert!(built(family, &json!({ "api": api })).is_ok(), "{family} {api}");
            }
            let problem = built(family, &json!({"api": "assistants"})).err().unwrap();
            assert!(problem.contains("options.api") && problem.contains("\"assistants\""), "{problem}");
        }
        let problem = built("azure", &json!({"api": "responses", "deployment": "d"})).err().unwrap();
        assert!(problem.contains("options.deployment"), "{problem}");
    }

    #[tokio::test]
    async fn responses_refuse_audio_in_either_form() {
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
                gate: None,
            };
            let failure = provider.chat(&call).await.unwrap_err();
            assert_eq!(failure.kind(), Some(ErrorKind::InvalidRequest), "{failure}");
        }
    }

    #[test]
    fn an_azure_entry_may_leave_out_where_its_key_is() {
        let mut entry: ProviderConfig =
            serde_json::from_value(json!({"name": "p", "provider": "azure"})).unwrap();
        complete("azure", &mut entry);
        assert_eq!(variables("azure", &entry), ["AZURE_OPENAI_API_KEY"]);
    }

    #[test]
    fn an_entry_may_leave_out_what_its_family_knows() {
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
            (gemini::MODELS.iter().map(|&model| model.to_owned()).collect(), key("GEMINI_API_KEY"))
        );
        let own = json!({"name": "g", "provider": "gemini", "models": ["gemini-3.5-flash-lite"],
            "auth": {"type": "bearer", "envVar": "TOKEN"}});
        assert_eq!(completed(own), (vec!["gemini-3.5-flash-lite".to_owned()], key("TOKEN")));
        for family in ["openai", "anthropic", "unheard-of"] {
            let bare = json!({"name": "o", "provider": family, "models": [], "auth": {"type": "apiKey"}});
            assert_eq!(completed(bare), (Vec::new(), None), "{family}");
        }
    }
}
