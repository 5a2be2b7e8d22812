//! Budget invariants: whatever the outcomes of a gateway's calls and their order, in the end no reservation is held and
//! the budgets have counted exactly what the usage log says.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::HashSet;
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use futures::future::BoxFuture;
use gateway_engine::budget::{BudgetUsage, BudgetWarning};
use gateway_engine::gateway::{CallContext, CloseReason, Gateway, GatewayStream};
use gateway_engine::routing::{ProviderEntry, Providers};
use gateway_engine::usage::Observer;
use gateway_model::config::{BudgetPolicy, FallbackChain, RouteRule};
use gateway_model::error::ForeignError;
use gateway_model::{Answer, ChatRequest, FinishReason, StreamEvent, TextChunk, TokenUsage, UsageLog, Usd};
use gateway_model::{ErrorKind, Failure, GatewayError};
use gateway_model::{EventSource, OpenedStream, Provider, ProviderCall};
use gateway_pricing::{ModelPricing, register_model_pricing};
use proptest::prelude::*;
use serde_json::json;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// The input tokens of every call.
const PROMPT: u64 = 7;
const MODELS: [&str; 2] = ["invariant-cheap", "invariant-dear"];
const TIERS: [&str; 2] = ["free", "pro"];
const FEATURES: [&str; 2] = ["search", "write"];

/// How an attempt ends, or a stream after its scripted chunks.
#[derive(Debug, Clone, Copy)]
enum Fate {
    /// Succeeds, with token counts or without.
    Done(Option<(u64, u64)>),
    Fail,
    Throw,
    Hang,
    Panic,
}

/// What the providers do with one call.
#[derive(Debug, Clone)]
struct Script {
    /// How the first provider opens, and how the second step of the chain does.
    opening: [Fate; 2],
    /// Chunks of a stream, each with the counts so far or without.
    chunks: Vec<Option<u64>>,
    ending: Fate,
    /// Milliseconds before the opening and each chunk.
    pace: u64,
}

/// How the caller behaves.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Caller {
    Wait,
    /// Aborts its signal after so many milliseconds.
    Cancel(u64),
    /// Drops the call's future after so many milliseconds, as when its thread ends.
    Drop(u64),
    /// Closes the stream after so many events.
    Close(usize),
    /// Drops the stream after so many events, without closing it.
    DropStream(usize),
}

#[derive(Debug, Clone)]
struct Plan {
    script: Script,
    caller: Caller,
    /// Milliseconds after the start.
    at: u64,
    streams: bool,
    route: Route,
    model: usize,
    tier: usize,
    feature: usize,
    max_tokens: Option<u64>,
}

/// How a call comes to its provider. `Dearer*`: whoever is asked after the first has the dear model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route {
    Alone,
    Chain,
    DearerChain,
    DearerPool,
    /// The second is asked as well when the first takes long.
    DearerHedge,
}

impl Route {
    fn task_type(self) -> &'static str {
        match self {
            Self::Alone => "alone",
            Self::Chain => "chain",
            Self::DearerChain => "dearer chain",
            Self::DearerPool => "dearer pool",
            Self::DearerHedge => "dearer hedge",
        }
    }
}

/// A provider that follows the script of each call.
struct Scripted {
    step: usize,
    scripts: Arc<Vec<Script>>,
}

async fn end_with(fate: Fate) -> Result<Option<TokenUsage>, Failure> {
    match fate {
        Fate::Done(usage) => Ok(usage.map(|(input, output)| TokenUsage::new(input, output))),
        Fate::Fail => Err(GatewayError::provider_response("scripted", 500, "failed").into()),
        Fate::Throw => {
            Err(Failure::Foreign(ForeignError { message: "thrown".into(), ..ForeignError::default() }))
        }
        Fate::Hang => std::future::pending().await,
        // Panics without a message on stderr.
        Fate::Panic => std::panic::resume_unwind(Box::new("scripted")),
    }
}

/// Real providers never exceed `max_tokens`.
fn within_cap(usage: TokenUsage, call: &ProviderCall) -> TokenUsage {
    TokenUsage { output: usage.output.min(call.max_tokens.unwrap_or(u64::MAX)), ..usage }
}

impl Provider for Scripted {
    fn name(&self) -> &str {
        ["first", "second"][self.step]
    }

    fn family(&self) -> &str {
        "scripted"
    }

