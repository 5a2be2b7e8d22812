//! What all providers over HTTP share: endpoints, keys, timeouts, bounds, and keeping secrets out of errors.
//!
//! `send` sends one request, with one key after the other; `chat` and `embed` write requests and read answers around it. What is
//! asked of a provider ([`Provider`](gateway_model::Provider)) stands in `provider.rs`.

mod chat;
mod embed;
mod events;
mod secrets;
mod send;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::cloudflare::CloudflareRoute;
use super::keys::KeyRing;
use super::read_error::ReadError;
use super::wire::{Mode, Wire};
use gateway_model::RetryPolicy;
use gateway_model::config::SendUserId;
use gateway_model::error::{GatewayError, UpstreamReport};
use gateway_transport::body::BodyLimit;
use gateway_transport::{Endpoint, HttpClient};

pub(super) use chat::ChatRequestBody;
pub(super) use secrets::{GivenSecrets, SECRET_LENGTH, Secrets};

/// A provider that speaks some wire format.
pub struct HttpProvider {
    pub(super) context: Arc<ProviderContext>,
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
pub(super) struct ProviderContext {
    /// The entry's name.
    pub name: String,
    /// Of one attempt; for a stream, of the wait for each next byte.
    pub timeout: Duration,
    pub limit: BodyLimit,
    pub send_user_id: SendUserId,
    pub secrets: Secrets,
}

impl ProviderContext {
    /// The error for what came with a success's status and is no answer.
    fn unacceptable(&self, status: u16, problem: ReadError) -> GatewayError {
        match problem {
            ReadError::Unacceptable(problem) => {
                GatewayError::provider_response(&self.name, status, &self.secrets.redact(problem))
            }
            ReadError::Reported(report) => {
                let redact = |text: Option<String>| text.map(|text| self.secrets.redact(text));
                let UpstreamReport { message, kind, code, .. } = *report;
                let report = UpstreamReport {
                    message: self.secrets.redact(message),
                    kind: redact(kind),
                    code: redact(code),
                    ..*report
                };
                GatewayError::from_report(&self.name, status, &report)
            }
        }
    }
}

impl HttpProvider {
    /// The caller's `providerOptions` for this family.
    fn own_options<'a>(&self, options: Option<&'a Map<String, Value>>) -> Option<&'a Map<String, Value>> {
        options?.get(self.family)?.as_object()
    }

    fn below_base(&self, path: &str) -> Result<Endpoint, GatewayError> {
        let problem = || format!("gives no address: none ends in {path}");
        self.base.at(path).ok_or_else(|| GatewayError::invalid_request("model", problem()))
    }
}
