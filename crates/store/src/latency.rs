//! Latencies are counted in buckets whose bounds grow by a tenth, so that a percentile is at most 5 % off however many calls
//! it is made of.

use std::fmt::Write;

/// Each bucket's upper bound, as a multiple of the one's before.
const GROWTH: f64 = 1.1;

/// The bucket of a latency: 0 for none at all; else `b` with `GROWTH^(b-2) < milliseconds ≤ GROWTH^(b-1)`.
pub(crate) fn bucket(milliseconds: u64) -> u32 {
    if milliseconds == 0 {
        return 0;
    }
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let power = ((milliseconds as f64).ln() / GROWTH.ln()).ceil() as u32;
    power + 1
}

/// The latency that stands for a bucket: equally far from both of its bounds, as a ratio.
fn milliseconds(bucket: u32) -> f64 {
    if bucket == 0 {
        return 0.0;
    }
    let power = i32::try_from(bucket - 1).unwrap_or(i32::MAX);
    2.0 * GROWTH.powi(power) / (GROWTH + 1.0)
}

/// How many calls took so long. As a text, in which sums of several are the texts one after the other: a character for a
/// bucket, and after it, in digits, how many calls if more than one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Latencies(Vec<u64>);

/// The character of bucket 0: above all digits.
const FIRST: u32 = 0x40;

/// More than there are for any latency.
const BUCKETS: usize = 512;

impl Latencies {
    pub fn add(&mut self, milliseconds: u64) {
        self.add_calls(Some(bucket(milliseconds)), None);
    }

    /// Adds what a text says. Characters that no bucket has are left out.
    pub fn add_text(&mut self, text: &str) {
        let mut last = None;
        let mut count: Option<u64> = None;
        for character in text.chars() {
            if let Some(digit) = character.to_digit(10) {
                let sum = count.unwrap_or_default().saturating_mul(10).saturating_add(u64::from(digit));
                count = Some(sum);
                continue;
            }
            self.add_calls(last, count.take());
            last = u32::from(character).checked_sub(FIRST);
        }
        self.add_calls(last, count);
    }

    fn add_calls(&mut self, bucket: Option<u32>, count: Option<u64>) {
        let Some(bucket) = bucket.and_then(|bucket| usize::try_from(bucket).ok()) else { return };
        if bucket >= BUCKETS {
            return;
        }
        if bucket >= self.0.len() {
            self.0.resize(bucket + 1, 0);
        }
        if let Some(calls) = self.0.get_mut(bucket) {
            *calls = calls.saturating_add(count.unwrap_or(1));
        }
    }

    /// Forgets all calls, and keeps the room for others.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    pub fn text(&self) -> String {
        let mut text = String::new();
        for (character, &calls) in (FIRST..).zip(&self.0) {
            if calls == 0 {
                continue;
            }
            text.extend(char::from_u32(character));
            if calls != 1 {
                // Writing to a string cannot fail.
                let _ = write!(text, "{calls}");
            }
        }
        text
    }

    /// The latency below which a `share` of the calls are; `None`: there are no calls.
    pub fn percentile(&self, share: f64) -> Option<f64> {
        let all = self.0.iter().fold(0_u64, |all, calls| all.saturating_add(*calls));
        #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let rank = ((all as f64) * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        let found = (0..).zip(&self.0).find(|&(_, &calls)| {
            seen = calls.saturating_add(seen);
            calls > 0 && seen >= rank
        });
        found.map(|(bucket, _)| milliseconds(bucket))
    }
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
        let mut counts = Latencies::default();
        for (bucket, calls) in [(10, 50), (20, 45), (30, 5)] {
            counts.add_calls(Some(bucket), Some(calls));
        }
        assert_eq!(counts.percentile(0.5), Some(milliseconds(10)));
        assert_eq!(counts.percentile(0.51), Some(milliseconds(20)));
        assert_eq!(counts.percentile(0.95), Some(milliseconds(20)));
        assert_eq!(counts.percentile(0.96), Some(milliseconds(30)));
        assert_eq!(Latencies::default().percentile(0.5), None);
    }

    #[test]
    fn texts_add_up_by_standing_one_after_the_other() {
        let mut one = Latencies::default();
        [0, 1, 1, 1, 250, 3_600_000].into_iter().for_each(|latency| one.add(latency));
        let mut sum = Latencies::default();
        sum.add_text(&format!("{}{}", one.text(), one.text()));
        assert_eq!(sum.0.iter().sum::<u64>(), 12);
        let mut again = Latencies::default();
        again.add_text(&sum.text());
        assert_eq!(again, sum);
        assert!(one.text().starts_with("@A3"), "{}", one.text());
    }

    #[test]
    fn a_text_that_is_none_of_ours_is_read_as_far_as_it_goes() {
        let mut latencies = Latencies::default();
        latencies.add_text("12A\u{0}B99999999999999999999999🦀7");
        assert_eq!(latencies.0, [0, 1, u64::MAX]);
        assert!(latencies.percentile(0.5).is_some());
    }
}
