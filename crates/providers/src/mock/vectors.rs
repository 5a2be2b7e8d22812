//! Vectors of texts: each word adds to a few places, so that texts which share words are near each other.

use gateway_model::{EmbedCall, Vectors};
use gateway_pricing::tokens;

const DIMENSIONS: u64 = 64;
const MOST_DIMENSIONS: u64 = 4096;
/// Places that a word adds to.
const PLACES: u64 = 4;

/// Counts tokens: the first count of a process loads a vocabulary.
pub(super) fn vectors(call: &EmbedCall) -> Vectors {
    let dimensions = call.dimensions.unwrap_or(DIMENSIONS).clamp(1, MOST_DIMENSIONS);
    Vectors {
        vectors: call.inputs.iter().map(|text| vector(text, dimensions)).collect(),
        model: call.model.clone(),
        input_tokens: Some(tokens::count_texts(&call.model, &call.inputs)),
    }
}

/// Of length 1.
#[allow(clippy::cast_possible_truncation)]
fn vector(text: &str, dimensions: u64) -> Vec<f64> {
    let mut vector = vec![0.0; dimensions as usize];
    let text = text.to_lowercase();
    let words = text.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty());
    // A text without words is a word of its own.
    for word in
        words.chain(std::iter::once(text.as_str()).filter(|text| !text.contains(char::is_alphanumeric)))
    {
        let hash = fnv1a(word.as_bytes());
        for place in 0..PLACES {
            let mixed = hash.rotate_left(place as u32 * 16).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let sign = if mixed >> 63 == 0 { 1.0 } else { -1.0 };
            if let Some(value) = vector.get_mut((mixed % dimensions) as usize) {
                *value += sign;
            }
        }
    }
    let length = vector.iter().map(|value| value * value).sum::<f64>().sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|value| *value /= length);
    }
    vector
}

/// FNV-1a, 64 bits: the same on every machine and in every version.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn likeness(one: &str, other: &str) -> f64 {
        vector(one, 256).iter().zip(vector(other, 256)).map(|(a, b)| a * b).sum()
    }

    #[test]
    fn texts_that_share_words_are_near() {
        assert!((likeness("The cat sat", "the cat sat!") - 1.0).abs() < 1e-9);
        assert!(likeness("the cat sat", "a cat sat down") > likeness("the cat sat", "prices rose sharply"));
        assert_eq!(vector("x", 7).len(), 7);
        assert_eq!(vector("...", 8), vector("...", 8));
    }
}
