//! Several keys for one provider: they take turns, and one that is refused rests while the others go on.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::header::{HeaderName, HeaderValue};
use tokio::time::Instant;

use gateway_model::error::{ErrorKind, GatewayError};
use gateway_model::{KeyState, KeyTrouble};
use gateway_transport::Endpoint;

/// How long a key rests after its first refusal, and at most; each further refusal doubles it.
const UNAUTHORIZED: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(15 * 60));
/// The same for a rate limit, where the upstream asks for no wait of its own.
const RATE_LIMITED: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));
/// How long after its end the rest for a model is remembered: a refusal after that is a first one.
const REMEMBERED: Duration = Duration::from_secs(10 * 60);

/// The keys of one provider.
pub(super) struct KeyRing {
    keys: Vec<Key>,
    /// Variables without a value.
    unset: Vec<String>,
    /// Whose turn it is.
    next: AtomicUsize,
    /// The longest rest that an upstream may ask for.
    longest: Duration,
}

pub(super) struct Key {
    variable: String,
    /// What carries it; `None`: no header does.
    header: Option<(HeaderName, HeaderValue)>,
    rests: Mutex<Rests>,
}

#[derive(Default)]
struct Rests {
    unauthorized: Option<Rest>,
    /// By model; what is asked for no model stands under the empty name.
    limited: HashMap<String, Rest>,
}

#[derive(Clone, Copy)]
struct Rest {
    since: Instant,
    until: Instant,
    /// What the upstream asked for beyond the longest rest.
    beyond: Duration,
    /// The last length that was not asked for.
    length: Duration,
}

impl Key {
    pub fn new(variable: String, header: Option<(HeaderName, HeaderValue)>) -> Self {
        Self { variable, header, rests: Mutex::default() }
    }

    fn rests(&self) -> MutexGuard<'_, Rests> {
        self.rests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `endpoint`, asked with this key.
    fn at<'a>(&self, endpoint: &'a Endpoint) -> Cow<'a, Endpoint> {
        match &self.header {
            Some((name, value)) if endpoint.headers().get(name) != Some(value) => {
                let mut own = endpoint.clone();
                own.headers_mut().insert(name.clone(), value.clone());
                Cow::Owned(own)
            }
            _ => Cow::Borrowed(endpoint),
        }
    }

    fn states(&self, now: Instant) -> Vec<KeyState> {
        let rests = self.rests();
        let state = |(why, model, rest): (KeyTrouble, &str, &Rest)| KeyState {
            variable: self.variable.clone(),
            resting_until: u64::try_from(rest.until.duration_since(now).as_millis()).ok(),
            why: Some(why),
            model: Some(model).filter(|model| !model.is_empty()).map(str::to_owned),
        };
        let unauthorized = rests.unauthorized.iter().map(|rest| (KeyTrouble::Unauthorized, "", rest));
        let limited = rests.limited.iter().map(|(model, rest)| (KeyTrouble::RateLimited, &**model, rest));
        let resting = unauthorized.chain(limited).filter(|(_, _, rest)| !rest.is_over(now));
        let mut states: Vec<_> = resting.map(state).collect();
        states.sort_by(|one, other| one.model.cmp(&other.model));
        if states.is_empty() {
            states.push(KeyState {
                variable: self.variable.clone(),
                resting_until: None,
                why: None,
                model: None,
            });
        }
        states
    }
}

impl Rests {
    /// The rests that keep the key from being used for `model`.
    fn of(&self, model: &str, now: Instant) -> impl Iterator<Item = (KeyTrouble, Rest)> {
        let unauthorized = self.unauthorized.map(|rest| (KeyTrouble::Unauthorized, rest));
        let limited = self.limited.get(model).map(|rest| (KeyTrouble::RateLimited, *rest));
        unauthorized.into_iter().chain(limited).filter(move |(_, rest)| !rest.is_over(now))
    }
}

impl Rest {
    fn is_over(&self, now: Instant) -> bool {
        self.until <= now
    }

    /// The rest after a refusal of what was sent at `sent`. A call that was under way already when the key went to
    /// rest says nothing new.
    fn after(
        before: Option<Self>,
        sent: Instant,
        asked: Option<Duration>,
        longest: Duration,
        (first, most): (Duration, Duration),
    ) -> Self {
        let now = Instant::now();
        let length = before.map_or(Duration::ZERO, |rest| rest.length);
        let running = before.filter(|rest| !rest.is_over(sent));
        match (asked, running) {
            (Some(asked), running) => {
                let until = now + asked.min(longest);
                let rest = Self { since: now, until, beyond: asked.saturating_sub(longest), length };
                // The later end holds.
                running.filter(|running| running.until > until).unwrap_or(rest)
            }
            (None, Some(running)) => running,
            (None, None) => {
                let length = if length.is_zero() { first } else { (length * 2).min(most) };
                Self { since: now, until: now + length, beyond: Duration::ZERO, length }
            }
        }
    }
}

impl KeyRing {
    /// `longest`: the longest rest that an upstream may ask for.
    pub fn new(mut keys: Vec<Key>, unset: Vec<String>, longest: Duration) -> Self {
        // Without a header that carries them, they are all the same.
        if keys.iter().any(|key| key.header.is_none()) {
            keys.truncate(1);
        }
        Self { keys, unset, next: AtomicUsize::new(0), longest }
    }

