//! The keys of one provider. Several of them take turns, and one that is refused cools down while the others go on; one that
//! the program is asked for is in `asked`.

mod asked;
mod source;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::header::{HeaderName, HeaderValue};
use tokio::time::Instant;

use crate::build::shown_variable;
use gateway_model::error::{ErrorKind, GatewayError, Reason};
use gateway_model::{KeyState, KeyTrouble};
use gateway_transport::Endpoint;

pub(super) use asked::{AskedKey, HeldKey, is_key_refused};
pub use source::{KeySource, KeysFrom};

/// A key's cooldown after its first refusal, and the longest one; each further refusal doubles it.
const UNAUTHORIZED: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(15 * 60));
/// The same for a rate limit, where the upstream asks for no wait of its own.
const RATE_LIMITED: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));
/// How long a model's cooldown is remembered after its end: a refusal after that counts as a first one.
const REMEMBERED: Duration = Duration::from_secs(10 * 60);

/// The keys of one provider.
pub(super) struct KeyRing {
    keys: Vec<Key>,
    /// Variables without a value.
    unset: Vec<String>,
    /// Whose turn it is.
    next: AtomicUsize,
    /// The longest cooldown that an upstream may ask for.
    max_requested: Duration,
    /// In place of them all: what the program is asked for.
    asked: Option<AskedKey>,
}

pub(super) struct Key {
    variable: String,
    /// What carries it; `None`: no header does.
    header: Option<(HeaderName, HeaderValue)>,
    cooldowns: Mutex<Cooldowns>,
}

#[derive(Default)]
struct Cooldowns {
    unauthorized: Option<Cooldown>,
    /// By model; requests about no model have the empty name.
    rate_limited: HashMap<String, Cooldown>,
}

#[derive(Clone, Copy)]
struct Cooldown {
    since: Instant,
    until: Instant,
    /// What the upstream asked for beyond the longest cooldown.
    beyond: Duration,
    /// The last length that was our own, to be doubled; zero where there was none.
    own_length: Duration,
}

impl Key {
    pub fn new(variable: String, header: Option<(HeaderName, HeaderValue)>) -> Self {
        Self { variable, header, cooldowns: Mutex::default() }
    }

    fn lock_cooldowns(&self) -> MutexGuard<'_, Cooldowns> {
        self.cooldowns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `endpoint` with this key in its headers.
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
        let cooldowns = self.lock_cooldowns();
        let state = |(reason, model, cooldown): (KeyTrouble, &str, &Cooldown)| KeyState {
            variable: self.variable.clone(),
            cooldown_ms: u64::try_from(cooldown.until.duration_since(now).as_millis()).ok(),
            reason: Some(reason),
            model: Some(model).filter(|model| !model.is_empty()).map(str::to_owned),
        };
        let unauthorized =
            cooldowns.unauthorized.iter().map(|cooldown| (KeyTrouble::Unauthorized, "", cooldown));
        let rate_limited = cooldowns
            .rate_limited
            .iter()
            .map(|(model, cooldown)| (KeyTrouble::RateLimited, &**model, cooldown));
        let active = unauthorized.chain(rate_limited).filter(|(_, _, cooldown)| !cooldown.is_over(now));
        let mut states: Vec<_> = active.map(state).collect();
        states.sort_by(|one, other| one.model.cmp(&other.model));
        if states.is_empty() {
            states.push(KeyState {
                variable: self.variable.clone(),
                cooldown_ms: None,
                reason: None,
                model: None,
            });
        }
        states
    }
}

impl Cooldowns {
    /// The cooldowns that keep the key from being used for `model`.
    fn active_for(&self, model: &str, now: Instant) -> impl Iterator<Item = (KeyTrouble, Cooldown)> {
        let unauthorized = self.unauthorized.map(|cooldown| (KeyTrouble::Unauthorized, cooldown));
        let rate_limited = self.rate_limited.get(model).map(|cooldown| (KeyTrouble::RateLimited, *cooldown));
        unauthorized.into_iter().chain(rate_limited).filter(move |(_, cooldown)| !cooldown.is_over(now))
    }
}

impl Cooldown {
    fn is_over(&self, now: Instant) -> bool {
        self.until <= now
    }

    /// The cooldown after a refusal of what was sent at `sent`. A call that was in flight already when the last cooldown
    /// began adds nothing to it.
    fn after(
        before: Option<Self>,
        sent: Instant,
        asked: Option<Duration>,
        max_requested: Duration,
        (first, most): (Duration, Duration),
    ) -> Self {
        let now = Instant::now();
        let length = before.map_or(Duration::ZERO, |cooldown| cooldown.own_length);
        let running = before.filter(|cooldown| !cooldown.is_over(sent));
        match (asked, running) {
            (Some(asked), running) => {
                let until = now + asked.min(max_requested);
                let cooldown = Self {
                    since: now,
                    until,
                    beyond: asked.saturating_sub(max_requested),
                    own_length: length,
                };
                // The later end holds.
                running.filter(|running| running.until > until).unwrap_or(cooldown)
            }
            (None, Some(running)) => running,
            (None, None) => {
                let length = if length.is_zero() { first } else { (length * 2).min(most) };
                Self { since: now, until: now + length, beyond: Duration::ZERO, own_length: length }
            }
        }
    }
}

impl KeyRing {
    /// `max_requested`: the longest cooldown that an upstream may ask for.
    pub fn new(mut keys: Vec<Key>, unset: Vec<String>, max_requested: Duration) -> Self {
        // Without a header that carries them, they are all the same.
        if keys.iter().any(|key| key.header.is_none()) {
            keys.truncate(1);
        }
        Self { keys, unset, next: AtomicUsize::new(0), max_requested, asked: None }
    }

