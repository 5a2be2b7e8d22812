//! The gateway's own limits: refuse locally instead of paying for the vendor's 429 with time, and keep an own model server
//! from getting so many calls at once that it answers all of them late.
//!
//! [`RateLimiter`] counts requests and tokens per minute and refuses at once: the call falls back, or its caller tries
//! again after the wait in the error. [`ConcurrencyLimit`] bounds the calls at once and lets further ones wait, as a
//! permit is returned long before a minute is over.

mod concurrency;
mod fair_queue;
mod rate;
mod shared;
mod user;

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

pub use concurrency::{ConcurrencyLimit, Permit, Refused};
pub use rate::{Limit, Limited, RateLimiter};
pub use shared::SharedState;
pub use user::{UserLimits, UserPermits};

use gateway_model::config::ProviderConfig;
use gateway_model::error::{ErrorKind, GatewayError};

/// What the error says to wait where a queue is full: how long the calls in it take is not known.
const FULL_QUEUE_RETRY: Duration = Duration::from_secs(1);

/// The limits of one provider entry: `rateLimit` and `maxConcurrency`.
#[derive(Debug)]
pub struct EntryLimits {
    rate: Option<RateLimiter>,
    concurrency: Option<Arc<ConcurrencyLimit>>,
}

impl EntryLimits {
    pub fn of(config: &ProviderConfig) -> Self {
        let concurrency = config.max_concurrency.map(|max| {
            let max = usize::try_from(max).unwrap_or(usize::MAX);
            Arc::new(ConcurrencyLimit::new(max, ConcurrencyLimit::QUEUE))
        });
        Self { rate: RateLimiter::new(&config.rate_limit), concurrency }
    }

    /// Nothing is limited.
    pub fn is_empty(&self) -> bool {
        self.rate.is_none() && self.concurrency.is_none()
    }

    /// Counts a call to the entry `name`, then waits for a permit, in turn with other users' calls. The permit is held while the call runs; `None` where
    /// calls at once are not limited. `tokens`, asked for where they are limited, gets what may be taken in a minute: the
    /// most that a bound on the answer should count for, as the bound alone must not use up hours.
    ///
    /// Errors: `rate_limited` above the rate and when the queue is full; `provider_timeout` when the patience is over
    /// before a permit comes. `details.limit` names the setting. A call that gets no permit has counted for the rate.
    pub async fn admit(
        &self,
        name: &str,
        user: Option<&str>,
        tokens: impl FnOnce(u64) -> u64,
        patience: Patience,
    ) -> Result<Option<Permit>, GatewayError> {
        if let Some(rate) = &self.rate {
            let tokens = rate.tokens_per_minute().map_or(0, tokens);
            rate.admit_one(tokens).map_err(|limited| {
                over_rate(&format!("provider \"{name}\""), "rateLimit", limited).with_provider(name)
            })?;
        }
        let Some(concurrency) = &self.concurrency else { return Ok(None) };
        if let Some(permit) = concurrency.try_acquire() {
            return Ok(Some(permit));
        }
        // Boxed: the future of a call that need not wait stays small.
        let own = patience.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let until = own.into_iter().chain(patience.deadline).min();
        match Box::pin(concurrency.acquire(user, until)).await {
            Ok(permit) => Ok(Some(permit)),
            Err(refused) => {
                let timeout = patience.timeout.filter(|_| until == own);
                Err(no_permit(name, concurrency.max(), refused, timeout))
            }
        }
    }

    /// For figures of the calls that run and wait.
    pub fn concurrency(&self) -> Option<&Arc<ConcurrencyLimit>> {
        self.concurrency.as_ref()
    }
}

/// How long a call waits for a permit.
#[derive(Debug, Clone, Copy, Default)]
pub struct Patience {
    /// Of the whole call.
    pub deadline: Option<Instant>,
    /// Of the attempt; it begins anew when the attempt is sent.
    pub timeout: Option<Duration>,
}

fn over_rate(whose: &str, settings: &str, limited: Limited) -> GatewayError {
    let Limited { limit, per_minute, wait } = limited;
    let setting = format!("{settings}.{}", limit.setting());
    GatewayError::rate_limited(&format!("{setting} ({per_minute}) of {whose} is used up"), wait)
        .with_detail("limit", json!(setting))
}

fn no_permit(name: &str, max: usize, refused: Refused, timeout: Option<Duration>) -> GatewayError {
    let error = match refused {
        Refused::QueueFull { waiting } => GatewayError::rate_limited(
            &format!("maxConcurrency ({max}) of provider \"{name}\" is used up and {waiting} calls wait"),
            FULL_QUEUE_RETRY,
        ),
        Refused::Deadline if let Some(timeout) = timeout => GatewayError::new(
            ErrorKind::ProviderTimeout,
            format!(
                "Provider \"{name}\" timed out: its timeout of {} ms was over while maxConcurrency ({max}) was used up; \
                 raise either, or add a fallback",
                timeout.as_millis()
            ),
        ),
        Refused::Deadline => GatewayError::new(
            ErrorKind::ProviderTimeout,
            format!(
                "Provider \"{name}\" timed out: the call's time was over while maxConcurrency ({max}) was used up; \
                 raise either, or add a fallback"
            ),
        ),
    };
    error.with_provider(name).with_detail("limit", json!("maxConcurrency"))
}

#[cfg(test)]
mod tests;
