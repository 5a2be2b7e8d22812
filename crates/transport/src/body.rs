//! Reads response bodies: complete ones up to a limit, streamed ones as bytes arrive.

use std::future::poll_fn;
use std::task::Poll;

use bytes::Bytes;
use http::header::CONTENT_LENGTH;

use super::client::{Lost, Response, describe};
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

fn lost(provider: &str, lost: &Lost) -> GatewayError {
    GatewayError::provider_network(provider, &describe(lost))
}

/// The complete body. Longer ones are refused while reading.
pub async fn read_whole(
    provider: &str,
    mut response: Response,
    limit: BodyLimit,
) -> Result<Bytes, GatewayError> {
    let status = response.status.as_u16();
    let announced =
        response.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limit.max) {
        return Err(limit.exceeded(provider, status));
    }
    let Some(first) = response.piece().await.map_err(|error| lost(provider, &error))? else {
        return Ok(Bytes::new());
    };
    let mut all: Option<Vec<u8>> = None;
    while let Some(next) = response.piece().await.map_err(|error| lost(provider, &error))? {
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
pub async fn read_error(mut response: Response) -> String {
    let mut body = Vec::new();
    while body.len() < ERROR_BODY {
        match response.piece().await {
            Ok(Some(bytes)) => body.extend_from_slice(&bytes),
            Ok(None) | Err(_) => break,
        }
    }
    body.truncate(ERROR_BODY);
    String::from_utf8_lossy(&body).into_owned()
}

/// A streamed body.
pub struct ChunkReader {
    response: Response,
    read: u64,
}

impl ChunkReader {
    pub fn new(response: Response) -> Self {
        Self { response, read: 0 }
    }

    /// Bytes read so far.
    pub fn position(&self) -> u64 {
        self.read
    }

    /// Waits for bytes, then feeds all that have arrived. False at the end of the body.
    pub async fn read(&mut self, provider: &str, mut feed: impl FnMut(&[u8])) -> Result<bool, GatewayError> {
        let mut gathered = 0;
        poll_fn(|context| {
            while gathered < READ_AHEAD {
                match self.response.poll_piece(context) {
                    Poll::Ready(Ok(Some(bytes))) => {
                        gathered += bytes.len();
                        self.read += bytes.len() as u64;
                        feed(&bytes);
                    }
                    Poll::Ready(Ok(None)) => return Poll::Ready(Ok(false)),
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(lost(provider, &error))),
                    Poll::Pending if gathered == 0 => return Poll::Pending,
                    Poll::Pending => break,
                }
            }
            Poll::Ready(Ok(true))
        })
        .await
    }
}
