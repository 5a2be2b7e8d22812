//! Requests and tokens per minute, as buckets that hold a minute's worth and fill evenly.
//!
//! The generic cell rate algorithm (ITU-T I.371): a bucket is one number, the time at which it will be full again. It
//! is kept here and not by the `governor` crate, which has the same algorithm: a call takes from two buckets or from
//! none, and `governor` can neither ask without taking nor give back; it refuses for ever what is larger than a
//! bucket, as a long prompt may be; its quotas end at 32 bits, and its intervals are whole nanoseconds.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::state::Taken;
use gateway_model::config::RateLimit;

/// Keys that are remembered at once.
const MAX_KEYS: usize = 100_000;

/// With fewer keys, none are looked for whose buckets are full again.
const FEW_KEYS: usize = 1_024;

/// Nanoseconds.
const MINUTE: u128 = 60_000_000_000;

/// What may be taken in a minute.
///
/// It is counted in parts: [`MINUTE`] of them are one request or token, and each nanosecond brings as many as the
/// quota. So nothing is rounded, however large or odd the quota is.
#[derive(Debug, Clone, Copy)]
struct Quota(u64);

/// When a bucket is full again: nanoseconds from the limiter's start, times the quota. A new one is full.
type FullAt = u128;

impl Quota {
    fn parts(self) -> u128 {
        u128::from(self.0.max(1))
    }

    /// Parts that are missing in the bucket at `now`.
    fn missing(self, full_at: FullAt, now: u64) -> u128 {
        full_at.saturating_sub(u128::from(now) * self.parts())
    }

    /// The bucket without `amount`, or the wait until that much is in it.
    ///
    /// What is larger than the bucket is let through when it is full, and counts whole: the bucket is then in debt,
    /// and what comes next waits until that is paid. So the mean rate holds for any sizes.
    fn take(self, full_at: FullAt, now: u64, amount: u64) -> Result<FullAt, Duration> {
        let cost = u128::from(amount) * MINUTE;
        let missing = self.missing(full_at, now);
        let may_miss = (self.parts() * MINUTE).saturating_sub(cost);
        if amount > 0 && missing > may_miss {
            return Err(nanoseconds((missing - may_miss).div_ceil(self.parts())));
        }
        Ok((u128::from(now) * self.parts()).max(full_at).saturating_add(cost))
    }
}

fn nanoseconds(count: u128) -> Duration {
    Duration::from_nanos(u64::try_from(count).unwrap_or(u64::MAX))
}

/// Which of the two limits is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    Requests,
    Tokens,
}

impl Limit {
    /// Its name in a configuration.
    pub fn setting(self) -> &'static str {
        match self {
            Self::Requests => "requestsPerMinute",
            Self::Tokens => "tokensPerMinute",
        }
    }
}

/// Why a call is not let through now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limited {
    /// The limit that takes longer, where both refuse.
    pub limit: Limit,
    pub per_minute: u64,
    /// Until it would be let through, if nothing else comes in between.
    pub wait: Duration,
}

/// One caller's two buckets.
#[derive(Debug, Clone, Copy, Default)]
struct Buckets {
    requests: FullAt,
    tokens: FullAt,
}

impl Buckets {
    fn give_back(&mut self, tokens: u64) {
        self.requests = self.requests.saturating_sub(MINUTE);
        self.tokens = self.tokens.saturating_sub(u128::from(tokens) * MINUTE);
    }
}

#[derive(Debug)]
struct Quotas {
    requests: Option<Quota>,
    tokens: Option<Quota>,
}

impl Quotas {
    /// Takes one request and `tokens`, or nothing.
    fn take(&self, buckets: &mut Buckets, now: u64, tokens: u64) -> Result<(), Limited> {
        let take = |limit, quota: Option<Quota>, full_at, amount| match quota {
            None => Ok(full_at),
            Some(quota) => {
                quota.take(full_at, now, amount).map_err(|wait| Limited { limit, per_minute: quota.0, wait })
            }
        };
        let requests = take(Limit::Requests, self.requests, buckets.requests, 1);
        let tokens = take(Limit::Tokens, self.tokens, buckets.tokens, tokens);
        match (requests, tokens) {
            (Ok(requests), Ok(tokens)) => {
                *buckets = Buckets { requests, tokens };
                Ok(())
            }
            (Err(requests), Err(tokens)) if tokens.wait > requests.wait => Err(tokens),
            (Err(limited), _) | (_, Err(limited)) => Err(limited),
        }
    }

    /// Nanoseconds until both are full; 0 for buckets that are as good as new.
    fn until_full(&self, buckets: &Buckets, now: u64) -> u128 {
        let until = |quota: Option<Quota>, full_at| {
            quota.map_or(0, |quota| quota.missing(full_at, now).div_ceil(quota.parts()))
        };
        until(self.requests, buckets.requests).max(until(self.tokens, buckets.tokens))
    }
}

/// Lets calls through while they stay below a rate: each key for itself ([`Self::admit`]), and those without a key
/// together ([`Self::admit_one`]). A full minute's worth may come at once, at the start and after a pause.
#[derive(Debug)]
pub struct RateLimiter {
    quotas: Quotas,
    started: Instant,
    one: Mutex<Buckets>,
    keyed: Mutex<Keyed>,
    /// Keys are known by their hashes, 128 bits with secrets of this limiter, so that their length costs nothing.
    hashers: [RandomState; 2],
}

