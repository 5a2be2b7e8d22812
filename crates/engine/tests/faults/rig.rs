//! A gateway over scripted upstreams, its usage log, and the invariants that must hold once its calls are over.

use std::collections::{BTreeMap, HashSet};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, Once};
use std::task::Poll;
use std::time::Duration;

use gateway_engine::budget::{BudgetUsage, BudgetWarning};
use gateway_engine::config;
use gateway_engine::gateway::{CallContext, Gateway};
use gateway_engine::limits::Permit;
use gateway_engine::routing::health::{BreakerState, EntryReport};
use gateway_engine::routing::{ProviderEntry, Providers};
use gateway_engine::usage::Observer;
use gateway_model::config::GatewayConfig;
use gateway_model::{AnswerBuilder, ChatRequest, GatewayResponse, UsageLog, Usd};
use gateway_model::{Failure, GatewayError};
use gateway_pricing::{ModelPricing, register_model_pricing};
use gateway_providers::{ProviderEnv, build};
use gateway_transport::NetworkSettings;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::upstream::{ANSWER_TEXT, Upstream};

pub const MODEL: &str = "faults-model";
/// Far longer than any test takes; a wait that reaches it has failed.
const GIVE_UP_AFTER: Duration = Duration::from_secs(30);

#[derive(Default)]
pub struct Log(Mutex<Vec<UsageLog>>);

impl Observer for Log {
    fn usage(&self, entry: UsageLog) {
        self.0.lock().unwrap().push(entry);
    }

    fn warning(&self, _: BudgetWarning) {}
}

impl Log {
    pub fn entries(&self) -> Vec<UsageLog> {
        self.0.lock().unwrap().clone()
    }

    /// The entries of calls, then those of hedge losers.
    /// Entries of calls, and of hedge losers; neither has those of attempts that failed while their call went on.
    pub fn calls_and_hedge_losers(&self) -> (Vec<UsageLog>, Vec<UsageLog>) {
        let is = |entry: &UsageLog, code| entry.call.error_code.as_deref() == Some(code);
        let entries = self.entries().into_iter().filter(|entry| !is(entry, "ATTEMPT_FAILED"));
        entries.partition(|entry| !is(entry, "HEDGE_LOST"))
    }
}

#[derive(Clone)]
pub struct Rig {
    pub gateway: Arc<Gateway>,
    pub log: Arc<Log>,
    providers: Providers,
}

/// A provider entry for a server; `fields` replace or add.
pub fn entry(name: &str, server: &Upstream, fields: Value) -> Value {
    let mut entry = json!({
        "name": name, "provider": "openai", "baseUrl": server.url, "models": [MODEL], "timeoutMs": 20_000,
        "auth": {"type": "none"},
    });
    entry.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    entry
}

/// A budget that no call comes near.
pub fn wide_budget() -> Value {
    json!([{"name": "wide", "scope": {"type": "global"}, "window": "day", "enforcement": "hard",
        "limits": {"maxTotalTokens": 1_000_000_000u64, "maxCostUsd": 1e6}}])
}

pub fn parse(raw: &Value) -> (Providers, GatewayConfig) {
    let config = config::parse(raw).unwrap();
    let var = |name: &str| (name.len() == 1).then(|| format!("sk-{name}-0123456789"));
    let load = |entry: &gateway_model::config::ProviderConfig| {
        let env = ProviderEnv { var: &var, network: NetworkSettings::default() };
        let provider = build(&entry.provider, entry, &env).unwrap().unwrap();
        (entry.name.clone(), Arc::new(ProviderEntry::new(provider, entry)))
    };
    (config.providers.iter().map(load).collect(), config)
}

impl Rig {
    /// A gateway whose only rule has this target; `fields` replace or add fields of the configuration.
    pub fn new(entries: &[Value], target: Value, fields: Value) -> Self {
        Self::with_hedge(entries, target, Value::Null, fields)
    }

    /// As [`Rig::new`], with `hedge` for the rule.
    pub fn with_hedge(entries: &[Value], target: Value, hedge: Value, fields: Value) -> Self {
        let mut raw = raw_config(entries, target);
        if !hedge.is_null() {
            raw["routes"][0]["hedge"] = hedge;
        }
        raw.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        Self::from_config(&raw)
    }

