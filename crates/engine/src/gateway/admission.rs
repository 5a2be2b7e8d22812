//! Where a call goes, and whether its attempts may be sent.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::json;

use super::{CallContext, Gateway, PromptEstimate, new_request_id};
use crate::budget::{BudgetGuard, BudgetWarning, CallEstimate, Refusal, Reservation, Scope};
use crate::limits::{UserLimits, UserPermits};
use crate::routing::{
    AttemptAdmission, AttemptRefusal, CallOptions, Decision, Hedge, NoRoute, Standing, TokenEstimator,
    exceeded,
};
use crate::usage::{CallRecord, Observer, Start};
use gateway_model::config::RouteRule;
use gateway_model::error::{Failure, GatewayError};
use gateway_model::{CallLabels, Caller, ChatRequest};
use gateway_pricing::Asked;

/// A call that has a route.
pub(super) struct Planned {
    pub request: Arc<ChatRequest>,
    pub estimate: Arc<PromptEstimate>,
    pub decision: Decision,
    pub request_id: String,
    pub started: Instant,
    /// Of the call as a whole.
    pub deadline: Option<tokio::time::Instant>,
    pub caller: Option<Arc<Caller>>,
}

/// A call that is ready to run.
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
        context: &CallContext,
    ) -> Result<Planned, Failure> {
        let started = Instant::now();
        let request_id = new_request_id();
        if let Some(refusal) = self.refusal() {
            return Err(refusal.with_request_id(&request_id).into());
        }
        let decision = self
            .router
            .resolve(&request, &self.providers, &*estimate)
            .map_err(|no_route| no_route.into_error().with_request_id(&request_id))?;
        let decision = self.complete(decision);
        let bounds = [self.router.rule(decision.rule).constraints.max_latency_ms, request.timeout_ms];
        let bound = bounds.into_iter().flatten().min();
        let deadline = bound.map(|ms| tokio::time::Instant::now() + Duration::from_millis(ms));
        let caller = context.caller.clone();
        Ok(Planned { request, estimate, decision, request_id, started, deadline, caller })
    }

    /// Readies a call to run. Its attempts ask for themselves whether they may be sent.
    pub(super) fn admit(&self, plan: Planned, observer: Arc<dyn Observer>) -> Admitted {
        let Planned { request, estimate, decision, request_id, started, deadline, caller } = plan;
        let max_latency = self.router.rule(decision.rule).constraints.max_latency_ms;
        let is_callers = request.timeout_ms.is_some_and(|own| max_latency.is_none_or(|max| own < max));
        let options = CallOptions {
            deadline,
            callers_deadline: deadline.filter(|_| is_callers),
            // The original repeats and falls back as often as its configuration says.
            retry_budget: decision.pool.is_some().then(|| self.retry_budget.clone()),
            admission: self.attempt_admission(&request, &request_id, caller, &estimate, &decision, &observer),
            ..CallOptions::new(request.clone(), estimate)
        };
        if let Some(budget) = &options.retry_budget {
            budget.deposit();
        }
        let mut start = self.start(&request, &decision, &request_id, started, observer);
        start.admission.clone_from(&options.admission);
        Admitted { decision, options, record: CallRecord::open(start), request_id, started }
    }

    /// `None`: nothing limits what attempts may use.
    fn attempt_admission(
        &self,
        request: &Arc<ChatRequest>,
        request_id: &str,
        caller: Option<Arc<Caller>>,
        estimate: &Arc<PromptEstimate>,
        decision: &Decision,
        observer: &Arc<dyn Observer>,
    ) -> Option<Arc<dyn AttemptAdmission>> {
        let rule = self.router.constrained(decision.rule);
        if self.user_limits.is_none() && self.budgets.is_empty() && rule.is_none() {
            return None;
        }
        Some(Arc::new(CallAdmission {
            budgets: self.budgets.clone(),
            user_limits: self.user_limits.clone(),
            rule,
            request: request.clone(),
            request_id: request_id.to_owned(),
            caller,
            estimate: estimate.clone(),
            observer: observer.clone(),
            progress: Mutex::default(),
            beginning: tokio::sync::Mutex::default(),
        }))
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
            admission: None,
            keeping: self.keeping.clone(),
            stream: None,
            provider: loaded
                .map_or_else(|| decision.provider.clone(), |loaded| loaded.provider.name().to_owned()),
            model: decision.model.clone(),
            labels: CallLabels {
                route_rule: self.router.rule(decision.rule).name.clone(),
                feature: request.feature.clone(),
                user_tier: request.user_tier.clone(),
                user_id: request.user_id.clone(),
                metadata: request.metadata.clone(),
            },
        }
    }
}

