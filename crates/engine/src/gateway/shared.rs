//! Calls that are answered from the cache, or that share one upstream call.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::admission::{Admitted, Planned, scope_of};
use super::{Answered, CallContext, Gateway, GatewayStream, PromptEstimate, failed, unless_cancelled};
use crate::cache::{AnswerCache, AnswerFlights, CacheKey, CachedAnswer, Joined, Lead, Shared, StreamFlights};
use crate::routing::{CallOptions, Routed};
use crate::usage::{CallRecord, Outcome, latency_ms};
use gateway_model::config::{CacheSettings, Settings};
use gateway_model::error::Failure;
use gateway_model::provider::within;
use gateway_model::{Answer, AttemptRecord, CacheWish, ChatRequest, GatewayResponse, StreamEvent};
use gateway_model::{EventSource, Provider};

/// What identical calls share.
pub(super) struct Sharing {
    settings: CacheSettings,
    cache: OnceLock<AnswerCache>,
    answers: AnswerFlights,
    streams: StreamFlights<StreamHead>,
}

impl Sharing {
    pub fn new(settings: &Settings) -> Self {
        Self {
            settings: settings.cache,
            cache: OnceLock::new(),
            answers: AnswerFlights::default(),
            streams: StreamFlights::default(),
        }
    }

    pub fn open(&self) -> usize {
        self.answers.open() + self.streams.open()
    }

    fn cache(&self) -> &AnswerCache {
        self.cache.get_or_init(|| AnswerCache::new(self.settings))
    }
}

/// What one call wants to share.
#[derive(Clone, Copy)]
pub(super) struct Share {
    key: CacheKey,
    /// `None`: it does not want the cache.
    cache: Option<Keep>,
    dedupe: bool,
}

impl Share {
    /// Calls in flight end with the first one's time: those that have another bound on it are others.
    fn flight(&self, plan: &Planned) -> CacheKey {
        self.key.in_flight(plan.request.timeout_ms)
    }
}

/// How long an answer is kept; `None`: as the settings say.
#[derive(Clone, Copy)]
struct Keep(Option<Duration>);

/// Who answers a shared stream.
#[derive(Clone)]
pub(super) struct StreamHead {
    pub entry: String,
    pub provider: Arc<dyn Provider>,
    pub model: String,
    pub fallback_from: Option<String>,
    pub fallback_triggered: bool,
    pub degraded: bool,
    pub attempts: Vec<AttemptRecord>,
}

impl Gateway {
    /// `None`: the call shares nothing, as most do, and those that nobody waits for any more.
    pub(super) fn share(&self, plan: &Planned, cancel: &CancellationToken) -> Option<Share> {
        if cancel.is_cancelled() {
            return None;
        }
        let wish = plan.request.cache;
        let cache = match wish {
            Some(CacheWish::No) => return None,
            Some(CacheWish::Yes { ttl_ms }) => Some(Keep(ttl_ms.map(Duration::from_millis))),
            None => self.settings.cache.enabled.then_some(Keep(None)),
        };
        let dedupe = self.settings.dedupe;
        if cache.is_none() && !dedupe {
            return None;
        }
        let request = &plan.request;
        let identity = format!("{}\n{}", self.identity(plan.decision.rule), plan.decision.model);
        let tenant = request.user_id.as_deref().unwrap_or_default();
        // A budget may cut the answers of some callers short: nobody else is to get those.
        let capped = || self.budgets.output_cap(&scope_of(request, &plan.decision));
        let max_tokens = request.max_tokens.or_else(capped);
        Some(Share { key: CacheKey::of_chat(request, max_tokens, &identity, tenant), cache, dedupe })
    }

    fn identity(&self, rule: usize) -> &str {
        self.identities.get(rule).map_or("", String::as_str)
    }

    /// Whether there is a cache by now.
    pub fn has_kept_answers(&self) -> bool {
        self.sharing.cache.get().is_some()
    }

    /// Whether it is worth asking [`Gateway::cached`].
    pub fn may_be_kept(&self, request: &ChatRequest) -> bool {
        self.settings.cache.enabled || matches!(request.cache, Some(CacheWish::Yes { .. }))
    }

    /// An answer that is there already; nothing has to be waited for.
    pub fn cached(&self, request: &Arc<ChatRequest>, context: &CallContext) -> Option<GatewayResponse> {
        let estimate = Arc::new(PromptEstimate::new(request.clone()));
        let plan = self.plan(request.clone(), estimate).ok()?;
        let hit = self.hit(&self.share(&plan, &context.cancel)?)?;
        Some(give(&hit, self.record(&plan, context), plan))
    }

    fn hit(&self, share: &Share) -> Option<Arc<CachedAnswer>> {
        share.cache.and_then(|_| self.sharing.cache().get(&share.key))
    }

