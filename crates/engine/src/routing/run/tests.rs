//! What a call pays for, and when a stream is committed, whatever the provider.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::*;
use crate::gateway::PromptEstimate;
use crate::routing::operation::{Chat, Embed, Stream};
use crate::routing::{Hedge, ProviderEntry, RetryBudget, RoutePool, direct, fallback};
use gateway_model::config::{FallbackChain, RetryConfig, RouteTarget, Settings};
use gateway_model::error::{ErrorKind, GatewayError};
use gateway_model::{
    Answer, ChatRequest, EmbedCall, EventSource, OpenedStream, Provider, ProviderCall, RetryPolicy,
    StreamEvent, Vectors,
};
use gateway_pricing::PriceBook;

/// What a played provider does with each request.
#[derive(Clone, Copy)]
enum Play {
    Answer,
    Status(u16),
    /// Cannot write the request in its format.
    Refuse,
    /// Opens a stream at once, which fails without any content after so many milliseconds.
    FailBeforeContent(u64),
    /// Opens a stream at once, whose content comes after so many milliseconds.
    Late(u64),
    Hang,
}

/// A provider that does not await anything itself.
struct Played {
    name: &'static str,
    play: Mutex<Play>,
    max_attempts: u32,
    sent: AtomicUsize,
    /// Texts of each embedding request.
    batches: Mutex<Vec<usize>>,
}

impl Played {
    fn new(name: &'static str, play: Play) -> Arc<Self> {
        Self::retrying(name, play, 1)
    }

    fn retrying(name: &'static str, play: Play, max_attempts: u32) -> Arc<Self> {
        let (sent, batches) = (AtomicUsize::new(0), Mutex::default());
        Arc::new(Self { name, play: Mutex::new(play), max_attempts, sent, batches })
    }

    fn sent(&self) -> usize {
        self.sent.load(SeqCst)
    }

    async fn play(&self) -> Result<Play, Failure> {
        self.sent.fetch_add(1, SeqCst);
        let play = *self.play.lock().unwrap();
        match play {
            Play::Status(status) => Err(GatewayError::from_http_status(self.name, status, "").into()),
            Play::Refuse => Err(GatewayError::invalid_request("messages", "cannot be written").into()),
            Play::Hang => std::future::pending().await,
            other => Ok(other),
        }
    }
}

impl Provider for Played {
    fn name(&self) -> &str {
        self.name
    }

    fn family(&self) -> &str {
        "played"
    }

    fn retry_policy(&self) -> RetryPolicy {
        RetryConfig { max_attempts: Some(self.max_attempts), backoff_ms: Some(1), ..RetryConfig::default() }
            .into()
    }

    fn chat<'a>(&'a self, call: &'a ProviderCall) -> BoxFuture<'a, Result<Answer, Failure>> {
        Box::pin(async move {
            self.play().await?;
            Ok(Answer { model: call.model.clone(), content: "hi".into(), ..Answer::default() })
        })
    }

    fn open_stream<'a>(&'a self, _: &'a ProviderCall) -> BoxFuture<'a, Result<OpenedStream, Failure>> {
        Box::pin(async move { Ok(OpenedStream::new(PlayedEvents(self.play().await?))) })
    }

    fn embed<'a>(&'a self, call: &'a EmbedCall) -> BoxFuture<'a, Result<Vectors, Failure>> {
        Box::pin(async move {
            self.batches.lock().unwrap().push(call.inputs.len());
            let result = self.play().await;
            *self.play.lock().unwrap() = Play::Answer;
            result?;
            let vectors = vec![vec![1.0]; call.inputs.len()];
            Ok(Vectors { vectors, model: call.model.clone(), input_tokens: Some(2) })
        })
    }

    fn max_embed_inputs(&self) -> usize {
        2
    }
}

struct PlayedEvents(Play);

impl EventSource for PlayedEvents {
    fn next<'a>(&'a mut self, into: &'a mut Vec<StreamEvent>) -> BoxFuture<'a, Result<bool, Failure>> {
        Box::pin(async move {
            match self.0 {
                Play::FailBeforeContent(ms) => {
                    tokio::time::sleep(Duration::from_millis(ms)).await;
                    Err(GatewayError::provider_network("played", "reset").into())
                }
                Play::Late(ms) => {
                    tokio::time::sleep(Duration::from_millis(ms)).await;
                    into.push(StreamEvent::text("hi"));
                    self.0 = Play::Answer;
                    Ok(true)
                }
                _ => Ok(false),
            }
        })
    }
}

/// A pool of played providers, the first one first; `entries`: more fields of each entry.
struct Case {
    providers: Providers,
    decision: Decision,
    options: CallOptions,
}

