//! What all providers over HTTP share: endpoint, timeouts, bounds, and keeping secrets out of errors.

mod events;
mod secrets;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::header::{CONTENT_TYPE, HeaderValue};
use serde_json::{Map, Value};
use tokio::time::Instant;
use url::Url;

use events::HttpEvents;

use super::cloudflare::{CloudflareRoute, UniversalEndpoint};
use super::json_answer::{CodeFence, JsonStream, NOT_JSON, extract_json};
use super::keys::KeyRing;
use super::wire::{Mode, Wire};
use gateway_model::error::{Failure, GatewayError};
use gateway_model::provider::{deadline_after, within};
use gateway_model::{
    Answer, ChatRequest, EmbedCall, Feature, KeyState, OpenedStream, Provider, ProviderCall, RetryPolicy,
    UniversalCall, Vectors,
};
use gateway_transport::body::{BodyLimit, read_error, read_whole};
use gateway_transport::{Endpoint, HttpClient, Response, retry_after};

pub(super) use secrets::{SECRET_LENGTH, Secrets};

/// A provider that speaks some wire format.
pub struct HttpProvider {
    pub(super) shared: Arc<Shared>,
    pub(super) family: &'static str,
    pub(super) wire: Box<dyn Wire>,
    pub(super) client: HttpClient,
    /// The base URL, with the first of the keys.
    pub(super) base: Endpoint,
    pub(super) chat: ChatEndpoint,
    pub(super) keys: KeyRing,
    pub(super) retry: RetryPolicy,
    /// Set where calls go through Cloudflare AI Gateway.
    pub(super) route: Option<CloudflareRoute>,
}

/// Where chat calls go.
pub(super) enum ChatEndpoint {
    /// All to the same address.
    Fixed(Box<Endpoint>),
    /// Below the base URL, at the path of each call.
    PerCall(fn(model: &str, mode: Mode) -> String),
}

/// What a provider's open streams need of it.
pub(super) struct Shared {
    pub name: String,
    /// Of one attempt; for a stream, of the wait for each next byte.
    pub timeout: Duration,
    pub limit: BodyLimit,
    pub secrets: Secrets,
}

impl Shared {
    fn refused(&self, status: u16, problem: String) -> GatewayError {
        GatewayError::provider_response(&self.name, status, &self.secrets.redact(problem))
    }
}

impl HttpProvider {
    /// The request's body. The caller's `providerOptions` for this family have the last word, field by field.
    fn body(&self, call: &ProviderCall, mode: Mode) -> Result<Bytes, GatewayError> {
        if let Some(refusal) = self.refuses(&call.request) {
            return Err(refusal);
        }
        let body = self.wire.body(call, mode)?;
        let Some(options) = self.own_options(call.request.provider_options.as_ref()) else {
            return Ok(body.into());
        };
        let mut fields: Map<String, Value> =
            serde_json::from_slice(&body).map_err(GatewayError::unwritable)?;
        fields.extend(options.clone());
        Ok(serde_json::to_vec(&fields).map_err(GatewayError::unwritable)?.into())
    }

