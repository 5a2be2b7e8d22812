//! The HTTP client: sends a body, follows safe redirects, describes what went wrong.

use std::error::Error;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HOST, LOCATION, PROXY_AUTHORIZATION, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use url::Url;

use super::connect::{Connector, Via};
use super::connection::{Connection, Request, poll_piece};
use super::network::NetworkSettings;
use super::pool::Pool;
use gateway_model::error::GatewayError;

const MAX_REDIRECTS: usize = 5;
/// Dead pooled connections that one request may run into.
const MAX_LOST: usize = 64;

/// Where requests go and with which headers; built once for each provider where the address does not depend on the call.
#[derive(Debug, Clone)]
pub struct Endpoint {
    url: Url,
    method: Method,
    address: Uri,
    /// Path and query of the address.
    path: Uri,
    /// Scheme, host and port: connections of the same origin can be reused.
    origin: Arc<str>,
    headers: HeaderMap,
}

impl Endpoint {
    /// `None`: not an HTTP URL.
    pub fn new(url: Url, mut headers: HeaderMap) -> Option<Self> {
        if !matches!(url.scheme(), "http" | "https") {
            return None;
        }
        // User, password and fragment of the URL are not sent.
        let address: Uri = url[..url::Position::AfterQuery].parse().ok()?;
        let path = Uri::from(address.path_and_query()?.clone());
        let host = &url[url::Position::BeforeHost..url::Position::AfterPort];
        headers.insert(HOST, HeaderValue::from_str(host).ok()?);
        headers.entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
        headers
            .entry(USER_AGENT)
            .or_insert(HeaderValue::from_static(concat!("ai-gateway-native/", env!("CARGO_PKG_VERSION"))));
        let origin = url.origin().ascii_serialization().into();
        Some(Self { url, method: Method::POST, address, path, origin, headers })
    }

    /// The endpoint at `path` (a query may follow) below this one, with the same headers.
    pub fn at(&self, path: &str) -> Option<Self> {
        let base = self.url[..url::Position::AfterPath].trim_end_matches('/');
        Self::new(Url::parse(&format!("{base}{path}")).ok()?, self.headers.clone())
    }

    /// The same address with GET instead of POST.
    pub fn read(self) -> Self {
        Self { method: Method::GET, ..self }
    }

    pub fn url(&self) -> &Url {
        &self.url
    }

    pub fn method(&self) -> &Method {
        &self.method
    }

    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    pub fn headers_mut(&mut self) -> &mut HeaderMap {
        &mut self.headers
    }

    /// Where a redirect leads: 307 and 308 alone, which repeat the request; the others turn a POST into a GET, which no
    /// provider means. Keys and the entry's own headers are for the configured origin alone.
    fn redirected(&self, status: StatusCode, headers: &HeaderMap) -> Option<Self> {
        if !matches!(status, StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT) {
            return None;
        }
        let url = self.url.join(headers.get(LOCATION)?.to_str().ok()?).ok()?;
        let headers = if url.origin() == self.url.origin() {
            self.headers.clone()
        } else {
            HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))])
        };
        Some(Self { method: self.method.clone(), ..Self::new(url, headers)? })
    }
}

/// Why no response, or only a part of one, arrived.
pub(super) enum Lost {
    Connecting(Box<dyn Error + Send + Sync>),
    Asking(hyper::Error),
}

/// HTTP/1.1 only: abandoning a response closes its connection and affects no other call.
#[derive(Clone)]
pub struct HttpClient {
    connector: Connector,
    pool: Arc<Pool>,
}

impl HttpClient {
    pub fn new(network: &NetworkSettings) -> Result<Self, String> {
        Ok(Self { connector: Connector::new(network)?, pool: Arc::default() })
    }

    /// Sends `body` and returns the response's head. A request lost on a pooled connection is sent again, until one
    /// was sent on a connection of its own.
    pub async fn request(
        &self,
        provider: &str,
        endpoint: &Endpoint,
        body: Bytes,
    ) -> Result<Response, GatewayError> {
        let failed = |lost: Lost| GatewayError::provider_network(provider, &describe(&lost));
        let mut response = self.send(endpoint, &body).await.map_err(failed)?;
        let mut next = endpoint.redirected(response.status, &response.headers);
        for _ in 0..MAX_REDIRECTS {
            let Some(target) = next else { return Ok(response) };
            response = self.send(&target, &body).await.map_err(failed)?;
            next = target.redirected(response.status, &response.headers);
        }
        match next {
            None => Ok(response),
            Some(_) => Err(GatewayError::provider_network(provider, "redirected too often")),
        }
    }