    /// The record of a call that another one pays for. It is open while the call waits: whoever is dropped is logged.
    fn record(&self, plan: &Planned, context: &CallContext) -> CallRecord {
        let Planned { request, decision, request_id, started, .. } = plan;
        CallRecord::open(self.start(request, decision, request_id, *started, context.observer.clone()))
    }

    pub(super) async fn chat_shared(
        self: &Arc<Self>,
        plan: Planned,
        share: Share,
        context: CallContext,
    ) -> Result<GatewayResponse, Failure> {
        if let Some(hit) = self.hit(&share) {
            return Ok(give(&hit, self.record(&plan, &context), plan));
        }
        if !share.dedupe {
            let admitted = self.admit(plan, context.observer)?;
            let answered = self.answer(admitted, &context.lasting, &context.cancel).await?;
            self.keep(&share, &answered);
            return Ok(answered.outcome.into_response(answered.request_id));
        }
        match self.sharing.answers.join(share.flight(&plan)) {
            Joined::Follower(follow) => {
                let record = self.record(&plan, &context);
                let wait = within(&plan.decision.provider, plan.deadline, follow.wait());
                match unless_cancelled(&context.cancel, wait).await {
                    Ok(shared) => Ok(give(&shared, record, plan)),
                    Err(failure) => Err(follower_failed(record, failure, &plan.request_id)),
                }
            }
            Joined::Leader(lead) => {
                let (request_id, started) = (plan.request_id.clone(), plan.started);
                let (gateway, lasting) = (self.clone(), context.lasting.clone());
                let (lead, admitted) = self.admit_for_all(lead, plan, &context)?;
                let work = async move {
                    let alone = CancellationToken::new();
                    let answered = gateway.answer(admitted, &lasting, &alone).await?;
                    gateway.keep(&share, &answered);
                    Ok(Arc::new(cached_from(answered)))
                };
                let follow = lead.run(work);
                let shared = unless_cancelled(&context.cancel, follow.wait()).await;
                let shared = shared.map_err(|failure| failure.with_request_id(&request_id))?;
                let paid = Outcome {
                    usage: shared.usage,
                    cost: shared.cost,
                    cached: false,
                    saved: None,
                    latency_ms: latency_ms(started),
                    attempts: shared.attempts.clone(),
                    ..outcome_from(&shared)
                };
                Ok(paid.into_response(request_id))
            }
        }
    }

    /// Admits the call that pays for all who share it, before its work is handed to a task that may never begin. It goes
    /// on for the others when its own caller leaves: its record is not told with the call's end.
    fn admit_for_all<S: Shared>(
        &self,
        lead: Lead<S>,
        plan: Planned,
        context: &CallContext,
    ) -> Result<(Lead<S>, Admitted), Failure> {
        match self.admit(plan, context.lasting.clone()) {
            Ok(admitted) => Ok((lead, admitted)),
            Err(failure) => {
                lead.fail(failure.clone());
                Err(failure)
            }
        }
    }

    fn keep(&self, share: &Share, answered: &Answered) {
        if let Some(Keep(ttl)) = share.cache
            && !answered.outcome.degraded
        {
            let answer = CachedAnswer { attempts: Vec::new(), ..cached_from(answered.clone()) };
            self.sharing.cache().put(share.key, answer, ttl);
        }
    }

    pub(super) async fn stream_shared(
        self: &Arc<Self>,
        plan: Planned,
        share: Share,
        context: CallContext,
    ) -> Result<GatewayStream, Failure> {
        if let Some(hit) = self.hit(&share)
            && let Some(loaded) = self.providers.get(&hit.entry)
        {
            let routed = Routed {
                fallback_from: hit.fallback_from.clone(),
                fallback_triggered: hit.fallback_triggered,
                ..Routed::new(
                    Box::new(Replay(Some(hit.events()))) as Box<dyn EventSource>,
                    hit.entry.clone(),
                    loaded.provider.clone(),
                    hit.model_asked.clone(),
                )
            };
            let record = self.record(&plan, &context);
            return Ok(free_stream(routed, record, plan, context.cancel).saving(hit.cost));
        }
        if !share.dedupe {
            let admitted = self.admit(plan, context.observer)?;
            let stream = self.open(admitted, &context.lasting, context.cancel).await?;
            return Ok(stream.kept_by(self.keeper(share)));
        }
        match self.sharing.streams.join(share.flight(&plan)) {
            Joined::Follower(follow) => {
                let record = self.record(&plan, &context);
                let open = within(&plan.decision.provider, plan.deadline, follow.open());
                match unless_cancelled(&context.cancel, open).await {
                    Ok((head, source)) => {
                        let routed = head.routed(Box::new(source));
                        Ok(free_stream(routed, record, plan, context.cancel).shared())
                    }
                    Err(failure) => Err(follower_failed(record, failure, &plan.request_id)),
                }
            }
            Joined::Leader(lead) => {
                let (request_id, started) = (plan.request_id.clone(), plan.started);
                let options = CallOptions::new(plan.request.clone(), plan.estimate.clone());
                let (gateway, lasting, keeper) = (self.clone(), context.lasting.clone(), self.keeper(share));
                let (lead, admitted) = self.admit_for_all(lead, plan, &context)?;
                let work = async move {
                    let alone = CancellationToken::new();
                    let stream = gateway.open(admitted, &lasting, alone).await?;
                    let head = stream.head();
                    Ok((head, Box::new(stream.kept_by(keeper)) as Box<dyn EventSource>))
                };
                let follow = lead.run(work);
                let (head, source) = unless_cancelled(&context.cancel, follow.open())
                    .await
                    .map_err(|failure| failure.with_request_id(&request_id))?;
                let attempts = head.attempts.clone();
                let routed = head.routed(Box::new(source));
                let record = CallRecord::detached();
                let stream = GatewayStream::new(routed, record, options, request_id, started, context.cancel);
                Ok(stream.after(attempts))
            }
        }
    }

