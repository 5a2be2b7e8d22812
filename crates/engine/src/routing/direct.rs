//! Providers without a gateway: no rules, breakers, limits or budgets, only the provider's own retries.

use std::time::Duration;

use super::operation::{Operation, RetryPermit};
use gateway_model::error::Failure;
use gateway_model::retry::retry;
use gateway_model::{Provider, ProviderCall};

struct Always;

impl RetryPermit for Always {
    fn may_retry(&mut self, _: &Failure, _: Duration) -> bool {
        true
    }
}

/// Sends an operation to a provider. A stream has shown its first content when it is returned.
///
/// # Errors
/// The last try's failure.
pub async fn send<O: Operation>(
    operation: &O,
    provider: &dyn Provider,
    call: &ProviderCall,
) -> Result<O::Output, Failure> {
    operation.send(provider, call, &mut Always).await
}

/// The ids of the models the service has now; `None`: it does not tell.
///
/// # Errors
/// The last try's failure.
pub async fn list_models(provider: &dyn Provider) -> Result<Option<Vec<String>>, Failure> {
    retry(provider.retry_policy(), None, |_, _| true, || provider.models()).await
}
