//! JSON as JavaScript writes it: it may escape half of a surrogate pair, which UTF-8 cannot represent, and nest deeper than
//! serde_json reads by itself.

use memchr::memchr;
use serde::Deserialize;

/// Reads JSON; halves of surrogate pairs become U+FFFD.
///
/// # Errors
/// As [`serde_json::from_slice`].
pub fn parse<T: for<'de> Deserialize<'de> + Send>(json: &[u8]) -> serde_json::Result<T> {
    parse_nested(json).or_else(|fault| match std::str::from_utf8(json).ok().and_then(replace_lone) {
        Some(replaced) => parse_nested(replaced.as_bytes()),
        None => Err(fault),
    })
}

/// Objects and lists within each other that are read.
pub const MAX_DEPTH: usize = 1000;
/// What serde_json reads by itself.
const USUAL_DEPTH: usize = 127;

/// Reads JSON that is nested up to [`MAX_DEPTH`]; beyond, the stack would be at risk.
pub(crate) fn parse_nested<T: for<'de> Deserialize<'de> + Send>(json: &[u8]) -> serde_json::Result<T> {
    serde_json::from_slice(json).or_else(|fault| {
        if !(USUAL_DEPTH + 1..=MAX_DEPTH).contains(&depth(json)) {
            return Err(fault);
        }
        on_deep_stack(|| {
            let mut reader = serde_json::Deserializer::from_slice(json);
            reader.disable_recursion_limit();
            let value = T::deserialize(&mut reader)?;
            reader.end()?;
            Ok(value)
        })
        .unwrap_or(Err(fault))
    })
}

/// Bytes that suffice for [`MAX_DEPTH`], unoptimized code included.
const DEEP_STACK: usize = 32 << 20;

/// Runs `read` where the stack suffices for it; `None`: there is no such place.
fn on_deep_stack<T: Send>(read: impl FnOnce() -> T + Send) -> Option<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(DEEP_STACK).spawn_scoped(scope, read);
        thread.ok()?.join().ok()
    })
}

/// Whether JSON is nested deeper than is read.
pub fn is_too_deep(json: &[u8]) -> bool {
    json.len() > MAX_DEPTH && depth(json) > MAX_DEPTH
}

/// How deep objects and lists are nested.
fn depth(json: &[u8]) -> usize {
    let (mut open, mut deepest, mut at) = (0_usize, 0_usize, 0);
    while let Some(byte) = json.get(at) {
        match byte {
            b'"' => {
                at += 1;
                while let Some(byte) = json.get(at).filter(|byte| **byte != b'"') {
                    at += if *byte == b'\\' { 2 } else { 1 };
                }
            }
            b'{' | b'[' => {
                open += 1;
                deepest = deepest.max(open);
            }
            b'}' | b']' => open = open.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    deepest
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
    use serde_json::Value;

    use super::*;

    #[test]
    fn json_is_read_up_to_a_thousand_deep() {
        let nested = |depth: usize| format!("{}1{}", r#"{"a":["#.repeat(depth / 2), "]}".repeat(depth / 2));
        for depth in [2, 126, 128, 200, MAX_DEPTH] {
            let text = nested(depth);
            let value: Value = parse(text.as_bytes()).unwrap();
            assert_eq!(value.clone().to_string(), text);
            assert!(!is_too_deep(text.as_bytes()));
        }
        let text = nested(MAX_DEPTH + 2);
        assert!(is_too_deep(text.as_bytes()));
        parse::<Value>(text.as_bytes()).unwrap_err();
        // Brackets in a text are no depth.
        assert_eq!(depth(br#"{"a\"[[[": "[[["}"#), 1);
    }

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