    fn own_options<'a>(&self, options: Option<&'a Map<String, Value>>) -> Option<&'a Map<String, Value>> {
        options?.get(self.family)?.as_object()
    }

    /// Where a call goes.
    fn endpoint(&self, call: &ProviderCall, mode: Mode) -> Result<Cow<'_, Endpoint>, GatewayError> {
        match &self.chat {
            ChatEndpoint::Fixed(endpoint) => Ok(Cow::Borrowed(endpoint)),
            ChatEndpoint::PerCall(path) => self.below_base(&path(&call.model, mode)).map(Cow::Owned),
        }
    }

    fn below_base(&self, path: &str) -> Result<Endpoint, GatewayError> {
        self.base.at(path).ok_or_else(|| GatewayError::unwritable(format_args!("no address ends in {path}")))
    }

    /// Asks with one key after the other, until one is not refused. `model` is empty where it is about none.
    async fn send(&self, endpoint: &Endpoint, body: Bytes, model: &str) -> Result<Response, GatewayError> {
        if !self.keys.rotates() {
            return self.send_once(endpoint, body).await;
        }
        let mut round = self.keys.round(model);
        while let Some(turn) = round.next() {
            match self.send_once(&turn.at(endpoint), body.clone()).await {
                Ok(response) => {
                    round.accepted(&turn);
                    return Ok(response);
                }
                Err(error) => round.refused(&turn, error)?,
            }
        }
        Err(round.failed(&self.shared.name))
    }

    async fn send_once(&self, endpoint: &Endpoint, body: Bytes) -> Result<Response, GatewayError> {
        let name = &self.shared.name;
        let response = if let Some(signer) = self.wire.signer() {
            let mut signed = endpoint.clone();
            signer.sign(&mut signed, &body)?;
            self.client.request(name, &signed, body).await?
        } else {
            self.client.request(name, endpoint, body).await?
        };
        if response.status.is_success() { Ok(response) } else { Err(self.refusal(response).await) }
    }

    /// The error that an answer without success stands for.
    pub(super) async fn refusal(&self, response: Response) -> GatewayError {
        let status = response.status;
        let asked = retry_after(&response.headers, SystemTime::now());
        let text = read_error(response).await;
        let retry_after = asked.or_else(|| self.wire.requested_wait(&text));
        let status = self.wire.error_status(status.as_u16(), &text);
        let text = self.shared.secrets.redact(text);
        GatewayError { retry_after, ..GatewayError::from_http_status(&self.shared.name, status, &text) }
    }

    /// Asks for what is no chat: sends `body`, reads the whole answer with `read`. `model`: as for [`Self::send`].
    async fn ask<T>(
        &self,
        endpoint: &Endpoint,
        model: &str,
        deadline: Option<Instant>,
        body: Bytes,
        read: impl Fn(&[u8]) -> Result<T, String>,
    ) -> Result<T, Failure> {
        let shared = &self.shared;
        within(&shared.name, deadline, async {
            let response = self.send(endpoint, body, model).await?;
            let status = response.status.as_u16();
            let body = read_whole(&shared.name, response, shared.limit).await?;
            Ok(read(&body).map_err(|problem| self.unusable(status, &body, problem, &read))?)
        })
        .await
    }

    /// The error for an answer that cannot be read. Its message quotes the body, cut: secrets go before the cut.
    fn unusable<T>(
        &self,
        status: u16,
        body: &[u8],
        problem: String,
        read: impl Fn(&[u8]) -> Result<T, String>,
    ) -> GatewayError {
        let clean = self.shared.secrets.redact(String::from_utf8_lossy(body).into_owned());
        self.shared.refused(status, read(clean.as_bytes()).err().unwrap_or(problem))
    }

    pub(super) async fn read_chat(&self, call: &ProviderCall, response: Response) -> Result<Answer, Failure> {
        let shared = &self.shared;
        let status = response.status.as_u16();
        let body = read_whole(&shared.name, response, shared.limit).await?;
        let read = |body: &[u8]| self.wire.answer(body);
        let mut answer = read(&body).map_err(|problem| self.unusable(status, &body, problem, read))?;
        if answer.model.is_empty() {
            answer.model.clone_from(&call.model);
        }
        if call.request.response_format.is_some()
            && answer.tool_calls.is_empty()
            && !self.wire.supports_json_mode(call, Mode::Full)
        {
            answer.content =
                extract_json(&answer.content).ok_or_else(|| shared.refused(status, NOT_JSON.to_owned()))?;
        }
        Ok(answer)
    }

    /// The events of an answer that has begun to arrive.
    pub(super) fn opened(&self, call: &ProviderCall, response: Response) -> OpenedStream {
        let shared = &self.shared;
        let status = response.status.as_u16();
        let wait = call.timeout.unwrap_or(shared.timeout);
        let events = HttpEvents::new(shared.clone(), &*self.wire, response, wait, call.deadline);
        if call.request.response_format.is_none() || self.wire.supports_json_mode(call, Mode::Stream) {
            return OpenedStream::new(events);
        }
        OpenedStream::new(JsonStream {
            source: Box::new(events),
            provider: shared.name.clone(),
            status,
            fence: CodeFence::default(),
            calls: false,
        })
    }
}

impl Provider for HttpProvider {
    fn name(&self) -> &str {
        &self.shared.name
    }

    fn family(&self) -> &str {
        self.family
    }

    fn retry_policy(&self) -> RetryPolicy {
        self.retry
    }

    fn chat<'a>(&'a self, call: &'a ProviderCall) -> BoxFuture<'a, Result<Answer, Failure>> {
        Box::pin(async move {
            let body = self.body(call, Mode::Full)?;
            let endpoint = self.endpoint(call, Mode::Full)?;
            within(self.name(), call.attempt_deadline(Some(self.shared.timeout)), async {
                let response = self.send(&endpoint, body, &call.model).await?;
                self.read_chat(call, response).await
            })
            .await
        })
    }

