//! Whose fault a failure is.

use std::time::Duration;

use gateway_model::error::{ErrorKind, Failure, Reason};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The request is at fault: every target would refuse it.
    Caller,
    /// Says nothing about the target's health; another target may do better.
    Neutral,
    /// The service has no such model; another target may have it.
    NoModel,
    /// The target wants no calls for some time, as long as it says.
    Limit(Option<Duration>),
    Target,
}

/// How long a target is left alone whose quota is used up, where it does not say.
const QUOTA_REST: Duration = Duration::from_secs(60);

/// Attributes a failure: by what it is about, where that is known, before its kind and status.
pub fn blame(failure: &Failure) -> Blame {
    let (status, retry_after, is_foreign) = match failure {
        Failure::Gateway(error) => (error.upstream_status(), error.retry_after, false),
        Failure::Foreign(error) => (error.upstream_status.map(u64::from), error.retry_after, true),
    };
    match failure.reason() {
        Some(Reason::InsufficientQuota) => return Blame::Limit(Some(retry_after.unwrap_or(QUOTA_REST))),
        // Another model may be larger or less strict.
        Some(Reason::ContentFilter | Reason::RequestTooLarge | Reason::NotJson) => {
            return Blame::Neutral;
        }
        Some(Reason::ModelNotFound) => return Blame::NoModel,
        None => {}
    }
    match failure.kind() {
        Some(ErrorKind::ProviderRateLimit | ErrorKind::RateLimited) => Blame::Limit(retry_after),
        // A built-in provider refused it before anything was sent: another one may take it.
        Some(ErrorKind::InvalidRequest) if !is_foreign => Blame::Neutral,
        Some(ErrorKind::InvalidRequest) => Blame::Caller,
        Some(ErrorKind::Aborted | ErrorKind::BudgetExceeded) => Blame::Neutral,
        // A thrown error without a kind is read by its own status.
        Some(ErrorKind::ProviderResponse) | None => match status {
            Some(400 | 413 | 422) => Blame::Caller,
            Some(404) => Blame::NoModel,
            Some(429) => Blame::Limit(retry_after),
            _ => Blame::Target,
        },
        _ => Blame::Target,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gateway_model::error::{ForeignError, GatewayError};

    fn of(status: u16, body: &str) -> Blame {
        blame(&GatewayError::from_http_status("p", status, body).into())
    }

    #[test]
    fn what_the_request_caused_is_not_the_targets() {
        assert_eq!(of(403, r#"{"error":{"message":"m","metadata":{"flagged_input":"x"}}}"#), Blame::Neutral);
        assert_eq!(of(429, r#"{"error":{"message":"Request too large for m"}}"#), Blame::Neutral);
        assert_eq!(of(400, r#"{"error":{"code":"context_length_exceeded"}}"#), Blame::Neutral);
        assert_eq!(of(400, r#"{"error":{"code":"invalid_value"}}"#), Blame::Caller);
        assert_eq!(of(403, "no"), Blame::Target);
    }

    #[test]
    fn a_used_up_quota_rests_the_target_whatever_its_status() {
        for status in [400, 402, 403, 429] {
            assert_eq!(
                of(status, r#"{"error":{"code":"insufficient_quota"}}"#),
                Blame::Limit(Some(QUOTA_REST))
            );
        }
    }

    #[test]
    fn a_thrown_error_is_read_by_its_own_status() {
        let thrown = |status| {
            blame(&Failure::Foreign(ForeignError { upstream_status: status, ..ForeignError::default() }))
        };
        assert_eq!(thrown(None), Blame::Target);
        assert_eq!(thrown(Some(500)), Blame::Target);
        assert_eq!(thrown(Some(404)), Blame::NoModel);
        assert_eq!(thrown(Some(400)), Blame::Caller);
        assert_eq!(thrown(Some(429)), Blame::Limit(None));
    }
}
