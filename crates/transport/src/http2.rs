//! The HTTP/2 driver: many calls share a connection, through reqwest.
//!
//! reqwest keeps one connection of HTTP/2 for each client and host, and opens one for each call that finds none. Here,
//! lanes bound the streams of a connection, and calls of a lane go out one after the other: the second finds what the
//! first has opened.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Version;
use http::header::HOST;
use http_body::Body as _;
use rustls::ClientConfig;
use tokio::sync::{Semaphore, SemaphorePermit, oneshot};

use super::announced::Announced;
use super::client::{Lost, find_cause};
use super::endpoint::Endpoint;
use super::network::{NetworkSettings, Proxies};
use super::pool::IDLE_LIMIT;
use gateway_model::provider::SentMark;

/// Streams on one connection: the least that servers are asked to allow (RFC 9113, 6.5.2).
const STREAMS: usize = 100;
/// Bytes of one stream that may wait to be read.
const STREAM_WINDOW: u32 = 512 * 1024;
/// Of all streams of a connection: what one reader leaves waiting holds no other one up.
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * STREAMS as u32;
/// A connection with open streams that is silent for so long is asked whether it still lives.
const PING_AFTER: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(15);

#[derive(Clone)]
pub(super) struct Http2(Arc<Lanes>);

struct Lanes {
    tls: ClientConfig,
    proxies: Option<Arc<Proxies>>,
    /// By origin.
    lanes: Mutex<HashMap<Arc<str>, Vec<Arc<Lane>>>>,
}

/// A connection to one origin.
struct Lane {
    client: reqwest::Client,
    /// Of calls that were not answered whole.
    streams: AtomicUsize,
    /// One call at a time looks for the connection, or opens it.
    turns: Semaphore,
    /// The server has not agreed to HTTP/2: calls have a connection each.
    is_http1: AtomicBool,
}

impl Http2 {
    pub fn new(network: &NetworkSettings) -> Result<Self, String> {
        let mut tls = network.tls()?;
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let proxies = network.proxies()?.map(Arc::new);
        Ok(Self(Arc::new(Lanes { tls, proxies, lanes: Mutex::default() })))
    }

    /// Sends `body` and returns the response's head; sets `mark` once the body goes out. A request that the server says
    /// it has not looked at is sent again, once.
    pub async fn send(
        &self,
        endpoint: &Endpoint,
        body: &Bytes,
        mark: &SentMark,
    ) -> Result<http::Response<Http2Body>, Lost> {
        let mut place = self.0.place(&endpoint.origin)?;
        let response = match place.0.ask(endpoint, body, mark).await {
            Err(error) if was_not_looked_at(&error) => {
                mark.set_resent();
                place = self.0.place(&endpoint.origin)?;
                place.0.ask(endpoint, body, mark).await
            }
            answer => answer,
        };
        let response: http::Response<reqwest::Body> = response.map_err(lost)?.into();
        Ok(response.map(|body| Http2Body(Some((body, place)))))
    }
}

impl Lanes {
    /// A place in the first lane that has one.
    fn place(&self, origin: &Arc<str>) -> Result<Place, Lost> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let lanes = lanes.entry(origin.clone()).or_default();
        let free = lanes.iter().find(|lane| {
            lane.is_http1.load(Ordering::Relaxed) || lane.streams.load(Ordering::Relaxed) < STREAMS
        });
        let lane = match free {
            Some(lane) => lane.clone(),
            None => {
                let lane = Arc::new(Lane {
                    client: self.client().map_err(lost)?,
                    streams: AtomicUsize::new(0),
                    turns: Semaphore::new(1),
                    is_http1: AtomicBool::new(false),
                });
                lanes.push(lane.clone());
                lane
            }
        };
        lane.streams.fetch_add(1, Ordering::Relaxed);
        Ok(Place(lane))
    }

    fn client(&self) -> reqwest::Result<reqwest::Client> {
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(self.tls.clone())
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy()
            .pool_idle_timeout(IDLE_LIMIT)
            .http2_initial_stream_window_size(STREAM_WINDOW)
            .http2_initial_connection_window_size(CONNECTION_WINDOW)
            .http2_keep_alive_interval(PING_AFTER)
            .http2_keep_alive_timeout(PING_TIMEOUT);
        if let Some(proxies) = self.proxies.clone() {
            builder = builder.proxy(reqwest::Proxy::custom(move |url| proxies.address(url)));
        }
        builder.build()
    }
}

