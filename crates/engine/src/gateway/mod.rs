//! The pipeline of one call: check → route → reserve → run → settle → record.

mod admission;
mod dedupe;
mod embed;
mod estimate;
mod explain;
mod health;
mod identity;
mod models;
mod outcome;
mod stream;
mod usage;

use std::sync::Arc;

use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::budget::BudgetGuard;
use crate::cache::SharedAnswers;
use crate::limits::{SharedState, UserLimits};
use crate::records::Entry;
use crate::routing::fallback;
use crate::routing::{
    CallOptions, Charge, HedgeLoser, ProviderEntry, Providers, RetryBudget, RoutePool, Routed, Router,
};
use crate::stores::{Holdings, Stores};
use crate::usage::{Billed, CallRecord, Keeping, Observer, StreamTimes, latency_ms};
use crate::wall_clock::since_epoch;
use gateway_model::config::{BudgetPolicy, FallbackChain, RouteRule, Settings};
use gateway_model::error::{ATTEMPT_FAILED, ErrorKind, Failure, GatewayError, HEDGE_LOST};
use gateway_model::{
    Billing, CallFigures, Caller, ChatRequest, Delivery, GatewayResponse, Outcome, Provider, TokenUsage,
};
use gateway_pricing::{Asked, PriceBook};

use admission::Admitted;
use dedupe::CallSharing;
use estimate::estimated_usage;
use identity::RuleIdentity;
use models::ModelLists;
use stream::StreamCall;

pub use estimate::PromptEstimate;
pub use explain::Explanation;
pub use models::ListedModel;
pub use outcome::usage_of;
pub use stream::{CloseReason, GatewayStream};

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
    prices: PriceBook,
    sharing: Arc<CallSharing>,
    /// By rule.
    identities: Vec<RuleIdentity>,
    /// What calls have left to be counted.
    counting: TaskTracker,
    closed: CancellationToken,
    /// `None`: nothing is kept but the callers' logs.
    keeping: Option<Arc<Keeping>>,
    /// `None`: state lives in this process alone, and no records are kept.
    holdings: Option<Arc<Holdings>>,
}

impl Gateway {
    /// A gateway of another configuration in the place of `before`: what stays keeps its counts and breakers. Calls in
    /// flight finish on `before`, against the same budgets.
    pub fn reload_from(
        before: &Self,
        providers: Providers,
        rules: Vec<RouteRule>,
        chains: Vec<FallbackChain>,
        budgets: Vec<BudgetPolicy>,
        settings: &Settings,
    ) -> Self {
        let carry_over = |(name, entry): (String, Arc<ProviderEntry>)| {
            let entry = match before.providers.get(&name) {
                Some(earlier) => Arc::new(entry.carry_over(earlier)),
                None => entry,
            };
            (name, entry)
        };
        let providers = providers.into_iter().map(carry_over).collect();
        let mut next = Self::with_settings(providers, rules, chains, Vec::new(), settings);
        before.budgets.replace_policies(budgets);
        next.budgets = before.budgets.clone();
        next.user_limits = UserLimits::of(&settings.limits).map(|limits| {
            let limits = match &before.user_limits {
                Some(earlier) => limits.carry_over(earlier),
                None => limits,
            };
            Arc::new(match before.shared_state() {
                Some(state) => limits.shared(state),
                None => limits,
            })
        });
        next.counting = before.counting.clone();
        next.closed = before.closed.clone();
        next.holdings = before.holdings.clone();
        next.watch_breakers();
        next.keep();
        if settings.cache == before.settings.cache {
            next.sharing = before.sharing.clone();
        } else {
            next.share_answers();
        }
        if settings.retry_budget == before.settings.retry_budget {
            next.retry_budget = before.retry_budget.clone();
        }
        next
    }
}

