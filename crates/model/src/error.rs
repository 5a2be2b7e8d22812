//! Every way a call can fail, in one type, with one mapping to codes and HTTP status.

mod reason;
mod report;

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::usage::TokenUsage;

pub use reason::Reason;
pub use report::UpstreamReport;
use report::first_chars;

/// How much of an upstream's error body an error message quotes, in characters.
const QUOTED_BODY_CHARS: usize = 300;

/// The `errorCode` of an attempt that was given up because another one of the same call (a hedge) answered first.
pub const HEDGE_LOST: &str = "HEDGE_LOST";

/// The `errorCode` of an entry for an attempt that failed and was charged nevertheless, while its call went on.
pub const ATTEMPT_FAILED: &str = "ATTEMPT_FAILED";

/// What sort of failure a [`GatewayError`] is; decides fallback, retry and HTTP status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    ProviderAuth,
    ProviderTimeout,
    ProviderRateLimit,
    ProviderResponse,
    /// The connection was refused, reset or lost.
    ProviderNetwork,
    /// Its breaker is open, or no target of a pool is left.
    ProviderUnavailable,
    RouteNotFound,
    BudgetExceeded,
    /// A limit of the gateway's own: of calls or tokens in a minute, or of calls at once.
    RateLimited,
    /// The caller of a server shows no valid key.
    Unauthorized,
    ConfigInvalid,
    /// The caller's request is at fault; nothing was sent.
    InvalidRequest,
    /// The call was stopped before its end.
    Aborted,
    Internal,
}

impl ErrorKind {
    /// The `code` of errors of this kind, as callers and usage logs see it.
    pub fn code(self) -> &'static str {
        match self {
            Self::ProviderAuth => "PROVIDER_AUTH",
            Self::ProviderTimeout => "PROVIDER_TIMEOUT",
            Self::ProviderRateLimit => "PROVIDER_RATE_LIMIT",
            Self::ProviderResponse => "PROVIDER_RESPONSE",
            Self::ProviderNetwork => "PROVIDER_NETWORK",
            Self::ProviderUnavailable => "PROVIDER_UNAVAILABLE",
            Self::RouteNotFound => "ROUTE_NOT_FOUND",
            Self::BudgetExceeded => "BUDGET_EXCEEDED",
            Self::RateLimited => "RATE_LIMITED",
            Self::Unauthorized => "UNAUTHORIZED",
            Self::ConfigInvalid => "CONFIG_INVALID",
            Self::InvalidRequest => "INVALID_REQUEST",
            Self::Aborted => "ABORTED",
            Self::Internal => "INTERNAL",
        }
    }

    /// The status an HTTP server answers with for errors of this kind.
    pub fn http_status(self) -> u16 {
        match self {
            Self::ProviderAuth | Self::Unauthorized => 401,
            Self::ProviderTimeout => 504,
            Self::ProviderRateLimit | Self::BudgetExceeded | Self::RateLimited => 429,
            Self::ProviderResponse | Self::ProviderNetwork => 502,
            Self::ProviderUnavailable => 503,
            Self::RouteNotFound => 404,
            Self::InvalidRequest => 400,
            Self::Aborted => 499,
            Self::ConfigInvalid | Self::Internal => 500,
        }
    }

    fn retryable(self) -> bool {
        matches!(
            self,
            Self::ProviderTimeout
                | Self::ProviderRateLimit
                | Self::ProviderNetwork
                | Self::ProviderUnavailable
                | Self::RateLimited
        )
    }
}

/// An error made by the gateway.
#[derive(Debug, Clone, Serialize, thiserror::Error)]
#[error("{message}")]
#[serde(rename_all = "camelCase")]
pub struct GatewayError {
    pub code: Cow<'static, str>,
    pub kind: ErrorKind,
    pub message: String,
    pub retryable: bool,
    pub http_status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<Map<String, Value>>,
    /// How long to wait, as the upstream or one of our own limits says; `details.retryAfterMs`, too.
    #[serde(skip)]
    pub retry_after: Option<Duration>,
    /// `details.reason`, too.
    #[serde(skip)]
    pub reason: Option<Reason>,
    /// What the upstream has charged for nevertheless, as far as it has told.
    #[serde(skip)]
    pub usage: Option<Box<TokenUsage>>,
}