    pub fn from_config(raw: &Value) -> Self {
        static PRICES: Once = Once::new();
        PRICES.call_once(|| {
            let pricing = ModelPricing { input_per_1k_tokens: 0.000_15, output_per_1k_tokens: 0.000_6 };
            register_model_pricing(MODEL, pricing);
        });
        let (providers, config) = parse(raw);
        let GatewayConfig { routes, fallback_chains, budgets, settings, .. } = config;
        let gateway = Gateway::with_settings(providers.clone(), routes, fallback_chains, budgets, &settings);
        Self { gateway: Arc::new(gateway), log: Arc::default(), providers }
    }

    /// The gateway after a reload with another configuration; it writes to the same log.
    pub fn reload_with(&self, raw: &Value) -> Self {
        let (providers, config) = parse(raw);
        let GatewayConfig { routes, fallback_chains, budgets, settings, .. } = config;
        let gateway = Gateway::reload_from(
            &self.gateway,
            providers.clone(),
            routes,
            fallback_chains,
            budgets,
            &settings,
        );
        Self { gateway: Arc::new(gateway), log: self.log.clone(), providers }
    }

    pub fn context(&self, cancel: &CancellationToken) -> CallContext {
        CallContext {
            observer: self.log.clone(),
            gateway_observer: self.log.clone(),
            cancel: cancel.clone(),
            caller: None,
        }
    }

    pub async fn call(&self, request: Value, stream: bool) -> Result<GatewayResponse, GatewayError> {
        self.call_until(request, stream, &CancellationToken::new()).await
    }

    /// Makes a call and reads it to its end.
    pub async fn call_until(
        &self,
        request: Value,
        stream: bool,
        cancel: &CancellationToken,
    ) -> Result<GatewayResponse, GatewayError> {
        let request = ChatRequest::from_json(&request.to_string()).unwrap();
        let context = self.context(cancel);
        if !stream {
            return self.gateway.chat(request, context).await.map_err(error);
        }
        let mut stream = self.gateway.chat_stream(request, context).await.map_err(error)?;
        let mut events = Vec::new();
        while stream.next(&mut events).await.map_err(error)? {}
        let summary = stream.summary();
        let read = events.iter().collect::<AnswerBuilder>().finish();
        assert_eq!(read.content, summary.answer.content);
        Ok(summary)
    }

    /// Makes `calls` calls, `at_once` of them concurrently; every other one is a stream.
    pub async fn load(&self, calls: usize, at_once: usize) -> Tally {
        let next = Arc::new(AtomicUsize::new(0));
        let mut workers = JoinSet::new();
        for _ in 0..at_once {
            let (rig, next) = (self.clone(), next.clone());
            workers.spawn(async move {
                let mut tally = Tally::default();
                loop {
                    let number = next.fetch_add(1, SeqCst);
                    if number >= calls {
                        return tally;
                    }
                    tally.count(rig.call(request(&format!("call {number}")), number % 2 == 1).await);
                }
            });
        }
        let mut all = Tally::default();
        for tally in tokio::time::timeout(GIVE_UP_AFTER * 3, workers.join_all()).await.unwrap() {
            all.answered += tally.answered;
            all.failed.extend(tally.failed);
            all.ids.extend(tally.ids);
        }
        all
    }

    pub fn health(&self, name: &str) -> EntryReport {
        self.gateway.health().into_iter().find(|report| report.provider == name).unwrap()
    }

    pub fn state(&self, name: &str) -> BreakerState {
        self.health(name).state
    }

    /// Takes one of an entry's concurrency permits, which is held until the returned value is dropped.
    pub async fn take_permit(&self, name: &str) -> Permit {
        self.providers[name].limits.admit(name, None, |_| 0, Default::default()).await.unwrap().unwrap()
    }