impl RateLimiter {
    pub fn tokens_per_minute(&self) -> Option<u64> {
        self.quotas.tokens.map(|quota| quota.0)
    }

    /// `None` where nothing is limited.
    pub fn new(limit: &RateLimit) -> Option<Self> {
        let quotas = Quotas {
            requests: limit.requests_per_minute.map(Quota),
            tokens: limit.tokens_per_minute.map(Quota),
        };
        (quotas.requests.is_some() || quotas.tokens.is_some()).then(|| Self {
            quotas,
            started: Instant::now(),
            one: Mutex::default(),
            keyed: Mutex::new(Keyed { buckets: HashMap::new(), sweep_at: FEW_KEYS }),
            hashers: [RandomState::new(), RandomState::new()],
        })
    }

    /// What one request with `tokens` takes: of which limit, its quota, and how much.
    pub fn takes(&self, tokens: u64) -> Vec<(Limit, u64, i64)> {
        let amount = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let requests = self.quotas.requests.map(|quota| (Limit::Requests, quota.0, 1));
        let tokens = self.quotas.tokens.map(|quota| (Limit::Tokens, quota.0, amount(tokens)));
        requests.into_iter().chain(tokens).collect()
    }

    /// What the state has said of [`RateLimiter::takes`]; `None`: nothing is over its limit.
    pub fn limited(&self, taken: Taken) -> Option<Limited> {
        let Taken::Nothing { bucket, wait_ms } = taken else { return None };
        let (limit, per_minute, _) = self.takes(0).get(bucket).copied()?;
        Some(Limited { limit, per_minute, wait: Duration::from_millis(wait_ms) })
    }

    /// Counts one request with `tokens` for `key`. A refused one counts nowhere.
    pub fn admit(&self, key: &str, tokens: u64) -> Result<(), Limited> {
        self.admit_at(Instant::now(), key, tokens)
    }

    /// The same for calls without a key.
    pub fn admit_one(&self, tokens: u64) -> Result<(), Limited> {
        self.admit_one_at(Instant::now(), tokens)
    }

    /// [`Self::admit`] or [`Self::admit_one`].
    pub fn admit_for(&self, key: Option<&str>, tokens: u64) -> Result<(), Limited> {
        match key {
            Some(key) => self.admit(key, tokens),
            None => self.admit_one(tokens),
        }
    }

    /// Takes back what a call that was not let through after all has counted.
    pub fn give_back(&self, key: Option<&str>, tokens: u64) {
        match key {
            Some(key) => {
                if let Some(buckets) = locked(&self.keyed).buckets.get_mut(&self.hashed(key)) {
                    buckets.give_back(tokens);
                }
            }
            None => locked(&self.one).give_back(tokens),
        }
    }

    fn hashed(&self, key: &str) -> u128 {
        let [high, low] = self.hashers.each_ref().map(|hasher| u128::from(hasher.hash_one(key)));
        high << 64 | low
    }

    fn admit_at(&self, now: Instant, key: &str, tokens: u64) -> Result<(), Limited> {
        let now = self.since_start(now);
        let mut keyed = locked(&self.keyed);
        let buckets = keyed.buckets_of(self.hashed(key), &self.quotas, now);
        self.quotas.take(buckets, now, tokens)
    }

    fn admit_one_at(&self, now: Instant, tokens: u64) -> Result<(), Limited> {
        let now = self.since_start(now);
        self.quotas.take(&mut locked(&self.one), now, tokens)
    }

    fn since_start(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.started).as_nanos()).unwrap_or(u64::MAX)
    }
}

fn locked<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug)]
struct Keyed {
    buckets: HashMap<u128, Buckets>,
    /// At so many keys, those with full buckets are dropped before a further one is added.
    sweep_at: usize,
}

impl Keyed {
    fn buckets_of(&mut self, key: u128, quotas: &Quotas, now: u64) -> &mut Buckets {
        if self.buckets.len() >= self.sweep_at && !self.buckets.contains_key(&key) {
            self.sweep(quotas, now);
        }
        self.buckets.entry(key).or_default()
    }

    /// Drops the keys whose buckets are full: new ones are no different. Where that leaves little room, those nearest to it go
    /// as well, as they are forgiven least. The next sweep is far enough away for a call's share in it to stay small.
    fn sweep(&mut self, quotas: &Quotas, now: u64) {
        self.buckets.retain(|_, buckets| quotas.until_full(buckets, now) > 0);
        let surplus = self.buckets.len().saturating_sub(MAX_KEYS - MAX_KEYS / 10);
        if surplus > 0 {
            let mut waits: Vec<(u128, u128)> =
                self.buckets.iter().map(|(key, buckets)| (quotas.until_full(buckets, now), *key)).collect();
            waits.select_nth_unstable(surplus - 1);
            for (_, key) in waits.iter().take(surplus) {
                self.buckets.remove(key);
            }
        }
        self.sweep_at = (self.buckets.len() * 2).clamp(FEW_KEYS, MAX_KEYS);
        self.buckets.shrink_to(self.sweep_at);
    }
}

#[cfg(test)]
mod tests;
