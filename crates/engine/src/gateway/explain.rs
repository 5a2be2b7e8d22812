//! Says what would become of a request, and asks nobody.

use std::sync::Arc;

use serde::Serialize;

use super::admission::scope_of;
use super::{Gateway, PromptEstimate};
use crate::budget::GuardCheck;
use crate::routing::health::BreakerState;
use crate::routing::{CallOptions, Decision, Excluded, ProviderEntry};
use gateway_model::ChatRequest;
use gateway_model::config::StrategyName;
use gateway_model::error::GatewayError;
use gateway_pricing::Asked;
use gateway_pricing::tokens::Tokenizer;

/// What `explain()` gives.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// The rule that matches; absent: none does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Rules that matched first, but whose constraints the estimate exceeds.
    pub excluded: Vec<Excluded>,
    /// The target of the rule that is not loaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
    /// Of the pool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strategy: Option<StrategyName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chain: Option<String>,
    /// In the order in which they would be asked, as far as chance has no say in it.
    pub candidates: Vec<ExplainedCandidate>,
    pub budget: ExplainedBudget,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExplainedCandidate {
    pub provider: String,
    pub model: String,
    pub source: Origin,
    /// The old name of `source`.
    pub from: Origin,
    pub loaded: bool,
    /// Under the pool's strategy; lower is asked first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
    pub state: BreakerState,
    /// Milliseconds until it may be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocked_ms: Option<u64>,
    /// Why the provider would refuse this request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unsupported: Option<String>,
    /// The old name of `unsupported`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refuses: Option<String>,
    pub estimated_input_tokens: u64,
    /// US dollars; `None`: the model's price is not known.
    pub estimated_cost_usd: Option<f64>,
}

/// Why a candidate is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    Target,
    Pool,
    Chain,
}

#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExplainedBudget {
    pub allowed: bool,
    /// The policy that would refuse the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocked_by: Option<String>,
    pub warnings: Vec<String>,
}

impl Gateway {
    /// Explains where a request would go. Counts tokens where the vocabulary is loaded; until then an upper bound stands for
    /// the count.
    ///
    /// # Errors
    /// None: a request without a route is explained, too.
    pub fn explain(&self, request: ChatRequest) -> Result<Explanation, GatewayError> {
        let request = Arc::new(request);
        let estimate =
            Arc::new(PromptEstimate::new(request.clone()).at_prices(&self.prices).without_waiting());
        let decision = match self.router.resolve(&request, &self.providers, &*estimate) {
            Ok(decision) => self.complete(decision),
            Err(no_route) => {
                return Ok(Explanation {
                    rule: None,
                    excluded: no_route.excluded,
                    missing: no_route.missing,
                    strategy: None,
                    chain: None,
                    candidates: Vec::new(),
                    budget: ExplainedBudget { allowed: true, ..ExplainedBudget::default() },
                });
            }
        };
        let options = CallOptions::new(request.clone(), estimate.clone());
        let mut candidates = self.pool_candidates(&decision, &options);
        candidates.extend(self.chain_candidates(&decision, &options));
        if candidates.is_empty() {
            candidates.extend(self.candidate(
                &decision.provider,
                &decision.model,
                Origin::Target,
                None,
                &options,
            ));
        }
        let check = self.check_budgets(&candidates, &request, &estimate);
        Ok(Explanation {
            rule: Some(self.router.rule(decision.rule).name.clone()),
            excluded: decision.excluded,
            missing: None,
            strategy: decision.pool.as_ref().map(|pool| pool.config.strategy.clone()),
            chain: decision.chain.as_ref().map(|chain| chain.name.clone()),
            candidates,
            budget: ExplainedBudget {
                allowed: check.allowed,
                blocked_by: check.blocked_by,
                warnings: check.warnings,
            },
        })
    }

