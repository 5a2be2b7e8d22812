//! The HTTP client of one provider: posts a body, follows safe redirects, names what went wrong.

use std::error::Error as _;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Body, Client, Method, Request, Response, StatusCode, Url, redirect};

use super::connect::{MarkFresh, watch};
use super::network::NetworkSettings;
use crate::error::GatewayError;

/// Below the keep-alive of the usual servers (Node: 5 s), so that few pooled connections are found dead.
const IDLE_CONNECTION: Duration = Duration::from_secs(4);
const MAX_REDIRECTS: usize = 5;
/// Dead pooled connections that one request may meet.
const MAX_LOST: usize = 64;

/// Where requests go and with which headers; built once for each provider.
#[derive(Debug, Clone)]
pub struct Endpoint {
    pub url: Url,
    pub headers: HeaderMap,
}

#[derive(Debug, Clone)]
pub struct HttpClient(Client);

impl HttpClient {
    /// HTTP/1.1 only: an answer that is left closes its connection and nothing else.
    pub fn new(network: &NetworkSettings) -> Result<Self, String> {
        let builder = Client::builder()
            .no_proxy()
            .http1_only()
            .tcp_nodelay(true)
            .pool_idle_timeout(IDLE_CONNECTION)
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .user_agent(concat!("ai-gateway-native/", env!("CARGO_PKG_VERSION")))
            .connector_layer(MarkFresh)
            .tls_backend_preconfigured(network.tls()?);
        let client = network.apply(builder)?.build().map_err(|error| describe(&error))?;
        Ok(Self(client))
    }

    /// Sends `body` and returns the answer's head. A request lost on a pooled connection is sent again, until one
    /// was sent on a connection of its own.
    pub async fn post(
        &self,
        provider: &str,
        endpoint: &Endpoint,
        body: Bytes,
    ) -> Result<Response, GatewayError> {
        let response = self.send(provider, &endpoint.url, &endpoint.headers, &body).await?;
        if !response.status().is_redirection() {
            return Ok(response);
        }
        self.follow(provider, endpoint, body, response).await
    }

    async fn follow(
        &self,
        provider: &str,
        endpoint: &Endpoint,
        body: Bytes,
        mut response: Response,
    ) -> Result<Response, GatewayError> {
        let mut headers = endpoint.headers.clone();
        for _ in 0..MAX_REDIRECTS {
            let Some(target) = redirect_target(&response) else { return Ok(response) };
            if target.origin() != response.url().origin() {
                // Keys and the entry's own headers are for the configured origin alone.
                headers =
                    HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
            }
            response = self.send(provider, &target, &headers, &body).await?;
        }
        Err(GatewayError::provider_network(provider, "redirected too often"))
    }

    async fn send(
        &self,
        provider: &str,
        url: &Url,
        headers: &HeaderMap,
        body: &Bytes,
    ) -> Result<Response, GatewayError> {
        let mut lost = 0;
        loop {
            let mut request = Request::new(Method::POST, url.clone());
            *request.headers_mut() = headers.clone();
            *request.body_mut() = Some(Body::from(body.clone()));
            let (result, connected) = watch(self.0.execute(request)).await;
            match result {
                Err(error) if !connected && lost < MAX_LOST && lost_before_answer(&error) => lost += 1,
                result => {
                    return result
                        .map_err(|error| GatewayError::provider_network(provider, &describe(&error)));
                }
            }
        }
    }
}

/// Only 307 and 308 repeat the request; the others turn a POST into a GET, which no provider means.
fn redirect_target(response: &Response) -> Option<Url> {
    if !matches!(response.status(), StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT) {
        return None;
    }
    let location = response.headers().get(LOCATION)?.to_str().ok()?;
    let target = response.url().join(location).ok()?;
    matches!(target.scheme(), "http" | "https").then_some(target)
}

fn lost_before_answer(error: &reqwest::Error) -> bool {
    let Some(cause) = find_cause::<hyper::Error>(error) else { return false };
    cause.is_incomplete_message()
        || cause.is_canceled()
        || find_cause::<io::Error>(error).is_some_and(|io| {
            matches!(
                io.kind(),
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted
            )
        })
}

fn find_cause<E: std::error::Error + 'static>(error: &reqwest::Error) -> Option<&E> {
    let mut cause = error.source();
    while let Some(current) = cause {
        if let Some(found) = current.downcast_ref::<E>() {
            return Some(found);
        }
        cause = current.source();
    }
    None
}

/// What happened, in words, without the URL: it may hold a key.
pub(super) fn describe(error: &reqwest::Error) -> String {
    if let Some(io) = find_cause::<io::Error>(error) {
        let known = match io.kind() {
            io::ErrorKind::ConnectionRefused => Some("connection refused"),
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted => {
                Some("connection reset")
            }
            io::ErrorKind::UnexpectedEof => Some("connection closed too early"),
            _ => None,
        };
        if let Some(known) = known {
            return known.to_owned();
        }
    }
    if find_cause::<hyper::Error>(error).is_some_and(hyper::Error::is_incomplete_message) {
        return "connection closed before the answer was complete".to_owned();
    }
    let mut deepest: &dyn std::error::Error = error;
    while let Some(cause) = deepest.source() {
        deepest = cause;
    }
    let what = if error.is_connect() { "connecting failed: " } else { "" };
    if std::ptr::addr_eq(deepest, error) {
        format!("{what}request failed")
    } else {
        format!("{what}{deepest}")
    }
}