    fn chat<'a>(&'a self, call: &'a ProviderCall) -> BoxFuture<'a, Result<Answer, Failure>> {
        Box::pin(async move {
            let script = &self.scripts[call.request.js_call_id as usize];
            sleep(Duration::from_millis(script.pace)).await;
            let usage = end_with(script.opening[self.step]).await?;
            Ok(Answer {
                content: "word ".repeat(script.chunks.len()),
                model: call.model.clone(),
                usage: usage.map(|usage| within_cap(usage, call)),
                ..Answer::default()
            })
        })
    }

    fn open_stream<'a>(&'a self, call: &'a ProviderCall) -> BoxFuture<'a, Result<OpenedStream, Failure>> {
        Box::pin(async move {
            let script = self.scripts[call.request.js_call_id as usize].clone();
            sleep(Duration::from_millis(script.pace)).await;
            end_with(script.opening[self.step]).await?;
            Ok(OpenedStream::new(ScriptedEvents { script, call: call.clone(), sent: 0 }))
        })
    }
}

struct ScriptedEvents {
    script: Script,
    call: ProviderCall,
    sent: usize,
}

impl EventSource for ScriptedEvents {
    fn next<'a>(&'a mut self, into: &'a mut Vec<StreamEvent>) -> BoxFuture<'a, Result<bool, Failure>> {
        Box::pin(async move {
            sleep(Duration::from_millis(self.script.pace)).await;
            let Some(&output) = self.script.chunks.get(self.sent) else {
                let usage = end_with(self.script.ending).await?;
                into.push(StreamEvent::finish(FinishReason::Word("stop".into())));
                into.extend(usage.map(|usage| StreamEvent::Usage(within_cap(usage, &self.call))));
                return Ok(false);
            };
            self.sent += 1;
            let usage = output.map(|output| within_cap(TokenUsage::new(PROMPT, output), &self.call));
            into.push(StreamEvent::Text(TextChunk {
                delta: "word ".to_owned(),
                model: Some(self.call.model.clone()),
                ..TextChunk::default()
            }));
            into.extend(usage.map(StreamEvent::Usage));
            Ok(true)
        })
    }
}

#[derive(Default)]
struct RecordedLog {
    entries: Mutex<Vec<UsageLog>>,
}

impl Observer for RecordedLog {
    fn usage(&self, entry: UsageLog) {
        self.entries.lock().unwrap().push(entry);
    }

    fn warning(&self, _: BudgetWarning) {}
}

fn prices() {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| {
        for (model, price) in MODELS.into_iter().zip([0.000_15, 0.017]) {
            let pricing = ModelPricing { input_per_1k_tokens: price, output_per_1k_tokens: price * 4.0 };
            register_model_pricing(model, pricing);
        }
    });
}

fn gateway(scripts: Arc<Vec<Script>>, budgets: &[BudgetPolicy]) -> Gateway {
    let entry = json!({"name": "scripted", "provider": "scripted", "models": MODELS});
    let entry = serde_json::from_value(entry).unwrap();
    let loaded =
        |step| Arc::new(ProviderEntry::new(Arc::new(Scripted { step, scripts: scripts.clone() }), &entry));
    let providers: Providers = [("first".to_owned(), loaded(0)), ("second".to_owned(), loaded(1))].into();
    let dearer_pool = json!({"strategy": "priority",
        "pool": [{"provider": "first"}, {"provider": "second", "model": MODELS[1]}]});
    let rules: Vec<RouteRule> = serde_json::from_value(json!([
        {"name": "chain", "priority": 1, "match": {"taskType": "chain"}, "target": {"provider": "first", "fallbackChain": "both"}},
        {"name": "dearer chain", "priority": 1, "match": {"taskType": "dearer chain"}, "target": {"provider": "first", "fallbackChain": "dearer"}},
        {"name": "dearer pool", "priority": 1, "match": {"taskType": "dearer pool"}, "target": dearer_pool},
        {"name": "dearer hedge", "priority": 1, "match": {"taskType": "dearer hedge"}, "target": dearer_pool, "hedge": {"afterMs": 3}},
        {"name": "alone", "match": {}, "target": {"provider": "first"}},
    ]))
    .unwrap();
    let chains: Vec<FallbackChain> = serde_json::from_value(json!([
        {"name": "both", "steps": [{"provider": "first"}, {"provider": "second"}]},
        {"name": "dearer", "steps": [{"provider": "first"}, {"provider": "second", "model": MODELS[1]}]},
    ]))
    .unwrap();
    Gateway::new(providers, rules, chains, budgets.to_vec())
}

