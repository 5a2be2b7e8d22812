//! Cloudflare AI Gateway: vendors at addresses of its own, and its Universal Endpoint, which takes a whole chain in one
//! call.
//!
//! Source: Cloudflare's documentation of AI Gateway, "Providers", "Universal Endpoint", "Fallbacks" and "Header glossary".

use std::any::Any;
use std::sync::Arc;

use futures::future::BoxFuture;
use http::header::{ACCEPT, HOST, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::HttpProvider;
use crate::wire::Mode;
use gateway_model::config::CloudflareGateway;
use gateway_model::error::{Failure, GatewayError};
use gateway_model::provider::within;
use gateway_model::{Answer, OpenedStream, Provider, ProviderCall, UniversalCall};
use gateway_transport::{Endpoint, Response};

const ADDRESS: &str = "https://gateway.ai.cloudflare.com/v1";

/// Families that the gateway has addresses for: its own name of the vendor, and what follows it in the base URL.
const VENDORS: [(&str, &str, &str); 10] = [
    ("anthropic", "anthropic", ""),
    ("cerebras", "cerebras", ""),
    ("deepseek", "deepseek", ""),
    ("gemini", "google-ai-studio", "/v1beta"),
    ("groq", "groq", ""),
    ("mistral", "mistral", "/v1"),
    ("openai", "openai", ""),
    ("openrouter", "openrouter", "/v1"),
    ("perplexity", "perplexity-ai", ""),
    ("xai", "grok", "/v1"),
];

/// The step that answered, from 0.
const STEP: HeaderName = HeaderName::from_static("cf-aig-step");

/// A provider's route through the gateway.
#[derive(Debug)]
pub struct CloudflareRoute {
    /// Of the gateway: its Universal Endpoint.
    pub address: String,
    /// The gateway's name of the vendor.
    vendor: &'static str,
    /// The base URL of the vendor's calls.
    pub base_url: String,
    /// What each call tells the gateway.
    pub headers: HeaderMap,
}

impl CloudflareRoute {
    /// `token` is that of an authenticated gateway. The error is for people.
    pub fn new(family: &str, gateway: &CloudflareGateway, token: Option<&str>) -> Result<Self, String> {
        let (_, vendor, path) = VENDORS
            .into_iter()
            .find(|(known, ..)| *known == family)
            .ok_or_else(|| format!("cloudflareGateway: it has no address for family \"{family}\""))?;
        let CloudflareGateway { account_id, gateway_id, .. } = gateway;
        let root = gateway.base_url.as_deref().unwrap_or(ADDRESS).trim_end_matches('/');
        let address = format!("{root}/{account_id}/{gateway_id}");
        let mut headers = HeaderMap::new();
        if let Some(token) = token {
            let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
                .map_err(|_| "cloudflareGateway: the token holds a character that no header may hold")?;
            value.set_sensitive(true);
            headers.insert("cf-aig-authorization", value);
        }
        if let Some(seconds) = gateway.cache_ttl {
            headers.insert("cf-aig-cache-ttl", HeaderValue::from(seconds));
        }
        if gateway.skip_cache {
            headers.insert("cf-aig-skip-cache", HeaderValue::from_static("true"));
        }
        Ok(Self { base_url: format!("{address}/{vendor}{path}"), address, vendor, headers })
    }

    /// One element of the Universal Endpoint's list: a call that would go to `endpoint`.
    pub fn step(&self, endpoint: &Endpoint, body: &[u8]) -> Result<Value, GatewayError> {
        let query: Value = serde_json::from_slice(body).map_err(GatewayError::unwritable)?;
        let url = endpoint.url().as_str();
        let path = url.strip_prefix(&format!("{}/{}/", self.address, self.vendor)).unwrap_or(url);
        let mut headers = Map::new();
        for (name, value) in endpoint.headers() {
            let own = [HOST, ACCEPT, USER_AGENT].contains(name) || self.headers.contains_key(name);
            if let (false, Ok(value)) = (own, value.to_str()) {
                headers.insert(name.as_str().to_owned(), json!(value));
            }
        }
        Ok(json!({"provider": self.vendor, "endpoint": path, "headers": headers, "query": query}))
    }
}

/// The steps of a chain, each of them reached through one and the same gateway.
pub struct UniversalEndpoint {
    steps: Vec<(Arc<dyn Provider>, ProviderCall)>,
}

impl UniversalEndpoint {
    /// `None`: a step goes another way.
    pub fn new(steps: &[(Arc<dyn Provider>, ProviderCall)]) -> Option<Self> {
        let address =
            |(provider, _): &(Arc<dyn Provider>, _)| Some(step_of(provider)?.universal_address()?.to_owned());
        let first = address(steps.first()?)?;
        let shared = steps.iter().all(|step| address(step).as_ref() == Some(&first));
        shared.then(|| Self { steps: steps.to_vec() })
    }

    /// Posts the steps; `read` gets the answer, and the deadline of the whole call.
    async fn run<'a, T>(
        &'a self,
        mode: Mode,
        read: impl FnOnce(
            &'a HttpProvider,
            &'a ProviderCall,
            Response,
            Option<Instant>,
        ) -> BoxFuture<'a, Result<T, Failure>>,
    ) -> Result<(usize, T), Failure> {
        let steps: Vec<_> = self
            .steps
            .iter()
            .filter_map(|(provider, call)| Some((provider.name(), step_of(provider)?, call)))
            .collect();
        let Some((name, first, call)) = steps.first() else {
            return Err(GatewayError::internal("a chain without steps").into());
        };
        let list = steps
            .iter()
            .map(|(_, step, call)| step.universal_step(call, mode))
            .collect::<Result<Value, _>>()?;
        let list = serde_json::to_vec(&list).map_err(GatewayError::unwritable)?;
        // The gateway tries one after the other.
        let patience = steps.iter().map(|(_, step, call)| step.step_timeout(call)).sum();
        let whole = ProviderCall { timeout: None, ..(*call).clone() };
        let deadline = whole.attempt_deadline(Some(patience));
        within(name, deadline, async {
            let response = first.post_universal(list.into()).await?;
            let told = response.headers.get(STEP).and_then(|step| step.to_str().ok()?.parse().ok());
            let step = told.unwrap_or(if response.status.is_success() { 0 } else { steps.len() - 1 });
            let step = step.min(steps.len() - 1);
            let Some((_, universal, call)) = steps.get(step) else {
                return Err(GatewayError::internal("a chain without steps").into());
            };
            if !response.status.is_success() {
                return Err(universal.refusal(response).await.into());
            }
            Ok((step, read(universal, call, response, deadline).await?))
        })
        .await
    }
}

fn step_of(provider: &Arc<dyn Provider>) -> Option<&HttpProvider> {
    let provider: &dyn Any = &**provider;
    provider.downcast_ref()
}

impl UniversalCall for UniversalEndpoint {
    fn chat(&self) -> BoxFuture<'_, Result<(usize, Answer), Failure>> {
        Box::pin(self.run(Mode::Full, |step, call, response, _| Box::pin(step.read_chat(call, response))))
    }

    fn open_stream(&self) -> BoxFuture<'_, Result<(usize, OpenedStream), Failure>> {
        Box::pin(self.run(Mode::Stream, |step, call, response, deadline| {
            let opened = step.opened(call, response).with_first_content_by(deadline);
            Box::pin(async move { Ok(opened) })
        }))
    }
}