fn pool(played: &[(&Arc<Played>, Value)], pool: Value) -> Case {
    let entry = |(priority, (played, fields)): (usize, &(&Arc<Played>, Value))| {
        let mut entry =
            json!({"name": played.name, "provider": "played", "models": ["m"], "priority": priority});
        entry.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let entry = serde_json::from_value(entry).unwrap();
        (played.name.to_owned(), Arc::new(ProviderEntry::new((*played).clone(), &entry)))
    };
    let providers: Providers = played.iter().enumerate().map(entry).collect();
    let members: Vec<_> = played.iter().map(|(played, _)| json!({"provider": played.name})).collect();
    let mut config = json!({"pool": members, "strategy": "priority"});
    config.as_object_mut().unwrap().extend(pool.as_object().unwrap().clone());
    let target = serde_json::from_value::<RouteTarget>(config).unwrap().pool.unwrap();
    let decision = Decision {
        rule: 0,
        provider: played[0].0.name.to_owned(),
        model: "m".into(),
        chain: None,
        pool: Some(Arc::new(RoutePool::new(
            &target,
            &providers,
            &Settings::default(),
            &PriceBook::default(),
        ))),
        hedge: None,
        excluded: Vec::new(),
    };
    Case { providers, decision, options: options() }
}

fn asking_for(model: Option<&str>) -> CallOptions {
    let request = json!({"messages": [{"role": "user", "content": "hi"}], "model": model}).to_string();
    let request = Arc::new(ChatRequest::from_json(&request).unwrap());
    CallOptions::new(request.clone(), Arc::new(PromptEstimate::new(request)))
}

fn options() -> CallOptions {
    let request = json!({"messages": [{"role": "user", "content": "hi"}]}).to_string();
    let request = Arc::new(ChatRequest::from_json(&request).unwrap());
    CallOptions::new(request.clone(), Arc::new(PromptEstimate::new(request)))
}

impl Case {
    fn with_budget(mut self, reserve: u64) -> Self {
        let config = gateway_model::config::RetryBudget { ratio: Some(0.0), reserve: Some(reserve) };
        self.options.retry_budget = Some(Arc::new(RetryBudget::new(&config)));
        self
    }

    /// Further attempts that are left in the retry budget.
    fn left(&self) -> usize {
        let budget = self.options.retry_budget.as_ref().unwrap();
        let tokens: Vec<_> = std::iter::from_fn(|| budget.withdraw()).collect();
        tokens.len()
    }

    async fn chat(&self) -> Result<Routed<Answer>, Failure> {
        run(&self.decision, &self.providers, &self.options, &Chat).await
    }

    async fn stream(&self) -> Result<Routed<Box<dyn EventSource>>, Failure> {
        run(&self.decision, &self.providers, &self.options, &Stream).await
    }
}

#[tokio::test(start_paused = true)]
async fn stream_that_fails_before_content_is_not_committed_to_its_provider() {
    let (a, b) = (Played::new("a", Play::FailBeforeContent(10)), Played::new("b", Play::Late(10)));
    let case = pool(&[(&a, json!({})), (&b, json!({}))], json!({}));
    let mut routed = case.stream().await.unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!((&*routed.entry, routed.fallback_from.as_deref()), ("b", Some("a")));
    let mut events = Vec::new();
    while routed.output.next(&mut events).await.unwrap() {}
    assert_eq!(events, [StreamEvent::text("hi")]);
}

#[tokio::test(start_paused = true)]
async fn open_stream_without_content_loses_to_a_hedge_that_has_some() {
    let (a, b) = (Played::new("a", Play::Late(10_000)), Played::new("b", Play::Late(10)));
    let mut case = pool(&[(&a, json!({})), (&b, json!({}))], json!({}));
    case.decision.hedge = Some(Hedge { after: Some(Duration::from_millis(50)), max_extra: 1 });
    let routed = case.stream().await.unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!((&*routed.entry, routed.hedge_losers.len()), ("b", 1));
}

#[tokio::test(start_paused = true)]
async fn stream_that_fails_before_content_is_retried() {
    let a = Played::retrying("a", Play::FailBeforeContent(10), 3);
    let case = pool(&[(&a, json!({}))], json!({}));
    assert!(case.stream().await.is_err());
    assert_eq!(a.sent(), 3);
}

#[tokio::test(start_paused = true)]
async fn provider_without_a_gateway_is_retried_and_committed_on_content() {
    let a = Played::retrying("a", Play::FailBeforeContent(10), 3);
    let call = options().provider_call("m".into(), None, None);
    assert!(direct::send(&Stream, &*a, &call).await.is_err());
    assert_eq!(a.sent(), 3);
}

