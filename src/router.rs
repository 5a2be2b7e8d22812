//! The class behind JavaScript's `Router`: routing and fallback without budgets and logs.

use std::sync::Arc;

use napi_derive::napi;
use serde::{Deserialize, Serialize};

use super::bridge::Bridge;
use super::calls::NO_LOGGER;
use super::errors::settled;
use super::provider::{ProviderResult, ProviderTable, provider_result};
use super::stream::{IDLE_LIMIT, RouteHead, drive};
use gateway_engine::gateway::{GatewayStream, PromptEstimate, unless_cancelled};
use gateway_engine::routing::{CallOptions, Decision, Router, fallback};
use gateway_model::ChatRequest;
use gateway_model::config::FallbackChain;
use gateway_model::error::GatewayError;

#[napi]
pub struct NativeRouter {
    router: Router,
}

/// What `resolve` has decided, or a program in its place.
#[derive(Deserialize)]
struct Decided {
    provider: String,
    model: String,
    chain: Option<FallbackChain>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Resolved<'a> {
    rule: usize,
    provider: &'a str,
    model: &'a str,
    chain: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Executed {
    result: ProviderResult,
    #[serde(flatten)]
    route: RouteHead,
}

fn read_decision(json: &str) -> Result<Decision, GatewayError> {
    let decided: Decided = serde_json::from_str(json).map_err(|error| {
        GatewayError::invalid_request("decision", format_args!("cannot be used: {error}"))
    })?;
    let Decided { provider, model, chain } = decided;
    Ok(Decision {
        rule: 0,
        provider,
        model,
        chain: chain.map(Arc::new),
        pool: None,
        hedge: None,
        excluded: Vec::new(),
    })
}

#[napi]
impl NativeRouter {
    #[napi(constructor, catch_unwind)]
    pub fn new(rules: String, chains: String) -> napi::Result<Self> {
        let raw = format!("{{\"providers\":[],\"routes\":{rules},\"fallbackChains\":{chains}}}");
        let raw = serde_json::from_str(&raw).map_err(|error| napi::Error::from_reason(error.to_string()))?;
        let config =
            gateway_engine::config::parse(&raw).map_err(|error| napi::Error::from_reason(error.message))?;
        Ok(Self { router: Router::new(config.routes, config.fallback_chains) })
    }

    /// `{"ok": {rule, provider, model, chain}}`, or the error.
    #[napi(catch_unwind)]
    pub fn resolve(&self, table: &ProviderTable, request: String) -> String {
        let resolve = || {
            let request = Arc::new(ChatRequest::from_json(&request)?);
            self.router
                .resolve(&request, &table.providers, &PromptEstimate::new(request.clone()))
                .map_err(gateway_engine::routing::NoRoute::into_error)
        };
        let decision: Result<Decision, GatewayError> = resolve();
        settled(decision.as_ref().map_err(Clone::clone).map(|decision| Resolved {
            rule: decision.rule,
            provider: &decision.provider,
            model: &decision.model,
            chain: decision.chain.as_ref().map(|chain| chain.name.as_str()),
        }))
    }

    /// Runs a decision as call `id`; answers `{result, entry, fallbackTriggered, fallbackFrom?}`.
    #[napi(catch_unwind)]
    pub fn execute(
        &self,
        bridge: &Bridge,
        id: u32,
        aborted: bool,
        request: String,
        table: &ProviderTable,
        decision: String,
    ) -> napi::Result<()> {
        let (providers, calls) = (table.providers.clone(), bridge.calls.clone());
        bridge.calls.spawn(id, NO_LOGGER, aborted, move |open, observer| {
            Box::pin(async move {
                let decision = read_decision(&decision)?;
                let options = call_options(id, &request)?;
                let run = fallback::chat(&decision, &providers, &options);
                let routed = unless_cancelled(&open.cancel, run).await?;
                let order = options.provider_call(routed.model.clone(), None, None);
                let route = RouteHead {
                    entry: routed.entry,
                    fallback_triggered: routed.fallback_triggered,
                    fallback_from: routed.fallback_from,
                };
                let result = provider_result(routed.output, &order).await;
                calls.answer(id, &Executed { result, route }, &observer);
                Ok(())
            })
        })
    }

    /// Opens a stream by a decision as call `id`.
    #[napi(catch_unwind)]
    pub fn execute_stream(
        &self,
        bridge: &Bridge,
        id: u32,
        aborted: bool,
        request: String,
        table: &ProviderTable,
        decision: String,
    ) -> napi::Result<()> {
        let (providers, idle, calls) = (table.providers.clone(), table.idle.clone(), bridge.calls.clone());
        bridge.calls.spawn(id, NO_LOGGER, aborted, move |open, observer| {
            Box::pin(async move {
                let decision = read_decision(&decision)?;
                let options = call_options(id, &request)?;
                let run = fallback::stream(&decision, &providers, &options);
                let routed = unless_cancelled(&open.cancel, run).await?;
                let route = RouteHead {
                    entry: routed.entry.clone(),
                    fallback_triggered: routed.fallback_triggered,
                    fallback_from: routed.fallback_from.clone(),
                };
                let idle_limit = idle.get(&routed.entry).copied().unwrap_or(IDLE_LIMIT);
                let stream = GatewayStream::detached(routed, options, open.cancel.clone());
                drive(stream, id, open, calls, observer, idle_limit, Some(route)).await;
                Ok(())
            })
        })
    }
}

fn call_options(id: u32, request: &str) -> Result<CallOptions, GatewayError> {
    let request = ChatRequest { js_call_id: id, ..ChatRequest::from_json(request)? };
    let request = Arc::new(request);
    Ok(CallOptions::new(request.clone(), Arc::new(PromptEstimate::new(request))))
}
