//! Identical calls: answered from the cache, or with the answer of the one that is in flight.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::admission::{Admitted, Planned, scope_of};
use super::identity::RuleIdentity;
use super::stream::StreamCall;
use super::{CallContext, Gateway, GatewayStream, failed_without_attempt, kept, unless_cancelled};
use crate::cache::{
    AnswerCache, AnswerFlights, CacheKey, Completion, Flights, Follower, Joined, Leader, Notes, SharedAnswer,
    SharedAnswers, SharedStream, StreamFlights, Tenant, events,
};
use crate::records::Entry;
use crate::usage::{CallRecord, StreamTimes, latency_ms};
use gateway_model::config::{CacheSettings, Settings};
use gateway_model::error::Failure;
use gateway_model::provider::within;
use gateway_model::{
    Billing, CacheWish, ChatRequest, Delivery, EventSource, GatewayResponse, Outcome, StreamEvent, Warning,
    take_warnings,
};

/// What identical calls of a gateway share.
pub(super) struct CallSharing {
    settings: CacheSettings,
    cache: OnceLock<AnswerCache>,
    /// Behind the cache in memory; `None`: it is the only one.
    shared: Option<SharedAnswers>,
    answers: AnswerFlights,
    /// Each opens with its outcome, whose answer is still empty.
    streams: StreamFlights<Outcome>,
}

impl CallSharing {
    pub fn new(settings: &Settings, shared: Option<SharedAnswers>) -> Self {
        Self {
            settings: settings.cache,
            cache: OnceLock::new(),
            shared,
            answers: AnswerFlights::default(),
            streams: StreamFlights::default(),
        }
    }

    /// Calls in flight that can be shared.
    pub fn in_flight(&self) -> usize {
        self.answers.open() + self.streams.open()
    }

    fn cache(&self) -> &AnswerCache {
        self.cache.get_or_init(|| AnswerCache::new(self.settings))
    }
}

/// What one call wants to share.
#[derive(Clone, Copy)]
pub(super) struct DedupeRequest {
    key: CacheKey,
    /// `None`: it does not want the cache.
    cache: Option<CacheTtl>,
    dedupe: bool,
}

impl DedupeRequest {
    /// Followers share the leader's deadline, chain and reply, so that another `timeoutMs` gets another key, and so do rules
    /// that ask otherwise.
    fn flight_key(&self, plan: &Planned, rule: &RuleIdentity) -> CacheKey {
        self.key.in_flight(plan.request.timeout_ms, &rule.way)
    }
}

/// How long an answer is kept; `None`: as the settings say.
#[derive(Clone, Copy)]
struct CacheTtl(Option<Duration>);

/// A call's part in the work that several share.
struct Part {
    request: Arc<ChatRequest>,
    request_id: String,
    started: Instant,
    /// Of a follower, for which another call pays: it stays open while the call waits, so that a call that is dropped is logged.
    /// `None`: the call leads and pays. Its record is the work's, which goes on for the others when the call itself is left.
    follows: Option<CallRecord>,
}

impl Gateway {
    /// `None`: the call shares nothing, as most do; nor does a call that is cancelled already.
    pub(super) fn dedupe_request(&self, plan: &Planned, cancel: &CancellationToken) -> Option<DedupeRequest> {
        if cancel.is_cancelled() {
            return None;
        }
        let cache = match plan.request.cache {
            Some(CacheWish::No) => return None,
            Some(CacheWish::Yes { ttl_ms }) => Some(CacheTtl(ttl_ms.map(Duration::from_millis))),
            None => self.settings.cache.enabled.then_some(CacheTtl(None)),
        };
        let dedupe = self.settings.dedupe;
        if cache.is_none() && !dedupe {
            return None;
        }
        let request = &plan.request;
        let rule = self.identity(plan.decision.rule);
        let fingerprint = format!("{}\n{}", rule.services, plan.decision.model);
        let caller = plan.caller.as_deref();
        let tenant = Tenant {
            user_id: request.user_id.as_deref().unwrap_or_default(),
            key_id: caller.map(|caller| &*caller.key_id),
        };
        // A budget may cut the answers of some callers short: nobody else is to get those.
        let capped = || {
            let (entry, model) = (&plan.decision.provider, &plan.decision.model);
            self.budgets.output_cap(&scope_of(request, caller, entry, model))
        };
        let max_tokens = request.max_tokens.or_else(capped);
        Some(DedupeRequest {
            key: CacheKey::of_chat(request, max_tokens, &fingerprint, tenant, rule.notes),
            cache,
            dedupe,
        })
    }

    fn identity(&self, rule: usize) -> &RuleIdentity {
        const NOBODY: &RuleIdentity =
            &RuleIdentity { services: String::new(), way: String::new(), notes: Notes::Read };
        self.identities.get(rule).unwrap_or(NOBODY)
    }

    /// Whether any answer can have been cached by now.
    pub fn has_cache(&self) -> bool {
        self.sharing.cache.get().is_some()
    }