    /// Describes the first permit, shared call or reservation that is still held.
    fn first_leak(&self) -> Option<String> {
        for report in self.gateway.health() {
            if report.in_flight > 0 {
                return Some(format!("{} in flight at {}", report.in_flight, report.provider));
            }
        }
        for (name, loaded) in &self.providers {
            if let Some(limit) = loaded.limits.concurrency()
                && limit.in_flight() + limit.waiting() > 0
            {
                return Some(format!("{} permits of {name}, {} wait", limit.in_flight(), limit.waiting()));
            }
        }
        if self.gateway.flights() > 0 {
            return Some(format!("{} shared calls", self.gateway.flights()));
        }
        let reserved = self.gateway.budgets().reserved().into_iter();
        reserved.filter(|(_, held)| *held != BudgetUsage::default()).map(|held| format!("{held:?}")).next()
    }

    /// Waits until no permit, shared call or reservation is held: cancelled tasks may need a moment to end.
    pub async fn assert_idle(&self) {
        let idle = wait_until(|| self.first_leak().is_none());
        assert!(
            tokio::time::timeout(GIVE_UP_AFTER, idle).await.is_ok(),
            "still held: {:?}",
            self.first_leak()
        );
    }

    /// Each call has exactly one entry in the usage log, and budgets have counted what the entries say.
    pub fn assert_one_entry_per_call(&self, calls: usize) {
        let (entries, _) = self.log.calls_and_hedge_losers();
        let ids: HashSet<_> = entries.iter().map(|entry| &entry.figures.request_id).collect();
        assert_eq!((entries.len(), ids.len()), (calls, calls), "entries and ids for {calls} calls");
        let all = self.log.entries();
        let sum = |of: fn(&UsageLog) -> u64| all.iter().map(of).sum::<u64>();
        for (policy, spent) in self.gateway.budgets().spent() {
            let cost: Usd = all.iter().map(|entry| Usd::from_dollars(entry.figures.estimated_cost_usd)).sum();
            let logged = BudgetUsage {
                input_tokens: sum(|entry| entry.figures.input_tokens),
                output_tokens: sum(|entry| entry.figures.output_tokens),
                cost,
            };
            assert_eq!(spent, logged, "{policy}");
        }
    }
}

pub fn raw_config(entries: &[Value], target: Value) -> Value {
    json!({
        "providers": entries,
        "routes": [{"name": "all", "match": {}, "target": target}],
        "budgets": [], "settings": {},
    })
}

pub fn request(text: &str) -> Value {
    json!({"messages": [{"role": "user", "content": text}], "maxTokens": 50})
}

pub fn error(failure: Failure) -> GatewayError {
    match failure {
        Failure::Gateway(error) => *error,
        Failure::Foreign(error) => panic!("{error:?}"),
    }
}

/// The outcomes of many calls.
#[derive(Debug, Default)]
pub struct Tally {
    pub answered: usize,
    /// Error codes.
    pub failed: Vec<String>,
    ids: HashSet<String>,
}

impl Tally {
    fn count(&mut self, result: Result<GatewayResponse, GatewayError>) {
        let id = match result {
            Ok(response) => {
                assert_eq!(response.answer.content, ANSWER_TEXT);
                self.answered += 1;
                response.figures.request_id
            }
            Err(error) => {
                self.failed.push(error.code.to_string());
                error.request_id.unwrap()
            }
        };
        assert!(self.ids.insert(id), "a request id came twice");
    }
}

/// How often each error code occurred.
pub fn count_codes(failed: &[String]) -> BTreeMap<&str, usize> {
    let mut codes = BTreeMap::new();
    for code in failed {
        *codes.entry(&**code).or_default() += 1;
    }
    codes
}

pub async fn wait_until(what: impl Fn() -> bool) {
    let wait = async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(tokio::time::timeout(GIVE_UP_AFTER, wait).await.is_ok(), "the condition never held");
}

pub type StartedCall<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Polls each future once, in order: each has started and waits.
pub async fn start_all<T, F>(futures: impl IntoIterator<Item = F>) -> Vec<StartedCall<T>>
where
    F: Future<Output = T> + Send + 'static,
{
    let mut started: Vec<StartedCall<T>> = Vec::new();
    for future in futures {
        let mut future: StartedCall<T> = Box::pin(future);
        poll_fn(|context| {
            assert!(future.as_mut().poll(context).is_pending());
            Poll::Ready(())
        })
        .await;
        started.push(future);
    }
    started
}
