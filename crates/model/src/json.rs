//! JSON as JavaScript writes it: it may escape half of a surrogate pair, which UTF-8 cannot represent.

use memchr::memchr;
use serde::Deserialize;

/// Reads JSON; halves of surrogate pairs become U+FFFD.
///
/// # Errors
/// As [`serde_json::from_slice`].
pub fn parse<T: for<'de> Deserialize<'de>>(json: &[u8]) -> serde_json::Result<T> {
    serde_json::from_slice(json).or_else(|fault| {
        match std::str::from_utf8(json).ok().and_then(replace_lone) {
            Some(replaced) => serde_json::from_str(&replaced),
            None => Err(fault),
        }
    })
}

/// The length of `\uXXXX`.
const ESCAPE: usize = 6;

/// JSON text with each escape of half a surrogate pair replaced by `\ufffd`; `None` when there is none.
pub fn replace_lone(json: &str) -> Option<String> {
    let mut replaced = String::new();
    let mut copied = 0;
    let mut at = 0;
    while let Some(backslash) = memchr(b'\\', json.as_bytes().get(at..)?) {
        at += backslash;
        match code_unit(json, at) {
            // A backslash and the character it escapes, which may be a backslash too.
            None => at += 2,
            Some(0xD800..=0xDBFF) if matches!(code_unit(json, at + ESCAPE), Some(0xDC00..=0xDFFF)) => {
                at += 2 * ESCAPE;
            }
            Some(0xD800..=0xDFFF) => {
                replaced.push_str(json.get(copied..at)?);
                replaced.push_str("\\ufffd");
                at += ESCAPE;
                copied = at;
            }
            Some(_) => at += ESCAPE,
        }
    }
    replaced.push_str(json.get(copied..)?);
    (copied > 0).then_some(replaced)
}

/// The UTF-16 code unit that is escaped at `at`.
fn code_unit(json: &str, at: usize) -> Option<u16> {
    let digits = json.get(at..at + ESCAPE)?.strip_prefix("\\u")?;
    u16::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lone_surrogates_are_replaced() {
        assert_eq!(replace_lone(r#""a\ud83d""#).as_deref(), Some(r#""a\ufffd""#));
        assert_eq!(replace_lone(r#""\uDE00b\n""#).as_deref(), Some(r#""\ufffdb\n""#));
        assert_eq!(replace_lone(r#""\ud83d\ud83d\ude00""#).as_deref(), Some(r#""\ufffd\ud83d\ude00""#));
        assert_eq!(replace_lone(r#""é\ud83d\u0041é""#).as_deref(), Some(r#""é\ufffd\u0041é""#));
    }

    #[test]
    fn surrogate_pairs_and_escaped_backslashes_are_kept() {
        for whole in
            [r#""\ud83d\ude00""#, r#""\\ud83d""#, r#""\\\\ud83d""#, r#""a\n\"b""#, "\"é\"", "\"\\", "\"\\é\""]
        {
            assert_eq!(replace_lone(whole), None, "{whole}");
        }
        assert_eq!(replace_lone(r#""\\\ud83d""#).as_deref(), Some(r#""\\\ufffd""#));
    }
}
