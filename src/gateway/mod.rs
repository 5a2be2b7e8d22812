//! The pipeline of one call: check → route → reserve → run → settle → record.

mod embed;
mod estimate;
mod explain;
mod health;
mod models;
mod stream;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::budget::{BudgetGuard, Refusal, Scope};
use crate::error::{ErrorKind, Failure, GatewayError};
use crate::limits::UserLimits;
use crate::model::config::{BudgetPolicy, FallbackChain, RouteRule, Settings};
use crate::model::{Answer, ChatRequest, GatewayResponse};
use crate::pricing;
use crate::routing::fallback;
use crate::routing::run::{Estimates, Overtaken};
use crate::routing::{Decision, Hedge, Loaded, Orders, Providers, RetryBudget, RoutePool, Routed, Router};
use crate::usage::{CallRecord, Observer, Outcome, Start, latency_ms};

use models::ModelLists;

pub use estimate::{PromptEstimate, estimated_usage};
pub use explain::Explanation;
pub use models::ListedModel;
pub use stream::{GatewayStream, Leave};

/// Routes calls to providers, within budgets.
pub struct Gateway {
    providers: Providers,
    router: Router,
    budgets: Arc<BudgetGuard>,
    models: ModelLists,
    /// By rule.
    pools: Vec<Option<Arc<RoutePool>>>,
    retry_budget: Arc<RetryBudget>,
    user_limits: Option<Arc<UserLimits>>,
    settings: Settings,
}

impl Gateway {
    /// A gateway of another configuration in this one's place: what stays keeps its counts, breakers and lists. Calls in
    /// flight finish on this one, against the same budgets.
    pub fn succeeded_by(
        &self,
        providers: Providers,
        rules: Vec<RouteRule>,
        chains: Vec<FallbackChain>,
        budgets: Vec<BudgetPolicy>,
        settings: &Settings,
    ) -> Self {
        let kept = |(name, loaded): (String, Arc<Loaded>)| {
            let loaded = match self.providers.get(&name) {
                Some(before) => Arc::new(loaded.keeping(before)),
                None => loaded,
            };
            (name, loaded)
        };
        let providers = providers.into_iter().map(kept).collect();
        let mut next = Self::with_settings(providers, rules, chains, Vec::new(), settings);
        self.budgets.replace_policies(budgets);
        next.budgets = self.budgets.clone();
        if settings.limits == self.settings.limits {
            next.user_limits = self.user_limits.clone();
        }
        if settings.retry_budget == self.settings.retry_budget {
            next.retry_budget = self.retry_budget.clone();
        }
        next
    }
}

/// What surrounds one call.
pub struct CallContext {
    pub observer: Arc<dyn Observer>,
    /// Fires when the caller no longer wants the answer.
    pub cancel: CancellationToken,
}

/// A call that was admitted, ready to run.
struct Admitted {
    decision: Decision,
    orders: Orders,
    record: CallRecord,
    request_id: String,
    started: Instant,
}

impl Gateway {
    pub fn new(
        providers: Providers,
        rules: Vec<RouteRule>,
        chains: Vec<FallbackChain>,
        budgets: Vec<BudgetPolicy>,
    ) -> Self {
        Self::with_settings(providers, rules, chains, budgets, &Settings::default())
    }

    pub fn with_settings(
        providers: Providers,
        rules: Vec<RouteRule>,
        chains: Vec<FallbackChain>,
        budgets: Vec<BudgetPolicy>,
        settings: &Settings,
    ) -> Self {
        let pool = |rule: &RouteRule| {
            let config = rule.target.pool.as_ref()?;
            Some(Arc::new(RoutePool::new(config, &providers, settings)))
        };
        Self {
            pools: rules.iter().map(pool).collect(),
            retry_budget: Arc::new(RetryBudget::new(&settings.retry_budget)),
            user_limits: UserLimits::of(&settings.limits).map(Arc::new),
            settings: settings.clone(),
            providers,
            router: Router::new(rules, chains),
            budgets: Arc::new(BudgetGuard::new(budgets)),
            models: ModelLists::default(),
        }
    }

