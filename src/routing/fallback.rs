//! Runs a request against its target, or down its chain until a step answers.

use std::sync::Arc;
use std::time::Duration;

use super::{Decision, Providers, not_loaded};
use crate::error::{ErrorKind, Failure, GatewayError};
use crate::model::config::{ChainExecution, FallbackStep, FallbackTrigger};
use crate::model::{Answer, ChatRequest};
use crate::providers::{EventSource, Provider, ProviderCall, UniversalCall};
use tokio::time::Instant;

/// What answered, and whether it was asked first.
pub struct Routed<T> {
    pub output: T,
    /// Name of the entry whose provider answered.
    pub entry: String,
    pub provider: Arc<dyn Provider>,
    /// The model that was asked for.
    pub model: String,
    /// The first step's provider, when a later one answered.
    pub fallback_from: Option<String>,
    pub fallback_triggered: bool,
}

/// One attempt: a provider and its orders.
pub struct Step {
    pub provider: Arc<dyn Provider>,
    pub call: ProviderCall,
}

/// The orders that every step of a call shares.
#[derive(Clone)]
pub struct Orders {
    pub request: Arc<ChatRequest>,
    pub max_tokens: Option<u64>,
    pub deadline: Option<Instant>,
}

impl Orders {
    fn call(&self, model: String, timeout: Option<Duration>) -> ProviderCall {
        ProviderCall {
            request: self.request.clone(),
            model,
            max_tokens: self.max_tokens,
            timeout,
            deadline: self.deadline,
        }
    }
}

/// The chain as one call to Cloudflare's Universal Endpoint; `None` where it is gone down step by step.
fn universal(
    decision: &Decision,
    providers: &Providers,
    orders: &Orders,
) -> Option<(UniversalCall, Vec<Routed<()>>)> {
    let chain = decision.chain.as_ref().filter(|chain| chain.execution == ChainExecution::Cloudflare)?;
    let mut steps = Vec::new();
    let mut routes: Vec<Routed<()>> = Vec::new();
    for step in &chain.steps {
        let Some(loaded) = providers.get(&step.provider) else { continue };
        let provider = loaded.provider.clone();
        let model = step_model(step, decision, &orders.request, providers);
        let call = orders.call(model.clone(), step.timeout_ms.map(Duration::from_millis));
        routes.push(Routed {
            output: (),
            entry: step.provider.clone(),
            provider: provider.clone(),
            model,
            fallback_from: routes.first().map(|first| first.provider.name().to_owned()),
            fallback_triggered: !routes.is_empty(),
        });
        steps.push((provider, call));
    }
    Some((UniversalCall::new(steps)?, routes))
}

/// Answers a chat: through [`execute`], or in one call of Cloudflare's where the chain says so.
pub async fn chat(
    decision: &Decision,
    providers: &Providers,
    orders: &Orders,
) -> Result<Routed<Answer>, Failure> {
    match universal(decision, providers, orders) {
        Some((call, routes)) => call.chat().await.and_then(|answered| answered_by(routes, answered)),
        None => {
            execute(decision, providers, orders, |step| async move { step.provider.chat(&step.call).await })
                .await
        }
    }
}

/// Opens a stream, likewise.
pub async fn stream(
    decision: &Decision,
    providers: &Providers,
    orders: &Orders,
) -> Result<Routed<Box<dyn EventSource>>, Failure> {
    match universal(decision, providers, orders) {
        Some((call, routes)) => call.stream().await.and_then(|answered| answered_by(routes, answered)),
        None => {
            execute(decision, providers, orders, |step| async move { step.provider.stream(&step.call).await })
                .await
        }
    }
}

fn answered_by<T>(routes: Vec<Routed<()>>, (step, output): (usize, T)) -> Result<Routed<T>, Failure> {
    let route =
        routes.into_iter().nth(step).ok_or_else(|| GatewayError::internal("an unknown step answered"))?;
    let Routed { entry, provider, model, fallback_from, fallback_triggered, .. } = route;
    Ok(Routed { output, entry, provider, model, fallback_from, fallback_triggered })
}

