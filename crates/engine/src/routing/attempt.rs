//! One attempt: breaker → budget → limits of the entry → send → record.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::call::CallOptions;
use super::candidates::{Candidate, ReservationSlot, Source};
use super::charges::Charged;
use super::health::{Attempt, Blame, HedgeRace, blame};
use super::operation::{InFlightGuard, Operation, Output, RetryPermit};
use super::retry_budget::RetryToken;
use super::routed::Routed;
use crate::budget::Reservation;
use crate::limits::Patience;
use crate::usage::budget_usage;
use gateway_model::error::{ErrorKind, Failure, GatewayError};
use gateway_model::{Provider, ProviderCall, TokenUsage};
use gateway_pricing::Asked;

/// What an operation's answer is to its caller.
pub(super) type Held<O> = <<O as Operation>::Output as Output>::Held;

/// How an attempt went.
pub(super) enum Attempted<T> {
    Answered(Routed<T>),
    Failed(FailedAttempt),
    /// Its provider has sent nothing: a breaker or a limit of our own refused it, or the provider cannot write the
    /// request in its format. It adds nothing to the traffic.
    NotSent(FailedAttempt),
}

pub(super) struct FailedAttempt {
    pub failure: Failure,
    pub source: Source,
}

impl FailedAttempt {
    /// Whether no other candidate is to be asked after this.
    pub fn ends_call(&self, options: &CallOptions) -> bool {
        options.is_late()
            || options.is_closed()
            || (self.source == Source::Pool && blame(&self.failure) == Blame::Caller)
    }
}

/// Asks one candidate. `token` pays for the attempt, and is refunded where nothing is sent.
pub(super) async fn attempt<O: Operation>(
    candidate: Candidate,
    token: RetryToken<'_>,
    options: &CallOptions,
    operation: &O,
) -> Attempted<Held<O>> {
    let Candidate { name, entry, model, timeout, guard, target, source, position, race, reservation: slot } =
        candidate;
    let provider = &entry.provider;
    let started = Instant::now();
    let not_sent = |failure: Failure| {
        options.attempts.failed(provider.name(), &model, failure.log_code(), started);
        Attempted::NotSent(FailedAttempt { failure, source })
    };
    let mut health = match target.begin(guard) {
        Ok(health) => health,
        Err(wait) => return not_sent(breaker_open(provider.name(), wait)),
    };
    let asked = Asked { entry: &name, family: provider.family(), model: &model };
    let reservation = match options.admit(asked).await {
        Ok(reservation) => reservation,
        Err(refusal) => return not_sent(refusal),
    };
    if source == Source::Pool && options.request.model.is_some() {
        health.asks_for(entry.health.target(&model));
    }
    let output_cap = reservation.as_ref().and_then(Reservation::output_cap);
    let reservation = slot.put(reservation);
    let mut queued = Duration::ZERO;
    let mut permit = None;
    if !entry.limits.is_empty() {
        let tokens = |most| options.estimator.tokens(&model, most);
        let user = options.request.user_id.as_deref();
        let patience =
            Patience { deadline: options.deadline, timeout: timeout.or_else(|| provider.timeout()) };
        match entry.limits.admit(provider.name(), user, tokens, patience).await {
            Ok(admitted) => permit = admitted,
            Err(error) => {
                drop(slot.take());
                return not_sent(error.into());
            }
        }
        health.restart_clock();
        queued = started.elapsed();
    }
    let token = token.spend();
    if let Some(race) = &race {
        race.mark_sent();
        health.enter_race(race.clone());
    }
    let call = options.provider_call(model, timeout, output_cap);
    let (result, reservation, mut health, recorded, since) = {
        let race = race.as_ref();
        let in_flight = InFlight {
            entry: &name,
            call: &call,
            provider,
            options,
            race,
            slot: &slot,
            reservation,
            ended: false,
        };
        let mut tries = Tries { in_flight, health, recorded: false, since: started, source };
        let result = operation.send(&**provider, &call, &mut tries).await;
        let Tries { mut in_flight, health, recorded, since, .. } = tries;
        (result, in_flight.end(), health, recorded, since)
    };
    match result {
        Ok(output) => {
            health.answered();
            log_resent(&call, provider, options, since);
            options.attempts.answered(provider.name(), &call.model, since);
            let output = output.hold(InFlightGuard {
                attempt: health,
                callers_deadline: options.callers_deadline,
                _permit: permit,
            });
            let routed = Routed::new(output, name, provider.clone(), call.model);
            Attempted::Answered(Routed { fallback_triggered: position > 0, reservation, ..routed })
        }
        Err(failure) => {
            let failure = with_lost_usage(failure, &call, options);
            if let Some(usage) = failure.usage() {
                options.charge(&name, provider, &call.model, Charged { usage, reservation, cut: false });
            } else {
                drop(reservation);
            }
            // A call that has spent its time in our own queue says nothing about how slow the target is.
            let is_late_by_queue = options.is_late() && queued > started.elapsed() / 2;
            if !recorded && !is_late_by_queue && !options.is_past_callers_deadline() {
                health.failed(&failure);
            }
            log_resent(&call, provider, options, since);
            options.attempts.failed(provider.name(), &call.model, failure.log_code(), since);
            if is_refused_before_sending(&failure) {
                drop(token.unspend());
                return Attempted::NotSent(FailedAttempt { failure, source });
            }
            Attempted::Failed(FailedAttempt { failure, source })
        }
    }
}

