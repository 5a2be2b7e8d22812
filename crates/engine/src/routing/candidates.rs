//! Whom a call may ask, in turn: the members of its pool as the strategy picks them, then the steps of its chain.

use std::sync::Arc;

use std::time::Duration;

use super::health::{Guard, HedgeRace, TargetHealth};
use super::run::{CallOptions, Routed};
use super::{Decision, ProviderEntry, Providers, not_loaded};
use gateway_model::ChatRequest;
use gateway_model::Provider;
use gateway_model::config::{FallbackStep, FallbackTrigger};
use gateway_model::error::{ErrorKind, Failure, GatewayError};

/// One that is to be asked.
pub struct Candidate {
    pub entry: String,
    pub loaded: Arc<ProviderEntry>,
    pub model: String,
    /// In place of the provider's own timeout.
    pub timeout: Option<Duration>,
    /// Whether its breaker is asked.
    pub guard: Guard,
    pub target: Arc<TargetHealth>,
    /// How many came before it.
    pub number: usize,
    /// Set where it is hedged.
    pub race: Option<Arc<HedgeRace>>,
    pooled: bool,
}

impl Candidate {
    /// It is a member of a pool.
    pub fn pooled(&self) -> bool {
        self.pooled
    }

    /// Within which its answers usually begin.
    pub fn usual_wait(&self) -> Option<Duration> {
        self.target.latency().p95().map(|ms| Duration::from_secs_f64(ms / 1e3))
    }
}

/// The candidates of one call that are left.
pub struct Candidates<'a> {
    decision: &'a Decision,
    providers: &'a Providers,
    options: &'a CallOptions,
    /// At the pool's members, where its strategy cares; told when they are first picked from.
    costs: Option<Vec<f64>>,
    /// Members of the pool that were asked.
    tried: Vec<bool>,
    /// Members that may still be asked.
    pool_left: usize,
    /// Of the chain.
    next_step: usize,
    /// How many there were, those that are not loaded included.
    count: usize,
    /// The first one's provider, loaded or not.
    first: Option<String>,
    first_asked: Option<(String, Arc<dyn Provider>, String)>,
    missing: Option<String>,
}

impl<'a> Candidates<'a> {
    pub fn new(decision: &'a Decision, providers: &'a Providers, options: &'a CallOptions) -> Self {
        let pool = decision.pool.as_ref();
        Self {
            decision,
            providers,
            options,
            costs: None,
            tried: vec![false; pool.map_or(0, |pool| pool.len())],
            pool_left: pool.map_or(0, |pool| pool.max_attempts),
            next_step: 0,
            count: 0,
            first: None,
            first_asked: None,
            missing: None,
        }
    }

    /// The next one after a failure, or the first.
    pub fn next(&mut self, last: Option<&Failure>) -> Option<Candidate> {
        self.after(last.map(trigger))
    }

    /// One that is asked while others are still at it: they are slow.
    pub fn next_beside(&mut self) -> Option<Candidate> {
        self.after(Some(FallbackTrigger::Timeout))
    }

    /// One of them was kept back: the pool may try as many as before, that one aside.
    pub fn was_kept_back(&mut self, pooled: bool) {
        self.pool_left += usize::from(pooled);
    }

    /// Nobody of the pool is asked any more.
    pub fn leave_pool(&mut self) {
        self.pool_left = 0;
    }

    fn after(&mut self, raised: Option<FallbackTrigger>) -> Option<Candidate> {
        if let Some(candidate) = self.member() {
            return Some(candidate);
        }
        match (&self.decision.chain, &self.decision.pool) {
            (Some(_), _) => self.step(raised),
            (None, None) => self.single(),
            (None, Some(_)) => None,
        }
    }

    fn member(&mut self) -> Option<Candidate> {
        let pool = self.decision.pool.as_ref()?;
        if self.pool_left == 0 {
            return None;
        }
        let request = &self.options.request;
        let costs = self.costs.get_or_insert_with(|| pool.costs(self.options));
        let number = pool.pick(request, costs, &self.tried)?;
        self.pool_left -= 1;
        if let Some(tried) = self.tried.get_mut(number) {
            *tried = true;
        }
        let member = pool.member(number)?;
        let model = member.model(request.model.as_deref()).to_owned();
        let target = Some(member.target.clone());
        Some(self.candidate(member.entry.clone(), member.loaded.clone(), model, None, target))
    }

    fn single(&mut self) -> Option<Candidate> {
        if self.count > 0 {
            return None;
        }
        let entry = &self.decision.provider;
        let Some(loaded) = self.providers.get(entry) else {
            self.missing = Some(entry.clone());
            return None;
        };
        Some(self.candidate(entry.clone(), loaded.clone(), self.decision.model.clone(), None, None))
    }

    fn step(&mut self, mut raised: Option<FallbackTrigger>) -> Option<Candidate> {
        let chain = self.decision.chain.as_ref()?;
        while let Some(step) = chain.steps.get(self.next_step) {
            if raised.is_some_and(|raised| !step.when.is_empty() && !step.when.contains(&raised)) {
                return None;
            }
            self.next_step += 1;
            let Some(loaded) = self.providers.get(&step.provider) else {
                self.first.get_or_insert_with(|| step.provider.clone());
                self.missing.get_or_insert_with(|| step.provider.clone());
                self.count += 1;
                raised = Some(FallbackTrigger::ProviderError);
                continue;
            };
            let model = step_model(step, self.decision, &self.options.request, self.providers);
            let timeout = step.timeout_ms.map(Duration::from_millis);
            return Some(self.candidate(step.provider.clone(), loaded.clone(), model, timeout, None));
        }
        None
    }

