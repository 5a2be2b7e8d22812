//! Hedging: while the first attempt takes long, further candidates are asked as well. The first answer wins.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::{Either, pending};
use futures::stream::FuturesUnordered;
use tokio::time::Instant;

use super::attempt::{Attempted, FailedAttempt, Held, attempt};
use super::call::CallOptions;
use super::candidates::{Candidate, Candidates, ReservationSlot, Source};
use super::decision::Hedge;
use super::health::HedgeRace;
use super::operation::Operation;
use super::retry_budget::RetryToken;
use super::routed::{HedgeLoser, Routed};
use gateway_model::error::GatewayError;

/// Attempts of one call that run at the same time.
pub(super) struct Hedging<'a, 'c, O> {
    pub candidates: &'a mut Candidates<'c>,
    pub options: &'a CallOptions,
    pub hedge: Hedge,
    pub operation: &'a O,
}

struct HedgedAttempt {
    /// What it is, should it lose.
    loser: HedgeLoser,
    reservation: ReservationSlot,
    race: Arc<HedgeRace>,
    state: State,
}

#[derive(PartialEq, Eq)]
enum State {
    Running,
    Failed,
    NotSent,
}

impl HedgedAttempt {
    fn enter(candidate: &mut Candidate) -> Self {
        let race = Arc::<HedgeRace>::default();
        candidate.race = Some(race.clone());
        let reservation = ReservationSlot::shared();
        candidate.reservation = reservation.clone();
        let provider = candidate.entry.provider.clone();
        let (model, started) = (candidate.model.clone(), Instant::now());
        let loser = HedgeLoser { provider, model, started, reservation: None };
        Self { loser, reservation, race, state: State::Running }
    }

    fn has_lost(&self) -> bool {
        self.state == State::Running && self.race.is_sent()
    }
}

impl<O: Operation> Hedging<'_, '_, O> {
    /// Asks `first`, and further candidates while no answer begins. Fails as the last attempt that was sent, once none is
    /// running, or as one that ends the call. `NotSent`: none was sent; the turns of all but the last are given back.
    pub async fn run(self, mut first: Candidate, token: RetryToken<'_>) -> Attempted<Held<O>> {
        let Self { candidates, options, hedge, operation } = self;
        let source = first.source;
        let start = |index: usize, candidate, token| async move {
            (index, attempt(candidate, token, options, operation).await)
        };
        let mut next_at = hedge.due(&first);
        let mut attempts = vec![HedgedAttempt::enter(&mut first)];
        let mut running = FuturesUnordered::new();
        running.push(start(0, first, token));
        let mut last_sent: Option<FailedAttempt> = None;
        loop {
            let hedges = attempts.iter().skip(1).filter(|hedged| hedged.state != State::NotSent).count();
            let timer = match next_at {
                Some(at) if hedges < hedge.max_extra as usize => Either::Left(tokio::time::sleep_until(at)),
                _ => Either::Right(pending()),
            };
            let ended = tokio::select! {
                biased;
                ended = running.next() => ended,
                () = timer => {
                    next_at = None;
                    // A member of the pool is paid for; a step of the chain is what its configuration says.
                    let token = options.withdraw_retry();
                    let candidate = match &token {
                        Some(_) => candidates.next_hedge(),
                        None => candidates.next_hedge_step(),
                    };
                    if let Some(mut candidate) = candidate {
                        let paid = token.filter(|_| candidate.source == Source::Pool);
                        let token = paid.unwrap_or_else(RetryToken::free);
                        next_at = hedge.due(&candidate);
                        let index = attempts.len();
                        attempts.push(HedgedAttempt::enter(&mut candidate));
                        running.push(start(index, candidate, token));
                    }
                    continue;
                }
            };
            let Some((index, attempted)) = ended else {
                let failure = GatewayError::internal("bug: no hedged attempt is running").into();
                return Attempted::NotSent(FailedAttempt { failure, source });
            };
            let state = match &attempted {
                Attempted::NotSent(_) => State::NotSent,
                Attempted::Answered(_) | Attempted::Failed(_) => State::Failed,
            };
            if let Some(hedged) = attempts.get_mut(index) {
                hedged.state = state;
            }
            match attempted {
                Attempted::Answered(routed) => {
                    return Attempted::Answered(won(routed, index, attempts, options));
                }
                Attempted::Failed(failed) if failed.ends_call(options) => return Attempted::Failed(failed),
                Attempted::Failed(failed) => last_sent = Some(failed),
                Attempted::NotSent(failed) if running.is_empty() && last_sent.is_none() => {
                    return Attempted::NotSent(failed);
                }
                Attempted::NotSent(failed) => {
                    candidates.return_turn(failed.source);
                    if index > 0 {
                        // Another hedge takes its place at once.
                        next_at = Some(Instant::now());
                    }
                }
            }
            if running.is_empty()
                && let Some(failed) = last_sent.take()
            {
                return Attempted::Failed(failed);
            }
        }
    }
}

impl Hedge {
    /// When the next hedge is due after an attempt that begins now; `None`: never, as its usual time is not known yet.
    fn due(&self, candidate: &Candidate) -> Option<Instant> {
        let wait: Option<Duration> = self.after.or_else(|| candidate.usual_wait());
        wait.map(|wait| Instant::now() + wait)
    }
}

/// Marks the attempts that are still running as losers, and logs those that were sent: they may have cost something.
fn won<T>(
    routed: Routed<T>,
    winner: usize,
    attempts: Vec<HedgedAttempt>,
    options: &CallOptions,
) -> Routed<T> {
    let begun = attempts.get(winner).map_or_else(Instant::now, |hedged| hedged.loser.started);
    let losers = attempts.into_iter().filter(HedgedAttempt::has_lost).map(|hedged| {
        hedged.race.mark_lost();
        HedgeLoser { reservation: hedged.reservation.take(), ..hedged.loser }
    });
    let hedge_losers: Vec<HedgeLoser> = losers.collect();
    options.attempts.hedge_lost(&hedge_losers, (routed.provider.name(), &routed.model), begun);
    Routed { hedge_losers, ..routed }
}
