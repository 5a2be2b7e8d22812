//! The HTTP client: sends a body, follows safe redirects, describes what went wrong.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::PROXY_AUTHORIZATION;
use http::{HeaderMap, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;

use super::connect::{Connector, Via};
use super::connection::{Connection, Request, poll_piece};
use super::endpoint::{Endpoint, Redirect};
use super::network::NetworkSettings;
use super::pool::{Pool, idle_limit};
use gateway_model::error::GatewayError;
use gateway_model::provider::SentMark;

const MAX_REDIRECTS: usize = 5;
/// A request that a kept connection loses later than this may have been worked on, and charged.
const LOST_AT_ONCE: Duration = Duration::from_millis(250);

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

    /// Sends `body` and returns the response's head; sets `mark` once a connection is there for it. A request that a pooled connection loses at once is sent again,
    /// once, on a connection of its own.
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
        let mut request = self.message(endpoint, body);
        while let Some(mut connection) = self.pool.take(&endpoint.origin) {
            let sent = Instant::now();
            mark.set();
            match connection.send(request).await {
                Ok(response) => return Ok(self.response(endpoint, connection, response)),
                Err(mut failed) => {
                    request = match failed.take_message() {
                        Some(unsent) => unsent,
                        // Idle connections die together: the next attempt opens a new one.
                        None if lost_before_answer(failed.error()) && sent.elapsed() <= LOST_AT_ONCE => {
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
        mark.set();
        match connection.send(request).await {
            Ok(response) => Ok(self.response(endpoint, connection, response)),
            Err(failed) => Err(Lost::Asking(failed.into_error())),
        }
    }

    fn message(&self, endpoint: &Endpoint, body: &Bytes) -> Request {
        let mut request = Request::new(Full::new(body.clone()));
        *request.method_mut() = endpoint.method().clone();
        *request.headers_mut() = endpoint.headers().clone();
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
    pub(super) fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Lost>> {
        let Some(connection) = &mut self.connection else { return Poll::Ready(Ok(None)) };
        poll_piece(connection, &mut self.body, context).map(|piece| {
            if !matches!(piece, Some(Ok(_)))
                && let Some(connection) = self.connection.take()
                && piece.is_none()
            {
                self.pool.give_back(&self.origin, connection, idle_limit(&self.headers));
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
