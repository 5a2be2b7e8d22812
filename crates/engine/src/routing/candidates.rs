//! The candidates of a call, in turn: the members of its pool as the strategy picks them, then the steps of its chain;
//! without either, the rule's single target.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::call::CallOptions;
use super::decision::{Decision, Hedge, not_loaded};
use super::entry::{ProviderEntry, Providers};
use super::health::{Guard, HedgeRace, TargetHealth};
use super::member::Member;
use super::not_loaded::NotLoaded;
use super::route_pool::{Known, RoutePool};
use super::routed::Routed;
use super::trigger::trigger;
use crate::budget::Reservation;
use gateway_model::Provider;
use gateway_model::config::{FallbackStep, FallbackTrigger};
use gateway_model::error::{Failure, GatewayError};

/// An entry and a model that may be asked.
pub struct Candidate {
    /// The entry's name.
    pub name: String,
    pub entry: Arc<ProviderEntry>,
    pub model: String,
    /// In place of the provider's own timeout.
    pub timeout: Option<Duration>,
    pub guard: Guard,
    pub target: Arc<TargetHealth>,
    pub source: Source,
    /// Candidates of the call before this one, those that are not loaded included.
    pub position: usize,
    /// Set where the attempt is hedged.
    pub race: Option<Arc<HedgeRace>>,
    pub reservation: ReservationSlot,
}

/// Where an attempt keeps its reservation. A hedged one shares it with its race: a loser is billed after it was dropped.
#[derive(Clone, Default)]
pub struct ReservationSlot(Option<Arc<Mutex<Option<Reservation>>>>);

impl ReservationSlot {
    pub fn shared() -> Self {
        Self(Some(Arc::default()))
    }

    /// Lends the reservation to the race; gives it back where there is none.
    pub fn put(&self, reservation: Option<Reservation>) -> Option<Reservation> {
        match &self.0 {
            Some(slot) => {
                *slot.lock().unwrap_or_else(PoisonError::into_inner) = reservation;
                None
            }
            None => reservation,
        }
    }

    pub fn take(&self) -> Option<Reservation> {
        self.0.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Where a candidate comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    Pool,
    Chain,
    Target,
}

impl Candidate {
    /// Within which its answers usually begin, in 95 of 100 cases; `None`: too few are known.
    pub fn usual_wait(&self) -> Option<Duration> {
        self.target.latency().p95().map(|ms| Duration::from_secs_f64(ms / 1e3))
    }
}

/// A cursor over the candidates of one call.
pub struct Candidates<'a> {
    decision: &'a Decision,
    providers: &'a Providers,
    options: &'a CallOptions,
    /// `None`: there is no pool, or nobody of it is asked any more.
    pool: Option<PoolCursor<'a>>,
    after_pool: AfterPool<'a>,
    /// Candidates so far, those that are not loaded included.
    passed: usize,
    first: Option<First<'a>>,
    /// The first entry that is not loaded.
    missing: Option<&'a str>,
    first_asked: Option<FirstAsked>,
}

struct PoolCursor<'a> {
    pool: &'a RoutePool,
    /// What the strategy must know of each member for this call; worked out at the first pick.
    known: Option<Known>,
    /// By member.
    tried: Vec<bool>,
    turns_left: usize,
}

/// What follows the pool.
enum AfterPool<'a> {
    /// The steps of the chain that are left.
    Chain(&'a [FallbackStep]),
    Target,
    Nothing,
}

/// The first candidate: the one that a fallback falls back from.
enum First<'a> {
    Loaded(Arc<ProviderEntry>),
    NotLoaded(&'a str),
}

/// The first candidate that was asked: the one in whose place a `degradedReply` answers.
struct FirstAsked {
    name: String,
    provider: Arc<dyn Provider>,
    model: String,
}

impl<'a> Candidates<'a> {
    pub fn new(decision: &'a Decision, providers: &'a Providers, options: &'a CallOptions) -> Self {
        let pool = decision.pool.as_deref();
        Self {
            decision,
            providers,
            options,
            pool: pool.map(PoolCursor::new),
            after_pool: match (&decision.chain, pool) {
                (Some(chain), _) => AfterPool::Chain(&chain.steps),
                (None, None) => AfterPool::Target,
                (None, Some(_)) => AfterPool::Nothing,
            },
            passed: 0,
            first: None,
            missing: None,
            first_asked: None,
        }
    }