    fn keeper(&self, share: Share) -> Option<Keeper> {
        let Keep(ttl) = share.cache?;
        Some(Keeper { sharing: self.sharing.clone(), key: share.key, ttl })
    }
}

/// Answers a call with what another one has paid for.
fn give(shared: &CachedAnswer, record: CallRecord, plan: Planned) -> GatewayResponse {
    let mut outcome = outcome_from(shared);
    outcome.latency_ms = latency_ms(plan.started);
    record.end(&outcome, None);
    outcome.into_response(plan.request_id)
}

fn follower_failed(record: CallRecord, failure: Failure, request_id: &str) -> Failure {
    failed(record, failure.of_another_call(), request_id)
}

/// A stream that costs nothing: another call pays.
fn free_stream(
    routed: Routed<Box<dyn EventSource>>,
    record: CallRecord,
    plan: Planned,
    cancel: CancellationToken,
) -> GatewayStream {
    let Planned { request, estimate, request_id, started, .. } = plan;
    GatewayStream::new(routed, record, CallOptions::new(request, estimate), request_id, started, cancel)
}

/// Puts a stream's answer into the cache when it has come to its end.
pub(super) struct Keeper {
    sharing: Arc<Sharing>,
    key: CacheKey,
    ttl: Option<Duration>,
}

impl Keeper {
    pub fn keep(self, answer: CachedAnswer) {
        self.sharing.cache().put(self.key, answer, self.ttl);
    }
}

impl StreamHead {
    fn routed(self, source: Box<dyn EventSource>) -> Routed<Box<dyn EventSource>> {
        let Self { entry, provider, model, fallback_from, fallback_triggered, degraded, .. } = self;
        Routed { fallback_from, fallback_triggered, degraded, ..Routed::new(source, entry, provider, model) }
    }
}

/// A kept answer, streamed once more.
struct Replay(Option<Vec<StreamEvent>>);

impl EventSource for Replay {
    fn next<'a>(&'a mut self, into: &'a mut Vec<StreamEvent>) -> BoxFuture<'a, Result<bool, Failure>> {
        into.extend(self.0.take().into_iter().flatten());
        Box::pin(async { Ok(false) })
    }
}

fn cached_from(answered: Answered) -> CachedAnswer {
    let Answered { outcome, entry, family, model_asked, .. } = answered;
    CachedAnswer {
        entry,
        family,
        model_asked,
        usage: outcome.usage,
        cost: outcome.cost,
        fallback_triggered: outcome.fallback_triggered,
        fallback_from: outcome.fallback_from,
        degraded: outcome.degraded,
        attempts: outcome.attempts,
        provider: outcome.provider,
        answer: Answer {
            content: outcome.content,
            model: outcome.model,
            finish_reason: outcome.finish_reason,
            tool_calls: outcome.tool_calls,
            reasoning: outcome.reasoning,
            reasoning_details: outcome.reasoning_details,
            usage: Some(outcome.usage),
            total_tokens: outcome.total_tokens,
        },
    }
}

/// The outcome of a call that got another one's answer: nothing was used, and nothing is to be paid.
fn outcome_from(shared: &CachedAnswer) -> Outcome {
    let answer = &shared.answer;
    Outcome {
        provider: shared.provider.clone(),
        model: answer.model.clone(),
        content: answer.content.clone(),
        finish_reason: answer.finish_reason.clone(),
        tool_calls: answer.tool_calls.clone(),
        reasoning: answer.reasoning.clone(),
        reasoning_details: answer.reasoning_details.clone(),
        fallback_triggered: shared.fallback_triggered,
        fallback_from: shared.fallback_from.clone(),
        degraded: shared.degraded,
        cached: true,
        saved: Some(shared.cost),
        ..Outcome::default()
    }
}
