//! A vendor's addresses at the gateway.

use http::header::{ACCEPT, HOST, HeaderMap, HeaderValue, USER_AGENT};
use serde_json::{Map, Value, json};

use crate::wire::entry_segment;
use gateway_model::config::CloudflareGateway;
use gateway_model::error::GatewayError;
use gateway_transport::Endpoint;

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
        let segment = |field: &str, id: &str| {
            entry_segment(id).ok_or_else(|| format!("cloudflareGateway.{field}: {id:?} is not an id"))
        };
        let (account, name) = (segment("accountId", account_id)?, segment("gatewayId", gateway_id)?);
        let address = format!("{root}/{account}/{name}");
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
        let query: Value = gateway_model::json::parse(body).map_err(GatewayError::unwritable)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_segments_of_the_address() {
        let route = |account: &str, gateway: &str| {
            let entry = json!({"accountId": account, "gatewayId": gateway});
            let config: CloudflareGateway = serde_json::from_value(entry).unwrap();
            CloudflareRoute::new("openai", &config, None).map(|route| route.address)
        };
        assert_eq!(route("acc", "gw").unwrap(), format!("{ADDRESS}/acc/gw"));
        assert_eq!(route("a/b?c", "g#h").unwrap(), format!("{ADDRESS}/a%2Fb%3Fc/g%23h"));
        assert!(route("..", "gw").unwrap_err().contains("accountId"));
        assert!(route("acc", "..").unwrap_err().contains("gatewayId"));
    }
}
