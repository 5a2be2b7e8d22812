//! Writes data into a digest so that different data are different bytes: each text and list comes after its
//! length, each alternative after a number of its own.

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

pub struct Digest(Sha256);

/// Whether the order of an object's keys matters.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Keys {
    AsWritten,
    Sorted,
}

impl Digest {
    /// `domain` keeps digests of different things apart.
    pub fn new(domain: &str) -> Self {
        let mut digest = Self(Sha256::new());
        digest.text(domain);
        digest
    }

    pub fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }

    /// Which of several alternatives follows.
    pub fn tag(&mut self, tag: u8) {
        self.0.update([tag]);
    }

    pub fn number(&mut self, number: u64) {
        self.0.update(number.to_le_bytes());
    }

    pub fn length(&mut self, length: usize) {
        self.number(length as u64);
    }

    pub fn text(&mut self, text: &str) {
        self.length(text.len());
        self.0.update(text.as_bytes());
    }

    pub fn list<T>(&mut self, list: &[T], mut write: impl FnMut(&mut Self, &T)) {
        self.length(list.len());
        for item in list {
            write(self, item);
        }
    }

    pub fn optional<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.tag(u8::from(value.is_some()));
        if let Some(value) = value {
            write(self, value);
        }
    }

    pub fn optional_text(&mut self, text: Option<&str>) {
        self.optional(text, Self::text);
    }

    pub fn optional_flag(&mut self, flag: Option<bool>) {
        self.tag(flag.map_or(0, |flag| 1 + u8::from(flag)));
    }

    pub fn optional_float(&mut self, number: Option<f64>) {
        self.optional(number, |digest, number| digest.number(number.to_bits()));
    }

    pub fn object(&mut self, object: &Map<String, Value>, keys: Keys) {
        let entries = object.iter().map(|(key, value)| (key.as_str(), value));
        match keys {
            Keys::AsWritten => self.entries(object.len(), entries, keys),
            Keys::Sorted => {
                let mut entries: Vec<_> = entries.collect();
                entries.sort_unstable_by_key(|(key, _)| *key);
                self.entries(object.len(), entries.into_iter(), keys);
            }
        }
    }

    fn entries<'a>(
        &mut self,
        length: usize,
        entries: impl Iterator<Item = (&'a str, &'a Value)>,
        keys: Keys,
    ) {
        self.length(length);
        for (key, value) in entries {
            self.text(key);
            self.value(value, keys);
        }
    }

    pub fn value(&mut self, value: &Value, keys: Keys) {
        match value {
            Value::Null => self.tag(0),
            Value::Bool(flag) => self.tag(1 + u8::from(*flag)),
            Value::Number(number) => {
                // `1` and `1.0` are written differently, and stay different.
                if let Some(number) = number.as_u64() {
                    self.tag(3);
                    self.number(number);
                } else if let Some(number) = number.as_i64() {
                    self.tag(4);
                    self.number(number.cast_unsigned());
                } else {
                    self.tag(5);
                    self.optional_float(number.as_f64());
                }
            }
            Value::String(text) => {
                self.tag(6);
                self.text(text);
            }
            Value::Array(list) => {
                self.tag(7);
                self.list(list, |digest, item| digest.value(item, keys));
            }
            Value::Object(object) => {
                self.tag(8);
                self.object(object, keys);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(value: &Value, keys: Keys) -> [u8; 32] {
        let mut digest = Digest::new("test");
        digest.value(value, keys);
        digest.finish()
    }

    #[test]
    fn values_that_differ_have_digests_that_differ() {
        let values = [
            json!(null),
            json!(false),
            json!(true),
            json!(0),
            json!(1),
            json!(-1),
            json!(u64::MAX),
            json!(1.0),
            json!(1.5),
            json!(""),
            json!("1"),
            json!([]),
            json!([1]),
            json!([[1]]),
            json!(["ab", "c"]),
            json!(["a", "bc"]),
            json!([["a"], "bc"]),
            json!({}),
            json!({ "a": "bc" }),
            json!({ "ab": "c" }),
            json!({ "a": null }),
            json!([{ "a": {} }, {}]),
            json!([{ "a": {}, "b": {} }]),
        ];
        for keys in [Keys::AsWritten, Keys::Sorted] {
            for (at, value) in values.iter().enumerate() {
                for other in &values[at + 1..] {
                    assert_ne!(of(value, keys), of(other, keys), "{value} {other}");
                }
            }
        }
    }

    #[test]
    fn the_order_of_keys_matters_where_it_is_said_to() {
        let one = json!([{ "a": 1, "b": { "c": 2, "d": 3 } }]);
        let other = json!([{ "b": { "d": 3, "c": 2 }, "a": 1 }]);
        assert_ne!(of(&one, Keys::AsWritten), of(&other, Keys::AsWritten));
        assert_eq!(of(&one, Keys::Sorted), of(&other, Keys::Sorted));
        assert_ne!(of(&json!([1, 2]), Keys::Sorted), of(&json!([2, 1]), Keys::Sorted));
    }

    #[test]
    fn the_digest_is_sha_256_of_what_was_written() {
        // SHA-256 of eight zero bytes: the empty domain's length.
        let hex: String = Digest::new("").finish().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "af5570f5a1810b7af78caf4bc70a660f0df51e42baf91d4de5b2328de0e83dfc");
    }
}
