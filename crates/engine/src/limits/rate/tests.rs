use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use proptest::prelude::*;

use super::*;

const A_MINUTE: Duration = Duration::from_secs(60);

fn limiter(requests: Option<u64>, tokens: Option<u64>) -> RateLimiter {
    RateLimiter::new(&RateLimit { requests_per_minute: requests, tokens_per_minute: tokens }).unwrap()
}

fn limited(limit: Limit, per_minute: u64, wait: Duration) -> Result<(), Limited> {
    Err(Limited { limit, per_minute, wait })
}

#[test]
fn nothing_limited_is_no_limiter() {
    assert!(RateLimiter::new(&RateLimit::default()).is_none());
}

#[test]
fn a_minutes_worth_may_come_at_once_and_comes_back_evenly() {
    let limiter = limiter(Some(7), None);
    let start = limiter.started;
    let each = A_MINUTE.div_f64(7.0);
    for _ in 0..7 {
        assert_eq!(limiter.admit_one_at(start, 1_000_000), Ok(()));
    }
    // A seventh of a minute is no whole number of nanoseconds.
    let wait = Duration::from_nanos(8_571_428_572);
    assert_eq!(limiter.admit_one_at(start, 0), limited(Limit::Requests, 7, wait));
    assert_eq!(
        limiter.admit_one_at(start + wait - Duration::from_nanos(1), 0).unwrap_err().wait.as_nanos(),
        1
    );
    assert_eq!(limiter.admit_one_at(start + wait, 0), Ok(()));
    assert!(limiter.admit_one_at(start + wait, 0).is_err());
    // After a rest no more than a minute's worth is there.
    let rested = start + each * 70;
    assert_eq!((0..20).filter(|_| limiter.admit_one_at(rested, 0).is_ok()).count(), 7);
}

#[test]
fn a_refused_request_takes_from_neither_bucket() {
    let limiter = limiter(Some(2), Some(100));
    let start = limiter.started;
    assert_eq!(limiter.admit_one_at(start, 90), Ok(()));
    for _ in 0..50 {
        let refused = limiter.admit_one_at(start, 20);
        assert_eq!(refused, limited(Limit::Tokens, 100, Duration::from_secs(6)));
    }
    assert_eq!(limiter.admit_one_at(start, 5), Ok(()), "requests were not counted");
    for _ in 0..50 {
        let refused = limiter.admit_one_at(start, 5);
        assert_eq!(refused, limited(Limit::Requests, 2, Duration::from_secs(30)));
    }
    // 5 tokens are left and 50 have come; of the requests there is one.
    assert_eq!(limiter.admit_one_at(start + Duration::from_secs(30), 55), Ok(()), "tokens were not counted");
}

#[test]
fn the_longer_wait_is_reported() {
    let limiter = limiter(Some(2), Some(60));
    let start = limiter.started;
    assert_eq!(limiter.admit_one_at(start, 60), Ok(()));
    assert_eq!(limiter.admit_one_at(start, 0), Ok(()));
    assert_eq!(limiter.admit_one_at(start, 10), limited(Limit::Requests, 2, Duration::from_secs(30)));
    assert_eq!(limiter.admit_one_at(start, 40), limited(Limit::Tokens, 60, Duration::from_secs(40)));
}

#[test]
fn a_request_larger_than_the_quota_waits_for_a_full_bucket_and_leaves_a_debt() {
    let limiter = limiter(None, Some(100));
    let start = limiter.started;
    assert_eq!(limiter.admit_one_at(start, 1), Ok(()));
    let refused = limiter.admit_one_at(start, 250);
    assert_eq!(refused, limited(Limit::Tokens, 100, Duration::from_millis(600)));
    let full = start + Duration::from_millis(600);
    assert_eq!(limiter.admit_one_at(full, 250), Ok(()));
    // 150 above the bucket: after 90 s it is empty, and 10 more take 6 s.
    assert_eq!(limiter.admit_one_at(full, 10), limited(Limit::Tokens, 100, Duration::from_secs(96)));
    assert_eq!(limiter.admit_one_at(full, 0), Ok(()), "what takes nothing needs nothing");
    assert_eq!(limiter.admit_one_at(full + Duration::from_secs(96), 10), Ok(()));
}

#[test]
fn figures_at_the_ends_of_their_range_do_not_overflow() {
    let limiter = limiter(Some(u64::MAX), Some(u64::MAX));
    let late = limiter.started + Duration::from_secs(1 << 33);
    assert_eq!(limiter.admit_one_at(late, u64::MAX), Ok(()));
    assert_eq!(limiter.admit_one_at(late, u64::MAX).unwrap_err().wait, A_MINUTE);
    let small = self::limiter(None, Some(1));
    assert_eq!(small.admit_one_at(late, u64::MAX), Ok(()));
    assert_eq!(small.admit_one_at(late, 1).unwrap_err().wait, Duration::from_nanos(u64::MAX));
    let none = self::limiter(Some(0), None);
    assert_eq!(none.admit_one_at(late, 0), Ok(()), "no configuration has 0; it is taken for 1");
    assert_eq!(none.admit_one_at(late, 0).unwrap_err().wait, A_MINUTE);
}

#[test]
fn each_key_has_its_own_quota() {
    let limiter = limiter(Some(1), None);
    let start = limiter.started;
    for key in ["a", "b", ""] {
        assert_eq!(limiter.admit_at(start, key, 0), Ok(()));
        assert!(limiter.admit_at(start, key, 0).is_err());
    }
    assert_eq!(limiter.admit_one_at(start, 0), Ok(()));
}

