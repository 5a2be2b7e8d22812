//! Answers a call: through its candidates in turn, or in one call to Cloudflare where its chain says so.

use std::sync::Arc;
use std::time::Duration;

use super::call::CallOptions;
use super::decision::Decision;
use super::entry::Providers;
use super::operation::{Chat, Embed, Stream};
use super::routed::Routed;
use super::run::run;
use crate::budget::Reservation;
use gateway_model::config::{ChainExecution, FallbackChain};
use gateway_model::error::{Failure, GatewayError};
use gateway_model::{Answer, EventSource, UniversalCall, Vectors, await_first_content};
use gateway_pricing::Asked;

/// Answers a chat.
///
/// # Errors
/// The last attempt's failure.
pub async fn chat(
    decision: &Decision,
    providers: &Providers,
    options: &CallOptions,
) -> Result<Routed<Answer>, Failure> {
    match universal(decision, providers, options).await? {
        Some((call, routes)) => {
            let (step, answer) = call.chat().await?;
            answered_by(routes, step, answer)
        }
        None => run(decision, providers, options, &Chat).await,
    }
}

/// Opens a stream, up to its first content.
///
/// # Errors
/// The last attempt's failure.
pub async fn stream(
    decision: &Decision,
    providers: &Providers,
    options: &CallOptions,
) -> Result<Routed<Box<dyn EventSource>>, Failure> {
    match universal(decision, providers, options).await? {
        Some((call, routes)) => {
            let (step, opened) = call.open_stream().await?;
            let name = routes.first().map_or("", |first| first.provider.name());
            let committed = await_first_content(name, opened).await?;
            answered_by(routes, step, Box::new(committed))
        }
        None => run(decision, providers, options, &Stream).await,
    }
}

/// Makes vectors of texts. A chain is always gone down step by step.
///
/// # Errors
/// The last attempt's failure.
pub async fn embed(
    decision: &Decision,
    providers: &Providers,
    options: &CallOptions,
    texts: &Embed,
) -> Result<Routed<Vectors>, Failure> {
    run(decision, providers, options, texts).await
}

/// One call for a whole chain, and the route of each step.
type ChainCall = (Box<dyn UniversalCall>, Vec<Routed<()>>);

/// The chain as one call to Cloudflare's Universal Endpoint; `None` where it is gone down step by step, as it is after a
/// pool. Any of its steps may answer: each reserves what it may use, and those that are refused are left out.
///
/// # Errors
/// All steps were refused; the last one's refusal.
async fn universal(
    decision: &Decision,
    providers: &Providers,
    options: &CallOptions,
) -> Result<Option<ChainCall>, Failure> {
    let cloudflare = |chain: &&Arc<FallbackChain>| chain.execution == ChainExecution::Cloudflare;
    let Some(chain) = decision.chain.as_ref().filter(cloudflare) else { return Ok(None) };
    if decision.pool.is_some() {
        return Ok(None);
    }
    let mut refusal = None;
    let mut steps = Vec::new();
    let mut routes: Vec<Routed<()>> = Vec::new();
    for step in &chain.steps {
        let Some(entry) = providers.get(&step.provider) else { continue };
        let provider = entry.provider.clone();
        let model = decision.step_model(step, &options.request, providers);
        let asked = Asked { entry: &step.provider, family: provider.family(), model: &model };
        let reservation = match options.admit(asked).await {
            Ok(reservation) => reservation,
            Err(refused) => {
                refusal = Some(refused);
                continue;
            }
        };
        let output_cap = reservation.as_ref().and_then(Reservation::output_cap);
        let timeout = step.timeout_ms.map(Duration::from_millis);
        let call = options.provider_call(model.clone(), timeout, output_cap);
        routes.push(Routed {
            fallback_from: routes.first().map(|first| first.provider.name().to_owned()),
            fallback_triggered: !routes.is_empty(),
            reservation,
            ..Routed::new((), step.provider.clone(), provider.clone(), model)
        });
        steps.push((provider, call));
    }
    match steps.first() {
        Some((first, _)) => Ok(first.universal(&steps).map(|call| (call, routes))),
        None => refusal.map_or(Ok(None), Err),
    }
}

fn answered_by<T>(routes: Vec<Routed<()>>, step: usize, output: T) -> Result<Routed<T>, Failure> {
    let route =
        routes.into_iter().nth(step).ok_or_else(|| GatewayError::internal("an unknown step answered"))?;
    let Routed { entry, provider, model, fallback_from, fallback_triggered, reservation, .. } = route;
    Ok(Routed {
        fallback_from,
        fallback_triggered,
        reservation,
        ..Routed::new(output, entry, provider, model)
    })
}
