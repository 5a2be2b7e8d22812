//! Tries again: how often, after how long, and never past the call's deadline.

use std::future::Future;
use std::time::{Duration, SystemTime};

use http::header::{HeaderMap, RETRY_AFTER};
use rand::Rng;
use tokio::time::Instant;

use gateway_model::config::{Jitter, RetryConfig};
use gateway_model::error::{ErrorKind, Failure, GatewayError};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    pub max_attempts: u32,
    /// Before the second attempt; doubled for each one after.
    pub backoff: Duration,
    /// A longer `Retry-After` ends the attempts.
    pub max_retry_after: Duration,
    pub jitter: Jitter,
}

impl From<Option<RetryConfig>> for RetryPolicy {
    fn from(config: Option<RetryConfig>) -> Self {
        let config = config.unwrap_or_default();
        Self {
            max_attempts: config.max_attempts.unwrap_or(1).max(1),
            backoff: Duration::from_millis(config.backoff_ms.unwrap_or(500)),
            max_retry_after: Duration::from_millis(config.max_retry_after_ms.unwrap_or(60_000)),
            jitter: config.jitter,
        }
    }
}

impl RetryPolicy {
    /// Runs `attempt` until it succeeds, fails for good, or the next wait would pass `deadline`. `allows` is asked
    /// before each further one, and told how long until then.
    pub async fn run<T, F>(
        &self,
        deadline: Option<Instant>,
        allows: impl Fn(&GatewayError, Duration) -> bool,
        mut attempt: impl FnMut() -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let mut made = 0;
        loop {
            let error = match attempt().await {
                Err(Failure::Gateway(error)) => error,
                done => return done,
            };
            made += 1;
            let Some(wait) = self.wait_after(&error, made) else { return Err(Failure::Gateway(error)) };
            let late = deadline.is_some_and(|deadline| Instant::now() + wait >= deadline);
            if late || !allows(&error, wait) {
                return Err(Failure::Gateway(error));
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// How long to wait after the failure of attempt number `made`; `None`: give up.
    fn wait_after(&self, error: &GatewayError, made: u32) -> Option<Duration> {
        if made >= self.max_attempts || !is_transient(error) {
            return None;
        }
        match error.retry_after {
            Some(asked) => (asked <= self.max_retry_after).then_some(asked),
            None => {
                let jitter = match self.jitter {
                    Jitter::Small => rand::rng().random_range(0.85..=1.15),
                    Jitter::Full => rand::rng().random_range(0.0..=1.0),
                };
                Some(self.backoff.saturating_mul(1 << (made - 1).min(16)).mul_f64(jitter))
            }
        }
    }
}

/// 429, 502, 503, 504, timeouts and lost connections.
fn is_transient(error: &GatewayError) -> bool {
    match error.kind {
        ErrorKind::ProviderRateLimit | ErrorKind::ProviderTimeout | ErrorKind::ProviderNetwork => true,
        ErrorKind::ProviderResponse => {
            matches!(error.upstream_status(), Some(502 | 503))
        }
        _ => false,
    }
}

/// The wait an answer asks for: `retry-after-ms`, else `Retry-After` in seconds or as a date (RFC 9110 §10.2.3).
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |value: &http::header::HeaderValue| value.to_str().ok().map(|text| text.trim().to_owned());
    let number = |text: &str| text.parse::<f64>().ok().filter(|number| *number >= 0.0);
    if let Some(ms) = headers.get("retry-after-ms").and_then(text).as_deref().and_then(number) {
        return Some(Duration::try_from_secs_f64(ms / 1e3).unwrap_or(Duration::MAX));
    }
    let value = headers.get(RETRY_AFTER).and_then(text)?;
    match number(&value) {
        Some(seconds) => Some(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)),
        None => Some(httpdate::parse_http_date(&value).ok()?.duration_since(now).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    fn policy(max_attempts: u32) -> RetryPolicy {
        Some(RetryConfig {
            max_attempts: Some(max_attempts),
            backoff_ms: Some(500),
            ..RetryConfig::default()
        })
        .into()
    }

    async fn attempts(
        policy: RetryPolicy,
        deadline: Option<Instant>,
        error: GatewayError,
    ) -> (u32, Duration) {
        let started = Instant::now();
        let mut made = 0;
        let result: Result<(), _> = policy
            .run(
                deadline,
                |_, _| true,
                || {
                    made += 1;
                    let error = error.clone();
                    async { Err(error.into()) }
                },
            )
            .await;
        assert!(result.is_err());
        (made, started.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn waits_double_with_a_small_jitter() {
        let (made, waited) = attempts(policy(4), None, GatewayError::provider_timeout("p")).await;
        assert_eq!(made, 4);
        let base = Duration::from_millis(500 + 1000 + 2000);
        assert!(waited >= base.mul_f64(0.85) && waited <= base.mul_f64(1.16), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn full_jitter_waits_no_longer_than_the_whole() {
        let policy = RetryConfig { max_attempts: Some(4), jitter: Jitter::Full, ..RetryConfig::default() };
        let mut waits = Vec::new();
        for _ in 0..20 {
            let (_, waited) = attempts(Some(policy).into(), None, GatewayError::provider_timeout("p")).await;
            assert!(waited <= Duration::from_millis(500 + 1000 + 2000), "{waited:?}");
            waits.push(waited);
        }
        assert!(waits.iter().max() > waits.iter().min());
    }

    #[tokio::test(start_paused = true)]
    async fn only_passing_faults_are_tried_again() {
        for (status, expected) in
            [(400, 1), (401, 1), (404, 1), (500, 1), (429, 3), (502, 3), (503, 3), (504, 3)]
        {
            let (made, _) = attempts(policy(3), None, GatewayError::from_http_status("p", status, "")).await;
            assert_eq!(made, expected, "status {status}");
        }
        assert_eq!(attempts(policy(3), None, GatewayError::provider_network("p", "reset")).await.0, 3);
    }

    #[tokio::test(start_paused = true)]
    async fn the_upstreams_own_wait_is_honoured_up_to_its_bound() {
        let asks = |seconds| GatewayError {
            retry_after: Some(Duration::from_secs(seconds)),
            ..GatewayError::provider_rate_limit("p")
        };
        let (made, waited) = attempts(policy(2), None, asks(7)).await;
        assert_eq!((made, waited.as_secs()), (2, 7));
        assert_eq!(attempts(policy(2), None, asks(61)).await.0, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn no_wait_passes_the_deadline() {
        let deadline = Instant::now() + Duration::from_millis(100);
        assert_eq!(attempts(policy(5), Some(deadline), GatewayError::provider_timeout("p")).await.0, 1);
    }

    #[test]
    fn retry_after_is_read_in_each_of_its_forms() {
        let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let read = |name: &'static str, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            retry_after(&headers, now)
        };
        assert_eq!(read("retry-after", "3"), Some(Duration::from_secs(3)));
        assert_eq!(read("retry-after", "0.5"), Some(Duration::from_millis(500)));
        assert_eq!(read("retry-after-ms", "250"), Some(Duration::from_millis(250)));
        assert_eq!(read("retry-after", "Tue, 14 Nov 2023 22:13:30 GMT"), Some(Duration::from_secs(10)));
        assert_eq!(read("retry-after", "Tue, 14 Nov 2023 22:13:00 GMT"), Some(Duration::ZERO));
        assert_eq!(read("retry-after", "99999999999999999999"), Some(Duration::MAX));
        assert_eq!(read("retry-after", "soon"), None);
        assert_eq!(read("retry-after", "-1"), None);
    }
}