    fn open_stream<'a>(&'a self, call: &'a ProviderCall) -> BoxFuture<'a, Result<OpenedStream, Failure>> {
        Box::pin(async move {
            let body = self.body(call, Mode::Stream)?;
            let endpoint = self.endpoint(call, Mode::Stream)?;
            let response = within(self.name(), call.attempt_deadline(Some(self.shared.timeout)), async {
                Ok(self.send(&endpoint, body, &call.model).await?)
            })
            .await?;
            Ok(self.opened(call, response))
        })
    }

    fn refuses(&self, request: &ChatRequest) -> Option<GatewayError> {
        let refused = request.features().find(|feature| !self.wire.supports(*feature))?;
        Some(refused.refused_by(&self.shared.name))
    }

    fn universal(&self, steps: &[(Arc<dyn Provider>, ProviderCall)]) -> Option<Box<dyn UniversalCall>> {
        Some(Box::new(UniversalEndpoint::new(steps)?))
    }

    fn embed<'a>(&'a self, call: &'a EmbedCall) -> BoxFuture<'a, Result<Vectors, Failure>> {
        Box::pin(async move {
            let format = self.wire.embeddings().ok_or_else(|| Feature::Embeddings.refused_by(self.name()))?;
            let mut body = format.body(call, &call.inputs);
            body.extend(self.own_options(call.provider_options.as_ref()).cloned().unwrap_or_default());
            let body = serde_json::to_vec(&body).map_err(GatewayError::unwritable)?;
            let endpoint = self.below_base(&format.path(&call.model))?;
            let read = |body: &[u8]| {
                let answer = format.vectors(body)?;
                match answer.vectors.len() {
                    given if given == call.inputs.len() => Ok(answer),
                    given => Err(format!("the answer has {given} vectors for {} texts", call.inputs.len())),
                }
            };
            let deadline = deadline_after(call.timeout.or(Some(self.shared.timeout)), call.deadline);
            let mut answer = self.ask(&endpoint, &call.model, deadline, body.into(), read).await?;
            if answer.model.is_empty() {
                answer.model.clone_from(&call.model);
            }
            Ok(answer)
        })
    }

    fn max_embed_inputs(&self) -> usize {
        self.wire.embeddings().map_or(usize::MAX, |format| format.max_inputs().max(1))
    }

    fn models(&self) -> BoxFuture<'_, Result<Option<Vec<String>>, Failure>> {
        Box::pin(async move {
            let Some(path) = self.wire.models_path() else { return Ok(None) };
            let endpoint = self.below_base(&path)?.read();
            let deadline = deadline_after(Some(self.shared.timeout), None);
            let read = |body: &[u8]| self.wire.models(body);
            self.ask(&endpoint, "", deadline, Bytes::new(), read).await.map(Some)
        })
    }

    fn keys(&self) -> Vec<KeyState> {
        self.keys.states()
    }
}

/// As a step of a chain that goes to Cloudflare's Universal Endpoint as one call.
impl HttpProvider {
    /// The gateway's address: steps of one call share it.
    pub(super) fn universal_address(&self) -> Option<&str> {
        self.route.as_ref().map(|route| route.address.as_str())
    }

    /// How long this step may take.
    pub(super) fn step_timeout(&self, call: &ProviderCall) -> Duration {
        call.timeout.unwrap_or(self.shared.timeout)
    }

    pub(super) fn universal_step(&self, call: &ProviderCall, mode: Mode) -> Result<Value, GatewayError> {
        let route = self.route.as_ref().ok_or_else(|| GatewayError::internal("not through Cloudflare"))?;
        // Which of the steps was refused, and by whom, the gateway does not tell: no key goes to rest for it.
        let endpoint = self.endpoint(call, mode)?;
        route.step(&self.keys.take_turn(&endpoint, &call.model), &self.body(call, mode)?)
    }

    /// Posts the whole list.
    pub(super) async fn post_universal(&self, list: Bytes) -> Result<Response, GatewayError> {
        let route = self.route.as_ref();
        let headers = route.map(|route| route.headers.clone()).unwrap_or_default();
        let url = route.and_then(|route| Url::parse(&route.address).ok());
        let endpoint = url.and_then(|url| Endpoint::new(url, headers));
        let mut endpoint = endpoint.ok_or_else(|| GatewayError::internal("not through Cloudflare"))?;
        endpoint.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.client.request(&self.shared.name, &endpoint, list).await
    }
}
