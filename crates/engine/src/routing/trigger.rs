//! What a failure means to a chain.

use gateway_model::config::FallbackTrigger;
use gateway_model::error::{ErrorKind, Failure};

/// The trigger that a failure raises. Errors that a custom provider threw are read by their message, as ai-gateway-lite
/// does.
pub fn trigger(failure: &Failure) -> FallbackTrigger {
    match failure.kind() {
        Some(ErrorKind::ProviderTimeout) => FallbackTrigger::Timeout,
        Some(ErrorKind::ProviderRateLimit | ErrorKind::RateLimited) => FallbackTrigger::RateLimit,
        Some(ErrorKind::BudgetExceeded) => FallbackTrigger::BudgetExceeded,
        Some(_) => FallbackTrigger::ProviderError,
        None => {
            let Failure::Foreign(thrown) = failure else { return FallbackTrigger::ProviderError };
            match thrown.upstream_status {
                Some(429) => return FallbackTrigger::RateLimit,
                Some(408 | 504) => return FallbackTrigger::Timeout,
                _ => {}
            }
            let message = &thrown.message;
            let says = |word: &str| message.contains(word);
            if says("timeout") || says("aborted") {
                FallbackTrigger::Timeout
            } else if says("429") || says("rate") {
                FallbackTrigger::RateLimit
            } else {
                FallbackTrigger::ProviderError
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use gateway_model::error::{ForeignError, GatewayError};

    #[test]
    fn a_failure_maps_to_its_trigger() {
        let foreign = |message: &str| {
            trigger(&Failure::Foreign(ForeignError { message: message.into(), ..ForeignError::default() }))
        };
        assert_eq!(trigger(&GatewayError::provider_timeout("p").into()), FallbackTrigger::Timeout);
        assert_eq!(trigger(&GatewayError::provider_rate_limit("p").into()), FallbackTrigger::RateLimit);
        let limited = GatewayError::rate_limited("p", Duration::ZERO);
        assert_eq!(trigger(&limited.into()), FallbackTrigger::RateLimit);
        assert_eq!(trigger(&GatewayError::budget_exceeded("b").into()), FallbackTrigger::BudgetExceeded);
        assert_eq!(
            trigger(&GatewayError::provider_network("p", "reset").into()),
            FallbackTrigger::ProviderError
        );
        assert_eq!(foreign("socket timeout"), FallbackTrigger::Timeout);
        assert_eq!(foreign("The operation was aborted"), FallbackTrigger::Timeout);
        assert_eq!(foreign("HTTP 429"), FallbackTrigger::RateLimit);
        assert_eq!(foreign("over the rate"), FallbackTrigger::RateLimit);
        assert_eq!(foreign("boom"), FallbackTrigger::ProviderError);
    }
}
