//! Where a call goes, and whether it may start.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Gateway, PromptEstimate, new_request_id};
use crate::budget::{Refusal, Scope};
use crate::routing::{CallOptions, Decision, Hedge, TokenEstimator};
use crate::usage::{CallRecord, Observer, Start};
use gateway_model::error::{Failure, GatewayError};
use gateway_model::{CallLabels, ChatRequest};

/// A call that has a route.
pub(super) struct Planned {
    pub request: Arc<ChatRequest>,
    pub estimate: Arc<PromptEstimate>,
    pub decision: Decision,
    pub request_id: String,
    pub started: Instant,
    /// Of the call as a whole.
    pub deadline: Option<tokio::time::Instant>,
}

/// A call that was admitted, ready to run.
pub(super) struct Admitted {
    pub decision: Decision,
    pub options: CallOptions,
    pub record: CallRecord,
    pub request_id: String,
    pub started: Instant,
}

impl Gateway {
    /// Adds the rule's pool and hedge.
    pub(super) fn complete(&self, decision: Decision) -> Decision {
        let hedge = self.router.rule(decision.rule).hedge.map(Hedge::from);
        Decision { pool: self.pools.get(decision.rule).cloned().flatten(), hedge, ..decision }
    }

    /// Routes a request.
    pub(super) fn plan(
        &self,
        request: Arc<ChatRequest>,
        estimate: Arc<PromptEstimate>,
    ) -> Result<Planned, Failure> {
        let started = Instant::now();
        let request_id = new_request_id();
        let decision = self
            .router
            .resolve(&request, &self.providers, &*estimate)
            .map_err(|no_route| no_route.into_error().with_request_id(&request_id))?;
        let decision = self.complete(decision);
        let bounds = [self.router.rule(decision.rule).constraints.max_latency_ms, request.timeout_ms];
        let bound = bounds.into_iter().flatten().min();
        let deadline = bound.map(|ms| tokio::time::Instant::now() + Duration::from_millis(ms));
        Ok(Planned { request, estimate, decision, request_id, started, deadline })
    }

    /// Counts the call against its user's limits and reserves its estimate.
    pub(super) fn admit(&self, plan: Planned, observer: Arc<dyn Observer>) -> Result<Admitted, Failure> {
        let Planned { request, estimate, decision, request_id, started, deadline } = plan;
        if let Some(limits) = &self.user_limits {
            limits
                .admit(request.user_id.as_deref(), |most| estimate.tokens(&decision.model, most))
                .map_err(|error| error.with_request_id(&request_id))?;
        }
        let loaded = self.providers.get(&decision.provider);
        let reservation = if self.budgets.is_empty() {
            None
        } else {
            let scope = scope_of(&request, &decision);
            let family = loaded.map_or("", |loaded| loaded.provider.family());
            let call = estimate.on(family, &decision.model);
            let reservation = self.budgets.admit(&scope, Arc::new(call)).map_err(|refusal| {
                warn(&*observer, &refusal.warnings);
                let Refusal { policy, .. } = refusal;
                GatewayError::budget_exceeded(&policy).with_request_id(&request_id)
            })?;
            warn(&*observer, reservation.warnings());
            Some(reservation)
        };
        let max_tokens =
            request.max_tokens.or_else(|| reservation.as_ref().and_then(|held| held.output_cap()));
        let options = CallOptions {
            max_tokens,
            deadline,
            // The original repeats and falls back as often as its configuration says.
            retry_budget: decision.pool.is_some().then(|| self.retry_budget.clone()),
            ..CallOptions::new(request.clone(), estimate)
        };
        if let Some(budget) = &options.retry_budget {
            budget.deposit();
        }
        let mut start = self.start(&request, &decision, &request_id, started, observer);
        start.reservation = reservation;
        Ok(Admitted { decision, options, record: CallRecord::open(start), request_id, started })
    }

    /// What the record of a call begins with.
    pub(super) fn start(
        &self,
        request: &ChatRequest,
        decision: &Decision,
        request_id: &str,
        started: Instant,
        observer: Arc<dyn Observer>,
    ) -> Start {
        let loaded = self.providers.get(&decision.provider);
        Start {
            request_id: request_id.to_owned(),
            started,
            observer,
            reservation: None,
            provider: loaded
                .map_or_else(|| decision.provider.clone(), |loaded| loaded.provider.name().to_owned()),
            model: decision.model.clone(),
            labels: CallLabels {
                route_rule: self.router.rule(decision.rule).name.clone(),
                feature: request.feature.clone(),
                user_tier: request.user_tier.clone(),
            },
        }
    }
}

/// What budgets know a call by.
pub(super) fn scope_of<'a>(request: &'a ChatRequest, decision: &'a Decision) -> Scope<'a> {
    Scope {
        user_tier: request.user_tier.as_deref(),
        feature: request.feature.as_deref(),
        model: Some(&decision.model),
    }
}

fn warn(observer: &dyn Observer, warnings: &[String]) {
    for warning in warnings {
        observer.warning(format!("[budget-warn] {warning}"));
    }
}
