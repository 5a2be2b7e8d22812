//! Which provider answers: the rules that pick a target, and the chain that is followed when it fails.

pub mod candidates;
pub mod fallback;
pub mod health;
mod hedge;
pub mod matcher;
pub mod pool;
mod price_sheet;
mod retry_budget;
mod route_pool;
pub mod run;

use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;

use health::EntryHealth;

use crate::limits::EntryLimits;
use gateway_model::ChatRequest;
use gateway_model::Provider;
use gateway_model::config::{
    BreakerConfig, FallbackChain, ProviderConfig, RateLimit, RouteRule, RouteTarget,
};
use gateway_model::error::{Failure, GatewayError};

pub use candidates::{step_model, trigger};
pub use hedge::Hedge;
pub use matcher::{Excluded, Matcher};
pub use retry_budget::RetryBudget;
pub use route_pool::RoutePool;
pub use run::{CallOptions, Routed, Step};

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
    /// Failed attempts may be repeated.
    pub retries: bool,
    pub health: Arc<EntryHealth>,
    pub limits: Arc<EntryLimits>,
    pub health_check: Option<Duration>,
    /// What its health is that of: a service and how it is looked at.
    service: (String, Option<String>, Option<BreakerConfig>),
    /// What its answers depend on beside the request, as text.
    identity: String,
    /// What its limits were made of.
    limited: (RateLimit, Option<u64>),
}

impl ProviderEntry {
    pub fn new(provider: Arc<dyn Provider>, entry: &ProviderConfig) -> Self {
        Self {
            provider,
            default_model: entry.fallback_model().map(str::to_owned),
            models: entry.models.clone(),
            weight: entry.weight.unwrap_or(1.0),
            priority: entry.priority.unwrap_or(0),
            retries: entry.retry.and_then(|retry| retry.max_attempts).unwrap_or(1) > 1,
            health: Arc::new(EntryHealth::of(entry)),
            limits: Arc::new(EntryLimits::of(entry)),
            health_check: entry
                .health_check
                .map(|check| Duration::from_millis(check.interval_ms.unwrap_or(30_000))),
            service: (entry.provider.clone(), entry.base_url.clone(), entry.breaker),
            identity: fingerprint(entry),
            limited: (entry.rate_limit, entry.max_concurrency),
        }
    }

    /// As a member of a pool: the member's own model; else what is asked for where the provider lists it; else the
    /// provider's default; else what is asked for.
    pub fn member_model<'a>(&'a self, own: Option<&'a str>, asked: Option<&'a str>) -> Option<&'a str> {
        let listed = |asked: &&str| self.models.iter().any(|model| model == asked);
        let own = own.filter(|own| !own.is_empty());
        own.or_else(|| asked.filter(listed)).or(self.default_model.as_deref()).or(asked)
    }

    /// The service it reaches and the models it chooses from, as text. To be hashed, not shown: addresses may hold keys.
    pub fn fingerprint(&self) -> &str {
        &self.identity
    }

    /// The same, with the health and the limits of an earlier one, where they are those of the same service.
    pub fn carry_over(&self, before: &Self) -> Self {
        let mut kept = self.clone();
        if kept.service == before.service {
            kept.health = before.health.clone();
        }
        if kept.limited == before.limited {
            kept.limits = before.limits.clone();
        }
        kept
    }
}

/// Where an entry's calls go, and which model answers those that name none, or one that it does not list.
fn fingerprint(entry: &ProviderConfig) -> String {
    let ProviderConfig { provider, base_url, options, cloudflare_gateway, models, .. } = entry;
    let default_model = entry.fallback_model();
    format!("{:?}", (provider, base_url, options, cloudflare_gateway, default_model, models))
}

/// Provider entries by their entry's name, in the order of the configuration.
pub type Providers = IndexMap<String, Arc<ProviderEntry>>;

/// What routing decided about a request.
#[derive(Clone)]
pub struct Decision {
    /// Place of the rule among the configured ones.
    pub rule: usize,
    /// Name of the target's entry.
    pub provider: String,
    pub model: String,
    pub chain: Option<Arc<FallbackChain>>,
    pub pool: Option<Arc<RoutePool>>,
    pub hedge: Option<Hedge>,
    /// Rules before it that matched but whose constraints the estimate exceeds.
    pub excluded: Vec<Excluded>,
}

