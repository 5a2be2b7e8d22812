//! Tries again: how often, after how long, and never past the call's deadline.

use std::time::Duration;

use rand::Rng;
use tokio::time::Instant;

use crate::config::{Jitter, RetryConfig};
use crate::error::{ErrorKind, Failure, GatewayError};

/// How a provider's failed requests are repeated: an entry's `retry`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// The first try included.
    pub max_attempts: u32,
    /// Before the second try; doubled for each one after.
    pub backoff: Duration,
    /// A longer `Retry-After` ends the tries.
    pub max_retry_after: Duration,
    pub jitter: Jitter,
}

impl Default for RetryPolicy {
    /// One try.
    fn default() -> Self {
        RetryConfig::default().into()
    }
}

impl From<Option<RetryConfig>> for RetryPolicy {
    fn from(config: Option<RetryConfig>) -> Self {
        config.unwrap_or_default().into()
    }
}

impl From<RetryConfig> for RetryPolicy {
    fn from(config: RetryConfig) -> Self {
        Self {
            max_attempts: config.max_attempts.unwrap_or(1).max(1),
            backoff: Duration::from_millis(config.backoff_ms.unwrap_or(500)),
            max_retry_after: Duration::from_millis(config.max_retry_after_ms.unwrap_or(60_000)),
            jitter: config.jitter,
        }
    }
}

/// Sends until one try succeeds, fails for good, or the next wait would pass `deadline`. Asks `may_retry` before each
/// further try, and passes the wait until then.
///
/// # Errors
/// The last try's failure.
pub async fn retry<T, F>(
    policy: RetryPolicy,
    deadline: Option<Instant>,
    mut may_retry: impl FnMut(&Failure, Duration) -> bool,
    mut send: impl FnMut() -> F,
) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>>,
{
    let mut made = 0;
    loop {
        let failure = match send().await {
            Ok(output) => return Ok(output),
            Err(failure) => failure,
        };
        made += 1;
        let Some(wait) = policy.wait_after(&failure, made) else { return Err(failure) };
        let is_late = deadline.is_some_and(|deadline| Instant::now() + wait >= deadline);
        if is_late || !may_retry(&failure, wait) {
            return Err(failure);
        }
        // Boxed: the future of a call that is not repeated stays small.
        Box::pin(tokio::time::sleep(wait)).await;
    }
}

impl RetryPolicy {
    /// How long to wait after the failure of try number `made`; `None`: give up.
    fn wait_after(&self, failure: &Failure, made: u32) -> Option<Duration> {
        if made >= self.max_attempts {
            return None;
        }
        let Failure::Gateway(error) = failure else { return None };
        if !is_transient(error) {
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

/// 408, 429, 502, 503, 504, 529, timeouts and lost connections. What has a reason of its own (a used-up quota, a request too
/// large) fails again.
fn is_transient(error: &GatewayError) -> bool {
    if error.reason.is_some() {
        return false;
    }
    match error.kind {
        ErrorKind::ProviderRateLimit | ErrorKind::ProviderTimeout | ErrorKind::ProviderNetwork => true,
        ErrorKind::ProviderResponse => {
            matches!(error.upstream_status(), Some(502 | 503 | 529))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
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
        let send = || {
            made += 1;
            let error = error.clone();
            async { Err(error.into()) }
        };
        let result: Result<(), _> = retry(policy, deadline, |_, _| true, send).await;
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
        for (status, expected) in [
            (400, 1),
            (401, 1),
            (404, 1),
            (500, 1),
            (408, 3),
            (429, 3),
            (502, 3),
            (503, 3),
            (504, 3),
            (529, 3),
        ] {
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
}