    /// The first candidate, or the next one after a failure.
    pub fn next(&mut self, last: Option<&Failure>) -> Option<Candidate> {
        self.advance(last.map(trigger))
    }

    /// The next hedge target. Chain steps match as if the running attempt had timed out.
    pub fn next_hedge(&mut self) -> Option<Candidate> {
        self.advance(Some(FallbackTrigger::Timeout))
    }

    /// [`Self::next_hedge`], of the chain alone: where its pool has nobody left.
    pub fn next_hedge_step(&mut self) -> Option<Candidate> {
        let has_members =
            self.pool.as_ref().is_some_and(|cursor| cursor.turns_left > 0 && cursor.has_untried());
        if has_members { None } else { self.next_hedge() }
    }

    pub fn hedge(&self) -> Option<Hedge> {
        self.decision.hedge
    }

    /// Gives back the turn of a candidate that was never sent (breaker or limit): it does not count against the pool's
    /// `maxAttempts`.
    pub fn return_turn(&mut self, source: Source) {
        if let (Some(cursor), Source::Pool) = (&mut self.pool, source) {
            cursor.turns_left += 1;
        }
    }

    /// Asks no more members of the pool.
    pub fn leave_pool(&mut self) {
        self.pool = None;
    }

    fn advance(&mut self, raised: Option<FallbackTrigger>) -> Option<Candidate> {
        let candidate = match self.next_member() {
            Some(member) => member,
            // A pool of which nobody could be asked is a provider that failed.
            None => {
                self.next_after_pool(raised.or(self.decision.pool.as_ref().map(|pool| pool.refusal())))?
            }
        };
        self.count(&candidate);
        Some(candidate)
    }

    fn next_member(&mut self) -> Option<Candidate> {
        let cursor = self.pool.as_mut()?;
        let asked = self.options.request.model.as_deref();
        let (member, last_resort) = match cursor.next(self.options) {
            Some(member) => (member, None),
            None if self.passed == 0 && matches!(self.after_pool, AfterPool::Nothing) => {
                let (member, turn) = cursor.pool.last_resort(asked)?;
                (member, Some(turn))
            }
            None => return None,
        };
        Some(Candidate {
            name: member.name.clone(),
            entry: member.entry.clone(),
            model: member.model(asked).to_owned(),
            timeout: None,
            guard: last_resort.map_or(Guard::Breaker, Guard::LastResort),
            target: member.target.clone(),
            source: Source::Pool,
            position: self.passed,
            race: None,
            reservation: ReservationSlot::default(),
        })
    }

    fn next_after_pool(&mut self, raised: Option<FallbackTrigger>) -> Option<Candidate> {
        match self.after_pool {
            AfterPool::Chain(steps) => self.next_step(steps, raised),
            AfterPool::Target => self.single_target(),
            AfterPool::Nothing => None,
        }
    }

    fn next_step(
        &mut self,
        mut steps: &'a [FallbackStep],
        mut raised: Option<FallbackTrigger>,
    ) -> Option<Candidate> {
        while let Some((step, rest)) = steps.split_first() {
            if raised.is_some_and(|raised| !step.when.is_empty() && !step.when.contains(&raised)) {
                return None;
            }
            steps = rest;
            self.after_pool = AfterPool::Chain(rest);
            if let Some(entry) = self.providers.get(&step.provider) {
                let model = self.decision.step_model(step, &self.options.request, self.providers);
                let timeout = step.timeout_ms.map(Duration::from_millis);
                return Some(self.unpooled(&step.provider, entry, model, timeout, Source::Chain));
            }
            self.count_missing(&step.provider);
            raised = Some(FallbackTrigger::ProviderError);
        }
        None
    }

    fn single_target(&mut self) -> Option<Candidate> {
        self.after_pool = AfterPool::Nothing;
        let name = &self.decision.provider;
        match self.providers.get(name) {
            Some(entry) => {
                Some(self.unpooled(name, entry, self.decision.model.clone(), None, Source::Target))
            }
            None => {
                self.count_missing(name);
                None
            }
        }
    }