fn request(index: usize, plan: &Plan) -> ChatRequest {
    let request = json!({
        "messages": [{"role": "user", "content": "hi"}],
        "model": MODELS[plan.model], "userTier": TIERS[plan.tier], "feature": FEATURES[plan.feature],
        "maxTokens": plan.max_tokens, "taskType": plan.route.task_type(),
    });
    ChatRequest {
        js_call_id: u32::try_from(index).unwrap(),
        ..ChatRequest::from_json(&request.to_string()).unwrap()
    }
}

/// Reads the stream as the caller of the plan does, then drops it.
async fn read(mut stream: GatewayStream, caller: Caller) -> Result<(), Failure> {
    let mut events = Vec::new();
    loop {
        match caller {
            Caller::Close(after) if events.len() >= after => {
                stream.close(CloseReason::ReaderLeft).await;
                stream.summary();
                return Ok(());
            }
            Caller::DropStream(after) if events.len() >= after => return Ok(()),
            _ => {}
        }
        if !stream.next(&mut events).await? {
            return Ok(());
        }
    }
}

/// Makes the planned call. `None`: a budget refused it, so that nothing is logged, or refused what came after a failure.
async fn run(gateway: Arc<Gateway>, index: usize, plan: Plan, log: Arc<RecordedLog>) -> Option<()> {
    sleep(Duration::from_millis(plan.at)).await;
    let cancel = CancellationToken::new();
    let context =
        CallContext { observer: log.clone(), gateway_observer: log, cancel: cancel.clone(), caller: None };
    let caller = plan.caller;
    let (request, streams) = (request(index, &plan), plan.streams);
    // A task of its own, so that a panic ends no other call.
    let mut call = tokio::spawn(async move {
        if streams {
            read(gateway.chat_stream(request, context).await?, caller).await
        } else {
            gateway.chat(request, context).await.map(|_| ())
        }
    });
    // A script may hang: every caller gives up in the end.
    let give_up_after = match caller {
        Caller::Cancel(after) | Caller::Drop(after) => after,
        _ => 500,
    };
    let result = match tokio::time::timeout(Duration::from_millis(give_up_after), &mut call).await {
        Ok(result) => result,
        Err(_) => {
            if matches!(caller, Caller::Drop(_)) {
                call.abort();
            } else {
                cancel.cancel();
            }
            call.await
        }
    };
    match result {
        Ok(Err(failure)) if failure.kind() == Some(ErrorKind::BudgetExceeded) => None,
        _ => Some(()),
    }
}

fn applies(policy: &BudgetPolicy, entry: &UsageLog) -> bool {
    use gateway_model::config::ScopeKind::{Feature, Global, Key, Model, Provider, Team, User, UserId};
    let value = match policy.scope.kind {
        Global => return true,
        User => entry.call.labels.user_tier.as_deref(),
        Feature => entry.call.labels.feature.as_deref(),
        Model => Some(entry.figures.model.as_str()),
        Provider => Some(entry.figures.provider.as_str()),
        UserId | Key | Team => None,
    };
    policy.scope.key.is_none() || policy.scope.key.as_deref() == value
}

fn sum<'a>(entries: impl Iterator<Item = &'a UsageLog>) -> BudgetUsage {
    entries.fold(BudgetUsage::default(), |sum, entry| BudgetUsage {
        input_tokens: sum.input_tokens + entry.figures.input_tokens,
        output_tokens: sum.output_tokens + entry.figures.output_tokens,
        cost: sum.cost + Usd::from_dollars(entry.figures.estimated_cost_usd),
    })
}