/// What budgets know an attempt by.
pub(super) fn scope_of<'a>(
    request: &'a ChatRequest,
    caller: Option<&'a Caller>,
    entry: &'a str,
    model: &'a str,
) -> Scope<'a> {
    Scope {
        user_tier: request.user_tier.as_deref(),
        user_id: request.user_id.as_deref(),
        feature: request.feature.as_deref(),
        provider: Some(entry),
        model: Some(model),
        key: caller.map(|caller| &*caller.key_id),
        team: caller.and_then(|caller| caller.team.as_deref()),
    }
}

/// What the attempts of one call ask: the rule's constraints, then budgets, then, once for the call, the caller's limits, so
/// that a call which budgets refuse uses up no rate.
struct CallAdmission {
    budgets: Arc<BudgetGuard>,
    user_limits: Option<Arc<UserLimits>>,
    /// Where it has constraints.
    rule: Option<Arc<RouteRule>>,
    request: Arc<ChatRequest>,
    request_id: String,
    caller: Option<Arc<Caller>>,
    estimate: Arc<PromptEstimate>,
    observer: Arc<dyn Observer>,
    progress: Mutex<Progress>,
    /// Held while the state is asked whether the call may begin.
    beginning: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Progress {
    /// An attempt was admitted; the call was counted against its caller's limits.
    has_begun: bool,
    /// Held for as long as the call runs.
    permits: UserPermits,
    /// Why attempts are refused.
    refused: Option<Standing>,
    /// The lines of warnings that were given: several candidates may meet the same limit.
    warned: Vec<String>,
}

impl Progress {
    /// The call was counted against its caller's limits.
    fn begin(&mut self, counted: Result<UserPermits, GatewayError>) -> Result<(), AttemptRefusal> {
        match counted {
            Ok(permits) => self.permits = permits,
            Err(limited) => {
                self.refused = Some(Standing::Closed);
                return Err(limited.into());
            }
        }
        self.has_begun = true;
        Ok(())
    }
}

/// What an attempt is to budgets.
struct BudgetedCall<'a> {
    scope: Scope<'a>,
    call: Arc<dyn CallEstimate>,
}

impl CallAdmission {
    /// What an attempt is to budgets; `None`: there are none.
    ///
    /// # Errors
    /// The rule's constraints exclude it.
    fn asks<'a>(&'a self, asked: Asked<'a>) -> Result<Option<BudgetedCall<'a>>, Failure> {
        if let Some(rule) = &self.rule
            && let Some(excluded) = exceeded(rule, asked, &*self.estimate)
        {
            return Err(NoRoute { excluded: vec![excluded], ..NoRoute::default() }.into_error().into());
        }
        if self.budgets.is_empty() {
            return Ok(None);
        }
        let scope = scope_of(&self.request, self.caller.as_deref(), asked.entry, asked.model);
        Ok(Some(BudgetedCall { scope, call: Arc::new(self.estimate.on(asked)) }))
    }

    fn reserve(&self, asked: Asked<'_>) -> Result<Option<Reservation>, Failure> {
        let Some(BudgetedCall { scope, call }) = self.asks(asked)? else { return Ok(None) };
        self.reserved(self.budgets.admit(&scope, call))
    }

