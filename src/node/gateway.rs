//! The gateway class behind the face's `Gateway`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use napi_derive::napi;
use serde::Deserialize;

use super::bridge::Bridge;
use super::calls::message;
use super::provider::ProviderTable;
use super::stream::{IDLE_LIMIT, drive};
use crate::error::GatewayError;
use crate::gateway::{CallContext, Gateway, new_request_id, unless_cancelled};
use crate::model::{ChatRequest, EmbedRequest};

#[napi]
pub struct NativeGateway {
    gateway: Arc<Gateway>,
    idle: HashMap<String, Duration>,
}

#[derive(Default, Deserialize)]
struct ListOptions {
    refresh: Option<bool>,
}

fn read_request(id: u32, request: &str) -> Result<ChatRequest, GatewayError> {
    match ChatRequest::from_json(request) {
        Ok(request) => Ok(ChatRequest { caller: id, ..request }),
        Err(error) => Err(error.with_request_id(&new_request_id())),
    }
}

#[napi]
impl NativeGateway {
    /// `config` is a `GatewayConfig` as JSON, already read once by `checkGatewayConfig`.
    #[napi(constructor, catch_unwind)]
    pub fn new(config: String, table: &ProviderTable) -> napi::Result<Self> {
        let config =
            serde_json::from_str(&config).map_err(|error| napi::Error::from_reason(error.to_string()))?;
        let config =
            crate::config::parse(&config).map_err(|error| napi::Error::from_reason(error.message))?;
        let providers = table.providers.clone();
        Ok(Self {
            gateway: Arc::new(Gateway::new(providers, config.routes, config.fallback_chains, config.budgets)),
            idle: table.idle.clone(),
        })
    }

    /// Answers with a `GatewayResponse`, as message of call `id`.
    #[napi(catch_unwind)]
    pub fn chat(&self, bridge: &Bridge, id: u32, aborted: bool, request: String) -> napi::Result<()> {
        let (gateway, calls) = (self.gateway.clone(), bridge.calls.clone());
        bridge.calls.spawn(id, aborted, move |open, observer| {
            Box::pin(async move {
                let request = read_request(id, &request)?;
                let context = CallContext { observer: observer.clone(), cancel: open.cancel.clone() };
                let response = gateway.chat(request, context).await?;
                calls.answer(id, &response, &observer);
                Ok(())
            })
        })
    }

    /// Answers with an `EmbeddingResponse`, as message of call `id`, and with a whole log entry.
    #[napi(catch_unwind)]
    pub fn embed(&self, bridge: &Bridge, id: u32, aborted: bool, request: String) -> napi::Result<()> {
        let (gateway, calls) = (self.gateway.clone(), bridge.calls.clone());
        bridge.calls.spawn(id, aborted, move |open, observer| {
            Box::pin(async move {
                let read = EmbedRequest::from_json(&request);
                let mut request = read.map_err(|error| error.with_request_id(&new_request_id()))?;
                Arc::make_mut(&mut request.common).caller = id;
                let context = CallContext { observer: observer.clone(), cancel: open.cancel.clone() };
                let response = gateway.embed(request, context).await?;
                calls.outbox.send(&(message::ANSWER, id, &response, observer.take_log()));
                Ok(())
            })
        })
    }

    /// Answers with the models of all providers, as message of call `id`; `options` is `{refresh?}`.
    #[napi(catch_unwind)]
    pub fn list_models(&self, bridge: &Bridge, id: u32, aborted: bool, options: String) -> napi::Result<()> {
        let (gateway, calls) = (self.gateway.clone(), bridge.calls.clone());
        bridge.calls.spawn(id, aborted, move |open, _| {
            Box::pin(async move {
                let options: ListOptions = serde_json::from_str(&options).unwrap_or_default();
                let refresh = options.refresh.unwrap_or_default();
                let list = async { Ok(gateway.list_models(refresh).await) };
                let models = unless_cancelled(&open.cancel, list).await?;
                calls.outbox.send(&(message::ANSWER, id, &models));
                Ok(())
            })
        })
    }

    /// Opens a stream for call `id`.
    #[napi(catch_unwind)]
    pub fn stream(&self, bridge: &Bridge, id: u32, aborted: bool, request: String) -> napi::Result<()> {
        let (gateway, calls) = (self.gateway.clone(), bridge.calls.clone());
        let idle = self.idle.clone();
        bridge.calls.spawn(id, aborted, move |open, observer| {
            Box::pin(async move {
                let request = read_request(id, &request)?;
                let context = CallContext { observer: observer.clone(), cancel: open.cancel.clone() };
                let stream = gateway.chat_stream(request, context).await?;
                let idle_limit = idle.get(stream.entry()).copied().unwrap_or(IDLE_LIMIT);
                drive(stream, id, open, calls, observer, idle_limit, None).await;
                Ok(())
            })
        })
    }
}
