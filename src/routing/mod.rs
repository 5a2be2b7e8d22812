//! Which provider answers: the rules that pick a target, and the chain that is followed when it fails.

pub mod fallback;
pub mod matcher;
pub mod pool;

use std::sync::Arc;

use indexmap::IndexMap;

use crate::error::{Failure, GatewayError};
use crate::model::ChatRequest;
use crate::model::config::{FallbackChain, ProviderConfig, RouteRule};
use crate::providers::Provider;

pub use fallback::{Routed, Step};
pub use matcher::{Excluded, Matcher};

/// A loaded provider and the entry it was loaded for.
#[derive(Clone)]
pub struct Loaded {
    pub provider: Arc<dyn Provider>,
    /// The entry's default model, or the first it lists.
    pub default_model: Option<String>,
    pub models: Vec<String>,
}

impl Loaded {
    pub fn new(provider: Arc<dyn Provider>, entry: &ProviderConfig) -> Self {
        Self {
            provider,
            default_model: entry.fallback_model().map(str::to_owned),
            models: entry.models.clone(),
        }
    }
}

/// Loaded providers by their entry's name, in the order of the configuration.
pub type Providers = IndexMap<String, Loaded>;

/// What routing decided about a request.
#[derive(Debug, Clone)]
pub struct Decision {
    /// Place of the rule among the configured ones.
    pub rule: usize,
    /// Name of the target's entry.
    pub provider: String,
    pub model: String,
    pub chain: Option<Arc<FallbackChain>>,
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
            let loaded = providers.get(&target.provider);
            let model = request
                .model
                .as_deref()
                .or(target.model.as_deref())
                .or(loaded.and_then(|loaded| loaded.default_model.as_deref()))
                .unwrap_or(&target.provider);
            let family = loaded.map_or("", |loaded| loaded.provider.family());
            if let Some(excluded) = matcher::exceeded(rule, family, model, estimate) {
                no_route.excluded.push(excluded);
                continue;
            }
            let chain = target.fallback_chain.as_ref().and_then(|name| self.chain(name));
            if loaded.is_none() && chain.is_none() {
                no_route.missing = Some(target.provider.clone());
                return Err(no_route);
            }
            return Ok(Decision {
                rule: index,
                provider: target.provider.clone(),
                model: model.to_owned(),
                chain,
            });
        }
        Err(no_route)
    }

    fn chain(&self, name: &str) -> Option<Arc<FallbackChain>> {
        self.chains.iter().find(|chain| chain.name == name).cloned()
    }
}

/// The error of a target that no loaded provider stands for.
pub(crate) fn not_loaded(name: &str) -> Failure {
    NoRoute { missing: Some(name.to_owned()), ..NoRoute::default() }.into_error().into()
}
