//! Reads response bodies: complete ones up to a limit, streamed ones as bytes arrive.

use std::future::poll_fn;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::CONTENT_LENGTH;

use super::client::{Lost, Response, describe};
use super::coding::{Decoder, Undecodable};
use gateway_model::error::GatewayError;

/// Bytes that [`ChunkReader::read`] gathers at most before it feeds them on.
const READ_AHEAD: usize = 64 * 1024;
/// Enough of an error's body to quote and to redact from.
const ERROR_BODY: usize = 16 * 1024;

/// The limit of a body, and the setting it comes from.
#[derive(Debug, Clone, Copy)]
pub struct BodyLimit {
    /// Bytes.
    pub max: u64,
}

impl Default for BodyLimit {
    fn default() -> Self {
        Self { max: 32 * 1024 * 1024 }
    }
}

impl BodyLimit {
    pub fn exceeded(self, provider: &str, status: u16) -> GatewayError {
        let detail = format!("the answer is longer than maxResponseBytes ({})", self.max);
        GatewayError { retryable: false, ..GatewayError::provider_response(provider, status, &detail) }
    }
}

/// A body as it was before its content coding.
struct Decoded {
    response: Response,
    /// `None`: the body has no coding, as nearly all.
    decoder: Option<Decoder>,
    limit: BodyLimit,
    has_begun: bool,
}

impl Decoded {
    fn new(response: Response, limit: BodyLimit) -> Self {
        let decoder = Decoder::new(&response.headers, limit.max);
        Self { response, decoder, limit, has_begun: false }
    }

    async fn piece(&mut self, provider: &str) -> Result<Option<Bytes>, GatewayError> {
        poll_fn(|context| self.poll_piece(provider, context)).await
    }

    /// The next bytes; `None` at the end.
    fn poll_piece(
        &mut self,
        provider: &str,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, GatewayError>> {
        loop {
            let piece = match self.response.poll_piece(context) {
                Poll::Ready(Ok(piece)) => piece,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(lost(provider, &error))),
                Poll::Pending => return Poll::Pending,
            };
            let Some(decoder) = &mut self.decoder else { return Poll::Ready(Ok(piece)) };
            let decoded = match piece {
                Some(bytes) => {
                    self.has_begun = true;
                    decoder.decode(bytes)
                }
                None => {
                    let mut decoder = self.decoder.take();
                    let rest = decoder.as_mut().filter(|_| self.has_begun).map(Decoder::finish);
                    return Poll::Ready(match rest {
                        None => Ok(None),
                        Some(Ok(rest)) => Ok(Some(rest).filter(|rest| !rest.is_empty())),
                        Some(Err(problem)) => Err(self.undecodable(provider, &problem, Ended::Yes)),
                    });
                }
            };
            match decoded {
                // Not a whole block yet.
                Ok(bytes) if bytes.is_empty() => {}
                Ok(bytes) => return Poll::Ready(Ok(Some(bytes))),
                Err(problem) => return Poll::Ready(Err(self.undecodable(provider, &problem, Ended::No))),
            }
        }
    }

    fn undecodable(&self, provider: &str, problem: &Undecodable, ended: Ended) -> GatewayError {
        let status = self.response.status.as_u16();
        match (problem, ended) {
            (Undecodable::TooLong, _) => self.limit.exceeded(provider, status),
            (Undecodable::Damaged(coding), Ended::Yes) => GatewayError::provider_network(
                provider,
                &format!("the answer's {coding} coding was cut short"),
            ),
            (Undecodable::Damaged(coding), Ended::No) => {
                let detail = format!("the answer's {coding} coding is damaged");
                GatewayError::provider_response(provider, status, &detail)
            }
        }
    }
}

/// Whether all of a body has come.
#[derive(Clone, Copy)]
enum Ended {
    Yes,
    No,
}

fn lost(provider: &str, lost: &Lost) -> GatewayError {
    GatewayError::provider_network(provider, &describe(lost))
}

/// The complete body. Longer ones are refused while reading.
pub async fn read_whole(provider: &str, response: Response, limit: BodyLimit) -> Result<Bytes, GatewayError> {
    let status = response.status.as_u16();
    let announced =
        response.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limit.max) {
        return Err(limit.exceeded(provider, status));
    }
    let mut body = Decoded::new(response, limit);
    let Some(first) = body.piece(provider).await? else {
        return Ok(Bytes::new());
    };
    let mut all: Option<Vec<u8>> = None;
    while let Some(next) = body.piece(provider).await? {
        let all = all.get_or_insert_with(|| first.to_vec());
        all.extend_from_slice(&next);
        if all.len() as u64 > limit.max {
            return Err(limit.exceeded(provider, status));
        }
    }
    let body = all.map_or(first, Bytes::from);
    if body.len() as u64 > limit.max { Err(limit.exceeded(provider, status)) } else { Ok(body) }
}

/// The beginning of an error's body, as text. Empty if it cannot be read: the status says enough.
pub async fn read_error(response: Response) -> String {
    // Of a coding, one piece may become more than is kept.
    let mut response = Decoded::new(response, BodyLimit { max: 64 * ERROR_BODY as u64 });
    let mut body = Vec::new();
    while body.len() < ERROR_BODY {
        match response.piece("").await {
            Ok(Some(bytes)) => body.extend_from_slice(&bytes),
            Ok(None) | Err(_) => break,
        }
    }
    body.truncate(ERROR_BODY);
    String::from_utf8_lossy(&body).into_owned()
}

/// A streamed body.
pub struct ChunkReader {
    body: Decoded,
    read: u64,
}

impl ChunkReader {
    /// `limit` bounds what one piece of a compressed body becomes.
    pub fn new(response: Response, limit: BodyLimit) -> Self {
        Self { body: Decoded::new(response, limit), read: 0 }
    }

    /// Bytes read so far, after decoding.
    pub fn position(&self) -> u64 {
        self.read
    }

    /// Waits for bytes, then feeds all that have arrived. False at the end of the body.
    pub async fn read(&mut self, provider: &str, mut feed: impl FnMut(&[u8])) -> Result<bool, GatewayError> {
        let mut gathered = 0;
        poll_fn(|context| {
            while gathered < READ_AHEAD {
                match self.body.poll_piece(provider, context) {
                    Poll::Ready(Ok(Some(bytes))) => {
                        gathered += bytes.len();
                        self.read += bytes.len() as u64;
                        feed(&bytes);
                    }
                    Poll::Ready(Ok(None)) => return Poll::Ready(Ok(false)),
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending if gathered == 0 => return Poll::Pending,
                    Poll::Pending => break,
                }
            }
            Poll::Ready(Ok(true))
        })
        .await
    }
}
