//! The class behind JavaScript's `Gateway`.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use napi_derive::napi;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::bridge::Bridge;
use super::calls::{Calls, GatewayObserver};
use super::errors::settled;
use super::protocol::message;
use super::provider::ProviderTable;
use super::runtime::runtime;
use super::stores;
use super::stream::{IDLE_LIMIT, drive};
use gateway_engine::gateway::{CallContext, Gateway, new_request_id, unless_cancelled};
use gateway_engine::usage::Observer;
use gateway_model::config::GatewayConfig;
use gateway_model::error::GatewayError;
use gateway_model::{ChatRequest, EmbedRequest};

#[napi]
pub struct NativeGateway {
    current: RwLock<Current>,
    /// The JS layer's number for the handlers of its log.
    logger: u32,
}

/// A gateway, and how long each of its providers keeps an unread stream.
#[derive(Clone)]
struct Current {
    gateway: Arc<Gateway>,
    idle: Arc<HashMap<String, Duration>>,
}

impl Current {
    fn new(gateway: Gateway, table: &ProviderTable) -> napi::Result<Self> {
        let gateway = Arc::new(gateway);
        let checks = gateway.checks();
        if !checks.is_empty() {
            let runtime = runtime()?;
            checks.into_iter().for_each(|check| drop(runtime.spawn(check)));
        }
        Ok(Self { gateway, idle: Arc::new(table.idle.clone()) })
    }
}

fn context(
    calls: &Arc<Calls>,
    logger: u32,
    observer: Arc<dyn Observer>,
    cancel: &CancellationToken,
) -> CallContext {
    let gateway_observer = Arc::new(GatewayObserver { calls: calls.clone(), logger });
    CallContext { observer, gateway_observer, cancel: cancel.clone(), caller: None }
}

fn read_config(config: &str, strategies: &[String]) -> napi::Result<GatewayConfig> {
    let config = serde_json::from_str(config).map_err(|error| napi::Error::from_reason(error.to_string()))?;
    gateway_engine::config::parse_gateway(&config, strategies)
        .map_err(|error| napi::Error::from_reason(error.message))
}