/// What surrounds one call.
pub struct CallContext {
    pub observer: Arc<dyn Observer>,
    /// Hears of what does not come with the call's end: entries of shared calls, and of hedge losers.
    pub gateway_observer: Arc<dyn Observer>,
    /// Fires when the caller no longer wants the answer.
    pub cancel: CancellationToken,
    /// The client key that the call came with, of a server's.
    pub caller: Option<Arc<Caller>>,
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
        let unknown = providers.iter().filter_map(|(name, entry)| Some((&**name, entry.unknown_price?)));
        let prices = PriceBook::new(settings, unknown);
        let pool = |rule: &RouteRule| {
            let config = rule.target.pool.as_ref()?;
            Some(Arc::new(RoutePool::new(config, &providers, settings, &prices)))
        };
        let identities = rules.iter().map(|rule| RuleIdentity::of(rule, &chains, &providers)).collect();
        Self {
            identities,
            counting: TaskTracker::new(),
            closed: CancellationToken::new(),
            keeping: None,
            holdings: None,
            pools: rules.iter().map(pool).collect(),
            retry_budget: Arc::new(RetryBudget::new(&settings.retry_budget)),
            user_limits: UserLimits::of(&settings.limits).map(Arc::new),
            settings: settings.clone(),
            prices: prices.clone(),
            sharing: Arc::new(CallSharing::new(settings, None)),
            providers,
            router: Router::new(rules, chains),
            budgets: Arc::new(BudgetGuard::new(budgets)),
            models: ModelLists::default(),
        }
    }

    /// Lets state and records live in `stores` from now on. What is returned has to run for as long as the gateway does.
    #[must_use = "these have to run"]
    pub fn connect(&mut self, stores: Stores) -> Vec<BoxFuture<'static, ()>> {
        if let Some(state) = &stores.state {
            self.budgets.share(state.clone(), stores.node.clone(), stores.recorder.clone());
            let shared = SharedState { store: state.clone(), node: stores.node.clone() };
            self.user_limits =
                UserLimits::of(&self.settings.limits).map(|limits| Arc::new(limits.shared(shared)));
        }
        let holdings = Arc::new(Holdings::new(stores, &self.settings));
        let keepers = holdings.keepers(&self.budgets);
        self.holdings = Some(holdings);
        self.watch_breakers();
        self.share_answers();
        self.keep();
        keepers
    }

    fn watch_breakers(&self) {
        if let Some(breakers) = self.holdings.as_ref().and_then(|holdings| holdings.breakers.as_ref()) {
            breakers.watch(&self.providers);
        }
    }

    fn share_answers(&mut self) {
        if let Some(SharedState { store, .. }) = self.shared_state() {
            let shared = SharedAnswers::new(store, self.counting.clone());
            self.sharing = Arc::new(CallSharing::new(&self.settings, Some(shared)));
        }
    }

    fn shared_state(&self) -> Option<SharedState> {
        let Stores { state, node, .. } = &self.holdings.as_ref()?.stores;
        Some(SharedState { store: state.clone()?, node: node.clone() })
    }

    /// Keeps what calls come to where there is a place for it.
    fn keep(&mut self) {
        self.keeping = self.holdings.as_ref().map(|holdings| {
            let (books, budgets) = (holdings.books.clone(), self.budgets.clone());
            Arc::new(Keeping { books, budgets, prices: self.prices.clone() })
        });
    }

    /// Why no call may begin at this moment.
    fn refusal(&self) -> Option<GatewayError> {
        self.holdings.as_ref()?.books.as_ref()?.refusal()
    }

    /// Reads what the state stands at, so that figures of it are right from the start.
    pub async fn read_state(&self) {
        // What cannot be read now is read once the store is there.
        let _ = self.budgets.read_counters().await;
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
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
        let estimate = self.estimate(&request);
        let plan = self.plan(request, estimate, &context)?;
        match self.dedupe_request(&plan, &context.cancel) {
            Some(wanted) => self.chat_deduplicated(plan, wanted, context).await,
            None => {
                let admitted = self.admit(plan, context.observer);
                let (outcome, figures) =
                    self.answer(admitted, &context.gateway_observer, &context.cancel).await?;
                Ok(GatewayResponse::new(figures, outcome.answer))
            }
        }
    }

    /// Runs a call for itself alone, and records it.
    async fn answer(
        &self,
        admitted: Admitted,
        gateway_observer: &Arc<dyn Observer>,
        cancel: &CancellationToken,
    ) -> Result<(Outcome, CallFigures), Failure> {
        let Admitted { decision, options, mut record, request_id, started } = admitted;
        let run = async {
            let mut routed = fallback::chat(&decision, &self.providers, &options).await?;
            self.bill_others(&mut record, &mut routed, &options, gateway_observer, |model| {
                estimated_usage(model, &options.request, "")
            });
            Ok(outcome::priced(routed, &options).await)
        };
        match unless_cancelled(cancel, run).await {
            Ok(outcome) => {
                let delivery =
                    Delivery { request_id, latency_ms: latency_ms(started), billing: Billing::Own };
                let figures = outcome.figures(delivery);
                kept(record.end(&outcome, figures.clone(), None)).await;
                Ok((outcome, figures))
            }
            Err(failure) => Err(failed(record, failure, &request_id, &options, gateway_observer).await),
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
        let estimate = self.estimate(&request);
        let plan = self.plan(request, estimate, &context)?;
        match self.dedupe_request(&plan, &context.cancel) {
            Some(wanted) => self.stream_deduplicated(plan, wanted, context).await,
            None => {
                let admitted = self.admit(plan, context.observer);
                self.open(admitted, &context.gateway_observer, context.cancel).await
            }
        }
    }

    /// Opens a stream for one call alone.
    async fn open(
        &self,
        admitted: Admitted,
        gateway_observer: &Arc<dyn Observer>,
        cancel: CancellationToken,
    ) -> Result<GatewayStream, Failure> {
        let Admitted { decision, options, mut record, request_id, started } = admitted;
        record.streams(StreamTimes::default());
        let open = async {
            let mut routed = fallback::stream(&decision, &self.providers, &options).await?;
            self.bill_others(&mut record, &mut routed, &options, gateway_observer, |model| {
                estimated_usage(model, &options.request, "")
            });
            Ok(routed)
        };
        match unless_cancelled(&cancel, open).await {
            Ok(routed) => {
                record.streams(StreamTimes { first_token_ms: Some(latency_ms(started)) });
                let (source, outcome) = outcome::split(routed, &options);
                let call = StreamCall {
                    request: options.request,
                    request_id,
                    started,
                    cancel,
                    billing: Billing::Own,
                    prices: self.prices.clone(),
                };
                Ok(GatewayStream::new(source, outcome, record, call))
            }
            Err(failure) => Err(failed(record, failure, &request_id, &options, gateway_observer).await),
        }
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

/// A UUID v4: names a call in its answer, its errors and its log entry. Its first 48 bits are the time in milliseconds, so that
/// ids grow, and indexes on them stay small; the rest is random.
pub fn new_request_id() -> String {
    let millis = since_epoch().as_millis();
    let mut bytes = *uuid::Uuid::new_v4().as_bytes();
    bytes[..6].copy_from_slice(&millis.to_be_bytes()[10..]);
    uuid::Uuid::from_bytes(bytes).to_string()
}

/// Ends the record of a call whose attempts have failed. One that was refused before anything was sent, by budgets or the
/// caller's limits, is not logged.
async fn failed(
    record: CallRecord,
    failure: Failure,
    request_id: &str,
    options: &CallOptions,
    gateway_observer: &Arc<dyn Observer>,
) -> Failure {
    if options.is_refused() {
        record.discard();
        return failure.with_request_id(request_id);
    }
    // The last attempt's charge is the call's own.
    let cut = options.charges.take_cut();
    let mut charges = options.charges.take();
    let own = cut.or_else(|| failure.usage().and_then(|_| charges.pop()));
    bill_failed_attempts(&record, gateway_observer, charges);
    match own {
        Some(Charge { provider, model, reservation, counted, usage, cost, cut: _ }) => {
            let billed = Billed { reservation, charges: counted, usage, cost };
            kept(record.fail_charged(&failure, asked(&*provider, &model), billed)).await;
            failure.with_request_id(request_id)
        }
        None => failed_without_attempt(record, failure, request_id).await,
    }
}

/// Bills and logs attempts that failed and were charged nevertheless.
fn bill_failed_attempts(record: &CallRecord, observer: &Arc<dyn Observer>, charges: Vec<Charge>) {
    for Charge { provider, model, reservation, counted, usage, cost, cut: _ } in charges {
        let billed = Billed { reservation, charges: counted, usage, cost };
        if let Some(entry) = record.bill_attempt(ATTEMPT_FAILED, asked(&*provider, &model), billed) {
            observer.usage(entry);
        }
    }
}

/// What prices know a provider's model by.
fn asked<'a>(provider: &'a dyn Provider, model: &'a str) -> Asked<'a> {
    Asked { entry: provider.name(), family: provider.family(), model }
}

/// Waits until what is kept of a call survives the process.
async fn kept(entry: Option<Entry>) {
    if let Some(entry) = entry {
        entry.kept().await;
    }
}

/// [`failed`], of a call that has asked for no attempt of its own. A chain without a single loaded provider is a refusal by
/// routing: not logged.
async fn failed_without_attempt(record: CallRecord, failure: Failure, request_id: &str) -> Failure {
    if failure.kind() == Some(ErrorKind::RouteNotFound) && matches!(failure, Failure::Gateway(_)) {
        record.discard();
    } else {
        kept(record.fail(&failure)).await;
    }
    failure.with_request_id(request_id)
}

impl Gateway {
    /// What a call of this request may use, at the gateway's prices.
    fn estimate(&self, request: &Arc<ChatRequest>) -> Arc<PromptEstimate> {
        Arc::new(PromptEstimate::new(request.clone()).at_prices(&self.prices))
    }

    /// Hands the reservation of the attempt that answered to `record`, and bills the attempts beside it; `prompt` counts what a
    /// hedge loser has read.
    fn bill_others<T, F: Future<Output = TokenUsage> + Send + 'static>(
        &self,
        record: &mut CallRecord,
        routed: &mut Routed<T>,
        options: &CallOptions,
        observer: &Arc<dyn Observer>,
        prompt: impl Fn(&str) -> F,
    ) {
        record.hold(routed.reservation.take());
        bill_failed_attempts(record, observer, options.charges.take());
        self.bill_hedge_losers(record, observer, std::mem::take(&mut routed.hedge_losers), prompt);
    }

    /// Bills and logs attempts that lost against their hedge: their prompts, which their providers have read. The call does not
    /// wait for that: a vocabulary may have to be loaded.
    fn bill_hedge_losers<F: Future<Output = TokenUsage> + Send + 'static>(
        &self,
        record: &CallRecord,
        observer: &Arc<dyn Observer>,
        losers: Vec<HedgeLoser>,
        prompt: impl Fn(&str) -> F,
    ) {
        for loser in losers {
            let Some(bill) = record.bill_later() else { return };
            let (counted, observer) = (prompt(&loser.model), observer.clone());
            let prices = self.prices.clone();
            let count = async move {
                let usage = counted.await;
                let HedgeLoser { provider, model, reservation, started: _ } = loser;
                let asked = asked(&*provider, &model);
                let cost = prices.cost(asked, &usage);
                let billed = Billed { reservation, charges: Vec::new(), usage, cost };
                observer.usage(bill.attempt(HEDGE_LOST, asked, billed).0);
            };
            self.counting.spawn(count);
        }
    }
}