    fn unpooled(
        &self,
        name: &str,
        entry: &Arc<ProviderEntry>,
        model: String,
        timeout: Option<Duration>,
        source: Source,
    ) -> Candidate {
        Candidate {
            name: name.to_owned(),
            entry: entry.clone(),
            target: entry.health.target(&model),
            model,
            timeout,
            guard: if entry.health.breaker_enabled { Guard::Breaker } else { Guard::Unguarded },
            source,
            position: self.passed,
            race: None,
            reservation: ReservationSlot::default(),
        }
    }

    fn count(&mut self, candidate: &Candidate) {
        self.passed += 1;
        self.first.get_or_insert_with(|| First::Loaded(candidate.entry.clone()));
        if self.first_asked.is_none() && self.degraded_reply().is_some() {
            let Candidate { name, entry, model, .. } = candidate;
            let provider = entry.provider.clone();
            self.first_asked = Some(FirstAsked { name: name.clone(), provider, model: model.clone() });
        }
    }

    fn count_missing(&mut self, name: &'a str) {
        self.passed += 1;
        self.first.get_or_insert(First::NotLoaded(name));
        self.missing.get_or_insert(name);
    }

    /// Fills in `fallback_from`.
    pub fn mark<T>(&self, routed: Routed<T>) -> Routed<T> {
        let first = self.first.as_ref().filter(|_| routed.fallback_triggered);
        let fallback_from = first.map(|first| match first {
            First::Loaded(entry) => entry.provider.name().to_owned(),
            First::NotLoaded(name) => (*name).to_owned(),
        });
        Routed { fallback_from, ..routed }
    }

    fn degraded_reply(&self) -> Option<&'a str> {
        self.decision.chain.as_ref()?.degraded_reply.as_deref()
    }

    /// The chain's `degradedReply` in place of the first candidate's answer; `make` gets the reply and the model. `None`:
    /// the chain has none.
    pub fn degraded<T>(&self, make: impl FnOnce(&str, &str) -> Option<T>) -> Option<Routed<T>> {
        let reply = self.degraded_reply()?;
        let missing;
        let FirstAsked { name, provider, model } = match &self.first_asked {
            Some(asked) => asked,
            None => {
                missing = self.first_missing()?;
                &missing
            }
        };
        let output = make(reply, model)?;
        let routed = Routed::new(output, name.clone(), provider.clone(), model.clone());
        Some(self.mark(Routed { degraded: true, fallback_triggered: true, ..routed }))
    }

    /// Stands for the first entry, where none is loaded.
    fn first_missing(&self) -> Option<FirstAsked> {
        let name = self.missing?.to_owned();
        let provider: Arc<dyn Provider> = Arc::new(NotLoaded(name.clone()));
        Some(FirstAsked { name, provider, model: self.decision.model.clone() })
    }

    /// The error of a call that had no candidate.
    pub fn nobody(&self) -> Failure {
        if let Some(missing) = self.missing {
            return not_loaded(missing);
        }
        match &self.decision.pool {
            Some(pool) => {
                let why = "no target of the pool can be asked now: their breakers are open, or they asked for a pause";
                let wait = pool.shortest_wait();
                GatewayError::provider_unavailable(&self.decision.provider, why, wait).into()
            }
            None => not_loaded(&self.decision.provider),
        }
    }
}

impl<'a> PoolCursor<'a> {
    fn new(pool: &'a RoutePool) -> Self {
        Self { pool, known: None, tried: vec![false; pool.len()], turns_left: pool.max_attempts }
    }

    /// The next member; `None`: no turn is left, or no member is available.
    fn next(&mut self, options: &CallOptions) -> Option<&'a Member> {
        let asked = options.request.model.as_deref();
        while self.turns_left > 0 {
            let known = self.known.get_or_insert_with(|| self.pool.known(options));
            let picked = self.pool.pick(&options.request, known, &self.tried)?;
            if let Some(tried) = self.tried.get_mut(picked) {
                *tried = true;
            }
            let member = self.pool.member(picked)?;
            if !member.rests(asked) {
                self.turns_left -= 1;
                return Some(member);
            }
        }
        None
    }

    fn has_untried(&self) -> bool {
        self.tried.contains(&false)
    }
}