impl GatewayError {
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            code: Cow::Borrowed(kind.code()),
            kind,
            message: message.into(),
            retryable: kind.retryable(),
            http_status: kind.http_status(),
            provider: None,
            request_id: None,
            details: None,
            retry_after: None,
            reason: None,
            usage: None,
        }
    }

    fn of_provider(kind: ErrorKind, provider: &str, message: String) -> Self {
        Self { provider: Some(provider.to_owned()), ..Self::new(kind, message) }
    }

    pub fn provider_timeout(provider: &str) -> Self {
        Self::of_provider(ErrorKind::ProviderTimeout, provider, format!("Provider \"{provider}\" timed out"))
    }

    pub fn provider_rate_limit(provider: &str) -> Self {
        Self::of_provider(
            ErrorKind::ProviderRateLimit,
            provider,
            format!("Provider \"{provider}\" rate limited"),
        )
    }

    pub fn provider_auth(provider: &str) -> Self {
        let message = format!("Provider \"{provider}\" authentication failed");
        Self::of_provider(ErrorKind::ProviderAuth, provider, message)
    }

    /// `reason` says what happened to the connection, without addresses that could hold a secret.
    pub fn provider_network(provider: &str, reason: &str) -> Self {
        let message = format!("Provider \"{provider}\" could not be reached: {reason}");
        Self::of_provider(ErrorKind::ProviderNetwork, provider, message)
    }

    /// The upstream answered, but not as it should; retryable from status 500 up.
    pub fn provider_response(provider: &str, upstream_status: u16, detail: &str) -> Self {
        let message = format!("Provider \"{provider}\" returned {upstream_status}: {detail}");
        Self {
            retryable: upstream_status >= 500,
            ..Self::of_provider(ErrorKind::ProviderResponse, provider, message)
        }
        .with_detail("upstreamStatus", json!(upstream_status))
    }

    /// The error for an HTTP status that is not a success; `body` is JSON or any text.
    pub fn from_http_status(provider: &str, status: u16, body: &str) -> Self {
        let report = UpstreamReport::read(body);
        Self::reported(provider, status, &report, first_chars(body, QUOTED_BODY_CHARS))
    }

    /// The error for what an upstream reports inside an answer whose `status` is a success: it has the kind and the status
    /// that the report names.
    pub fn from_report(provider: &str, status: u16, report: &UpstreamReport) -> Self {
        Self::reported(provider, status, report, &report.message)
    }

    fn reported(provider: &str, status: u16, report: &UpstreamReport, quoted: &str) -> Self {
        let reason::Verdict { status, kind, reason } = reason::judge(status, report);
        let mut error = match kind {
            ErrorKind::ProviderAuth => Self::provider_auth(provider),
            ErrorKind::ProviderRateLimit => Self::provider_rate_limit(provider),
            ErrorKind::ProviderTimeout => Self::provider_timeout(provider),
            _ => Self::provider_response(provider, status, quoted),
        };
        if report.is_empty() {
            return error;
        }
        if kind != ErrorKind::ProviderResponse {
            // Their messages are the same for every provider, as programs compare them.
            error = error.with_detail("upstreamStatus", json!(status));
            if !report.message.is_empty() {
                let said = first_chars(&report.message, QUOTED_BODY_CHARS);
                error = error.with_detail("upstreamMessage", json!(said));
            }
        }
        for (name, word) in [("upstreamType", &report.kind), ("upstreamCode", &report.code)] {
            if let Some(word) = word {
                error = error.with_detail(name, json!(first_chars(word, QUOTED_BODY_CHARS)));
            }
        }
        if let Some(reason) = reason {
            error = error.with_reason(reason);
        }
        match report.wait {
            Some(wait) => error.with_retry_after(wait),
            None => error,
        }
    }

    /// Sets what the upstream has charged for nevertheless.
    #[must_use]
    pub fn with_usage(self, usage: Option<TokenUsage>) -> Self {
        Self { usage: usage.map(Box::new), ..self }
    }

    /// Sets what the failure is about. None of these passes by itself.
    #[must_use]
    pub fn with_reason(self, reason: Reason) -> Self {
        Self { reason: Some(reason), retryable: false, ..self.with_detail("reason", json!(reason.word())) }
    }

    pub fn route_not_found() -> Self {
        Self::new(ErrorKind::RouteNotFound, "No matching route found for request")
    }

    pub fn budget_exceeded(policy: &str) -> Self {
        Self::new(ErrorKind::BudgetExceeded, format!("Budget policy \"{policy}\" exceeded"))
            .with_detail("policy", json!(policy))
    }

    /// `what` names the limit of the gateway's own that is reached.
    pub fn rate_limited(what: &str, retry_after: Duration) -> Self {
        let message = format!("Rate limited: {what}; try again in {}", readable(retry_after));
        Self::new(ErrorKind::RateLimited, message).with_retry_after(retry_after)
    }

    /// `what` cannot be checked, as its store is away for the reason `why`; `remedy` says what to do.
    pub fn store_unavailable(what: &str, why: &str, remedy: &str) -> Self {
        let message = format!("{what} cannot be checked: {why}; {remedy}");
        Self { code: "STORE_UNAVAILABLE".into(), ..Self::new(ErrorKind::ProviderUnavailable, message) }
    }

    /// `provider_or_pool` was not asked, for the reason `why`. `provider` is left unset, because a pool is not a provider.
    pub fn provider_unavailable(provider_or_pool: &str, why: &str, retry_after: Option<Duration>) -> Self {
        let message = format!("\"{provider_or_pool}\" is unavailable: {why}");
        match retry_after {
            None => Self::new(ErrorKind::ProviderUnavailable, message),
            Some(wait) => {
                let message = format!("{message}; try again in {}", readable(wait));
                Self::new(ErrorKind::ProviderUnavailable, message).with_retry_after(wait)
            }
        }
    }

    pub fn config_invalid(detail: impl std::fmt::Display) -> Self {
        Self::new(ErrorKind::ConfigInvalid, format!("Invalid configuration: {detail}"))
    }

    /// `path` names the field at fault, as in `messages[2].content`.
    pub fn invalid_request(path: &str, problem: impl std::fmt::Display) -> Self {
        Self::new(ErrorKind::InvalidRequest, format!("Invalid request: {path}: {problem}"))
            .with_detail("path", json!(path))
    }

    pub fn aborted(reason: &str) -> Self {
        Self::new(ErrorKind::Aborted, format!("The call was aborted: {reason}"))
    }

    /// A request that could not be put on the wire.
    pub fn unwritable(error: impl std::fmt::Display) -> Self {
        Self::internal(format!("the request could not be written: {error}"))
    }

    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// The HTTP status of a `provider_response`.
    pub fn upstream_status(&self) -> Option<u64> {
        self.details.as_ref()?.get("upstreamStatus")?.as_u64()
    }

    #[must_use]
    pub fn with_detail(mut self, key: &str, value: Value) -> Self {
        self.details.get_or_insert_default().insert(key.to_owned(), value);
        self
    }

    #[must_use]
    pub fn with_provider(self, provider: &str) -> Self {
        Self { provider: Some(provider.to_owned()), ..self }
    }

    #[must_use]
    pub fn with_retry_after(self, wait: Duration) -> Self {
        Self { retry_after: Some(wait), ..self.with_detail("retryAfterMs", json!(whole_ms(wait))) }
    }

    #[must_use]
    pub fn with_request_id(mut self, request_id: &str) -> Self {
        self.request_id.get_or_insert_with(|| request_id.to_owned());
        self
    }
}