    /// There are several keys; one alone never rests.
    pub fn rotates(&self) -> bool {
        self.keys.len() > 1
    }

    /// What carries the first key.
    pub fn first_header(&self) -> Option<(HeaderName, HeaderValue)> {
        self.keys.first()?.header.clone()
    }

    /// The keys that one attempt for `model` may use, each once. No model: the empty name.
    pub fn round<'a>(&'a self, model: &'a str) -> Round<'a> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.keys.len().max(1);
        Round { ring: self, model, turn, seen: 0, last: None }
    }

    /// `endpoint` with the key whose turn it is, where nobody will tell how it was received. One that rests is used
    /// only when all do.
    pub fn take_turn<'a>(&self, endpoint: &'a Endpoint, model: &str) -> Cow<'a, Endpoint> {
        if !self.rotates() {
            return Cow::Borrowed(endpoint);
        }
        let mut round = self.round(model);
        let resting = self.keys.get(round.turn);
        match round.next().map(|turn| turn.key).or(resting) {
            Some(key) => key.at(endpoint),
            None => Cow::Borrowed(endpoint),
        }
    }

    /// Every key of the entry, those that are not set included.
    pub fn states(&self) -> Vec<KeyState> {
        let now = Instant::now();
        let unset = self.unset.iter().map(|variable| KeyState {
            variable: variable.clone(),
            resting_until: None,
            why: Some(KeyTrouble::NotSet),
            model: None,
        });
        self.keys.iter().flat_map(|key| key.states(now)).chain(unset).collect()
    }
}

/// One attempt's way around the ring.
pub(super) struct Round<'a> {
    ring: &'a KeyRing,
    model: &'a str,
    /// The first key to be looked at.
    turn: usize,
    /// Keys that have been looked at.
    seen: usize,
    /// The last refusal.
    last: Option<KeyTrouble>,
}

/// A key that an attempt uses now.
pub(super) struct Turn<'a> {
    key: &'a Key,
    sent: Instant,
}

impl Turn<'_> {
    pub fn at<'e>(&self, endpoint: &'e Endpoint) -> Cow<'e, Endpoint> {
        self.key.at(endpoint)
    }
}

impl<'a> Round<'a> {
    /// The next key that does not rest.
    pub fn next(&mut self) -> Option<Turn<'a>> {
        let now = Instant::now();
        let keys = &self.ring.keys;
        let before = self.seen.max(1);
        while self.seen < keys.len() {
            let key = keys.get((self.turn + self.seen) % keys.len())?;
            self.seen += 1;
            if key.rests().of(self.model, now).next().is_none() {
                // The next call begins after this key: the one behind a key that rests gets no more than its share.
                self.ring.next.fetch_add(self.seen - before, Ordering::Relaxed);
                return Some(Turn { key, sent: now });
            }
        }
        None
    }

    /// The upstream took the key: what came before is forgotten.
    pub fn accepted(&self, turn: &Turn<'_>) {
        let mut rests = turn.key.rests();
        if rests.unauthorized.is_some_and(|rest| rest.is_over(turn.sent)) {
            rests.unauthorized = None;
        }
        if rests.limited.get(self.model).is_some_and(|rest| rest.is_over(turn.sent)) {
            rests.limited.remove(self.model);
        }
    }

    /// Sends the key to rest. An error that is none of its fault comes back.
    pub fn refused(&mut self, turn: &Turn<'_>, error: GatewayError) -> Result<(), GatewayError> {
        let mut rests = turn.key.rests();
        let longest = self.ring.longest;
        match error.kind {
            ErrorKind::ProviderAuth => {
                let rest = Rest::after(rests.unauthorized, turn.sent, None, longest, UNAUTHORIZED);
                rests.unauthorized = Some(rest);
                self.last = Some(KeyTrouble::Unauthorized);
            }
            ErrorKind::ProviderRateLimit => {
                let before = rests.limited.get(self.model).copied();
                let rest = Rest::after(before, turn.sent, error.retry_after, longest, RATE_LIMITED);
                let now = Instant::now();
                rests.limited.retain(|_, rest| rest.until + REMEMBERED > now);
                rests.limited.insert(self.model.to_owned(), rest);
                self.last = Some(KeyTrouble::RateLimited);
            }
            _ => return Err(error),
        }
        Ok(())
    }

    /// The error of an attempt that has no key left: that of the last refusal, with the wait until a key is back.
    pub fn failed(&self, provider: &str) -> GatewayError {
        let now = Instant::now();
        let mut latest: Option<(Instant, KeyTrouble)> = None;
        let mut wait: Option<Duration> = None;
        for key in &self.ring.keys {
            let mut own = Duration::ZERO;
            for (why, rest) in key.rests().of(self.model, now) {
                own = own.max((rest.until - now).saturating_add(rest.beyond));
                if latest.is_none_or(|(since, _)| since <= rest.since) {
                    latest = Some((rest.since, why));
                }
            }
            wait = Some(wait.map_or(own, |wait| wait.min(own)));
        }
        match self.last.or(latest.map(|(_, why)| why)) {
            Some(KeyTrouble::Unauthorized) => GatewayError::provider_auth(provider),
            _ => GatewayError { retry_after: wait, ..GatewayError::provider_rate_limit(provider) },
        }
    }
}

#[cfg(test)]
mod tests;
