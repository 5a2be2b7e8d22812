//! Providers as JavaScript holds them: the built-in classes on their own, and the table a gateway or router uses.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use napi_derive::napi;
use serde::Deserialize;

use super::bridge::Bridge;
use super::calls::NO_LOGGER;
use super::custom::CustomProvider;
use super::keys::KeyFunction;
use super::stream::{IDLE_LIMIT, drive};
use gateway_engine::gateway::{GatewayStream, PromptEstimate, unless_cancelled, usage_of};
use gateway_engine::routing::direct;
use gateway_engine::routing::operation::{Chat, Embed, Stream};
use gateway_engine::routing::{CallOptions, ProviderEntry, Providers, Routed};
use gateway_model::config::ProviderConfig;
use gateway_model::error::Failure;
use gateway_model::{Answer, ChatRequest, EmbedRequest, UsageSource};
use gateway_model::{EventSource, Provider, ProviderCall};
use gateway_providers::{self as providers, KeysFrom, ProviderEnv};
use gateway_transport::NetworkSettings;

/// A built-in provider. Its keys stay on this side.
#[napi]
pub struct NativeProvider {
    pub(super) provider: Arc<dyn Provider>,
    entry: ProviderConfig,
}

/// The built-in families.
#[napi(catch_unwind)]
pub fn families() -> Vec<&'static str> {
    providers::families().collect()
}

/// The environment variables that the provider of an entry (JSON) reads, those of the network included.
#[napi(catch_unwind)]
pub fn provider_variables(family: String, entry: String) -> napi::Result<Vec<String>> {
    let mut entry = read_entry(&entry)?;
    providers::complete(&family, &mut entry);
    let network = NetworkSettings::VARIABLES.into_iter().map(str::to_owned);
    Ok(network.chain(providers::variables(&family, &entry)).collect())
}

/// The idle limit of an entry's streams.
pub(super) fn idle_limit(entry: &ProviderConfig) -> Duration {
    entry.stream_idle_ms.map_or(IDLE_LIMIT, Duration::from_millis)
}

pub(super) fn read_entry(json: &str) -> napi::Result<ProviderConfig> {
    let value = serde_json::from_str(json).map_err(|error| napi::Error::from_reason(error.to_string()))?;
    gateway_engine::config::provider(&value).map_err(|error| napi::Error::from_reason(error.message))
}

#[napi]
impl NativeProvider {
    /// `variables` is a JSON object of the environment variables that matter here.
    #[napi(constructor, catch_unwind)]
    pub fn new(family: String, entry: String, variables: String) -> napi::Result<Self> {
        Self::build(&family, &entry, &variables, &KeysFrom::Environment)
    }

    /// As the constructor, with keys in place of those of the environment.
    #[napi(factory, catch_unwind)]
    pub fn with_keys(
        family: String,
        entry: String,
        variables: String,
        keys: Vec<String>,
    ) -> napi::Result<Self> {
        Self::build(&family, &entry, &variables, &KeysFrom::Program(keys))
    }

    /// As the constructor; the JS layer is asked for the key of the entry, with the number `logger`.
    #[napi(factory, catch_unwind)]
    pub fn with_key_function(
        bridge: &Bridge,
        family: String,
        entry: String,
        variables: String,
        logger: u32,
    ) -> napi::Result<Self> {
        let name = read_entry(&entry)?.name;
        let function = KeyFunction { calls: Arc::downgrade(&bridge.calls), logger, entry: name };
        Self::build(&family, &entry, &variables, &KeysFrom::Function(Arc::new(function)))
    }

    /// Answers with a `ProviderResult`, as message of call `id`.
    #[napi(catch_unwind)]
    pub fn chat(&self, bridge: &Bridge, id: u32, aborted: bool, options: String) -> napi::Result<()> {
        let (provider, calls) = (self.provider.clone(), bridge.calls.clone());
        let call = self.order(&options);
        bridge.calls.spawn(id, NO_LOGGER, aborted, move |open, observer| {
            Box::pin(async move {
                let order = call?;
                let answer = unless_cancelled(&open.cancel, direct::send(&Chat, &*provider, &order)).await?;
                calls.answer(id, &provider_result(answer, &order).await, &observer);
                Ok(())
            })
        })
    }

    /// Opens a stream for call `id`.
    #[napi(catch_unwind)]
    pub fn stream(&self, bridge: &Bridge, id: u32, aborted: bool, options: String) -> napi::Result<()> {
        let (provider, calls) = (self.provider.clone(), bridge.calls.clone());
        let call = self.order(&options);
        let idle_limit = idle_limit(&self.entry);
        bridge.calls.spawn(id, NO_LOGGER, aborted, move |open, observer| {
            Box::pin(async move {
                let order = call?;
                let opened = direct::send(&Stream, &*provider, &order);
                let source: Box<dyn EventSource> = Box::new(unless_cancelled(&open.cancel, opened).await?);
                let model = order.model.clone();
                let routed = Routed::new(source, String::new(), provider, model);
                let estimates = Arc::new(PromptEstimate::new(order.request.clone()));
                let options = CallOptions::new(order.request, estimates);
                let stream = GatewayStream::detached(routed, options, open.cancel.clone());
                drive(stream, id, open, calls, observer, idle_limit, None).await;
                Ok(())
            })
        })
    }