/// Rounded up, so that whoever waits that long has waited long enough.
fn whole_ms(wait: Duration) -> u64 {
    u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

fn readable(wait: Duration) -> String {
    match whole_ms(wait) {
        ms @ 0..1_000 => format!("{ms} ms"),
        ms => format!("{} s", ms.div_ceil(1_000)),
    }
}

/// An error thrown by a custom provider. The thrown object stays with its owner, who finds it again by `id`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ForeignError {
    pub id: u32,
    /// Keeps the thrown object where it is for as long as anybody may be told of it.
    pub keeper: Option<Keeper>,
    pub message: String,
    /// Set when the thrown error is a `GatewayError` of its own.
    pub kind: Option<ErrorKind>,
    pub code: Option<String>,
    /// Of a `GatewayError`'s `details`, or another error's own `status`.
    pub upstream_status: Option<u16>,
    /// What its own type, code and words say it is about.
    pub reason: Option<Reason>,
    pub retry_after: Option<Duration>,
}

/// Dropped with its last clone: then nobody refers to the object any more.
#[derive(Clone)]
pub struct Keeper(pub Arc<dyn Any + Send + Sync>);

impl fmt::Debug for Keeper {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Keeper")
    }
}

impl PartialEq for Keeper {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Keeper {}

/// Why an attempt or a call failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Failure {
    #[error(transparent)]
    Gateway(Box<GatewayError>),
    #[error("{}", .0.message)]
    Foreign(ForeignError),
}