impl Lane {
    async fn ask(
        &self,
        endpoint: &Endpoint,
        body: &Bytes,
        mark: &SentMark,
    ) -> reqwest::Result<reqwest::Response> {
        let is_alone = self.is_http1.load(Ordering::Relaxed);
        // Never closed.
        let permit = if is_alone { None } else { self.turns.acquire().await.ok() };
        let (announce, sent) = oneshot::channel();
        let mut turn = Turn { _permit: permit, sent, mark };
        let mut is_waiting = true;
        let mut answer = pin!(self.client.execute(request(endpoint, body, announce)));
        let answer = poll_fn(|context| {
            let answer = answer.as_mut().poll(context);
            if is_waiting && turn.poll_sent(context).is_ready() {
                is_waiting = false;
            }
            answer
        })
        .await?;
        mark.set();
        self.is_http1.store(answer.version() < Version::HTTP_2, Ordering::Relaxed);
        Ok(answer)
    }
}

fn request(endpoint: &Endpoint, body: &Bytes, announce: oneshot::Sender<()>) -> reqwest::Request {
    let mut request = reqwest::Request::new(endpoint.method().clone(), endpoint.url().clone());
    *request.headers_mut() = endpoint.headers().clone();
    // The address says it, as `:authority`.
    request.headers_mut().remove(HOST);
    *request.body_mut() = Some(reqwest::Body::wrap(Announced::new(body.clone(), announce)));
    request
}

/// The time up to where a request's body goes out over a connection.
struct Turn<'a> {
    /// Given back then, or when the call is given up.
    _permit: Option<SemaphorePermit<'a>>,
    sent: oneshot::Receiver<()>,
    mark: &'a SentMark,
}

impl Turn<'_> {
    /// Ready, once, when the body goes out, or never will.
    fn poll_sent(&mut self, context: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.sent).poll(context).map(|sent| {
            self._permit = None;
            if sent.is_ok() {
                self.mark.set();
            }
        })
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        // It went out, and the call was given up before it noticed.
        if self.sent.try_recv().is_ok() {
            self.mark.set();
        }
    }
}

/// One stream's place in its lane.
struct Place(Arc<Lane>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A body that is still to be read; dropping it before its end resets its stream. `None` once it has ended.
pub(super) struct Http2Body(Option<(reqwest::Body, Place)>);

impl Http2Body {
    /// The next piece; `None` at the end.
    pub fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Lost>> {
        loop {
            let Some((body, _)) = &mut self.0 else { return Poll::Ready(Ok(None)) };
            let end = match Pin::new(body).poll_frame(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) if !data.is_empty() => return Poll::Ready(Ok(Some(data))),
                    // Trailers.
                    _ => continue,
                },
                Poll::Ready(Some(Err(error))) => Err(lost(error)),
                Poll::Ready(None) => Ok(None),
            };
            self.0 = None;
            return Poll::Ready(end);
        }
    }
}

fn lost(error: reqwest::Error) -> Lost {
    let error = error.without_url();
    if error.is_connect() { Lost::Connecting(error.into()) } else { Lost::Asking(error.into()) }
}

/// Whether the server says of a request that it did nothing for it: it refused the stream, or was closing already
/// (RFC 9113, 8.7).
fn was_not_looked_at(error: &reqwest::Error) -> bool {
    find_cause::<h2::Error>(error).is_some_and(|error| {
        let reason = error.reason();
        (error.is_reset() && error.is_remote() && reason == Some(h2::Reason::REFUSED_STREAM))
            || (error.is_go_away() && error.is_remote() && reason == Some(h2::Reason::NO_ERROR))
    })
}
