//! Token buckets: what is missing in one is counted in parts of which 60,000 are a token, so that each millisecond brings as many of them
//! as tokens come in a minute, and nothing is rounded.
//!
//! What is larger than a bucket is let through when it is full and counts whole; what comes next waits until that debt is
//! paid, so the mean rate holds for any sizes. No I/O.

use gateway_engine::state::{Take, Taken};

const MINUTE_MS: i128 = 60_000;

/// No bucket misses more: about 150 trillion tokens.
const MOST: i128 = i64::MAX as i128;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Bucket {
    pub missing: i64,
    pub at: i64,
    pub full_at: i64,
}

/// Takes from all buckets of a key or from none. `buckets` has one for each place of `take`.
pub(super) fn take(buckets: &mut [Bucket], take: &Take, now: i64) -> Taken {
    let states: Vec<(i128, i128, i128)> = take
        .buckets
        .iter()
        .zip(buckets.iter())
        .map(|(&(per_minute, tokens), bucket)| {
            let rate = i128::from(per_minute.max(1));
            let passed = i128::from(now.saturating_sub(bucket.at).max(0));
            let missing = (i128::from(bucket.missing) - passed * rate).max(0);
            (rate, missing, i128::from(tokens) * MINUTE_MS)
        })
        .collect();
    let waits = states.iter().map(|&(rate, missing, cost)| {
        let may_miss = (rate * MINUTE_MS - cost).max(0);
        let lacks = if cost > 0 { missing - may_miss } else { 0 };
        if lacks > 0 { u64::try_from((lacks + rate - 1) / rate).unwrap_or(u64::MAX) } else { 0 }
    });
    // Of equal waits the first bucket is named.
    let longest = waits.enumerate().fold((0, 0), |most, next| if next.1 > most.1 { next } else { most });
    if let (bucket, wait_ms @ 1..) = longest {
        return Taken::Nothing { bucket, wait_ms };
    }
    for (bucket, (rate, missing, cost)) in buckets.iter_mut().zip(states) {
        let missing = (missing + cost).clamp(0, MOST);
        let full_in = i64::try_from((missing + rate - 1) / rate).unwrap_or(i64::MAX);
        *bucket = Bucket {
            missing: i64::try_from(missing).unwrap_or(i64::MAX),
            at: now.max(bucket.at),
            full_at: now.saturating_add(full_in),
        };
    }
    Taken::All
}
