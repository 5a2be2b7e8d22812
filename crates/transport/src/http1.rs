//! The HTTP/1.1 driver: a connection for each call, kept for the next one.
//!
//! Abandoning a response closes its connection and affects no other call.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::HeaderMap;
use http::header::PROXY_AUTHORIZATION;
use http_body_util::Full;
use hyper::body::Incoming;

use super::client::{Lost, find_cause};
use super::connect::{Connector, Via};
use super::connection::{Connection, Request, poll_piece};
use super::endpoint::Endpoint;
use super::network::NetworkSettings;
use super::pool::{Pool, idle_limit};
use gateway_model::provider::SentMark;

/// A request that a kept connection loses later than this may have been worked on, and charged.
const LOST_AT_ONCE: Duration = Duration::from_millis(250);

#[derive(Clone)]
pub(super) struct Http1 {
    connector: Connector,
    pool: Arc<Pool>,
}

impl Http1 {
    pub fn new(network: &NetworkSettings) -> Result<Self, String> {
        Ok(Self { connector: Connector::new(network)?, pool: Arc::default() })
    }

    /// Sends `body` and returns the response's head; sets `mark` once a connection is there for it. A request that a
    /// pooled connection loses at once is sent again, once, on a connection of its own.
    pub async fn send(
        &self,
        endpoint: &Endpoint,
        body: &Bytes,
        mark: &SentMark,
    ) -> Result<http::Response<Http1Body>, Lost> {
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
                            mark.set_resent();
                            request = self.message(endpoint, body);
                            break;
                        }
                        None => return Err(Lost::Asking(Box::new(failed.into_error()))),
                    }
                }
            }
        }
        let socket = self.connector.connect(&endpoint.address).await.map_err(Lost::Connecting)?;
        let mut connection = Connection::new(socket).await.map_err(|error| Lost::Asking(Box::new(error)))?;
        mark.set();
        match connection.send(request).await {
            Ok(response) => Ok(self.response(endpoint, connection, response)),
            Err(failed) => Err(Lost::Asking(Box::new(failed.into_error()))),
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
    ) -> http::Response<Http1Body> {
        response.map(|incoming| Http1Body {
            incoming,
            connection: Some(connection),
            origin: endpoint.origin.clone(),
            pool: self.pool.clone(),
        })
    }
}

/// A body that is still to be read. Reading it to its end returns the connection to the pool; dropping it before closes
/// the connection.
pub(super) struct Http1Body {
    incoming: Incoming,
    /// `None` once the body has ended.
    connection: Option<Connection>,
    origin: Arc<str>,
    pool: Arc<Pool>,
}

impl Http1Body {
    /// The next piece; `None` at the end. `headers` are those of the response.
    pub fn poll_piece(
        &mut self,
        headers: &HeaderMap,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, Lost>> {
        let Some(connection) = &mut self.connection else { return Poll::Ready(Ok(None)) };
        poll_piece(connection, &mut self.incoming, context).map(|piece| {
            if !matches!(piece, Some(Ok(_)))
                && let Some(connection) = self.connection.take()
                && piece.is_none()
            {
                self.pool.give_back(&self.origin, connection, idle_limit(headers));
            }
            piece.transpose().map_err(|error| Lost::Asking(Box::new(error)))
        })
    }
}

fn lost_before_answer(error: &hyper::Error) -> bool {
    error.is_incomplete_message()
        || error.is_canceled()
        || find_cause::<io::Error>(error as &(dyn Error + 'static)).is_some_and(|io| {
            matches!(
                io.kind(),
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted
            )
        })
}
