//! The loop of a call: asks its candidates in turn until one answers.

use super::attempt::{Attempted, Held, attempt};
use super::call::CallOptions;
use super::candidates::{Candidates, Source};
use super::decision::Decision;
use super::entry::Providers;
use super::health::{Blame, blame};
use super::hedge::Hedging;
use super::operation::{Operation, Output};
use super::retry_budget::RetryToken;
use super::routed::Routed;
use gateway_model::error::Failure;

/// Asks the decision's candidates in turn until one answers.
///
/// # Errors
/// The last attempt's failure.
pub async fn run<O: Operation>(
    decision: &Decision,
    providers: &Providers,
    options: &CallOptions,
    operation: &O,
) -> Result<Routed<Held<O>>, Failure> {
    let mut candidates = Candidates::new(decision, providers, options);
    let mut last = None;
    // Once an attempt that was sent shows a target in trouble, further attempts of the pool need the retry budget.
    let mut is_budgeted = false;
    while let Some(candidate) = candidates.next(last.as_ref()) {
        let token = match candidate.source {
            Source::Pool if is_budgeted => options.withdraw_retry(),
            _ => Some(RetryToken::free()),
        };
        let Some(token) = token else {
            candidates.leave_pool();
            continue;
        };
        let attempted = match candidates.hedge() {
            None => attempt(candidate, token, options, operation).await,
            Some(hedge) => {
                let hedging = Hedging { candidates: &mut candidates, options, hedge, operation };
                Box::pin(hedging.run(candidate, token)).await
            }
        };
        let failed = match attempted {
            Attempted::Answered(routed) => return Ok(candidates.mark(routed)),
            Attempted::Failed(failed) => {
                is_budgeted |= !matches!(blame(&failed.failure), Blame::Neutral | Blame::NoModel);
                failed
            }
            Attempted::NotSent(failed) => {
                candidates.return_turn(failed.source);
                failed
            }
        };
        if failed.ends_call(options) {
            return Err(failed.failure);
        }
        last = Some(failed.failure);
    }
    if options.is_refused() {
        return Err(last.unwrap_or_else(|| candidates.nobody()));
    }
    candidates
        .degraded(<O::Output as Output>::degraded)
        .ok_or_else(|| last.unwrap_or_else(|| candidates.nobody()))
}

#[cfg(test)]
mod tests;