/// Lists, before the try that sent it again, the one that its connection had lost.
fn log_resent(call: &ProviderCall, provider: &Arc<dyn Provider>, options: &CallOptions, since: Instant) {
    if call.sent.take_resent() {
        let code = ErrorKind::ProviderNetwork.code();
        options.attempts.failed(provider.name(), &call.model, code, since);
    }
}

fn breaker_open(provider: &str, wait: Duration) -> Failure {
    let why = "its breaker is open after repeated failures";
    GatewayError::provider_unavailable(provider, why, Some(wait)).with_provider(provider).into()
}

/// The provider itself cannot put the request into its format.
fn is_refused_before_sending(failure: &Failure) -> bool {
    matches!(failure, Failure::Gateway(error) if error.kind == ErrorKind::InvalidRequest)
}

/// What a request cost whose answer was not waited for: its prompt, which the provider has read. `None`: it was not sent, or
/// its provider has said how it failed.
fn lost_usage(failure: &Failure, call: &ProviderCall, options: &CallOptions) -> Option<TokenUsage> {
    let was_sent = call.sent.take();
    (was_sent && is_deadline(failure)).then(|| options.prompt_of(&call.model))
}

/// A timeout of ours; one that the provider answered with (408, 504) says that nobody worked.
fn is_deadline(failure: &Failure) -> bool {
    matches!(failure, Failure::Gateway(error) if error.kind == ErrorKind::ProviderTimeout
        && error.upstream_status().is_none())
}

fn with_lost_usage(failure: Failure, call: &ProviderCall, options: &CallOptions) -> Failure {
    match lost_usage(&failure, call, options) {
        Some(usage) => failure.with_usage_so_far(Some(usage)),
        None => failure,
    }
}

/// An attempt whose request may be charged. Dropped before it has ended, as its caller has left, it leaves a charge.
struct InFlight<'a> {
    entry: &'a str,
    call: &'a ProviderCall,
    provider: &'a Arc<dyn Provider>,
    options: &'a CallOptions,
    race: Option<&'a Arc<HedgeRace>>,
    slot: &'a ReservationSlot,
    reservation: Option<Reservation>,
    ended: bool,
}

impl InFlight<'_> {
    fn take_reservation(&mut self) -> Option<Reservation> {
        self.reservation.take().or_else(|| self.slot.take())
    }

    fn end(&mut self) -> Option<Reservation> {
        self.ended = true;
        self.take_reservation()
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        // What lost against a hedge is billed as that.
        let has_lost = self.race.is_some_and(|race| race.is_lost());
        if self.ended || has_lost || !self.call.sent.take() {
            return;
        }
        let usage = self.options.prompt_of(&self.call.model);
        let reservation = self.end();
        let charged = Charged { usage, reservation, cut: true };
        self.options.charge(self.entry, self.provider, &self.call.model, charged);
    }
}

/// The tries of an attempt: each but the last is recorded when the next one may be sent.
struct Tries<'a> {
    in_flight: InFlight<'a>,
    health: Attempt,
    /// The last try's failure has been recorded in `health`.
    recorded: bool,
    /// When the current try began, or will.
    since: Instant,
    source: Source,
}

impl Tries<'_> {
    /// Settles what a try was charged, and reserves for the next one; false: a budget does not bear it.
    fn charge(&mut self, usage: TokenUsage) -> bool {
        let InFlight { entry, call, provider, options, .. } = self.in_flight;
        let reservation = self.in_flight.take_reservation();
        let cost =
            options.charge(entry, provider, &call.model, Charged { usage, reservation: None, cut: false });
        let Some(reservation) = reservation else { return true };
        let settled = reservation.settle_given_up(budget_usage(&usage, cost));
        options.warn(&settled.warnings);
        options.charges.add_counted(settled.charges);
        match options.admit_now(Asked { entry, family: provider.family(), model: &call.model }) {
            Ok(next) => {
                self.in_flight.reservation = self.in_flight.slot.put(next);
                true
            }
            Err(_) => false,
        }
    }
}

impl RetryPermit for Tries<'_> {
    /// Asks the retry budget, the breaker, and budgets where the failed try was charged.
    fn may_retry(&mut self, failure: &Failure, wait: Duration) -> bool {
        let InFlight { call, provider, options, .. } = self.in_flight;
        let token = match self.source {
            Source::Pool => options.withdraw_retry(),
            // What a chain or a target repeats is what its configuration says.
            Source::Chain | Source::Target => Some(RetryToken::free()),
        };
        let Some(token) = token else { return false };
        if self.health.retry(failure, wait).is_err() {
            self.recorded = true;
            return false;
        }
        if let Some(usage) = failure.usage().or_else(|| lost_usage(failure, call, options))
            && !self.charge(usage)
        {
            self.recorded = true;
            return false;
        }
        token.spend();
        log_resent(call, provider, options, self.since);
        options.attempts.failed(provider.name(), &call.model, failure.log_code(), self.since);
        self.since = Instant::now() + wait;
        true
    }
}
