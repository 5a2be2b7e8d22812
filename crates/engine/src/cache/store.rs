//! Cached answers, in memory.

use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::Expiry;
use moka::sync::Cache;

use super::CacheKey;
use super::entry::{may_be_cached, size};
use gateway_model::Outcome;
use gateway_model::config::CacheSettings;

const DEFAULT_TTL: Duration = Duration::from_mins(5);
const DEFAULT_ENTRIES: u64 = 10_000;

/// Bytes that all answers together may take.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// Answers by their key, bounded in number, in bytes (64 MiB) and in time. When it is full, the most requested answers
/// stay.
pub struct AnswerCache {
    answers: Cache<CacheKey, Kept>,
    ttl: Duration,
}

#[derive(Clone)]
struct Kept {
    answer: Arc<Outcome>,
    ttl: Duration,
}

struct OwnTtl;

impl Expiry<CacheKey, Kept> for OwnTtl {
    fn expire_after_create(&self, _key: &CacheKey, kept: &Kept, _now: Instant) -> Option<Duration> {
        Some(kept.ttl)
    }

    fn expire_after_update(
        &self,
        _key: &CacheKey,
        kept: &Kept,
        _now: Instant,
        _left: Option<Duration>,
    ) -> Option<Duration> {
        Some(kept.ttl)
    }
}

impl AnswerCache {
    /// Whether it is switched on is not looked at: a call may ask for it all the same.
    pub fn new(settings: CacheSettings) -> Self {
        let CacheSettings { enabled: _, ttl_ms, max_entries } = settings;
        let entries = max_entries.unwrap_or(DEFAULT_ENTRIES);
        // One bound for both: an answer weighs its bytes, but never less than an even share of them.
        let share = (MAX_BYTES / entries.max(1)).max(1);
        let weight = move |_: &CacheKey, kept: &Kept| {
            u32::try_from(size(&kept.answer).max(usize::try_from(share).unwrap_or(usize::MAX)))
                .unwrap_or(u32::MAX)
        };
        let answers = Cache::builder()
            .max_capacity(entries.saturating_mul(share).min(MAX_BYTES))
            .weigher(weight)
            .expire_after(OwnTtl)
            .build();
        Self { answers, ttl: ttl_ms.map_or(DEFAULT_TTL, Duration::from_millis) }
    }

    pub fn get(&self, key: &CacheKey) -> Option<Arc<Outcome>> {
        self.answers.get(key).map(|kept| kept.answer)
    }

    /// Keeps an answer, for `ttl` if it is given, and says for how long. One that [may not be cached](may_be_cached) is not.
    pub fn put(
        &self,
        key: CacheKey,
        answer: impl Into<Arc<Outcome>>,
        ttl: Option<Duration>,
    ) -> Option<Duration> {
        let (answer, ttl) = (answer.into(), ttl.unwrap_or(self.ttl));
        let is_kept = !ttl.is_zero() && may_be_cached(&answer);
        if is_kept {
            self.answers.insert(key, Kept { answer, ttl });
        }
        is_kept.then_some(ttl)
    }

    /// The number of cached answers, approximately: some of them may have expired.
    pub fn len(&self) -> u64 {
        self.answers.entry_count()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use std::thread::sleep;

    use super::*;
    use crate::cache::{Notes, Tenant};
    use gateway_model::{Answer, ChatRequest};

    fn key(number: usize) -> CacheKey {
        CacheKey::of_chat(
            &ChatRequest::default(),
            None,
            &number.to_string(),
            Tenant::default(),
            Notes::Ignored,
        )
    }

    fn answer(content: &str) -> Outcome {
        let answer = Answer { content: content.to_owned(), ..Answer::default() };
        Outcome { answer, ..Outcome::default() }
    }

    fn cache(ttl_ms: Option<u64>, max_entries: Option<u64>) -> AnswerCache {
        AnswerCache::new(CacheSettings { enabled: false, ttl_ms, max_entries })
    }

    fn bytes(cache: &AnswerCache) -> u64 {
        cache.answers.run_pending_tasks();
        cache.answers.iter().map(|(_, kept)| size(&kept.answer) as u64).sum()
    }

    #[test]
    fn an_answer_is_found_by_its_key_alone() {
        let cache = cache(None, None);
        cache.put(key(1), answer("one"), None);
        assert_eq!(cache.get(&key(1)).unwrap().answer.content, "one");
        assert!(cache.get(&key(2)).is_none());
        cache.put(key(1), answer("other"), None);
        assert_eq!(cache.get(&key(1)).unwrap().answer.content, "other");
    }

    #[test]
    fn an_answer_expires_after_its_own_ttl_or_the_default_one() {
        let cache = cache(Some(50), None);
        cache.put(key(1), answer("default"), None);
        cache.put(key(2), answer("long"), Some(Duration::MAX));
        cache.put(key(3), answer("was long"), Some(Duration::MAX));
        cache.put(key(3), answer("is short"), Some(Duration::from_millis(50)));
        cache.put(key(4), answer("never"), Some(Duration::ZERO));
        assert!(cache.get(&key(2)).is_some() && cache.get(&key(4)).is_none());
        sleep(Duration::from_millis(80));
        let left: Vec<bool> = (1..=4).map(|number| cache.get(&key(number)).is_some()).collect();
        assert_eq!(left, [false, true, false, false]);
    }

    #[test]
    fn the_default_time_is_five_minutes() {
        assert_eq!(cache(None, None).ttl, Duration::from_millis(300_000));
    }

    #[test]
    fn entries_are_bounded() {
        for (max, expected) in [(0, 0), (1, 1), (3, 3), (100, 100)] {
            let cache = cache(None, Some(max));
            for number in 0..1_000 {
                cache.put(key(number), answer("x"), None);
            }
            cache.answers.run_pending_tasks();
            assert_eq!(cache.len(), expected);
        }
    }

    #[test]
    fn the_default_bound_is_ten_thousand() {
        let cache = cache(None, None);
        let answer = Arc::new(answer("x"));
        for number in 0..12_000 {
            cache.put(key(number), answer.clone(), None);
        }
        cache.answers.run_pending_tasks();
        assert_eq!(cache.len(), 10_000);
    }

    #[test]
    fn bytes_are_bounded_however_many_entries_are_allowed() {
        for max in [1, 10_000, u64::MAX] {
            let cache = cache(None, Some(max));
            let text = "x".repeat(3 << 20);
            for number in 0..50 {
                cache.put(key(number), answer(&text), None);
            }
            let bytes = bytes(&cache);
            assert!((3 << 20..=MAX_BYTES).contains(&bytes), "{bytes}");
        }
    }

    #[test]
    fn answers_that_may_not_be_cached_are_not() {
        let cache = cache(None, None);
        cache.put(key(1), answer(""), None);
        assert!(cache.get(&key(1)).is_none() && cache.is_empty());
    }
}