    /// The budgets' guard: what is spent and reserved at this moment.
    pub fn budgets(&self) -> &BudgetGuard {
        &self.budgets
    }

    /// Answers a request.
    ///
    /// # Errors
    /// `route_not_found` and `budget_exceeded` before anything is sent; `aborted` when the context's token fires;
    /// otherwise the last attempt's failure. Each error of the gateway carries the request id of the log entry.
    pub async fn chat(&self, request: ChatRequest, context: CallContext) -> Result<GatewayResponse, Failure> {
        let cancel = context.cancel.clone();
        let request = Arc::new(request);
        let estimate = Arc::new(PromptEstimate::new(request.clone()));
        let Admitted { decision, orders, record, request_id, started } =
            self.admit(request, estimate, context)?;
        let run = async {
            let mut routed = fallback::chat(&decision, &self.providers, &orders).await?;
            bill_overtaken(&record, std::mem::take(&mut routed.overtaken), &orders.request).await;
            Ok(outcome_of(routed, &orders).await)
        };
        match unless_cancelled(&cancel, run).await {
            Ok(mut outcome) => {
                outcome.latency_ms = latency_ms(started);
                record.end(&outcome, None);
                Ok(outcome.into_response(request_id))
            }
            Err(failure) => Err(failed(record, failure, &request_id)),
        }
    }

    /// Opens a stream; resolves at its first content. Until then, failures fall back as in [`Gateway::chat`].
    ///
    /// # Errors
    /// As [`Gateway::chat`].
    pub async fn chat_stream(
        &self,
        request: ChatRequest,
        context: CallContext,
    ) -> Result<GatewayStream, Failure> {
        let cancel = context.cancel.clone();
        let request = Arc::new(request);
        let estimate = Arc::new(PromptEstimate::new(request.clone()));
        let Admitted { decision, orders, record, request_id, started } =
            self.admit(request, estimate, context)?;
        let open = async {
            let mut routed = fallback::stream(&decision, &self.providers, &orders).await?;
            bill_overtaken(&record, std::mem::take(&mut routed.overtaken), &orders.request).await;
            Ok(routed)
        };
        match unless_cancelled(&cancel, open).await {
            Ok(routed) => Ok(GatewayStream::new(routed, record, orders, request_id, started, cancel)),
            Err(failure) => Err(failed(record, failure, &request_id)),
        }
    }

    /// Adds what the rule says of how its targets are asked.
    fn complete(&self, decision: Decision) -> Decision {
        let hedge = self.router.rule(decision.rule).hedge.map(Hedge::from);
        Decision { pool: self.pools.get(decision.rule).cloned().flatten(), hedge, ..decision }
    }

