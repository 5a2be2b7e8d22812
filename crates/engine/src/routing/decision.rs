//! What routing decided about a request.

use std::sync::Arc;
use std::time::Duration;

use super::entry::Providers;
use super::matcher::Excluded;
use super::model_choice::step_model;
use super::route_pool::RoutePool;
use gateway_model::ChatRequest;
use gateway_model::config::{FallbackChain, FallbackStep, HedgeConfig, HedgeDelay};
use gateway_model::error::{Failure, GatewayError};

#[derive(Clone)]
pub struct Decision {
    /// Index of the rule among the configured ones.
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

impl Decision {
    /// The model that a step of the chain is asked for.
    pub fn step_model(&self, step: &FallbackStep, request: &ChatRequest, providers: &Providers) -> String {
        let entry = providers.get(&step.provider).map(|entry| &**entry);
        let target = (&*self.provider, &*self.model);
        step_model(step, entry, target, request.model.as_deref()).to_owned()
    }
}

/// When a further target is asked while the first one takes long, and how many.
#[derive(Debug, Clone, Copy)]
pub struct Hedge {
    /// `None`: as long as 95 % of the target's answers take to begin.
    pub after: Option<Duration>,
    pub max_extra: u32,
}

impl From<HedgeConfig> for Hedge {
    fn from(config: HedgeConfig) -> Self {
        let after = match config.after_ms {
            HedgeDelay::Fixed(ms) => Some(Duration::from_millis(ms)),
            HedgeDelay::P95 => None,
        };
        Self { after, max_extra: config.max_extra.unwrap_or(1) }
    }
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
            let why = "no entry has that name, or its API key is not set";
            error.message = format!("{}: provider \"{provider}\" is not loaded: {why}", error.message);
            error = error.with_detail("providerNotLoaded", provider.into());
        }
        if !self.excluded.is_empty() {
            let excluded = serde_json::to_value(self.excluded).unwrap_or_default();
            error = error.with_detail("excluded", excluded);
        }
        error
    }
}

/// The error of a target whose entry is not loaded.
pub(super) fn not_loaded(name: &str) -> Failure {
    NoRoute { missing: Some(name.to_owned()), ..NoRoute::default() }.into_error().into()
}