/// Why no rule was left for a request.
#[derive(Debug, Default)]
pub struct NoRoute {
    /// Rules that matched but whose constraints the estimate exceeds.
    pub excluded: Vec<Excluded>,
    /// The target that is not loaded.
    pub missing: Option<String>,
}

impl NoRoute {
    pub fn into_error(self) -> GatewayError {
        let mut error = GatewayError::route_not_found();
        if let Some(provider) = self.missing {
            error = error.with_detail("providerNotLoaded", provider.into());
        }
        if !self.excluded.is_empty() {
            let excluded = serde_json::to_value(self.excluded).unwrap_or_default();
            error = error.with_detail("excluded", excluded);
        }
        error
    }
}

/// Estimates that constraints are held against; counting tokens costs, so it is asked for only when a rule has some.
pub trait RouteEstimate {
    /// The prompt's tokens on `model`, when more than `max`.
    fn input_tokens_within(&self, model: &str, max: u64) -> Result<(), u64>;
    /// The estimated cost in dollars on `model`, when above `max`.
    fn cost_within(&self, family: &str, model: &str, max: f64) -> Result<(), f64>;
}

/// The rules and chains of one configuration.
pub struct Router {
    matcher: Matcher,
    chains: Vec<Arc<FallbackChain>>,
}

impl Router {
    pub fn new(rules: Vec<RouteRule>, chains: Vec<FallbackChain>) -> Self {
        Self { matcher: Matcher::new(rules), chains: chains.into_iter().map(Arc::new).collect() }
    }

    pub fn rule(&self, index: usize) -> &RouteRule {
        self.matcher.rule(index)
    }

    /// The first enabled rule by priority that matches and whose constraints hold.
    pub fn resolve(
        &self,
        request: &ChatRequest,
        providers: &Providers,
        estimate: &dyn RouteEstimate,
    ) -> Result<Decision, NoRoute> {
        let mut no_route = NoRoute::default();
        for index in self.matcher.matching(request) {
            let rule = self.matcher.rule(index);
            let target = &rule.target;
            let (name, own_model) = representative(target, providers);
            let loaded = providers.get(name);
            let asked = request.model.as_deref();
            let default = || loaded.and_then(|loaded| loaded.default_model.as_deref());
            let model = match (&target.pool, loaded) {
                // A member does not take every model that is asked for.
                (Some(_), Some(loaded)) => loaded.member_model(own_model, asked),
                _ => asked.or(own_model).or_else(default),
            };
            let model = model.unwrap_or(name);
            let family = loaded.map_or("", |loaded| loaded.provider.family());
            if let Some(excluded) = matcher::exceeded(rule, family, model, estimate) {
                no_route.excluded.push(excluded);
                continue;
            }
            let chain = target.fallback_chain.as_ref().and_then(|name| self.chain(name));
            if loaded.is_none() && chain.is_none() {
                no_route.missing = Some(name.to_owned());
                return Err(no_route);
            }
            return Ok(Decision {
                rule: index,
                provider: name.to_owned(),
                model: model.to_owned(),
                chain,
                pool: None,
                hedge: None,
                excluded: no_route.excluded,
            });
        }
        Err(no_route)
    }

    fn chain(&self, name: &str) -> Option<Arc<FallbackChain>> {
        self.chains.iter().find(|chain| chain.name == name).cloned()
    }
}

/// Who stands for a target before anybody is asked, and the model it names: of a pool, its first member that is loaded.
fn representative<'a>(target: &'a RouteTarget, providers: &Providers) -> (&'a str, Option<&'a str>) {
    let Some(pool) = &target.pool else { return (&target.provider, target.model.as_deref()) };
    let loaded = pool.members.iter().find(|member| providers.contains_key(&member.provider));
    match loaded.or(pool.members.first()) {
        Some(member) => (&member.provider, member.model.as_deref()),
        None => ("", None),
    }
}

/// The error of a target that no loaded provider stands for.
pub(crate) fn not_loaded(name: &str) -> Failure {
    NoRoute { missing: Some(name.to_owned()), ..NoRoute::default() }.into_error().into()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn an_entrys_identity_is_all_that_its_answers_depend_on() {
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
