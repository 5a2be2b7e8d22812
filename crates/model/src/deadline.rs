//! Waits that end with a call's deadline.

use std::time::Duration;

use tokio::time::Instant;

use crate::error::{Failure, GatewayError};

/// The end of a wait begun now, but not past the call's own deadline.
pub fn deadline_after(wait: Option<Duration>, call: Option<Instant>) -> Option<Instant> {
    let wait = wait.and_then(|wait| Instant::now().checked_add(wait));
    match (wait, call) {
        (Some(wait), Some(call)) => Some(wait.min(call)),
        (wait, call) => wait.or(call),
    }
}

/// Waits for `work`, but not past `deadline`.
///
/// # Errors
/// Those of `work`; `provider_timeout` at the deadline.
pub async fn within<T>(
    provider: &str,
    deadline: Option<Instant>,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    match deadline {
        None => work.await,
        Some(deadline) => match tokio::time::timeout_at(deadline, work).await {
            Ok(done) => done,
            Err(_) => Err(GatewayError::provider_timeout(provider).into()),
        },
    }
}
