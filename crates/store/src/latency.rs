//! Latencies are counted in buckets whose bounds grow by a tenth, so that a percentile is at most 5 % off however many calls
//! it is made of.

/// Each bucket's upper bound, as a multiple of the one's before.
const GROWTH: f64 = 1.1;

/// The bucket of a latency: 0 for none at all; else `b` with `GROWTH^(b-2) < milliseconds ≤ GROWTH^(b-1)`.
pub(crate) fn bucket(milliseconds: u64) -> i64 {
    if milliseconds == 0 {
        return 0;
    }
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)]
    let power = ((milliseconds as f64).ln() / GROWTH.ln()).ceil() as i64;
    power.max(0) + 1
}

/// The latency that stands for a bucket: equally far from both of its bounds, as a ratio.
pub(crate) fn milliseconds(bucket: i64) -> f64 {
    if bucket <= 0 {
        return 0.0;
    }
    let power = i32::try_from(bucket - 1).unwrap_or(i32::MAX);
    2.0 * GROWTH.powi(power) / (GROWTH + 1.0)
}

/// The latency below which a `share` of the calls are. `counts` are `(bucket, calls)`, ordered by bucket.
pub(crate) fn percentile(counts: &[(i64, u64)], share: f64) -> Option<f64> {
    let all: u64 = counts.iter().map(|&(_, calls)| calls).sum();
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let rank = ((all as f64) * share).ceil().max(1.0) as u64;
    let mut seen = 0;
    let found = counts.iter().find(|&&(_, calls)| {
        seen += calls;
        seen >= rank
    });
    found.map(|&(bucket, _)| milliseconds(bucket))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_stands_for_its_latencies_within_five_percent() {
        for latency in (1..20_000).chain([86_400_000, 604_800_000]) {
            #[allow(clippy::cast_precision_loss)]
            let ratio = milliseconds(bucket(latency)) / latency as f64;
            assert!((ratio - 1.0).abs() < 0.05, "{latency} ms: {ratio}");
        }
        assert_eq!(milliseconds(bucket(0)), 0.0);
        assert_eq!(bucket(u64::MAX), 467);
    }

    #[test]
    fn a_percentile_is_the_latency_of_the_call_at_that_rank() {
        let counts: Vec<(i64, u64)> = [(10, 50), (20, 45), (30, 5)].into();
        assert_eq!(percentile(&counts, 0.5), Some(milliseconds(10)));
        assert_eq!(percentile(&counts, 0.51), Some(milliseconds(20)));
        assert_eq!(percentile(&counts, 0.95), Some(milliseconds(20)));
        assert_eq!(percentile(&counts, 0.96), Some(milliseconds(30)));
        assert_eq!(percentile(&[], 0.5), None);
        assert_eq!(percentile(&[(7, 1)], 0.95), Some(milliseconds(7)));
    }
}