    /// What budgets would say of the first candidate they let pass; where they refuse all, of the first.
    fn check_budgets(
        &self,
        candidates: &[ExplainedCandidate],
        request: &ChatRequest,
        estimate: &Arc<PromptEstimate>,
    ) -> GuardCheck {
        let mut first = None;
        for candidate in candidates.iter().filter(|candidate| candidate.loaded) {
            let family =
                self.providers.get(&candidate.provider).map_or("", |loaded| loaded.provider.family());
            let scope = scope_of(request, None, &candidate.provider, &candidate.model);
            let check = self.budgets.would_admit(
                &scope,
                &estimate.on(Asked { entry: &candidate.provider, family, model: &candidate.model }),
            );
            if check.allowed {
                return check;
            }
            first.get_or_insert(check);
        }
        first.unwrap_or_else(|| GuardCheck::allowed(&[]))
    }

    fn pool_candidates(&self, decision: &Decision, options: &CallOptions) -> Vec<ExplainedCandidate> {
        let Some(pool) = &decision.pool else { return Vec::new() };
        let scores = pool.scores(options);
        let mut candidates: Vec<ExplainedCandidate> = (0..pool.len())
            .filter_map(|number| {
                let member = pool.member(number)?;
                let model = member.model(options.request.model.as_deref());
                let score = scores.get(number).copied();
                let candidate = self.candidate(&member.name, model, Origin::Pool, score, options)?;
                #[allow(clippy::cast_possible_truncation)]
                let blocked_ms = member.target.blocked().map(|wait| wait.as_millis() as u64);
                Some(ExplainedCandidate { state: member.target.state(), blocked_ms, ..candidate })
            })
            .collect();
        let key = |candidate: &ExplainedCandidate| {
            (candidate.blocked_ms.is_some(), candidate.score.unwrap_or(f64::MAX))
        };
        candidates.sort_by(|a, b| {
            let ((a_blocked, a_score), (b_blocked, b_score)) = (key(a), key(b));
            a_blocked.cmp(&b_blocked).then(a_score.total_cmp(&b_score))
        });
        candidates
    }

    fn chain_candidates(&self, decision: &Decision, options: &CallOptions) -> Vec<ExplainedCandidate> {
        let steps = decision.chain.iter().flat_map(|chain| &chain.steps);
        steps
            .filter_map(|step| {
                let model = decision.step_model(step, &options.request, &self.providers);
                self.candidate(&step.provider, &model, Origin::Chain, None, options)
            })
            .collect()
    }

    fn candidate(
        &self,
        entry: &str,
        model: &str,
        source: Origin,
        score: Option<f64>,
        options: &CallOptions,
    ) -> Option<ExplainedCandidate> {
        let loaded: Option<&Arc<ProviderEntry>> = self.providers.get(entry);
        let target = loaded.and_then(|loaded| loaded.health.known(model));
        let breaker_enabled = loaded.is_some_and(|loaded| loaded.health.breaker_enabled);
        #[allow(clippy::cast_possible_truncation)]
        let blocked = target.as_ref().filter(|_| breaker_enabled).and_then(|target| target.breaker_blocked());
        let unsupported =
            loaded.and_then(|loaded| loaded.provider.refuses(&options.request)).map(|error| error.message);
        Some(ExplainedCandidate {
            provider: loaded.map_or(entry, |loaded| loaded.provider.name()).to_owned(),
            model: model.to_owned(),
            source,
            from: source,
            loaded: loaded.is_some(),
            score,
            state: target.map_or(BreakerState::Closed, |target| target.state()),
            #[allow(clippy::cast_possible_truncation)]
            blocked_ms: blocked.map(|wait| wait.as_millis() as u64),
            refuses: unsupported.clone(),
            unsupported,
            estimated_input_tokens: options.estimator.input_tokens(Tokenizer::of(model)),
            estimated_cost_usd: match loaded {
                None => Some(0.0),
                Some(loaded) => {
                    let family = loaded.provider.family();
                    options.estimator.known_cost(Asked { entry, family, model })
                }
            },
        })
    }
}