    /// The key that the program is asked for.
    pub fn of_function(asked: AskedKey) -> Self {
        Self { asked: Some(asked), ..Self::new(Vec::new(), Vec::new(), Duration::ZERO) }
    }

    /// `Some`: there is no other key.
    pub fn asked(&self) -> Option<&AskedKey> {
        self.asked.as_ref()
    }

    /// Whether keys take turns: a single key never cools down.
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

    /// `endpoint` with the key whose turn it is, for requests whose outcome per key cannot be seen. A key in its cooldown
    /// is used only if all are.
    pub fn take_turn<'a>(&self, endpoint: &'a Endpoint, model: &str) -> Cow<'a, Endpoint> {
        if !self.rotates() {
            return Cow::Borrowed(endpoint);
        }
        let mut round = self.round(model);
        let first = self.keys.get(round.turn);
        match round.next().map(|turn| turn.key).or(first) {
            Some(key) => key.at(endpoint),
            None => Cow::Borrowed(endpoint),
        }
    }

    /// Every key of the entry, those that are not set included.
    pub fn states(&self) -> Vec<KeyState> {
        let now = Instant::now();
        let unset = self.unset.iter().map(|variable| KeyState {
            variable: shown_variable(variable).into_owned(),
            cooldown_ms: None,
            reason: Some(KeyTrouble::NotSet),
            model: None,
        });
        let asked = self.asked.iter().map(|asked| KeyState {
            variable: asked.label().to_owned(),
            cooldown_ms: None,
            reason: None,
            model: None,
        });
        self.keys.iter().flat_map(|key| key.states(now)).chain(unset).chain(asked).collect()
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
    last: Option<Box<GatewayError>>,
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
    /// The next key that is not in a cooldown.
    pub fn next(&mut self) -> Option<Turn<'a>> {
        let now = Instant::now();
        let keys = &self.ring.keys;
        let before = self.seen.max(1);
        while self.seen < keys.len() {
            let key = keys.get((self.turn + self.seen) % keys.len())?;
            self.seen += 1;
            if key.lock_cooldowns().active_for(self.model, now).next().is_none() {
                // The next call begins after this key: the key behind one in its cooldown gets no more than its share.
                self.ring.next.fetch_add(self.seen - before, Ordering::Relaxed);
                return Some(Turn { key, sent: now });
            }
        }
        None
    }

    /// The upstream took the key: what came before is forgotten.
    pub fn accepted(&self, turn: &Turn<'_>) {
        let mut cooldowns = turn.key.lock_cooldowns();
        if cooldowns.unauthorized.is_some_and(|cooldown| cooldown.is_over(turn.sent)) {
            cooldowns.unauthorized = None;
        }
        if cooldowns.rate_limited.get(self.model).is_some_and(|cooldown| cooldown.is_over(turn.sent)) {
            cooldowns.rate_limited.remove(self.model);
        }
    }

    /// Starts the key's cooldown. An error that says nothing about the key comes back.
    pub fn refused(&mut self, turn: &Turn<'_>, error: GatewayError) -> Result<(), GatewayError> {
        let max_requested = self.ring.max_requested;
        let own_lengths = match (error.reason, error.kind) {
            // A quota that is used up comes back no sooner than a key that was taken away.
            (Some(Reason::InsufficientQuota), _) | (None, ErrorKind::ProviderAuth) => UNAUTHORIZED,
            (None, ErrorKind::ProviderRateLimit) => RATE_LIMITED,
            _ => return Err(error),
        };
        let mut cooldowns = turn.key.lock_cooldowns();
        if error.reason.is_none() && error.kind == ErrorKind::ProviderAuth {
            let cooldown =
                Cooldown::after(cooldowns.unauthorized, turn.sent, None, max_requested, own_lengths);
            cooldowns.unauthorized = Some(cooldown);
        } else {
            let before = cooldowns.rate_limited.get(self.model).copied();
            let cooldown = Cooldown::after(before, turn.sent, error.retry_after, max_requested, own_lengths);
            let now = Instant::now();
            cooldowns.rate_limited.retain(|_, cooldown| cooldown.until + REMEMBERED > now);
            cooldowns.rate_limited.insert(self.model.to_owned(), cooldown);
        }
        drop(cooldowns);
        self.last = Some(Box::new(error));
        Ok(())
    }

    /// The error of an attempt that has no key left: that of the last refusal, with the wait until a key is back.
    pub fn failed(self, provider: &str) -> GatewayError {
        let now = Instant::now();
        let mut latest: Option<(Instant, KeyTrouble)> = None;
        let mut wait: Option<Duration> = None;
        for key in &self.ring.keys {
            let mut own = Duration::ZERO;
            for (reason, cooldown) in key.lock_cooldowns().active_for(self.model, now) {
                own = own.max((cooldown.until - now).saturating_add(cooldown.beyond));
                if latest.is_none_or(|(since, _)| since <= cooldown.since) {
                    latest = Some((cooldown.since, reason));
                }
            }
            wait = Some(wait.map_or(own, |wait| wait.min(own)));
        }
        let error = match (self.last, latest) {
            (Some(last), _) => *last,
            (None, Some((_, KeyTrouble::Unauthorized))) => GatewayError::provider_auth(provider),
            (None, _) => GatewayError::provider_rate_limit(provider),
        };
        match wait {
            Some(wait) if error.kind == ErrorKind::ProviderRateLimit => error.with_retry_after(wait),
            _ => error,
        }
    }
}

#[cfg(test)]
mod tests;
