//! Whose fault a failure is.

use std::time::Duration;

use gateway_model::error::{ErrorKind, Failure, NOT_JSON_REASON};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The request is at fault: every target would refuse it.
    Caller,
    /// Says nothing about the target's health (it has no such model, for one); another target may do better.
    Neutral,
    /// The target wants no calls for some time, as long as it says.
    Limit(Option<Duration>),
    Target,
}

/// Attributes a failure.
pub fn blame(failure: &Failure) -> Blame {
    let (status, retry_after, is_foreign) = match failure {
        Failure::Gateway(error) => (error.upstream_status(), error.retry_after, false),
        Failure::Foreign(error) => (error.upstream_status.map(u64::from), error.retry_after, true),
    };
    match failure.kind() {
        Some(ErrorKind::ProviderRateLimit | ErrorKind::RateLimited) => Blame::Limit(retry_after),
        // A built-in provider refused it before anything was sent: another one may take it.
        Some(ErrorKind::InvalidRequest) if !is_foreign => Blame::Neutral,
        Some(ErrorKind::InvalidRequest) => Blame::Caller,
        Some(ErrorKind::Aborted | ErrorKind::BudgetExceeded) => Blame::Neutral,
        Some(ErrorKind::ProviderResponse) if is_own_check(failure) => Blame::Neutral,
        Some(ErrorKind::ProviderResponse) => match status {
            Some(400 | 413 | 422) => Blame::Caller,
            Some(404) => Blame::Neutral,
            _ => Blame::Target,
        },
        _ => Blame::Target,
    }
}

/// The answer came, and failed a check of ours on what the request asked for.
fn is_own_check(failure: &Failure) -> bool {
    let Failure::Gateway(error) = failure else { return false };
    let reason = error.details.as_ref().and_then(|details| details.get("reason"));
    reason.is_some_and(|reason| reason == NOT_JSON_REASON)
}
