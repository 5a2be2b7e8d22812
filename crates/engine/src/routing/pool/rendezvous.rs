//! Weighted rendezvous hashing: a value and each target give a pseudo-random distance, and the nearest target is asked.
//!
//! A target that leaves hands on its own values alone, each to the target that was next for it; the same order holds for
//! second attempts. Unlike a ring there is nothing to build or to keep, and weights are exact: with u uniform in (0, 1),
//! `-ln(u) / weight` is an exponential variate of rate `weight`, and each one is the least of all with the probability of
//! its part of the weight.

use super::Target;

/// What a value is held against: a hash of a target's entry and model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TargetName(u64);

impl TargetName {
    /// `model`: empty where it is decided for each call.
    pub fn new(entry: &str, model: &str) -> Self {
        // No text holds the byte between the two, so that `a` + `bc` is not `ab` + `c`.
        Self(text_hash(fnv(fnv(OFFSET, entry.as_bytes()), &[0xff]), model.as_bytes()))
    }
}

pub(super) struct Rendezvous {
    /// Of each target, all different.
    names: Vec<u64>,
}

impl Rendezvous {
    pub(super) fn new<S>(targets: &[Target<S>]) -> Self {
        let mut names: Vec<u64> = Vec::with_capacity(targets.len());
        for target in targets {
            let TargetName(mut name) = target.name;
            // The same target written twice has two shares.
            while names.contains(&name) {
                name = mix(name);
            }
            names.push(name);
        }
        Self { names }
    }

    pub(super) fn pick<'a, S: 'a>(
        &self,
        value: &str,
        open: impl Iterator<Item = (usize, &'a Target<S>)>,
    ) -> Option<usize> {
        let value = text_hash(OFFSET, value.as_bytes());
        let mut best: Option<(usize, f64)> = None;
        for (index, target) in open {
            let u = self.uniform(value, index)?;
            // 1 - u is never above -ln(u): most targets are out without the dear logarithm.
            if best.is_some_and(|(_, least)| 1.0 - u > least * target.weight) {
                continue;
            }
            let distance = -u.ln() / target.weight;
            if best.is_none_or(|(_, least)| distance < least) {
                best = Some((index, distance));
            }
        }
        best.map(|(index, _)| index)
    }

    pub(super) fn score_each<'a, S: 'a>(
        &self,
        value: &str,
        open: impl Iterator<Item = (usize, &'a Target<S>)>,
        mut set: impl FnMut(usize, f64),
    ) {
        let value = text_hash(OFFSET, value.as_bytes());
        for (index, target) in open {
            if let Some(u) = self.uniform(value, index) {
                set(index, -u.ln() / target.weight);
            }
        }
    }

    /// Between 0 and 1, both excluded.
    #[allow(clippy::cast_precision_loss)]
    fn uniform(&self, value: u64, index: usize) -> Option<f64> {
        const STEP: f64 = 1.0 / (1_u64 << 52) as f64;
        let bits = mix(value ^ self.names.get(index)?) >> 12;
        Some((bits as f64 + 0.5) * STEP)
    }
}

// The hash is FNV-1a of 64 bits, then the last steps of SplitMix64. It must stay as it is: every process of a fleet, of
// whatever version, has to send a value to the same target.

const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

fn fnv(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
}

fn text_hash(hash: u64, bytes: &[u8]) -> u64 {
    mix(fnv(hash, bytes))
}

/// Spreads a change of any bit over all of them.
pub(super) const fn mix(bits: u64) -> u64 {
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_one_of_its_definition() {
        // FNV-1a's published values, and SplitMix64's first output for seed 0 (its state is then the golden gamma).
        assert_eq!(fnv(OFFSET, b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv(OFFSET, b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv(OFFSET, b"foobar"), 0x8594_4171_f739_67e8);
        assert_eq!(mix(0x9e37_79b9_7f4a_7c15), 0xe220_a839_7b1d_cdaf);
    }

    #[test]
    fn names_do_not_run_into_each_other() {
        let name = |entry, model| TargetName::new(entry, model).0;
        assert_ne!(name("a", "bc"), name("ab", "c"));
        assert_ne!(name("a", ""), name("", "a"));
    }
}