fn check(plans: Vec<Plan>, budgets: &[BudgetPolicy]) -> Result<(), TestCaseError> {
    prices();
    let scripts = Arc::new(plans.iter().map(|plan| plan.script.clone()).collect::<Vec<_>>());
    let gateway = Arc::new(gateway(scripts, budgets));
    let log = Arc::new(RecordedLog::default());
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let admitted = runtime.block_on(async {
        let calls: Vec<_> = plans
            .into_iter()
            .enumerate()
            .map(|(index, plan)| tokio::spawn(run(gateway.clone(), index, plan, log.clone())))
            .collect();
        let mut admitted = 0;
        for call in calls {
            admitted += usize::from(call.await.unwrap().is_some());
        }
        // What hedge losers come to is counted apart from their calls.
        let _ = gateway.close(Duration::from_secs(1)).await;
        admitted
    });

    let entries = log.entries.lock().unwrap();
    let has_code = |entry: &&UsageLog, code: &str| entry.call.error_code.as_deref() == Some(code);
    let calls: Vec<&UsageLog> = entries.iter().filter(|entry| !has_code(entry, "HEDGE_LOST")).collect();
    let refused_late = calls.iter().filter(|entry| has_code(entry, "BUDGET_EXCEEDED")).count();
    prop_assert_eq!(calls.len(), admitted + refused_late, "one entry for each call that was admitted");
    let ids: HashSet<&str> = calls.iter().map(|entry| entry.figures.request_id.as_str()).collect();
    prop_assert_eq!(ids.len(), calls.len());
    for (name, reserved) in gateway.budgets().reserved() {
        prop_assert_eq!(reserved, BudgetUsage::default(), "{} holds something", name);
    }
    let spent = gateway.budgets().spent();
    prop_assert_eq!(spent.len(), budgets.len());
    for (policy, (name, spent)) in budgets.iter().zip(spent) {
        prop_assert_eq!(&policy.name, &name);
        let logged = sum(entries.iter().filter(|entry| applies(policy, entry)));
        prop_assert_eq!(spent, logged, "{}", name);
        check_strict(policy, &entries)?;
    }
    Ok(())
}

/// A strict budget never exceeds its limit.
fn check_strict(policy: &BudgetPolicy, entries: &[UsageLog]) -> Result<(), TestCaseError> {
    if policy.enforcement != gateway_model::config::Enforcement::Strict {
        return Ok(());
    }
    // A scope without a key counts each value on its own.
    let values = |entry: &UsageLog| {
        let labels = &entry.call.labels;
        let figures = &entry.figures;
        (labels.user_tier.clone(), labels.feature.clone(), figures.model.clone(), figures.provider.clone())
    };
    let counted_together = |a: &UsageLog, b: &UsageLog| {
        use gateway_model::config::ScopeKind::{Feature, Global, Key, Model, Provider, Team, User, UserId};
        let (a, b) = (values(a), values(b));
        match policy.scope.kind {
            Global => true,
            User => a.0 == b.0,
            Feature => a.1 == b.1,
            Model => a.2 == b.2,
            Provider => a.3 == b.3,
            UserId | Key | Team => true,
        }
    };
    for entry in entries.iter().filter(|entry| applies(policy, entry)) {
        let used = sum(entries.iter().filter(|other| counted_together(entry, other)));
        if let Some(limit) = policy.limits.max_total_tokens {
            prop_assert!(used.input_tokens + used.output_tokens <= limit, "{}: {:?}", policy.name, used);
        }
        if let Some(limit) = policy.limits.max_cost_usd {
            prop_assert!(used.cost <= Usd::from_dollars(limit), "{}: {:?}", policy.name, used);
        }
    }
    Ok(())
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        4 => (0..=PROMPT, 0..200u64).prop_map(|counts| Fate::Done(Some(counts))),
        1 => Just(Fate::Done(None)),
        2 => Just(Fate::Fail),
        1 => Just(Fate::Throw),
        1 => Just(Fate::Hang),
        1 => Just(Fate::Panic),
    ]
}

fn caller() -> impl Strategy<Value = Caller> {
    prop_oneof![
        4 => Just(Caller::Wait),
        1 => (0..40u64).prop_map(Caller::Cancel),
        1 => (1..40u64).prop_map(Caller::Drop),
        1 => (0..8usize).prop_map(Caller::Close),
        1 => (0..8usize).prop_map(Caller::DropStream),
    ]
}

prop_compose! {
    fn script()(
        opening in [fate(), fate()],
        chunks in prop::collection::vec(prop::option::of(0..50u64), 0..8),
        ending in fate(),
        pace in 0..8u64,
    ) -> Script {
        Script { opening, chunks, ending, pace }
    }
}

fn route() -> impl Strategy<Value = Route> {
    prop::sample::select(vec![
        Route::Alone,
        Route::Chain,
        Route::DearerChain,
        Route::DearerPool,
        Route::DearerHedge,
    ])
}

