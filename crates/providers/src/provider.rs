//! What the engine asks of a provider over HTTP.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

use super::HttpProvider;
use super::cloudflare::UniversalEndpoint;
use gateway_model::error::{Failure, GatewayError};
use gateway_model::{
    Answer, ChatRequest, EmbedCall, KeyState, OpenedStream, Provider, ProviderCall, RetryPolicy,
    UniversalCall, Vectors,
};

impl Provider for HttpProvider {
    fn name(&self) -> &str {
        &self.context.name
    }

    fn family(&self) -> &str {
        self.family
    }

    fn timeout(&self) -> Option<Duration> {
        Some(self.context.timeout)
    }

    fn retry_policy(&self) -> RetryPolicy {
        self.retry
    }

    fn chat<'a>(&'a self, call: &'a ProviderCall) -> BoxFuture<'a, Result<Answer, Failure>> {
        Box::pin(self.send_chat(call))
    }

    fn open_stream<'a>(&'a self, call: &'a ProviderCall) -> BoxFuture<'a, Result<OpenedStream, Failure>> {
        Box::pin(self.send_streamed(call))
    }

    fn refuses(&self, request: &ChatRequest) -> Option<GatewayError> {
        self.find_unsupported(request)
    }

    fn universal(&self, steps: &[(Arc<dyn Provider>, ProviderCall)]) -> Option<Box<dyn UniversalCall>> {
        Some(Box::new(UniversalEndpoint::new(steps)?))
    }

    fn embed<'a>(&'a self, call: &'a EmbedCall) -> BoxFuture<'a, Result<Vectors, Failure>> {
        Box::pin(self.fetch_vectors(call))
    }

    fn max_embed_inputs(&self) -> usize {
        self.max_texts()
    }

    fn models(&self) -> BoxFuture<'_, Result<Option<Vec<String>>, Failure>> {
        Box::pin(self.fetch_models())
    }

    fn keys(&self) -> Vec<KeyState> {
        self.keys.states()
    }
}