#[test]
fn keys_with_full_buckets_are_dropped() {
    let limiter = limiter(Some(60), None);
    let mut most = 0;
    // A key is at rest after a second; a thousand come in each.
    for at in 0..50_000u32 {
        let now = limiter.started + Duration::from_millis(at.into());
        assert_eq!(limiter.admit_at(now, &at.to_string(), 0), Ok(()));
        most = most.max(locked(&limiter.keyed).buckets.len());
    }
    assert!(most <= 2 * FEW_KEYS, "{most}");
}

#[test]
fn keys_are_bounded_and_those_that_took_most_stay() {
    let limiter = limiter(None, Some(100));
    let start = limiter.started;
    let heavy: Vec<String> = (0..100).map(|key| format!("heavy {key}")).collect();
    for key in &heavy {
        assert_eq!(limiter.admit_at(start, key, 100), Ok(()));
    }
    for key in 0..2 * MAX_KEYS {
        assert_eq!(limiter.admit_at(start, &key.to_string(), 1), Ok(()));
        assert!(locked(&limiter.keyed).buckets.len() <= MAX_KEYS);
    }
    assert!(heavy.iter().all(|key| limiter.admit_at(start, key, 1).is_err()));
}

#[test]
fn threads_together_get_no_more_than_the_quota() {
    let limiter = limiter(Some(1_000), Some(7_000));
    let (one, keyed) = (AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..500 {
                    let admitted = |outcome: Result<(), Limited>| u64::from(outcome.is_ok());
                    one.fetch_add(admitted(limiter.admit_one_at(limiter.started, 10)), Ordering::Relaxed);
                    keyed.fetch_add(admitted(limiter.admit_at(limiter.started, "k", 5)), Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!((one.into_inner(), keyed.into_inner()), (700, 1_000));
}

/// What was let through in the last minute, ends included.
#[derive(Default)]
struct LastMinute {
    admitted: VecDeque<(Instant, u64)>,
    sum: u128,
}

impl LastMinute {
    fn add(&mut self, now: Instant, amount: u64) -> u128 {
        self.admitted.push_back((now, amount));
        self.sum += u128::from(amount);
        while let Some((_, amount)) = self.admitted.pop_front_if(|(at, _)| now - *at > A_MINUTE) {
            self.sum -= u128::from(amount);
        }
        self.sum
    }
}

/// Gaps between arrivals: bursts, a steady flow, rests.
fn gap() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => Just(0),
        4 => 0..50_000_000u64,
        3 => 0..3_000_000_000u64,
        1 => 0..200_000_000_000u64,
    ]
}

proptest! {
    #[test]
    fn no_sliding_minute_lets_through_more_than_twice_the_quota(
        requests in 1..40u64,
        tokens in 1..100_000u64,
        arrivals in prop::collection::vec((gap(), 0.0..=1.0f64), 1..600),
    ) {
        let limiter = limiter(Some(requests), Some(tokens));
        let mut now = limiter.started;
        let (mut calls, mut sizes) = (LastMinute::default(), LastMinute::default());
        for (gap, size) in arrivals {
            now += Duration::from_nanos(gap);
            let size = (size * tokens as f64) as u64;
            if limiter.admit_one_at(now, size).is_ok() {
                prop_assert!(calls.add(now, 1) <= 2 * u128::from(requests));
                prop_assert!(sizes.add(now, size) <= 2 * u128::from(tokens));
            }
        }
    }

    #[test]
    fn a_wait_is_neither_too_short_nor_too_long(
        requests in prop::option::of(1..5_000u64),
        tokens in 1..u64::MAX,
        arrivals in prop::collection::vec((gap(), 0.0..=3.0f64), 1..100),
    ) {
        let limiter = limiter(requests, Some(tokens));
        let mut now = limiter.started;
        for (gap, size) in arrivals {
            now += Duration::from_nanos(gap);
            let size = (size * tokens as f64) as u64;
            if let Err(limited) = limiter.admit_one_at(now, size) {
                prop_assert!(limited.wait > Duration::ZERO);
                let early = now + limited.wait - Duration::from_nanos(1);
                prop_assert!(limiter.admit_one_at(early, size).is_err());
                now += limited.wait;
                prop_assert_eq!(limiter.admit_one_at(now, size), Ok(()));
            }
        }
    }

    #[test]
    fn high_demand_gets_the_quota_in_the_long_run(
        requests in 1..400u64,
        tokens in 1..10_000_000u64,
        // Up to three minutes' worth in one request.
        sizes in prop::collection::vec(0.001..3.0f64, 1..20),
        by_requests: bool,
    ) {
        const MINUTES: u32 = 400;
        let limiter = if by_requests { limiter(Some(requests), None) } else { limiter(None, Some(tokens)) };
        let quota = if by_requests { requests } else { tokens };
        let mut now = limiter.started;
        let end = now + A_MINUTE * MINUTES;
        let mut admitted = 0u128;
        for size in sizes.iter().cycle() {
            let size = ((size * tokens as f64) as u64).max(1);
            if let Err(limited) = limiter.admit_one_at(now, size) {
                now += limited.wait;
                if now >= end {
                    break;
                }
                prop_assert_eq!(limiter.admit_one_at(now, size), Ok(()));
            }
            admitted += u128::from(if by_requests { 1 } else { size });
        }
        let per_minute = admitted as f64 / f64::from(MINUTES) / quota as f64;
        prop_assert!((0.99..=1.01).contains(&per_minute), "{} times the quota", per_minute);
    }
}
