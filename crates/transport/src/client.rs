//! The HTTP client: sends a body, follows safe redirects, describes what went wrong.

use std::error::Error;
use std::io;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::endpoint::{Endpoint, Redirect};
use super::http1::{Http1, Http1Body};
use super::http2::{Http2, Http2Body};
use super::network::NetworkSettings;
use gateway_model::error::GatewayError;
use gateway_model::provider::SentMark;

const MAX_REDIRECTS: usize = 5;

/// Why no response, or only a part of one, arrived.
pub(super) enum Lost {
    Connecting(Box<dyn Error + Send + Sync>),
    Asking(Box<dyn Error + Send + Sync>),
}

/// What is spoken to servers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum HttpVersion {
    #[default]
    Http1,
    /// HTTP/2 over TLS, where the server offers it; HTTP/1.1 otherwise, and to `http:` addresses.
    Http2,
}

#[derive(Clone)]
pub struct HttpClient {
    http1: Http1,
    http2: Option<Http2>,
}

impl HttpClient {
    pub fn new(network: &NetworkSettings, version: HttpVersion) -> Result<Self, String> {
        let http2 = match version {
            HttpVersion::Http1 => None,
            HttpVersion::Http2 => Some(Http2::new(network)?),
        };
        Ok(Self { http1: Http1::new(network)?, http2 })
    }

    /// Sends `body` and returns the response's head; sets `mark` once the request goes out. A request that was lost where
    /// no server can have worked on it is sent again, once.
    pub async fn request(
        &self,
        provider: &str,
        endpoint: &Endpoint,
        body: Bytes,
        mark: &SentMark,
    ) -> Result<Response, GatewayError> {
        let failed = |lost: Lost| GatewayError::provider_network(provider, &describe(&lost));
        let mut response = self.send(endpoint, &body, mark).await.map_err(failed)?;
        let mut next = endpoint.redirected(response.status, &response.headers);
        for _ in 0..MAX_REDIRECTS {
            let target = match next {
                Redirect::None => return Ok(response),
                Redirect::To(target) => target,
                Redirect::Refused(host) => {
                    let problem =
                        format!("redirected to {host}, which is not among the entry's redirectHosts");
                    let error = GatewayError::provider_response(provider, response.status.as_u16(), &problem);
                    return Err(GatewayError { retryable: false, ..error });
                }
            };
            response = self.send(&target, &body, mark).await.map_err(failed)?;
            next = target.redirected(response.status, &response.headers);
        }
        match next {
            Redirect::None => Ok(response),
            _ => Err(GatewayError::provider_network(provider, "redirected too often")),
        }
    }

    async fn send(&self, endpoint: &Endpoint, body: &Bytes, mark: &SentMark) -> Result<Response, Lost> {
        match &self.http2 {
            Some(http2) if endpoint.url().scheme() == "https" => {
                Ok(Response::new(http2.send(endpoint, body, mark).await?.map(Body::Http2)))
            }
            _ => Ok(Response::new(self.http1.send(endpoint, body, mark).await?.map(Body::Http1))),
        }
    }
}

/// A response whose body is still to be read. Dropping it before its end tells the server at once: over HTTP/1.1 the
/// connection is closed, over HTTP/2 the stream is reset.
pub struct Response {
    pub status: StatusCode,
    pub headers: HeaderMap,
    body: Body,
}

#[expect(clippy::large_enum_variant, reason = "the usual one has no allocation of its own")]
enum Body {
    Http1(Http1Body),
    Http2(Http2Body),
}

impl Response {
    fn new(response: http::Response<Body>) -> Self {
        let (head, body) = response.into_parts();
        Self { status: head.status, headers: head.headers, body }
    }

    /// The next piece of the body; `None` at its end.
    pub(super) fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Lost>> {
        match &mut self.body {
            Body::Http1(body) => body.poll_piece(&self.headers, context),
            Body::Http2(body) => body.poll_piece(context),
        }
    }
}

/// The error and its causes, down to the root.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    fn source<'a>(error: &&'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
        (**error).source()
    }
    std::iter::successors(Some(error), source)
}

pub(super) fn find_cause<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    causes(error).find_map(|error| error.downcast_ref())
}

/// Describes what happened, without the URL: it may hold a key.
pub(super) fn describe(lost: &Lost) -> String {
    let (what, error): (_, &(dyn Error + 'static)) = match lost {
        Lost::Connecting(error) => ("connecting failed: ", &**error),
        Lost::Asking(error) => ("", &**error),
    };
    let stream = find_cause::<h2::Error>(error);
    if let Some(io) = find_cause::<io::Error>(error).or_else(|| stream.and_then(h2::Error::get_io)) {
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
    if let Some(stream) = stream.filter(|stream| stream.is_remote())
        && let Some(reason) = stream.reason()
    {
        let did = if stream.is_go_away() { "closed the connection" } else { "reset the stream" };
        return format!("the server {did}: {reason}");
    }
    let deepest = causes(error).last().unwrap_or(error);
    format!("{what}{deepest}")
}
