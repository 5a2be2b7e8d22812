//! Hashes of texts and numbers that are the same in every process.

/// A hash of a target's entry and model, to which `consistent_hash` compares a call's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TargetName(pub(super) u64);

impl TargetName {
    /// `model`: empty where each call decides it.
    pub fn new(entry: &str, model: &str) -> Self {
        // No text holds the byte between the two, so that `a` + `bc` is not `ab` + `c`.
        Self(mix(fnv(fnv(fnv(OFFSET, entry.as_bytes()), &[0xff]), model.as_bytes())))
    }
}

// The hash is FNV-1a of 64 bits, then the last steps of SplitMix64. It must stay as it is: every process of a fleet, of
// whatever version, has to send a value to the same target.

const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

fn fnv(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
}

pub(super) fn hash_text(text: &str) -> u64 {
    mix(fnv(OFFSET, text.as_bytes()))
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
    fn hashes_equal_the_published_values_of_fnv_1a_and_splitmix64() {
        // FNV-1a's published values, and SplitMix64's first output for seed 0 (its state is then the golden gamma).
        assert_eq!(fnv(OFFSET, b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv(OFFSET, b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv(OFFSET, b"foobar"), 0x8594_4171_f739_67e8);
        assert_eq!(mix(0x9e37_79b9_7f4a_7c15), 0xe220_a839_7b1d_cdaf);
    }

    #[test]
    fn entry_and_model_are_hashed_as_separate_texts() {
        let name = |entry, model| TargetName::new(entry, model).0;
        assert_ne!(name("a", "bc"), name("ab", "c"));
        assert_ne!(name("a", ""), name("", "a"));
    }
}