    fn candidate(
        &mut self,
        entry: String,
        loaded: Arc<ProviderEntry>,
        model: String,
        timeout: Option<Duration>,
        member: Option<Arc<TargetHealth>>,
    ) -> Candidate {
        self.first.get_or_insert_with(|| loaded.provider.name().to_owned());
        if self.first_asked.is_none()
            && self.decision.chain.as_ref().is_some_and(|chain| chain.degraded_reply.is_some())
        {
            self.first_asked = Some((entry.clone(), loaded.provider.clone(), model.clone()));
        }
        let number = self.count;
        self.count += 1;
        Candidate {
            guard: if member.is_some() || loaded.health.breaker_enabled {
                Guard::Breaker
            } else {
                Guard::Unguarded
            },
            pooled: member.is_some(),
            target: member.unwrap_or_else(|| loaded.health.target(&model)),
            entry,
            loaded,
            model,
            timeout,
            number,
            race: None,
        }
    }

    /// Says whom it was that did not answer, where another did.
    pub fn mark<T>(&self, routed: Routed<T>) -> Routed<T> {
        let fallback_from = self.first.clone().filter(|_| routed.fallback_triggered);
        Routed { fallback_from, ..routed }
    }

    pub fn degraded_reply(&self) -> Option<&str> {
        self.decision.chain.as_ref()?.degraded_reply.as_deref()
    }

    /// Its entry, provider and model.
    pub fn first_asked(&self) -> Option<(String, Arc<dyn Provider>, String)> {
        self.first_asked.clone()
    }

    /// The error of a call that could ask nobody.
    pub fn nobody(&self) -> Failure {
        if let Some(missing) = &self.missing {
            return not_loaded(missing);
        }
        match &self.decision.pool {
            Some(pool) => {
                let why = "no target of the pool can be asked now: their breakers are open, or they asked for a pause";
                let wait = pool.shortest_wait();
                GatewayError::provider_unavailable(&self.decision.provider, why, wait).into()
            }
            None => not_loaded(&self.decision.provider),
        }
    }
}

/// A step's own model; else the decision's on the rule's own target and where the request named a model that the
/// provider lists; else the provider's default.
pub fn step_model(
    step: &FallbackStep,
    decision: &Decision,
    request: &ChatRequest,
    providers: &Providers,
) -> String {
    if let Some(model) = step.model.as_ref().filter(|model| !model.is_empty()) {
        return model.clone();
    }
    let loaded = providers.get(&step.provider);
    let named =
        request.model.as_ref().filter(|model| loaded.is_some_and(|loaded| loaded.models.contains(model)));
    if step.provider == decision.provider || named.is_some() {
        return decision.model.clone();
    }
    loaded.and_then(|loaded| loaded.default_model.clone()).unwrap_or_else(|| decision.model.clone())
}

/// The trigger of a failure. Errors that are not the gateway's are read by their message.
pub fn trigger(failure: &Failure) -> FallbackTrigger {
    match failure.kind() {
        Some(ErrorKind::ProviderTimeout) => FallbackTrigger::Timeout,
        Some(ErrorKind::ProviderRateLimit | ErrorKind::RateLimited) => FallbackTrigger::RateLimit,
        Some(ErrorKind::BudgetExceeded) => FallbackTrigger::BudgetExceeded,
        Some(_) => FallbackTrigger::ProviderError,
        None => {
            let message = failure.to_string();
            let says = |word: &str| message.contains(word);
            if says("timeout") || says("aborted") {
                FallbackTrigger::Timeout
            } else if says("429") || says("rate") {
                FallbackTrigger::RateLimit
            } else {
                FallbackTrigger::ProviderError
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gateway_model::error::ForeignError;

    #[test]
    fn a_failure_maps_to_its_trigger() {
        let foreign = |message: &str| {
            trigger(&Failure::Foreign(ForeignError { message: message.into(), ..ForeignError::default() }))
        };
        assert_eq!(trigger(&GatewayError::provider_timeout("p").into()), FallbackTrigger::Timeout);
        assert_eq!(trigger(&GatewayError::provider_rate_limit("p").into()), FallbackTrigger::RateLimit);
        let limited = GatewayError::rate_limited("p", Duration::ZERO);
        assert_eq!(trigger(&limited.into()), FallbackTrigger::RateLimit);
        assert_eq!(trigger(&GatewayError::budget_exceeded("b").into()), FallbackTrigger::BudgetExceeded);
        assert_eq!(
            trigger(&GatewayError::provider_network("p", "reset").into()),
            FallbackTrigger::ProviderError
        );
        assert_eq!(foreign("socket timeout"), FallbackTrigger::Timeout);
        assert_eq!(foreign("The operation was aborted"), FallbackTrigger::Timeout);
        assert_eq!(foreign("HTTP 429"), FallbackTrigger::RateLimit);
        assert_eq!(foreign("over the rate"), FallbackTrigger::RateLimit);
        assert_eq!(foreign("boom"), FallbackTrigger::ProviderError);
    }
}