impl From<GatewayError> for Failure {
    fn from(error: GatewayError) -> Self {
        Self::Gateway(Box::new(error))
    }
}

impl Failure {
    /// As a call sees it that shares the one that failed: the request id is the other's; an error that was thrown is the
    /// same for all.
    pub fn of_another_call(self) -> Self {
        match self {
            foreign @ Self::Foreign(_) => foreign,
            Self::Gateway(error) => Self::Gateway(Box::new(GatewayError { request_id: None, ..*error })),
        }
    }

    /// What was charged nevertheless, as far as it was told.
    pub fn usage(&self) -> Option<TokenUsage> {
        match self {
            Self::Gateway(error) => error.usage.as_deref().copied(),
            Self::Foreign(_) => None,
        }
    }

    pub fn reason(&self) -> Option<Reason> {
        match self {
            Self::Gateway(error) => error.reason,
            Self::Foreign(error) => error.reason,
        }
    }

    /// The failure of an answer of which `usage` had been told; what the failure itself tells is newer.
    #[must_use]
    pub fn with_usage_so_far(self, usage: Option<TokenUsage>) -> Self {
        match self {
            Self::Gateway(error) if error.usage.is_none() && usage.is_some() => {
                Self::Gateway(Box::new(error.with_usage(usage)))
            }
            failure => failure,
        }
    }

    /// The failure of a part, after others that used `input_tokens` together.
    #[must_use]
    pub fn after_usage(self, input_tokens: Option<u64>) -> Self {
        match (self, input_tokens) {
            (Self::Gateway(error), Some(tokens)) if tokens > 0 => {
                let mut usage = error.usage.as_deref().copied().unwrap_or_default();
                usage.input = usage.input.saturating_add(tokens);
                Self::Gateway(Box::new(error.with_usage(Some(usage))))
            }
            (failure, _) => failure,
        }
    }

    pub fn kind(&self) -> Option<ErrorKind> {
        match self {
            Self::Gateway(error) => Some(error.kind),
            Self::Foreign(error) => error.kind,
        }
    }

    /// The usage log's `errorCode`.
    pub fn log_code(&self) -> &str {
        match self {
            Self::Gateway(error) => &error.code,
            Self::Foreign(error) => error.code.as_deref().unwrap_or("UNKNOWN"),
        }
    }

    #[must_use]
    pub fn with_request_id(self, request_id: &str) -> Self {
        match self {
            Self::Gateway(error) => Self::Gateway(Box::new(error.with_request_id(request_id))),
            foreign @ Self::Foreign(_) => foreign,
        }
    }
}

#[cfg(test)]
mod tests;