#[tokio::test(start_paused = true)]
async fn not_sent_does_not_count_against_max_attempts() {
    let limited = json!({"rateLimit": {"requestsPerMinute": 1}});
    let a = Played::new("a", Play::Answer);
    let (b, c) = (Played::new("b", Play::Status(503)), Played::new("c", Play::Answer));
    let case = pool(&[(&a, limited), (&b, json!({})), (&c, json!({}))], json!({"maxAttempts": 2}));
    assert_eq!(case.chat().await.ok().unwrap().entry, "a");
    // The limit keeps "a" back: "b" and "c" are the two attempts.
    assert_eq!(case.chat().await.ok().unwrap().entry, "c");
    assert_eq!((a.sent(), b.sent(), c.sent()), (1, 1, 1));
    for hedge in [None, Some(Hedge { after: Some(Duration::from_secs(9)), max_extra: 2 })] {
        let (b, c) = (Played::new("b", Play::Status(503)), Played::new("c", Play::Answer));
        let limited = json!({"rateLimit": {"requestsPerMinute": 1}});
        let mut case = pool(&[(&a, limited), (&b, json!({})), (&c, json!({}))], json!({"maxAttempts": 1}));
        case.decision.hedge = hedge;
        assert_eq!(case.chat().await.ok().unwrap().entry, "a");
        // One turn comes back, and "b" takes it.
        assert!(case.chat().await.is_err());
        assert_eq!((b.sent(), c.sent()), (1, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn retry_token_of_an_attempt_that_a_limit_refused_pays_for_the_next() {
    let (a, b, c) =
        (Played::new("a", Play::Status(503)), Played::new("b", Play::Answer), Played::new("c", Play::Answer));
    let limited = json!({"rateLimit": {"requestsPerMinute": 1}});
    let case = pool(&[(&a, json!({})), (&b, limited), (&c, json!({}))], json!({})).with_budget(2);
    assert_eq!(case.chat().await.ok().unwrap().entry, "b");
    assert_eq!(case.left(), 1);
    assert_eq!(case.chat().await.ok().unwrap().entry, "c");
    assert_eq!(case.left(), 0);
}

#[tokio::test(start_paused = true)]
async fn retry_token_of_a_request_that_its_provider_cannot_write_pays_for_the_next() {
    let (a, b, c) =
        (Played::new("a", Play::Status(503)), Played::new("b", Play::Refuse), Played::new("c", Play::Answer));
    let case = pool(&[(&a, json!({})), (&b, json!({})), (&c, json!({}))], json!({})).with_budget(1);
    assert_eq!(case.chat().await.ok().unwrap().entry, "c");
    assert_eq!((case.left(), b.sent()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn retry_token_is_refunded_when_the_breaker_refuses_the_retry() {
    let a = Played::retrying("a", Play::Status(503), 5);
    let breaker = json!({"breaker": {"failureThreshold": 2}});
    let case = pool(&[(&a, breaker)], json!({})).with_budget(4);
    assert!(case.chat().await.is_err());
    assert_eq!((a.sent(), case.left()), (2, 3));
}

#[tokio::test(start_paused = true)]
async fn retry_token_of_a_hedge_that_was_not_sent_is_refunded_when_another_answers() {
    let (a, b) = (Played::new("a", Play::Answer), Played::new("b", Play::Hang));
    let queued = json!({"maxConcurrency": 1});
    let mut case = pool(&[(&a, json!({})), (&b, queued)], json!({})).with_budget(1);
    case.decision.hedge = Some(Hedge { after: Some(Duration::from_millis(50)), max_extra: 1 });
    *a.play.lock().unwrap() = Play::Late(1_000);
    let held = case.providers["b"].limits.admit("b", None, |_| 0, Default::default()).await.unwrap();
    let routed = case.stream().await.ok().unwrap();
    assert_eq!((&*routed.entry, routed.hedge_losers.len(), b.sent()), ("a", 0, 0));
    assert_eq!(case.left(), 1);
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn call_cancelled_in_flight_keeps_its_token_spent_and_its_target_free() {
    let (a, b) = (Played::new("a", Play::Status(503)), Played::new("b", Play::Hang));
    let case = pool(&[(&a, json!({})), (&b, json!({}))], json!({})).with_budget(1);
    let cancelled = tokio::time::timeout(Duration::from_secs(1), case.chat()).await;
    assert!(cancelled.is_err());
    assert_eq!((b.sent(), case.left()), (1, 0));
    assert_eq!(case.providers["b"].health.target("m").in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn embeddings_are_split_into_requests_and_each_is_retried_by_itself() {
    let a = Played::retrying("a", Play::Status(503), 2);
    let case = pool(&[(&a, json!({}))], json!({}));
    let inputs: Vec<String> = (0..5).map(|number| number.to_string()).collect();
    let texts = Embed { inputs: inputs.into(), dimensions: None };
    let routed = fallback::embed(&case.decision, &case.providers, &case.options, &texts).await.ok().unwrap();
    assert_eq!((routed.output.vectors.len(), routed.output.input_tokens), (5, Some(6)));
    assert_eq!(*a.batches.lock().unwrap(), [2, 2, 2, 1], "the first one was sent again");
}

#[tokio::test(start_paused = true)]
async fn degraded_reply_answers_after_the_last_failure() {
    let a = Played::new("a", Play::Status(503));
    let mut case = pool(&[(&a, json!({}))], json!({}));
    let chain = json!({"name": "c", "steps": [], "degradedReply": "later"});
    let chain: FallbackChain = serde_json::from_value(chain).unwrap();
    case.decision.chain = Some(Arc::new(chain));
    let routed = case.chat().await.ok().unwrap();
    assert_eq!((&*routed.output.content, routed.degraded, &*routed.entry), ("later", true, "a"));
    case.decision.chain = None;
    let failure = case.chat().await.err().unwrap();
    assert_eq!(failure.kind(), Some(ErrorKind::ProviderResponse));
}

fn chain(fields: Value) -> Option<Arc<FallbackChain>> {
    let mut chain = json!({"name": "c"});
    chain.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    Some(Arc::new(serde_json::from_value(chain).unwrap()))
}

/// A breaker that opens at the first failure, for so many seconds.
fn opening(seconds: u64) -> Value {
    json!({"breaker": {"failureThreshold": 1, "cooldownMs": seconds * 1_000, "halfOpenMaxRequests": 1}})
}

#[tokio::test(start_paused = true)]
async fn one_call_at_a_time_asks_the_first_to_recover_where_all_breakers_are_open() {
    let (a, b) = (Played::new("a", Play::Status(503)), Played::new("b", Play::Status(503)));
    let case = pool(&[(&a, opening(90)), (&b, opening(60))], json!({}));
    assert!(case.chat().await.is_err());
    assert_eq!((a.sent(), b.sent()), (1, 1));
    *b.play.lock().unwrap() = Play::Hang;
    let hanging = async { tokio::time::timeout(Duration::from_secs(1), case.chat()).await.is_err() };
    let refused = async {
        tokio::task::yield_now().await;
        case.chat().await.err().unwrap().kind()
    };
    assert_eq!(tokio::join!(hanging, refused), (true, Some(ErrorKind::ProviderUnavailable)));
    assert_eq!((a.sent(), b.sent()), (1, 2));
    *b.play.lock().unwrap() = Play::Answer;
    assert_eq!(case.chat().await.ok().unwrap().entry, "b");
    assert_eq!(case.chat().await.ok().unwrap().entry, "b", "its breaker has closed");

    let one = Played::new("one", Play::Status(503));
    let case = pool(&[(&one, opening(60))], json!({}));
    assert!(case.chat().await.is_err());
    assert_eq!(case.chat().await.err().unwrap().kind(), Some(ErrorKind::ProviderUnavailable));
    assert_eq!(one.sent(), 1);
}

#[tokio::test(start_paused = true)]
async fn open_breakers_of_a_pool_are_a_provider_error_to_its_chain() {
    for (when, answered) in [("timeout", None), ("rate_limit", None), ("provider_error", Some("c"))] {
        let (a, b) = (Played::new("a", Play::Status(503)), Played::new("b", Play::Status(503)));
        let c = Played::new("c", Play::Answer);
        let mut case =
            pool(&[(&a, opening(60)), (&b, opening(60)), (&c, json!({}))], json!({"maxAttempts": 2}));
        let members: Vec<_> = ["a", "b"].iter().map(|name| json!({"provider": name})).collect();
        let target: RouteTarget =
            serde_json::from_value(json!({"pool": members, "strategy": "priority"})).unwrap();
        let two =
            RoutePool::new(&target.pool.unwrap(), &case.providers, &Settings::default(), &Default::default());
        case.decision.pool = Some(Arc::new(two));
        assert!(case.chat().await.is_err());
        case.decision.chain = chain(json!({"steps": [{"provider": "c", "when": [when]}]}));
        let entry = case.chat().await.ok().map(|routed| routed.entry);
        assert_eq!(entry.as_deref(), answered, "{when}");
        assert_eq!((a.sent(), b.sent()), (1, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn steps_after_a_pool_take_nothing_from_the_retry_budget() {
    let (a, b) = (Played::new("a", Play::Status(503)), Played::retrying("b", Play::Status(503), 3));
    let mut case = pool(&[(&a, json!({})), (&b, json!({}))], json!({"maxAttempts": 1})).with_budget(0);
    case.decision.chain = chain(json!({"steps": [{"provider": "b"}]}));
    assert!(case.chat().await.is_err());
    assert_eq!((a.sent(), b.sent()), (1, 3));
    // Nor as hedges.
    let (a, b) = (Played::new("a", Play::Late(10_000)), Played::new("b", Play::Late(10)));
    let mut case = pool(&[(&a, json!({})), (&b, json!({}))], json!({"maxAttempts": 1})).with_budget(0);
    case.decision.chain = chain(json!({"steps": [{"provider": "b"}]}));
    case.decision.hedge = Some(Hedge { after: Some(Duration::from_millis(50)), max_extra: 1 });
    assert_eq!(case.stream().await.ok().unwrap().entry, "b");
}

#[tokio::test(start_paused = true)]
async fn a_model_that_is_not_there_rests_for_a_minute_and_its_target_does_not() {
    let (a, b) = (Played::new("a", Play::Status(404)), Played::new("b", Play::Answer));
    let models = json!({"models": ["m", "n"]});
    let mut case = pool(&[(&a, models.clone()), (&b, models)], json!({}));
    let asked = |case: &Case| case.options.request.model.clone();
    case.options = asking_for(Some("n"));
    assert_eq!(asked(&case).as_deref(), Some("n"));
    for _ in 0..3 {
        assert_eq!(case.chat().await.ok().unwrap().entry, "b");
    }
    assert_eq!(a.sent(), 1);
    *a.play.lock().unwrap() = Play::Answer;
    case.options = options();
    assert_eq!(case.chat().await.ok().unwrap().entry, "a", "its usual model is there");
    case.options = asking_for(Some("n"));
    assert_eq!(case.chat().await.ok().unwrap().entry, "b");
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(case.chat().await.ok().unwrap().entry, "a");
}

#[tokio::test(start_paused = true)]
async fn degraded_reply_answers_where_no_step_is_loaded() {
    let a = Played::new("a", Play::Answer);
    let mut case = pool(&[(&a, json!({}))], json!({}));
    case.decision.pool = None;
    case.decision.chain = chain(json!({"steps": [{"provider": "gone"}], "degradedReply": "later"}));
    let routed = case.chat().await.ok().unwrap();
    assert_eq!((&*routed.output.content, routed.degraded, &*routed.entry), ("later", true, "gone"));
    assert!(case.stream().await.ok().unwrap().degraded);
}

#[tokio::test(start_paused = true)]
async fn a_hedges_latency_counts_from_its_own_start() {
    let (a, b) = (Played::new("a", Play::Late(10_000)), Played::new("b", Play::Late(10)));
    let mut case = pool(&[(&a, json!({})), (&b, json!({}))], json!({}));
    case.decision.hedge = Some(Hedge { after: Some(Duration::from_millis(500)), max_extra: 1 });
    case.stream().await.ok().unwrap();
    let attempts = case.options.attempts.if_several();
    let latencies: Vec<_> =
        attempts.iter().map(|attempt| (&*attempt.provider, attempt.latency_ms / 10)).collect();
    assert_eq!(latencies, [("a", 51), ("b", 1)]);
}

#[test]
fn quality_is_that_of_the_model_that_is_asked() {
    let entry = |name: &str| {
        let entry = json!({"name": name, "provider": "played", "models": ["m", name]});
        let played = Played::new("p", Play::Answer);
        (name.to_owned(), Arc::new(ProviderEntry::new(played, &serde_json::from_value(entry).unwrap())))
    };
    let providers: Providers = ["a", "b"].map(entry).into_iter().collect();
    let target = json!({"pool": [{"provider": "a"}, {"provider": "b"}], "strategy": "hybrid",
        "weights": {"cost": 0, "latency": 0, "quality": 1}});
    let target: RouteTarget = serde_json::from_value(target).unwrap();
    let settings: Settings = serde_json::from_value(json!({"quality": {"m": 0.1, "b": 0.9}})).unwrap();
    let pool = RoutePool::new(&target.pool.unwrap(), &providers, &settings, &Default::default());
    let scores = |model| pool.scores(&asking_for(model));
    assert_eq!(scores(None), [0.0, 0.0], "both are asked for m");
    assert_eq!(scores(Some("b")), [1.0, 0.0], "b alone has the better model");
}