impl NativeGateway {
    fn current(&self) -> Current {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[derive(Default, Deserialize)]
struct ListOptions {
    refresh: Option<bool>,
}

fn read_request(id: u32, request: &str) -> Result<ChatRequest, GatewayError> {
    match ChatRequest::from_json(request) {
        Ok(request) => Ok(ChatRequest { js_call_id: id, ..request }),
        Err(error) => Err(error.with_request_id(&new_request_id())),
    }
}

#[napi]
impl NativeGateway {
    /// `config` is a `GatewayConfig` as JSON, already read once by `checkGatewayConfig`.
    #[napi(constructor, catch_unwind)]
    pub fn new(
        bridge: &Bridge,
        config: String,
        strategies: Vec<String>,
        table: &ProviderTable,
        logger: u32,
    ) -> napi::Result<Self> {
        let GatewayConfig { routes, fallback_chains, budgets, settings, .. } =
            read_config(&config, &strategies)?;
        let providers = table.providers.clone();
        let mut gateway = Gateway::with_settings(providers, routes, fallback_chains, budgets, &settings);
        stores::connect(&mut gateway, &settings, &bridge.calls)?;
        Ok(Self { current: RwLock::new(Current::new(gateway, table)?), logger })
    }

    /// Puts another configuration in place of this one. Calls in flight finish on the old one.
    #[napi(catch_unwind)]
    pub fn reload(&self, config: String, strategies: Vec<String>, table: &ProviderTable) -> napi::Result<()> {
        let GatewayConfig { routes, fallback_chains, budgets, settings, .. } =
            read_config(&config, &strategies)?;
        let providers = table.providers.clone();
        let before = self.current().gateway;
        stores::refuse_others(before.settings(), &settings)?;
        let next = Gateway::reload_from(&before, providers, routes, fallback_chains, budgets, &settings);
        let next = Current::new(next, table)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = next;
        Ok(())
    }

    /// A JSON array: how each provider is doing.
    #[napi(catch_unwind)]
    pub fn health(&self) -> napi::Result<String> {
        serde_json::to_string(&self.current().gateway.health())
            .map_err(|error| napi::Error::from_reason(error.to_string()))
    }

    /// A JSON array: what is spent and reserved of each budget.
    #[napi(catch_unwind)]
    pub fn budgets(&self) -> napi::Result<String> {
        serde_json::to_string(&self.current().gateway.budgets().standings())
            .map_err(|error| napi::Error::from_reason(error.to_string()))
    }

    /// `{"ok": …}`, what would become of a request, or the error.
    #[napi(catch_unwind)]
    pub fn explain(&self, request: String) -> String {
        let explain = || self.current().gateway.explain(ChatRequest::from_json(&request)?);
        settled(explain())
    }

    /// Answers with a `GatewayResponse`: at once where it is in the cache (`Calls::answer_at_once` says how), else as message
    /// of call `id`.
    #[napi(catch_unwind)]
    pub fn chat(
        &self,
        bridge: &Bridge,
        id: u32,
        aborted: bool,
        request: String,
    ) -> napi::Result<Option<String>> {
        let (gateway, calls, logger) = (self.current().gateway, bridge.calls.clone(), self.logger);
        let read = move || read_request(id, &request).map(Arc::new);
        // Requests are read on this thread, JavaScript's, only where that may spare them the way to another.
        let mut early = (!aborted && gateway.has_cache()).then(&read);
        if let Some(Ok(request)) = &early
            && gateway.may_be_cached(request)
        {
            let observer = Arc::new(calls.observer(logger));
            let context = context(&calls, logger, observer.clone(), &CancellationToken::new());
            if let Some(response) = gateway.cached(request, &context) {
                return match calls.answer_at_once(response, &observer) {
                    Ok(text) => Ok(Some(text)),
                    Err(error) => Err(napi::Error::from_reason(error.to_string())),
                };
            }
        }
        bridge.calls.spawn(id, self.logger, aborted, move |open, observer| {
            Box::pin(async move {
                let context = context(&calls, logger, observer.clone(), &open.cancel);
                let request = early.take().unwrap_or_else(read)?;
                let response = gateway.chat(request, context).await?;
                calls.answer(id, &response, &observer);
                Ok(())
            })
        })?;
        Ok(None)
    }

    /// Answers with an `EmbeddingResponse`, as message of call `id`, and with a whole log entry.
    #[napi(catch_unwind)]
    pub fn embed(&self, bridge: &Bridge, id: u32, aborted: bool, request: String) -> napi::Result<()> {
        let (gateway, calls, logger) = (self.current().gateway, bridge.calls.clone(), self.logger);
        bridge.calls.spawn(id, self.logger, aborted, move |open, observer| {
            Box::pin(async move {
                let read = EmbedRequest::from_json(&request);
                let mut request = read.map_err(|error| error.with_request_id(&new_request_id()))?;
                Arc::make_mut(&mut request.common).js_call_id = id;
                let context = context(&calls, logger, observer.clone(), &open.cancel);
                let response = gateway.embed(request, context).await?;
                let log = observer.take_log();
                calls.outbox.send(&message::Answer { call: id, value: &response, log });
                Ok(())
            })
        })
    }

    /// Answers with the models of all providers, as message of call `id`; `options` is `{refresh?}`.
    #[napi(catch_unwind)]
    pub fn list_models(&self, bridge: &Bridge, id: u32, aborted: bool, options: String) -> napi::Result<()> {
        let (gateway, calls) = (self.current().gateway, bridge.calls.clone());
        bridge.calls.spawn(id, self.logger, aborted, move |open, _| {
            Box::pin(async move {
                let options: ListOptions = serde_json::from_str(&options).unwrap_or_default();
                let refresh = options.refresh.unwrap_or_default();
                let list = async { Ok(gateway.list_models(refresh).await) };
                let models = unless_cancelled(&open.cancel, list).await?;
                calls.outbox.send(&message::Answer { call: id, value: &models, log: () });
                Ok(())
            })
        })
    }

    /// Ends the health checks, and answers with `null`, as message of call `id`, once what calls have left to be counted is
    /// counted and logged.
    #[napi(catch_unwind)]
    pub fn close(&self, bridge: &Bridge, id: u32, aborted: bool, _request: String) -> napi::Result<()> {
        let (gateway, calls) = (self.current().gateway, bridge.calls.clone());
        bridge.calls.spawn(id, self.logger, aborted, move |_, _| {
            Box::pin(async move {
                stores::report_left(gateway.close(stores::GRACE).await, &calls);
                calls.outbox.send(&message::Answer { call: id, value: (), log: () });
                Ok(())
            })
        })
    }

    /// Answers with what was used, in groups, as message of call `id`; `query` is `{from?, to?, groupBy?}`.
    #[napi(catch_unwind)]
    pub fn usage(&self, bridge: &Bridge, id: u32, aborted: bool, query: String) -> napi::Result<()> {
        let (gateway, calls) = (self.current().gateway, bridge.calls.clone());
        bridge.calls.spawn(id, self.logger, aborted, move |open, _| {
            Box::pin(async move {
                let rows = unless_cancelled(&open.cancel, gateway.usage(&query)).await?;
                calls.outbox.send(&message::Answer { call: id, value: &rows, log: () });
                Ok(())
            })
        })
    }

    /// Opens a stream for call `id`.
    #[napi(catch_unwind)]
    pub fn stream(&self, bridge: &Bridge, id: u32, aborted: bool, request: String) -> napi::Result<()> {
        let (Current { gateway, idle }, calls, logger) = (self.current(), bridge.calls.clone(), self.logger);
        bridge.calls.spawn(id, self.logger, aborted, move |open, observer| {
            Box::pin(async move {
                let request = read_request(id, &request)?;
                let context = context(&calls, logger, observer.clone(), &open.cancel);
                let stream = gateway.chat_stream(request, context).await?;
                let idle_limit = idle.get(stream.entry()).copied().unwrap_or(IDLE_LIMIT);
                drive(stream, id, open, calls, observer, idle_limit, None).await;
                Ok(())
            })
        })
    }
}