prop_compose! {
    fn plan()(
        script in script(),
        caller in caller(),
        at in 0..60u64,
        streams in any::<bool>(),
        route in route(),
        (model, tier, feature) in (0..2usize, 0..2usize, 0..2usize),
        // More tokens than eight words have.
        max_tokens in prop::option::of(30..300u64),
    ) -> Plan {
        Plan { script, caller, at, streams, route, model, tier, feature, max_tokens }
    }
}

fn budget() -> impl Strategy<Value = serde_json::Value> {
    let scope = prop_oneof![
        Just(json!({"type": "global"})),
        Just(json!({"type": "user"})),
        Just(json!({"type": "user", "key": "free"})),
        Just(json!({"type": "feature"})),
        Just(json!({"type": "feature", "key": "write"})),
        Just(json!({"type": "model"})),
        Just(json!({"type": "model", "key": "invariant-dear"})),
        Just(json!({"type": "provider"})),
        Just(json!({"type": "provider", "key": "second"})),
    ];
    // From limits that the first call exceeds to limits that no call reaches.
    let limits = prop_oneof![
        (50..5_000u64).prop_map(|limit| json!({"maxTotalTokens": limit})),
        (1..200u64).prop_map(|limit| json!({"maxCostUsd": limit as f64 / 1e3, "warnAt": 0.5})),
        Just(json!({"maxTotalTokens": 1_000_000_000u64, "maxInputTokens": 1_000_000_000u64})),
    ];
    let window = prop::sample::select(vec!["hour", "day", "month"]);
    let enforcement = prop::sample::select(vec!["soft", "hard", "strict"]);
    (scope, limits, window, enforcement).prop_map(|(scope, limits, window, enforcement)| {
        json!({
            "scope": scope, "limits": limits, "window": window, "enforcement": enforcement,
            "maxOutputTokensPerCall": 40,
        })
    })
}

fn named(budgets: Vec<serde_json::Value>) -> Vec<BudgetPolicy> {
    let name = |(index, mut policy): (usize, serde_json::Value)| {
        policy["name"] = format!("policy {index}").into();
        serde_json::from_value(policy).unwrap()
    };
    budgets.into_iter().enumerate().map(name).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn budgets_match_the_usage_log_and_release_every_reservation(
        plans in prop::collection::vec(plan(), 1..30),
        budgets in prop::collection::vec(budget(), 1..4),
    ) {
        check(plans, &named(budgets))?;
    }
}

fn plan_of(opening: Fate, ending: Fate, caller: Caller, streams: bool) -> Plan {
    let script = Script { opening: [opening; 2], chunks: vec![None; 3], ending, pace: 1 };
    Plan {
        script,
        caller,
        at: 0,
        streams,
        route: Route::Alone,
        model: 0,
        tier: 0,
        feature: 0,
        max_tokens: Some(100),
    }
}

/// The tokens that calls in flight have reserved.
async fn reserved_tokens(gateway: &Gateway) -> u64 {
    sleep(Duration::from_millis(20)).await;
    let (_, reserved) = gateway.budgets().reserved()[0];
    reserved.input_tokens + reserved.output_tokens
}

#[tokio::test(start_paused = true)]
async fn reservation_is_held_exactly_as_long_as_its_call_lasts() {
    prices();
    let done = Fate::Done(Some((5, 5)));
    let ways = [
        ("cancelled", plan_of(Fate::Hang, done, Caller::Cancel(50), false)),
        ("dropped", plan_of(Fate::Hang, done, Caller::Drop(50), false)),
        ("cancelled stream", plan_of(done, Fate::Hang, Caller::Cancel(50), true)),
        ("dropped stream", plan_of(done, Fate::Hang, Caller::Drop(50), true)),
        ("opening stream", plan_of(Fate::Hang, done, Caller::Drop(50), true)),
    ];
    for (way, plan) in ways {
        let budgets = named(vec![json!({
            "scope": {"type": "global"}, "window": "day", "limits": {"maxTotalTokens": 1_000_000}, "enforcement": "hard",
        })]);
        let gateway = Arc::new(gateway(Arc::new(vec![plan.script.clone()]), &budgets));
        let log = Arc::new(RecordedLog::default());
        let running = tokio::spawn(run(gateway.clone(), 0, plan, log.clone()));
        assert!(reserved_tokens(&gateway).await >= 100, "{way}");
        running.await.unwrap();
        assert_eq!(reserved_tokens(&gateway).await, 0, "{way}");
        assert_eq!(log.entries.lock().unwrap().len(), 1, "{way}");
    }
}