    async fn reserve_shared(&self, asked: Asked<'_>) -> Result<Option<Reservation>, Failure> {
        let Some(BudgetedCall { scope, call }) = self.asks(asked)? else { return Ok(None) };
        self.reserved(self.budgets.admit_shared(&scope, &call).await)
    }

    fn reserved(&self, decision: Result<Reservation, Refusal>) -> Result<Option<Reservation>, Failure> {
        match decision {
            Ok(reservation) => {
                self.warn(reservation.warnings());
                Ok(Some(reservation))
            }
            Err(Refusal { policy, warnings, store }) => {
                self.warn(&warnings);
                Err(match store {
                    None => GatewayError::budget_exceeded(&policy),
                    Some(error) => {
                        let what = format!("Budget policy \"{policy}\"");
                        let remedy =
                            "bring it back, or let the policy count here meanwhile (onStoreError: \"local\")";
                        GatewayError::store_unavailable(&what, &error.to_string(), remedy)
                            .with_detail("policy", json!(policy))
                    }
                }
                .into())
            }
        }
    }

    /// Counts the call against its caller's limits, with its first attempt.
    fn begin(&self, model: &str) -> Result<(), AttemptRefusal> {
        let mut progress = self.progress();
        if progress.has_begun {
            return Ok(());
        }
        let counted = self.user_limits.as_ref().map_or(Ok(UserPermits::default()), |limits| {
            limits.admit(&self.request, self.caller.as_deref(), |most| self.estimate.tokens(model, most))
        });
        progress.begin(counted)
    }

    /// [`CallAdmission::begin`] with other nodes.
    async fn begin_shared(&self, model: &str) -> Result<(), AttemptRefusal> {
        // A hedge's two attempts may come here at once: the second one waits for what the first one hears.
        let _turn = self.beginning.lock().await;
        if self.progress().has_begun {
            return Ok(());
        }
        let counted = match &self.user_limits {
            None => Ok(UserPermits::default()),
            Some(limits) => {
                let tokens = |most| self.estimate.tokens(model, most);
                limits.admit_shared(&self.request, self.caller.as_deref(), tokens).await
            }
        };
        self.progress().begin(counted)
    }

    fn warn(&self, warnings: &[BudgetWarning]) {
        if warnings.is_empty() {
            return;
        }
        let mut progress = self.progress();
        for warning in warnings {
            let line = warning.to_string();
            if !progress.warned.contains(&line) {
                self.observer.warning(warning.clone().of_call(&self.request_id));
                progress.warned.push(line);
            }
        }
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refuse(&self, standing: Standing, failure: Failure) -> AttemptRefusal {
        self.progress().refused.get_or_insert(standing);
        failure
    }
}

impl AttemptAdmission for CallAdmission {
    fn warn(&self, warnings: &[BudgetWarning]) {
        self.warn(warnings);
    }

    fn admit(&self, asked: Asked<'_>) -> Result<Option<Reservation>, AttemptRefusal> {
        let reservation = self.reserve(asked).map_err(|failure| self.refuse(Standing::Refused, failure))?;
        self.begin(asked.model)?;
        Ok(reservation)
    }

    fn admit_shared<'a>(
        &'a self,
        asked: Asked<'a>,
    ) -> Option<BoxFuture<'a, Result<Option<Reservation>, AttemptRefusal>>> {
        self.budgets.is_shared().then(|| {
            async move {
                let reserved = self.reserve_shared(asked).await;
                let reservation = reserved.map_err(|failure| self.refuse(Standing::Refused, failure))?;
                self.begin_shared(asked.model).await?;
                Ok(reservation)
            }
            .boxed()
        })
    }

    fn standing(&self) -> Standing {
        let progress = self.progress();
        progress.refused.filter(|_| !progress.has_begun).unwrap_or(Standing::Open)
    }
}