    /// Whether it is worth asking [`Gateway::cached`].
    pub fn may_be_cached(&self, request: &ChatRequest) -> bool {
        self.keeping.is_none()
            && (self.settings.cache.enabled || matches!(request.cache, Some(CacheWish::Yes { .. })))
    }

    /// The cached answer to a request; does not wait for anything.
    pub fn cached(&self, request: &Arc<ChatRequest>, context: &CallContext) -> Option<GatewayResponse> {
        let estimate = self.estimate(request);
        let plan = self.plan(request.clone(), estimate, context).ok()?;
        let hit = self.hit_in_memory(&self.dedupe_request(&plan, &context.cancel)?)?;
        // Nothing is kept of it: what keeps rows answers from the cache on its way through `chat`.
        Some(deliver_cached(&hit, self.record(&plan, context), plan).0)
    }

    fn hit_in_memory(&self, wanted: &DedupeRequest) -> Option<Arc<Outcome>> {
        wanted.cache.and_then(|_| self.sharing.cache().get(&wanted.key))
    }

    async fn hit(&self, wanted: &DedupeRequest) -> Option<Arc<Outcome>> {
        let hit = self.hit_in_memory(wanted);
        let (None, Some(_), Some(shared)) = (&hit, wanted.cache, &self.sharing.shared) else { return hit };
        let (outcome, left) = shared.get(&wanted.key).await?;
        let outcome = Arc::new(outcome);
        self.sharing.cache().put(wanted.key, outcome.clone(), Some(left));
        Some(outcome)
    }

    /// The record of a call that another one pays for.
    fn record(&self, plan: &Planned, context: &CallContext) -> CallRecord {
        let Planned { request, decision, request_id, started, .. } = plan;
        CallRecord::open(self.start(request, decision, request_id, *started, context.observer.clone()))
    }

    pub(super) async fn chat_deduplicated(
        self: &Arc<Self>,
        plan: Planned,
        wanted: DedupeRequest,
        context: CallContext,
    ) -> Result<GatewayResponse, Failure> {
        if let Some(hit) = self.hit(&wanted).await {
            let (response, entry) = deliver_cached(&hit, self.record(&plan, &context), plan);
            kept(entry).await;
            return Ok(response);
        }
        let writer = self.cache_writer(&wanted);
        if !wanted.dedupe {
            let admitted = self.admit(plan, context.observer);
            let (outcome, figures) =
                self.answer(admitted, &context.gateway_observer, &context.cancel).await?;
            if let Some(writer) = writer {
                writer.write(&outcome);
            }
            return Ok(GatewayResponse::new(figures, outcome.answer));
        }
        let (gateway, observer) = (self.clone(), context.gateway_observer.clone());
        let lead = |leader: Leader<SharedAnswer>, admitted| {
            leader.run(async move {
                let (outcome, _) = gateway.answer(admitted, &observer, &CancellationToken::new()).await?;
                if let Some(writer) = writer {
                    writer.write(&outcome);
                }
                Ok(Arc::new(outcome))
            })
        };
        let flights = &self.sharing.answers;
        let key = wanted.flight_key(&plan, self.identity(plan.decision.rule));
        let (outcome, part) = self.follow_or_lead(flights, key, plan, &context, lead, Follower::wait).await?;
        let Part { request_id, started, follows, .. } = part;
        let latency_ms = latency_ms(started);
        Ok(match follows {
            Some(record) => {
                let delivery = Delivery { request_id, latency_ms, billing: Billing::Deduplicated };
                let (response, entry) = deliver(&outcome, delivery, record);
                kept(entry).await;
                response
            }
            None => {
                let delivery = Delivery { request_id, latency_ms, billing: Billing::Own };
                GatewayResponse::new(outcome.figures(delivery), outcome.answer.clone())
            }
        })
    }

    pub(super) async fn stream_deduplicated(
        self: &Arc<Self>,
        plan: Planned,
        wanted: DedupeRequest,
        context: CallContext,
    ) -> Result<GatewayStream, Failure> {
        if let Some(hit) = self.hit(&wanted).await {
            let source = Box::new(Replay(Some(events(&hit))));
            let outcome = hit.before_answer();
            let mut record = self.record(&plan, &context);
            record.streams(StreamTimes { first_token_ms: Some(latency_ms(plan.started)) });
            let Planned { request, request_id, started, .. } = plan;
            let (cancel, billing) = (context.cancel, Billing::Cached);
            let call =
                StreamCall { request, request_id, started, cancel, billing, prices: self.prices.clone() };
            return Ok(GatewayStream::new(source, outcome, record, call));
        }
        let writer = self.cache_writer(&wanted);
        if !wanted.dedupe {
            let admitted = self.admit(plan, context.observer);
            let stream = self.open(admitted, &context.gateway_observer, context.cancel).await?;
            return Ok(stream.cached_by(writer));
        }
        let (gateway, observer) = (self.clone(), context.gateway_observer.clone());
        let lead = |leader: Leader<SharedStream<Outcome>>, admitted| {
            let abandoned = leader.abandoned();
            leader.run(async move {
                let stream = gateway.open(admitted, &observer, abandoned).await?;
                let opened = stream.outcome().clone();
                Ok((opened, Box::new(stream.cached_by(writer)) as Box<dyn EventSource>))
            })
        };
        let flights = &self.sharing.streams;
        let key = wanted.flight_key(&plan, self.identity(plan.decision.rule));
        let (opened, part) = self.follow_or_lead(flights, key, plan, &context, lead, Follower::open).await?;
        let (outcome, source) = opened;
        let Part { request, request_id, started, follows } = part;
        let (record, billing) = match follows {
            Some(mut record) => {
                record.streams(StreamTimes { first_token_ms: Some(latency_ms(started)) });
                (record, Billing::Deduplicated)
            }
            None => (CallRecord::detached(), Billing::Own),
        };
        let call = StreamCall {
            request,
            request_id,
            started,
            cancel: context.cancel,
            billing,
            prices: self.prices.clone(),
        };
        Ok(GatewayStream::new(Box::new(source), outcome, record, call))
    }