    /// Answers with an `EmbeddingResult`, as message of call `id`.
    #[napi(catch_unwind)]
    pub fn embed(&self, bridge: &Bridge, id: u32, aborted: bool, options: String) -> napi::Result<()> {
        let (provider, calls) = (self.provider.clone(), bridge.calls.clone());
        let fallback_model = self.entry.fallback_model().unwrap_or_default().to_owned();
        bridge.calls.spawn(id, NO_LOGGER, aborted, move |open, observer| {
            Box::pin(async move {
                let EmbedRequest { inputs, dimensions, common } = EmbedRequest::from_json(&options)?;
                let model = common.model.clone().unwrap_or(fallback_model);
                let call = ProviderCall {
                    request: common,
                    model,
                    max_tokens: None,
                    timeout: None,
                    deadline: None,
                    sent: Default::default(),
                };
                let texts = Embed { inputs, dimensions };
                let vectors = unless_cancelled(&open.cancel, direct::send(&texts, &*provider, &call)).await?;
                calls.answer(id, &vectors, &observer);
                Ok(())
            })
        })
    }

    fn build(family: &str, entry: &str, variables: &str, keys: &KeysFrom) -> napi::Result<Self> {
        let mut entry = read_entry(entry)?;
        providers::complete(family, &mut entry);
        let variables: HashMap<String, String> = serde_json::from_str(variables).unwrap_or_default();
        let var = |name: &str| variables.get(name).cloned();
        let env = ProviderEnv { var: &var, network: NetworkSettings::from_vars(var) };
        let provider = providers::build_with_keys(family, &entry, &env, keys)
            .map_err(|error| napi::Error::from_reason(error.to_string()))?
            .ok_or_else(|| napi::Error::from_reason(format!("\"{family}\" is not a built-in family")))?;
        Ok(Self { provider, entry })
    }

    fn order(&self, options: &str) -> Result<ProviderCall, Failure> {
        let request = ChatRequest::from_json(options)?;
        let model = request.model.as_deref().or(self.entry.fallback_model()).unwrap_or_default().to_owned();
        let max_tokens = request.max_tokens;
        Ok(ProviderCall {
            request: Arc::new(request),
            model,
            max_tokens,
            timeout: None,
            deadline: None,
            sent: Default::default(),
        })
    }
}

/// `ProviderResult` of the declarations.
#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ProviderResult {
    content: String,
    model: String,
    input_tokens: u64,
    output_tokens: u64,
    total_tokens: u64,
    #[serde(skip_serializing_if = "UsageSource::is_reported")]
    usage_source: UsageSource,
}

pub(super) async fn provider_result(answer: Answer, order: &ProviderCall) -> ProviderResult {
    let usage = usage_of(&answer, &order.model, &order.request).await;
    ProviderResult {
        content: answer.content,
        model: answer.model,
        input_tokens: usage.input,
        output_tokens: usage.output,
        total_tokens: answer.total_tokens.unwrap_or_else(|| usage.total()),
        usage_source: usage.source,
    }
}

/// The providers of a gateway or router, by entry name.
#[napi]
#[derive(Default)]
pub struct ProviderTable {
    pub(super) providers: Providers,
    /// The longest time any of them keeps an unread stream.
    pub(super) idle: HashMap<String, Duration>,
}

#[derive(Deserialize)]
struct CustomObject {
    id: u32,
    name: String,
    family: String,
}

#[napi]
impl ProviderTable {
    #[napi(constructor, catch_unwind)]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a built-in provider under the name of `entry` (JSON of the entry).
    #[napi(catch_unwind)]
    pub fn add_native(&mut self, name: String, provider: &NativeProvider) {
        self.idle.insert(name.clone(), idle_limit(&provider.entry));
        self.providers.insert(name, Arc::new(ProviderEntry::new(provider.provider.clone(), &provider.entry)));
    }

    /// Adds an object of JavaScript: `object` is `{id, name, family}`, `entry` the configuration it was made from.
    #[napi(catch_unwind)]
    pub fn add_custom(
        &mut self,
        bridge: &Bridge,
        name: String,
        object: String,
        entry: String,
    ) -> napi::Result<()> {
        let object: CustomObject =
            serde_json::from_str(&object).map_err(|error| napi::Error::from_reason(error.to_string()))?;
        let entry = read_entry(&entry)?;
        let provider = CustomProvider {
            calls: Arc::downgrade(&bridge.calls),
            id: object.id,
            name: object.name,
            family: object.family,
            timeout: entry.timeout_ms.map(Duration::from_millis),
        };
        self.idle.insert(name.clone(), idle_limit(&entry));
        self.providers.insert(name, Arc::new(ProviderEntry::new(Arc::new(provider), &entry)));
        Ok(())
    }
}
