//! Attempts side by side: where the first one takes long, another is asked, too.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::StreamExt;
use futures::future::{Either, pending};
use futures::stream::FuturesUnordered;
use tokio::time::Instant;

use super::candidates::{Candidate, Candidates};
use super::health::HedgeRace;
use super::run::{CallOptions, HedgeLoser, Output, Routed, Step, attempt, ends};
use gateway_model::config::{HedgeConfig, HedgeDelay};
use gateway_model::error::{Failure, GatewayError};

/// When a further target is asked, and how many.
#[derive(Debug, Clone, Copy)]
pub struct Hedge {
    /// `None`: as long as 95 % of the target's answers take to begin.
    pub after: Option<Duration>,
    pub max_extra: u32,
}

impl From<HedgeConfig> for Hedge {
    fn from(config: HedgeConfig) -> Self {
        let after = match config.after_ms {
            HedgeDelay::Fixed(ms) => Some(Duration::from_millis(ms)),
            HedgeDelay::P95 => None,
        };
        Self { after, max_extra: config.max_extra.unwrap_or(1) }
    }
}

/// An attempt beside others.
struct Beside {
    asked: HedgeLoser,
    pooled: bool,
    /// The retry budget has paid for it.
    charged: bool,
    sent: Arc<AtomicBool>,
    race: Arc<HedgeRace>,
    ended: bool,
}

impl Beside {
    fn new(candidate: &mut Candidate, charged: bool) -> Self {
        let race: Arc<HedgeRace> = Arc::default();
        candidate.race = Some(race.clone());
        Self {
            asked: HedgeLoser { provider: candidate.loaded.provider.clone(), model: candidate.model.clone() },
            pooled: candidate.pooled(),
            charged,
            sent: Arc::default(),
            race,
            ended: false,
        }
    }

    fn was_sent(&self) -> bool {
        self.sent.load(Ordering::Relaxed)
    }
}

/// Asks `first`, and further candidates while it takes long; the first answer wins. The error is the last one's of
/// those that were asked, and whether that was a member of the pool; one that is the request's fault ends the wait for
/// others. `charged`: the retry budget has paid for the first one.
pub(super) async fn hedged<T, F>(
    mut first: Candidate,
    charged: bool,
    candidates: &mut Candidates<'_>,
    options: &CallOptions,
    hedge: Hedge,
    ask: &impl Fn(Step) -> F,
    sent: &AtomicBool,
) -> Result<Routed<T>, (Failure, bool)>
where
    T: Output,
    F: Future<Output = Result<T, Failure>>,
{
    let wait = |candidate: &Candidate| hedge.after.or_else(|| candidate.usual_wait());
    let run = |number: usize, candidate, sent: Arc<AtomicBool>| async move {
        (number, attempt(candidate, options, ask, &sent).await)
    };
    let begun = Instant::now();
    let mut next_at = wait(&first).map(|wait| Instant::now() + wait);
    let mut all = vec![Beside::new(&mut first, charged)];
    let mut running = FuturesUnordered::new();
    running.extend(all.first().map(|beside| run(0, first, beside.sent.clone())));
    let mut extra = 0;
    let mut last_sent = None;
    loop {
        let timer = match next_at {
            Some(at) if extra < hedge.max_extra => Either::Left(tokio::time::sleep_until(at)),
            _ => Either::Right(pending()),
        };
        let done = tokio::select! {
            biased;
            done = running.next() => done,
            () = timer => {
                next_at = None;
                if options.may_try_again() {
                    let Some(mut candidate) = candidates.next_beside() else {
                        options.was_not_sent();
                        continue;
                    };
                    extra += 1;
                    next_at = wait(&candidate).map(|wait| Instant::now() + wait);
                    let beside = Beside::new(&mut candidate, true);
                    running.push(run(all.len(), candidate, beside.sent.clone()));
                    all.push(beside);
                }
                continue;
            }
        };
        let Some((number, result)) = done else {
            return Err((GatewayError::internal("a hedged call was lost").into(), false));
        };
        let Some(beside) = all.get_mut(number) else { continue };
        beside.ended = true;
        let was_sent = beside.was_sent();
        let failure = match result {
            Ok(routed) => {
                let (overtaken, unsent): (Vec<_>, Vec<_>) =
                    all.into_iter().filter(|beside| !beside.ended).partition(Beside::was_sent);
                unsent.iter().filter(|beside| beside.charged).for_each(|_| options.was_not_sent());
                overtaken.iter().for_each(|beside| beside.race.mark_lost());
                let hedge_losers: Vec<HedgeLoser> =
                    overtaken.into_iter().map(|beside| beside.asked).collect();
                options.attempts.hedge_lost(&hedge_losers, &routed, begun);
                return Ok(Routed { hedge_losers, ..routed });
            }
            Err(failure) => failure,
        };
        let failure = (failure, beside.pooled);
        if was_sent {
            sent.store(true, Ordering::Relaxed);
            if ends(&failure.0, options, failure.1) {
                return Err(failure);
            }
            last_sent = Some(failure.clone());
        } else {
            candidates.was_kept_back(beside.pooled);
            if beside.charged {
                options.was_not_sent();
            }
            if number > 0 {
                // Another one takes its place at once.
                extra -= 1;
                next_at = Some(Instant::now());
            }
        }
        if running.is_empty() {
            return Err(last_sent.unwrap_or(failure));
        }
    }
}
