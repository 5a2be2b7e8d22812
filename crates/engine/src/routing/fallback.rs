//! Answers a call: through its candidates in turn, or in one call of Cloudflare's where its chain says so.

use std::time::Duration;

use super::candidates::{Candidates, step_model};
use super::run::{CallOptions, Output, Routed, Step, run};
use super::{Decision, Providers};
use gateway_model::Answer;
use gateway_model::config::ChainExecution;
use gateway_model::error::{Failure, GatewayError};
use gateway_model::{EventSource, UniversalCall};

/// Asks the decision's candidates in turn until one answers; the last failure is the call's.
pub async fn execute<T, F>(
    decision: &Decision,
    providers: &Providers,
    options: &CallOptions,
    ask: impl Fn(Step) -> F,
) -> Result<Routed<T>, Failure>
where
    T: Output,
    F: Future<Output = Result<T, Failure>>,
{
    run(Candidates::new(decision, providers, options), options, decision.hedge, ask).await
}

/// Who may answer a chain that is one call, by step.
type Routes = Vec<Routed<()>>;

/// The chain as one call to Cloudflare's Universal Endpoint; `None` where it is gone down step by step, as it is after a
/// pool.
fn universal(
    decision: &Decision,
    providers: &Providers,
    options: &CallOptions,
) -> Option<(Box<dyn UniversalCall>, Routes)> {
    let chain = decision.chain.as_ref().filter(|chain| chain.execution == ChainExecution::Cloudflare)?;
    if decision.pool.is_some() {
        return None;
    }
    let mut steps = Vec::new();
    let mut routes: Routes = Vec::new();
    for step in &chain.steps {
        let Some(loaded) = providers.get(&step.provider) else { continue };
        let provider = loaded.provider.clone();
        let model = step_model(step, decision, &options.request, providers);
        let call = options.call(model.clone(), step.timeout_ms.map(Duration::from_millis));
        routes.push(Routed {
            fallback_from: routes.first().map(|first| first.provider.name().to_owned()),
            fallback_triggered: !routes.is_empty(),
            ..Routed::new((), step.provider.clone(), provider.clone(), model)
        });
        steps.push((provider, call));
    }
    let (first, _) = steps.first()?;
    Some((first.universal(&steps)?, routes))
}

/// Answers a chat: through [`execute`], or in one call of Cloudflare's where the chain says so.
pub async fn chat(
    decision: &Decision,
    providers: &Providers,
    options: &CallOptions,
) -> Result<Routed<Answer>, Failure> {
    match universal(decision, providers, options) {
        Some((call, routes)) => call.chat().await.and_then(|answered| answered_by(routes, answered)),
        None => {
            execute(decision, providers, options, |step| async move { step.provider.chat(&step.call).await })
                .await
        }
    }
}

/// Opens a stream, likewise.
pub async fn stream(
    decision: &Decision,
    providers: &Providers,
    options: &CallOptions,
) -> Result<Routed<Box<dyn EventSource>>, Failure> {
    match universal(decision, providers, options) {
        Some((call, routes)) => call.stream().await.and_then(|answered| answered_by(routes, answered)),
        None => {
            execute(
                decision,
                providers,
                options,
                |step| async move { step.provider.stream(&step.call).await },
            )
            .await
        }
    }
}

fn answered_by<T>(routes: Routes, (step, output): (usize, T)) -> Result<Routed<T>, Failure> {
    let route =
        routes.into_iter().nth(step).ok_or_else(|| GatewayError::internal("an unknown step answered"))?;
    let Routed { entry, provider, model, fallback_from, fallback_triggered, .. } = route;
    Ok(Routed { fallback_from, fallback_triggered, ..Routed::new(output, entry, provider, model) })
}