    /// Follows the identical call that is in flight, or leads: is admitted, and does the work for all that join.
    async fn follow_or_lead<S: Completion, T, W>(
        &self,
        flights: &Flights<S>,
        key: CacheKey,
        plan: Planned,
        context: &CallContext,
        lead: impl FnOnce(Leader<S>, Admitted) -> Follower<S>,
        wait: impl FnOnce(Follower<S>) -> W,
    ) -> Result<(T, Part), Failure>
    where
        W: Future<Output = Result<T, Failure>>,
    {
        let mut part = Part {
            request: plan.request.clone(),
            request_id: plan.request_id.clone(),
            started: plan.started,
            follows: None,
        };
        match flights.join(key) {
            Joined::Follower(follower) => {
                let follower = follower.cancelled_by(&context.cancel);
                let record = self.record(&plan, context);
                let wait = within(&plan.decision.provider, plan.deadline, wait(follower));
                match unless_cancelled(&context.cancel, wait).await {
                    Ok(shared) => {
                        part.follows = Some(record);
                        Ok((shared, part))
                    }
                    Err(failure) => {
                        Err(failed_without_attempt(record, failure.of_another_call(), &plan.request_id).await)
                    }
                }
            }
            Joined::Leader(leader) => {
                let leader = leader.cancelled_by(&context.cancel);
                // Admitted here, because the task that does the work may never begin. The log entry goes to the gateway's
                // observer, not to this call's: the work goes on for the others when this call is left.
                let admitted = self.admit(plan, context.gateway_observer.clone());
                match unless_cancelled(&context.cancel, wait(lead(leader, admitted))).await {
                    Ok(shared) => Ok((shared, part)),
                    Err(failure) => Err(failure.with_request_id(&part.request_id)),
                }
            }
        }
    }

    fn cache_writer(&self, wanted: &DedupeRequest) -> Option<CacheWriter> {
        let CacheTtl(ttl) = wanted.cache?;
        Some(CacheWriter { sharing: self.sharing.clone(), key: wanted.key, ttl })
    }
}

/// Answers a call with what another one has paid for.
fn deliver(outcome: &Outcome, delivery: Delivery, record: CallRecord) -> (GatewayResponse, Option<Entry>) {
    let figures = outcome.figures(delivery);
    let entry = record.end(outcome, figures.clone(), None);
    (GatewayResponse::new(figures, outcome.answer.clone()), entry)
}

/// Answers a call from the cache.
fn deliver_cached(outcome: &Outcome, record: CallRecord, plan: Planned) -> (GatewayResponse, Option<Entry>) {
    let latency_ms = latency_ms(plan.started);
    deliver(outcome, Delivery { request_id: plan.request_id, latency_ms, billing: Billing::Cached }, record)
}

/// Puts an answer into the cache once it is whole.
pub(super) struct CacheWriter {
    sharing: Arc<CallSharing>,
    key: CacheKey,
    ttl: Option<Duration>,
}

impl CacheWriter {
    /// A degraded reply is shared, but never cached; attempts are the paying call's own.
    pub fn write(self, outcome: &Outcome) {
        if !outcome.degraded {
            let kept = Arc::new(Outcome { attempts: Vec::new(), ..outcome.clone() });
            let lasts = self.sharing.cache().put(self.key, kept.clone(), self.ttl);
            if let (Some(lasts), Some(shared)) = (lasts, &self.sharing.shared) {
                shared.put(&self.key, &kept, lasts);
            }
        }
    }
}

/// A cached answer, streamed once more.
struct Replay(Option<Vec<StreamEvent>>);

impl EventSource for Replay {
    fn next<'a>(&'a mut self, into: &'a mut Vec<StreamEvent>) -> BoxFuture<'a, Result<bool, Failure>> {
        into.extend(self.0.take().into_iter().flatten());
        Box::pin(async { Ok(false) })
    }

    fn take_warnings(&mut self) -> Vec<Warning> {
        self.0.as_mut().map(take_warnings).unwrap_or_default()
    }
}