    async fn send(&self, endpoint: &Endpoint, body: &Bytes) -> Result<Response, Lost> {
        let mut request = self.message(endpoint, body);
        for _ in 0..MAX_LOST {
            let Some(mut connection) = self.pool.take(&endpoint.origin) else { break };
            match connection.send(request).await {
                Ok(response) => return Ok(self.response(endpoint, connection, response)),
                Err(mut failed) => {
                    request = match failed.take_message() {
                        Some(unsent) => unsent,
                        // Idle connections die together: the next attempt opens a new one.
                        None if lost_before_answer(failed.error()) => {
                            request = self.message(endpoint, body);
                            break;
                        }
                        None => return Err(Lost::Asking(failed.into_error())),
                    }
                }
            }
        }
        let socket = self.connector.connect(&endpoint.address).await.map_err(Lost::Connecting)?;
        let mut connection = Connection::new(socket).await.map_err(Lost::Asking)?;
        match connection.send(request).await {
            Ok(response) => Ok(self.response(endpoint, connection, response)),
            Err(failed) => Err(Lost::Asking(failed.into_error())),
        }
    }

    fn message(&self, endpoint: &Endpoint, body: &Bytes) -> Request {
        let mut request = Request::new(Full::new(body.clone()));
        *request.method_mut() = endpoint.method.clone();
        *request.headers_mut() = endpoint.headers.clone();
        *request.uri_mut() = match self.connector.via(&endpoint.address) {
            Via::Server => endpoint.path.clone(),
            Via::Proxy(auth) => {
                if let Some(auth) = auth {
                    request.headers_mut().insert(PROXY_AUTHORIZATION, auth);
                }
                endpoint.address.clone()
            }
        };
        request
    }

    fn response(
        &self,
        endpoint: &Endpoint,
        connection: Connection,
        response: http::Response<Incoming>,
    ) -> Response {
        let (head, body) = response.into_parts();
        Response {
            status: head.status,
            headers: head.headers,
            body,
            connection: Some(connection),
            origin: endpoint.origin.clone(),
            pool: self.pool.clone(),
        }
    }
}

/// A response whose body is still to be read. Reading it to its end returns the connection to the pool; dropping it
/// before closes the connection.
pub struct Response {
    pub status: StatusCode,
    pub headers: HeaderMap,
    body: Incoming,
    /// `None` once the body has ended.
    connection: Option<Connection>,
    origin: Arc<str>,
    pool: Arc<Pool>,
}

impl Response {
    /// The next piece of the body; `None` at its end.
    pub(super) async fn piece(&mut self) -> Result<Option<Bytes>, Lost> {
        poll_fn(|context| self.poll_piece(context)).await
    }

    pub(super) fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Lost>> {
        let Some(connection) = &mut self.connection else { return Poll::Ready(Ok(None)) };
        poll_piece(connection, &mut self.body, context).map(|piece| {
            if !matches!(piece, Some(Ok(_)))
                && let Some(connection) = self.connection.take()
                && piece.is_none()
            {
                self.pool.give_back(&self.origin, connection);
            }
            piece.transpose().map_err(Lost::Asking)
        })
    }
}

fn lost_before_answer(error: &hyper::Error) -> bool {
    error.is_incomplete_message()
        || error.is_canceled()
        || find_cause::<io::Error>(error).is_some_and(|io| {
            matches!(
                io.kind(),
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted
            )
        })
}

/// The error and its causes, down to the root.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    fn source<'a>(error: &&'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
        (**error).source()
    }
    std::iter::successors(Some(error), source)
}

fn find_cause<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    causes(error).find_map(|error| error.downcast_ref())
}

/// Describes what happened, without the URL: it may hold a key.
pub(super) fn describe(lost: &Lost) -> String {
    let (what, error): (_, &(dyn Error + 'static)) = match lost {
        Lost::Connecting(error) => ("connecting failed: ", &**error),
        Lost::Asking(error) => ("", error),
    };
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
    let deepest = causes(error).last().unwrap_or(error);
    format!("{what}{deepest}")
}