/// Tries the decision's target, or its chain's steps in order: the first always, each next one when its `when` is
/// empty or holds the trigger of the failure before. The last failure is the call's.
pub async fn execute<T, F>(
    decision: &Decision,
    providers: &Providers,
    orders: &Orders,
    attempt: impl Fn(Step) -> F,
) -> Result<Routed<T>, Failure>
where
    F: Future<Output = Result<T, Failure>>,
{
    let Some(chain) = &decision.chain else {
        let loaded = providers.get(&decision.provider).ok_or_else(|| not_loaded(&decision.provider))?;
        let provider = loaded.provider.clone();
        let step = Step { provider: provider.clone(), call: orders.call(decision.model.clone(), None) };
        let output = attempt(step).await?;
        return Ok(Routed {
            output,
            entry: decision.provider.clone(),
            provider,
            model: decision.model.clone(),
            fallback_from: None,
            fallback_triggered: false,
        });
    };
    let mut first_provider: Option<String> = None;
    let mut last: Option<Failure> = None;
    let mut raised: Option<FallbackTrigger> = None;
    for step in &chain.steps {
        if raised.is_some_and(|raised| !step.when.is_empty() && !step.when.contains(&raised)) {
            break;
        }
        let Some(loaded) = providers.get(&step.provider) else {
            first_provider.get_or_insert_with(|| step.provider.clone());
            raised = Some(FallbackTrigger::ProviderError);
            last.get_or_insert_with(|| not_loaded(&step.provider));
            continue;
        };
        let provider = loaded.provider.clone();
        let model = step_model(step, decision, &orders.request, providers);
        let call = orders.call(model.clone(), step.timeout_ms.map(Duration::from_millis));
        match attempt(Step { provider: provider.clone(), call }).await {
            Ok(output) => {
                let fallback_triggered = first_provider.is_some();
                let entry = step.provider.clone();
                return Ok(Routed {
                    output,
                    entry,
                    provider,
                    model,
                    fallback_from: first_provider,
                    fallback_triggered,
                });
            }
            Err(failure) => {
                first_provider.get_or_insert_with(|| provider.name().to_owned());
                if orders.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                    return Err(failure);
                }
                raised = Some(trigger(&failure));
                last = Some(failure);
            }
        }
    }
    Err(last.unwrap_or_else(|| not_loaded(&decision.provider)))
}

/// A step's own model; else the decision's on the rule's own target and where the request named a model that the
/// provider lists; else the provider's default.
fn step_model(
    step: &FallbackStep,
    decision: &Decision,
    request: &ChatRequest,
    providers: &Providers,
) -> String {
    if let Some(model) = step.model.as_ref().filter(|model| !model.is_empty()) {
        return model.clone();
    }
    let loaded = providers.get(&step.provider);
    let named =
        request.model.as_ref().filter(|model| loaded.is_some_and(|loaded| loaded.models.contains(model)));
    if step.provider == decision.provider || named.is_some() {
        return decision.model.clone();
    }
    loaded.and_then(|loaded| loaded.default_model.clone()).unwrap_or_else(|| decision.model.clone())
}

/// The trigger of a failure. Errors that are not the gateway's are read by their message.
pub fn trigger(failure: &Failure) -> FallbackTrigger {
    match failure.kind() {
        Some(ErrorKind::ProviderTimeout) => FallbackTrigger::Timeout,
        Some(ErrorKind::ProviderRateLimit | ErrorKind::RateLimited) => FallbackTrigger::RateLimit,
        Some(ErrorKind::BudgetExceeded) => FallbackTrigger::BudgetExceeded,
        Some(_) => FallbackTrigger::ProviderError,
        None => {
            let message = failure.to_string();
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
    use super::*;
    use crate::error::ForeignError;

    #[test]
    fn a_failure_maps_to_its_trigger() {
        let foreign = |message: &str| {
            trigger(&Failure::Foreign(ForeignError {
                id: 0,
                message: message.into(),
                kind: None,
                code: None,
            }))
        };
        assert_eq!(trigger(&GatewayError::provider_timeout("p").into()), FallbackTrigger::Timeout);
        assert_eq!(trigger(&GatewayError::provider_rate_limit("p").into()), FallbackTrigger::RateLimit);
        assert_eq!(
            trigger(&GatewayError::rate_limited("p", Duration::ZERO).into()),
            FallbackTrigger::RateLimit
        );
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
