//! Provider entries, as calls use them.

use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;

use super::health::EntryHealth;
use crate::limits::EntryLimits;
use crate::state::digest;
use gateway_model::Provider;
use gateway_model::config::{BreakerConfig, ProviderConfig, RateLimit, UnknownPrice};

/// An entry of the configuration and the provider loaded for it.
#[derive(Clone)]
pub struct ProviderEntry {
    pub provider: Arc<dyn Provider>,
    /// The entry's default model, or the first it lists.
    pub default_model: Option<String>,
    pub models: Vec<String>,
    /// Its share of a pool's traffic.
    pub weight: f64,
    /// Lower numbers come first.
    pub priority: u64,
    pub health: Arc<EntryHealth>,
    pub limits: Arc<EntryLimits>,
    /// The interval of its health checks.
    pub health_check: Option<Duration>,
    /// What models without a known price are here.
    pub unknown_price: Option<UnknownPrice>,
    /// What its health belongs to: a service, and its breaker's settings.
    service: (String, Option<String>, Option<BreakerConfig>),
    fingerprint: String,
    /// What its limits were made of.
    limited: (RateLimit, Option<u64>),
}

/// Provider entries by name, in the order of the configuration.
pub type Providers = IndexMap<String, Arc<ProviderEntry>>;

impl ProviderEntry {
    pub fn new(provider: Arc<dyn Provider>, entry: &ProviderConfig) -> Self {
        Self {
            provider,
            default_model: entry.fallback_model().map(str::to_owned),
            models: entry.models.clone(),
            weight: entry.weight.unwrap_or(1.0),
            priority: entry.priority.unwrap_or(0),
            health: Arc::new(EntryHealth::of(entry)),
            limits: Arc::new(EntryLimits::of(entry)),
            health_check: entry
                .health_check
                .map(|check| Duration::from_millis(check.interval_ms.unwrap_or(30_000))),
            unknown_price: entry.unknown_price,
            service: (entry.provider.clone(), entry.base_url.clone(), entry.breaker),
            fingerprint: fingerprint(entry),
            limited: (entry.rate_limit, entry.max_concurrency),
        }
    }

    /// Whether the entry lists a model.
    pub fn lists(&self, model: &str) -> bool {
        self.models.iter().any(|listed| listed == model)
    }

    /// All that its answers depend on in addition to the request, as text. To be hashed, not shown: addresses may hold
    /// keys.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// What its health belongs to, in 32 digits: addresses may hold keys.
    pub fn service(&self, name: &str) -> String {
        digest(&[name, &format!("{:?}", self.service)])
    }

    /// The same entry with the health and the limits of an earlier one, where they belong to the same service.
    #[must_use]
    pub fn carry_over(&self, before: &Self) -> Self {
        let mut entry = self.clone();
        if entry.service == before.service {
            entry.health = before.health.clone();
        }
        if entry.limited == before.limited {
            entry.limits = before.limits.clone();
        }
        entry
    }
}

/// Where an entry's calls go, and which model answers those that name none, or one that it does not list.
fn fingerprint(entry: &ProviderConfig) -> String {
    let ProviderConfig { provider, base_url, options, cloudflare_gateway, models, .. } = entry;
    let default_model = entry.fallback_model();
    format!("{:?}", (provider, base_url, options, cloudflare_gateway, default_model, models))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn fingerprint_holds_all_that_an_entrys_answers_depend_on() {
        let of = |fields: Value| {
            let mut entry = json!({"name": "p", "provider": "azure", "models": ["a", "b"]});
            for (name, value) in fields.as_object().unwrap() {
                entry[name] = value.clone();
            }
            fingerprint(&serde_json::from_value(entry).unwrap())
        };
        let plain = of(json!({}));
        for same in [json!({"name": "q", "defaultModel": "a"}), json!({"timeoutMs": 5, "weight": 2})] {
            assert_eq!(of(same), plain);
        }
        for other in [
            json!({"provider": "openai"}),
            json!({"baseUrl": "http://127.0.0.1"}),
            json!({"defaultModel": "b"}),
            json!({"models": ["a"]}),
            json!({"options": {"resource": "mine"}}),
            json!({"options": {"deployment": "mine"}}),
            json!({"cloudflareGateway": {"accountId": "1", "gatewayId": "2"}}),
        ] {
            assert_ne!(of(other.clone()), plain, "{other}");
        }
    }
}