    /// Routes the request and reserves its estimate.
    fn admit(
        &self,
        request: Arc<ChatRequest>,
        estimate: Arc<PromptEstimate>,
        context: CallContext,
    ) -> Result<Admitted, Failure> {
        let started = Instant::now();
        let request_id = new_request_id();
        let decision = self
            .router
            .resolve(&request, &self.providers, &*estimate)
            .map_err(|no_route| no_route.into_error().with_request_id(&request_id))?;
        let rule = self.router.rule(decision.rule);
        if let Some(limits) = &self.user_limits {
            limits
                .admit(request.user_id.as_deref(), || estimate.tokens(&decision.model))
                .map_err(|error| error.with_request_id(&request_id))?;
        }
        let decision = self.complete(decision);
        let loaded = self.providers.get(&decision.provider);
        let reservation = if self.budgets.is_empty() {
            None
        } else {
            let scope = Scope {
                user_tier: request.user_tier.as_deref(),
                feature: request.feature.as_deref(),
                model: Some(&decision.model),
            };
            let family = loaded.map_or("", |loaded| loaded.provider.family());
            let call = estimate.on(family, &decision.model);
            let reservation = self.budgets.admit(&scope, Arc::new(call)).map_err(|refusal| {
                warn(&*context.observer, &refusal.warnings);
                let Refusal { policy, .. } = refusal;
                GatewayError::budget_exceeded(&policy).with_request_id(&request_id)
            })?;
            warn(&*context.observer, reservation.warnings());
            Some(reservation)
        };
        let max_tokens =
            request.max_tokens.or_else(|| reservation.as_ref().and_then(|held| held.output_cap()));
        let deadline = [rule.constraints.max_latency_ms, request.timeout_ms].into_iter().flatten().min();
        let deadline = deadline.map(|ms| tokio::time::Instant::now() + Duration::from_millis(ms));
        let orders = Orders {
            max_tokens,
            deadline,
            // The original repeats and falls back as often as its configuration says.
            retry_budget: decision.pool.is_some().then(|| self.retry_budget.clone()),
            ..Orders::new(request.clone(), estimate)
        };
        if let Some(budget) = &orders.retry_budget {
            budget.deposit();
        }
        let record = CallRecord::open(Start {
            request_id: request_id.clone(),
            started,
            observer: context.observer,
            reservation,
            route_rule: rule.name.clone(),
            provider: loaded
                .map_or_else(|| decision.provider.clone(), |loaded| loaded.provider.name().to_owned()),
            model: decision.model.clone(),
            feature: request.feature.clone(),
            user_tier: request.user_tier.clone(),
        });
        Ok(Admitted { decision, orders, record, request_id, started })
    }
}

/// Does the work, unless its caller no longer wants it.
pub async fn unless_cancelled<T>(
    cancel: &CancellationToken,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(GatewayError::aborted("the caller cancelled it").into()),
        done = work => done,
    }
}

/// A UUID v4: names a call in its answer, its errors and its log entry.
pub fn new_request_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

fn warn(observer: &dyn Observer, warnings: &[String]) {
    for warning in warnings {
        observer.warning(format!("[budget-warn] {warning}"));
    }
}

/// Ends the record of a failed call. A chain without a single loaded provider is a refusal by routing: not logged.
fn failed(record: CallRecord, failure: Failure, request_id: &str) -> Failure {
    if failure.kind() == Some(ErrorKind::RouteNotFound) && matches!(failure, Failure::Gateway(_)) {
        record.discard();
    } else {
        record.fail(&failure);
    }
    failure.with_request_id(request_id)
}

/// What attempts have cost that another one overtook: their prompts, which their providers have read.
async fn bill_overtaken(record: &CallRecord, overtaken: Vec<Overtaken>, request: &Arc<ChatRequest>) {
    for Overtaken { provider, model } in overtaken {
        let usage = estimated_usage(&model, request, "").await;
        let cost = pricing::cost(provider.family(), &model, &usage);
        record.overtaken(provider.name(), &model, usage, cost);
    }
}

async fn outcome_of(routed: Routed<Answer>, orders: &Orders) -> Outcome {
    let Routed { output: answer, provider, model, fallback_from, fallback_triggered, degraded, .. } = routed;
    let request = &orders.request;
    let usage = match answer.usage {
        Some(usage) => usage,
        None => estimated_usage(&model, request, &answer.output_text()).await,
    };
    Outcome {
        provider: provider.name().to_owned(),
        cost: pricing::cost(provider.family(), &answer.model, &usage),
        model: answer.model,
        content: answer.content,
        finish_reason: answer.finish_reason,
        tool_calls: answer.tool_calls,
        reasoning: answer.reasoning,
        reasoning_details: answer.reasoning_details,
        usage,
        total_tokens: answer.total_tokens,
        latency_ms: 0,
        fallback_triggered,
        fallback_from,
        degraded,
        cached: false,
        attempts: orders.attempts.told(),
    }
}
