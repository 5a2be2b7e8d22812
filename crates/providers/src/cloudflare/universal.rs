//! A chain as one call to the Universal Endpoint.

use std::any::Any;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use serde_json::Value;
use tokio::time::Instant;
use url::Url;

use crate::HttpProvider;
use crate::http::ChatRequestBody;
use crate::keys::{HeldKey, is_key_refused};
use crate::wire::Mode;
use gateway_model::error::{Failure, GatewayError};
use gateway_model::provider::{SentMark, within};
use gateway_model::{Answer, OpenedStream, Provider, ProviderCall, UniversalCall, Warning};
use gateway_transport::{Endpoint, Response};

/// The step that answered, from 0.
const STEP: HeaderName = HeaderName::from_static("cf-aig-step");

/// The steps of a chain, each of them reached through one and the same gateway.
pub struct UniversalEndpoint {
    steps: Vec<(Arc<dyn Provider>, ProviderCall)>,
}

impl UniversalEndpoint {
    /// `None`: a step goes another way.
    pub fn new(steps: &[(Arc<dyn Provider>, ProviderCall)]) -> Option<Self> {
        let address =
            |(provider, _): &(Arc<dyn Provider>, _)| Some(step_of(provider)?.route.as_ref()?.address.clone());
        let first = address(steps.first()?)?;
        let shared = steps.iter().all(|step| address(step).as_ref() == Some(&first));
        shared.then(|| Self { steps: steps.to_vec() })
    }

    /// Posts the steps; `read` gets the answer, and the deadline of the whole call.
    async fn run<'a, T>(
        &'a self,
        mode: Mode,
        read: impl FnOnce(
            &'a HttpProvider,
            &'a ProviderCall,
            Vec<Warning>,
            Response,
            Option<Instant>,
        ) -> BoxFuture<'a, Result<T, Failure>>,
    ) -> Result<(usize, T), Failure> {
        let steps: Vec<_> = self
            .steps
            .iter()
            .filter_map(|(provider, call)| Some((provider.name(), step_of(provider)?, call)))
            .collect();
        let Some((name, first, call)) = steps.first() else {
            return Err(GatewayError::internal("a chain without steps").into());
        };
        // The gateway tries one after the other.
        let patience = steps.iter().map(|(_, step, call)| step.timeout_of(call)).sum();
        let whole = ProviderCall { timeout: None, ..(*call).clone() };
        let deadline = whole.attempt_deadline(Some(patience));
        within(name, deadline, async {
            let (mut list, mut warnings, mut asked) = (Vec::new(), Vec::new(), Vec::new());
            for (_, step, call) in &steps {
                let key = match step.keys.asked() {
                    Some(asked) => Some(asked.get().await?),
                    None => None,
                };
                let (json, of_step) = universal_step(step, call, mode, key.as_deref())?;
                list.push(json);
                warnings.push(of_step);
                asked.push(key);
            }
            let list = serde_json::to_vec(&list).map_err(GatewayError::unwritable)?;
            let response = post_universal(first, list.into()).await?;
            let reported = response.headers.get(STEP).and_then(|step| step.to_str().ok()?.parse().ok());
            let step = reported.unwrap_or(if response.status.is_success() { 0 } else { steps.len() - 1 });
            let step = step.min(steps.len() - 1);
            let Some((_, universal, call)) = steps.get(step) else {
                return Err(GatewayError::internal("a chain without steps").into());
            };
            if !response.status.is_success() {
                let error = universal.read_error(response).await;
                if let (Some(asked), Some(Some(key))) = (universal.keys.asked(), asked.get(step))
                    && is_key_refused(&error)
                {
                    asked.refused(key);
                }
                return Err(error.into());
            }
            Ok((step, read(universal, call, warnings.swap_remove(step), response, deadline).await?))
        })
        .await
    }
}

fn step_of(provider: &Arc<dyn Provider>) -> Option<&HttpProvider> {
    let provider: &dyn Any = &**provider;
    provider.downcast_ref()
}

/// One step of the list, and the warnings about it. Which of the steps was refused, and by whom, the gateway does not report: no key's cooldown begins
/// here.
fn universal_step(
    step: &HttpProvider,
    call: &ProviderCall,
    mode: Mode,
    key: Option<&HeldKey>,
) -> Result<(Value, Vec<Warning>), GatewayError> {
    let route = step.route.as_ref().ok_or_else(|| GatewayError::internal("not through Cloudflare"))?;
    let endpoint = step.chat_endpoint(call, mode)?;
    let ChatRequestBody { json, warnings } = step.chat_body(call, mode)?;
    let endpoint = match key {
        Some(key) => key.at(&endpoint),
        None => step.keys.take_turn(&endpoint, &call.model),
    };
    Ok((route.step(&endpoint, &json)?, warnings))
}

/// Posts the whole list, as the first of its steps.
async fn post_universal(first: &HttpProvider, list: Bytes) -> Result<Response, GatewayError> {
    let route = first.route.as_ref();
    let headers = route.map(|route| route.headers.clone()).unwrap_or_default();
    let url = route.and_then(|route| Url::parse(&route.address).ok());
    let endpoint = url.and_then(|url| Endpoint::new(url, headers));
    let mut endpoint = endpoint.ok_or_else(|| GatewayError::internal("not through Cloudflare"))?;
    endpoint.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    first.client.request(&first.context.name, &endpoint, list, &SentMark::default()).await
}

impl UniversalCall for UniversalEndpoint {
    fn chat(&self) -> BoxFuture<'_, Result<(usize, Answer), Failure>> {
        Box::pin(self.run(Mode::Full, |step, call, warnings, response, _| {
            Box::pin(step.read_chat(call, warnings, response))
        }))
    }

    fn open_stream(&self) -> BoxFuture<'_, Result<(usize, OpenedStream), Failure>> {
        Box::pin(self.run(Mode::Stream, |step, call, warnings, response, deadline| {
            let opened = step.read_stream(call, warnings, response).with_first_content_by(deadline);
            Box::pin(async move { Ok(opened) })
        }))
    }
}
