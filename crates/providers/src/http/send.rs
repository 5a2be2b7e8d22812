//! Sends one request and reads what is no stream.

use crate::read_error::ReadError;
use std::time::SystemTime;

use bytes::Bytes;
use tokio::time::Instant;

use super::HttpProvider;
use crate::keys::{AskedKey, HeldKey, is_key_refused};
use gateway_model::error::{Failure, GatewayError};
use gateway_model::provider::{SentMark, within};
use gateway_transport::{Endpoint, Response, body, retry_after};

/// A request that is no chat.
pub(super) struct PlainRequest<'a> {
    pub endpoint: &'a Endpoint,
    /// The model whose cooldowns matter; empty: the request is about none.
    pub model: &'a str,
    /// Empty for requests that only read.
    pub body: Bytes,
    pub deadline: Option<Instant>,
    pub sent: &'a SentMark,
}

impl HttpProvider {
    /// Sends a request with one key after the other, until one is not refused; sets `mark` once it goes out. `model` is empty
    /// for requests about none.
    pub(super) async fn send(
        &self,
        endpoint: &Endpoint,
        body: Bytes,
        model: &str,
        mark: &SentMark,
    ) -> Result<Response, GatewayError> {
        if let Some(asked) = self.keys.asked() {
            return self.send_asked(asked, endpoint, body, mark).await;
        }
        if !self.keys.rotates() {
            return self.send_once(endpoint, None, body, mark).await;
        }
        let mut round = self.keys.round(model);
        while let Some(turn) = round.next() {
            match self.send_once(&turn.at(endpoint), None, body.clone(), mark).await {
                Ok(response) => {
                    round.accepted(&turn);
                    return Ok(response);
                }
                Err(error) => round.refused(&turn, error)?,
            }
        }
        Err(round.failed(&self.context.name))
    }

    /// Sends a request with the key that the program gives; once more with another one where that is refused.
    async fn send_asked(
        &self,
        asked: &AskedKey,
        endpoint: &Endpoint,
        body: Bytes,
        mark: &SentMark,
    ) -> Result<Response, GatewayError> {
        let key = asked.get().await?;
        let refusal = match self.send_once(&key.at(endpoint), Some(&key), body.clone(), mark).await {
            Err(error) if is_key_refused(&error) => error,
            sent => return sent,
        };
        asked.refused(&key);
        let next = asked.get().await?;
        if next.is_same(&key) {
            return Err(refusal);
        }
        let sent = self.send_once(&next.at(endpoint), Some(&next), body, mark).await;
        if sent.as_ref().is_err_and(is_key_refused) {
            asked.refused(&next);
        }
        sent
    }

    async fn send_once(
        &self,
        endpoint: &Endpoint,
        key: Option<&HeldKey>,
        body: Bytes,
        mark: &SentMark,
    ) -> Result<Response, GatewayError> {
        let name = &self.context.name;
        let sent = if let Some(signer) = self.wire.signer() {
            let mut signed = endpoint.clone();
            signer.sign(&mut signed, &body, key.map(HeldKey::text))?;
            self.client.request(name, &signed, body, mark).await
        } else {
            self.client.request(name, endpoint, body, mark).await
        };
        let response = sent
            .map_err(|error| GatewayError { message: self.context.secrets.redact(error.message), ..error })?;
        if response.status.is_success() { Ok(response) } else { Err(self.read_error(response).await) }
    }

    /// Reads the error that an answer without success stands for.
    pub(crate) async fn read_error(&self, response: Response) -> GatewayError {
        let status = response.status;
        let asked = retry_after(&response.headers, SystemTime::now());
        let text = body::read_error(response).await;
        let asked = asked.or_else(|| self.wire.requested_wait(&text));
        let status = self.wire.error_status(status.as_u16(), &text);
        let text = self.context.secrets.redact(text);
        let error = GatewayError::from_http_status(&self.context.name, status, &text);
        match asked {
            Some(wait) => error.with_retry_after(wait),
            None => error,
        }
    }

    /// Sends a request and reads its whole answer with `read`, whose error says what is wrong with it.
    pub(super) async fn fetch<T>(
        &self,
        request: PlainRequest<'_>,
        read: impl Fn(&[u8]) -> Result<T, ReadError>,
    ) -> Result<T, Failure> {
        let PlainRequest { endpoint, model, body, deadline, sent } = request;
        within(&self.context.name, deadline, async {
            let response = self.send(endpoint, body, model, sent).await?;
            self.read_full(response, read).await
        })
        .await
    }

    /// Reads a whole answer with `read`, within the bounds on its size.
    pub(super) async fn read_full<T>(
        &self,
        response: Response,
        read: impl Fn(&[u8]) -> Result<T, ReadError>,
    ) -> Result<T, Failure> {
        let context = &self.context;
        let status = response.status.as_u16();
        let body = body::read_whole(&context.name, response, context.limit).await?;
        Ok(read(&body).map_err(|problem| self.unreadable(status, &body, problem, &read))?)
    }

    /// The error for an answer that cannot be read. Its message quotes the body, cut: secrets go before the cut.
    fn unreadable<T>(
        &self,
        status: u16,
        body: &[u8],
        problem: ReadError,
        read: impl Fn(&[u8]) -> Result<T, ReadError>,
    ) -> GatewayError {
        let clean = self.context.secrets.redact(String::from_utf8_lossy(body).into_owned());
        self.context.unacceptable(status, read(clean.as_bytes()).err().unwrap_or(problem))
    }
}
