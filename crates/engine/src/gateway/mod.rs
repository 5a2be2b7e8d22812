//! The pipeline of one call: check → route → reserve → run → settle → record.

mod admission;
mod embed;
mod estimate;
mod explain;
mod health;
mod models;
mod shared;
mod stream;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::budget::BudgetGuard;
use crate::limits::UserLimits;
use crate::routing::fallback;
use crate::routing::run::HedgeLoser;
use crate::routing::{CallOptions, ProviderEntry, Providers, RetryBudget, RoutePool, Routed, Router};
use crate::usage::{CallRecord, Observer, Outcome, latency_ms};
use gateway_model::config::{BudgetPolicy, FallbackChain, RouteRule, Settings};
use gateway_model::error::{ErrorKind, Failure, GatewayError};
use gateway_model::{Answer, ChatRequest, GatewayResponse, TokenUsage, Usd};
use gateway_pricing as pricing;

use admission::Admitted;
use models::ModelLists;
use shared::Sharing;

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
    sharing: Arc<Sharing>,
    /// Who answers a rule's calls, as text, by rule: part of what makes two calls the same.
    identities: Vec<String>,
}

impl Gateway {
    /// A gateway of another configuration in this one's place: what stays keeps its counts and breakers. Calls in
    /// flight finish on this one, against the same budgets.
    pub fn succeeded_by(
        &self,
        providers: Providers,
        rules: Vec<RouteRule>,
        chains: Vec<FallbackChain>,
        budgets: Vec<BudgetPolicy>,
        settings: &Settings,
    ) -> Self {
        let kept = |(name, loaded): (String, Arc<ProviderEntry>)| {
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
        if settings.cache == self.settings.cache {
            next.sharing = self.sharing.clone();
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
    /// Hears of what is not told together with the call's end: entries of shared calls, and of hedge losers.
    pub lasting: Arc<dyn Observer>,
    /// Fires when the caller no longer wants the answer.
    pub cancel: CancellationToken,
}

/// A call that has run, and is recorded.
#[derive(Clone)]
struct Answered {
    outcome: Outcome,
    entry: String,
    family: String,
    model_asked: String,
    request_id: String,
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
        let identities = rules.iter().map(|rule| identity(rule, &chains, &providers)).collect();
        Self {
            identities,
            pools: rules.iter().map(pool).collect(),
            retry_budget: Arc::new(RetryBudget::new(&settings.retry_budget)),
            user_limits: UserLimits::of(&settings.limits).map(Arc::new),
            settings: settings.clone(),
            sharing: Arc::new(Sharing::new(settings)),
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
    pub async fn chat(
        self: &Arc<Self>,
        request: impl Into<Arc<ChatRequest>>,
        context: CallContext,
    ) -> Result<GatewayResponse, Failure> {
        let request = request.into();
        let estimate = Arc::new(PromptEstimate::new(request.clone()));
        let plan = self.plan(request, estimate)?;
        match self.share(&plan, &context.cancel) {
            Some(share) => self.chat_shared(plan, share, context).await,
            None => {
                let admitted = self.admit(plan, context.observer)?;
                let Answered { outcome, request_id, .. } =
                    self.answer(admitted, &context.lasting, &context.cancel).await?;
                Ok(outcome.into_response(request_id))
            }
        }
    }

    /// Runs a call for itself alone.
    async fn answer(
        &self,
        admitted: Admitted,
        lasting: &Arc<dyn Observer>,
        cancel: &CancellationToken,
    ) -> Result<Answered, Failure> {
        let Admitted { decision, options, record, request_id, started } = admitted;
        let run = async {
            let mut routed = fallback::chat(&decision, &self.providers, &options).await?;
            let hedge_losers = std::mem::take(&mut routed.hedge_losers);
            bill_hedge_losers(&record, lasting, hedge_losers, |model| {
                estimated_usage(model, &options.request, "")
            })
            .await;
            let (entry, family) = (routed.entry.clone(), routed.provider.family().to_owned());
            let model_asked = routed.model.clone();
            Ok((outcome_of(routed, &options).await, entry, family, model_asked))
        };
        match unless_cancelled(cancel, run).await {
            Ok((mut outcome, entry, family, model_asked)) => {
                outcome.latency_ms = latency_ms(started);
                record.end(&outcome, None);
                Ok(Answered { outcome, entry, family, model_asked, request_id })
            }
            Err(failure) => Err(failed(record, failure, &request_id)),
        }
    }

    /// Opens a stream; resolves at its first content. Until then, failures fall back as in [`Gateway::chat`].
    ///
    /// # Errors
    /// As [`Gateway::chat`].
    pub async fn chat_stream(
        self: &Arc<Self>,
        request: ChatRequest,
        context: CallContext,
    ) -> Result<GatewayStream, Failure> {
        let request = Arc::new(request);
        let estimate = Arc::new(PromptEstimate::new(request.clone()));
        let plan = self.plan(request, estimate)?;
        match self.share(&plan, &context.cancel) {
            Some(share) => self.stream_shared(plan, share, context).await,
            None => {
                let admitted = self.admit(plan, context.observer)?;
                self.open(admitted, &context.lasting, context.cancel).await
            }
        }
    }

    /// Opens a stream for one call alone.
    async fn open(
        &self,
        admitted: Admitted,
        lasting: &Arc<dyn Observer>,
        cancel: CancellationToken,
    ) -> Result<GatewayStream, Failure> {
        let Admitted { decision, options, record, request_id, started } = admitted;
        let open = async {
            let mut routed = fallback::stream(&decision, &self.providers, &options).await?;
            let hedge_losers = std::mem::take(&mut routed.hedge_losers);
            bill_hedge_losers(&record, lasting, hedge_losers, |model| {
                estimated_usage(model, &options.request, "")
            })
            .await;
            Ok(routed)
        };
        match unless_cancelled(&cancel, open).await {
            Ok(routed) => Ok(GatewayStream::new(routed, record, options, request_id, started, cancel)),
            Err(failure) => Err(failed(record, failure, &request_id)),
        }
    }
}

/// The services behind a rule, with the models it names and those that answer where it names none.
fn identity(rule: &RouteRule, chains: &[FallbackChain], providers: &Providers) -> String {
    let target = &rule.target;
    let members = target.pool.iter().flat_map(|pool| &pool.members);
    let members = members.map(|member| (&member.provider, member.model.as_deref()));
    let chain = chains.iter().find(|chain| Some(&chain.name) == target.fallback_chain.as_ref());
    let steps = chain.iter().flat_map(|chain| &chain.steps);
    let steps = steps.map(|step| (&step.provider, step.model.as_deref()));
    let single = std::iter::once((&target.provider, target.model.as_deref()));
    let service = |(entry, model): (&String, Option<&str>)| {
        let service = providers.get(entry).map_or("", |loaded| loaded.identity());
        format!("{entry}\t{service}\t{}\n", model.unwrap_or_default())
    };
    single.chain(members).chain(steps).map(service).collect()
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
async fn bill_hedge_losers<F: Future<Output = TokenUsage>>(
    record: &CallRecord,
    observer: &Arc<dyn Observer>,
    hedge_losers: Vec<HedgeLoser>,
    prompt: impl Fn(&str) -> F,
) {
    for HedgeLoser { provider, model } in hedge_losers {
        let usage = prompt(&model).await;
        let cost = pricing::cost(provider.family(), &model, &usage);
        if let Some(entry) = record.hedge_lost(provider.name(), &model, usage, cost) {
            observer.usage(entry);
        }
    }
}

async fn outcome_of(routed: Routed<Answer>, options: &CallOptions) -> Outcome {
    let Routed { output: answer, provider, model, fallback_from, fallback_triggered, degraded, .. } = routed;
    let request = &options.request;
    let usage = match answer.usage {
        Some(usage) => usage,
        None => estimated_usage(&model, request, &answer.output_text()).await,
    };
    Outcome {
        provider: provider.name().to_owned(),
        // Nobody is paid for a reply of our own, also where the model has a fee for each request.
        cost: if degraded { Usd::ZERO } else { pricing::cost(provider.family(), &answer.model, &usage) },
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
        saved: None,
        attempts: options.attempts.if_several(),
    }
}
