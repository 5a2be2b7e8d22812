//! The words that a configuration may use for the values of an enum.

use serde::Deserialize;
use serde::de::value::Error;
use serde::de::{Deserializer, Error as _, Visitor};
use serde::forward_to_deserialize_any;

/// The words for the values of `T`, in the order of its variants. They are asked of the enum's own `Deserialize`, so that a
/// check and the reading after it cannot know different words.
///
/// Empty for a type that is not an enum.
pub fn words<T: for<'de> Deserialize<'de>>() -> &'static [&'static str] {
    let mut words: &[&str] = &[];
    // Always an error: nothing is there to be read.
    let _ = T::deserialize(VariantNames(&mut words));
    words
}

/// Keeps the names that an enum's `Deserialize` expects.
struct VariantNames<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for VariantNames<'_> {
    type Error = Error;

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Error> {
        *self.0 = variants;
        Err(Error::custom("only the names are wanted"))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::custom("not an enum"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::words;
    use crate::config::{
        AuthType, ChainExecution, Enforcement, FallbackTrigger, Jitter, ScopeKind, Settings, WindowWord,
    };

    #[test]
    fn words_are_those_of_the_enum_in_its_order() {
        assert_eq!(words::<AuthType>(), ["apiKey", "bearer", "none", "customHeader"]);
        let triggers = ["timeout", "rate_limit", "provider_error", "budget_exceeded", "manual"];
        assert_eq!(words::<FallbackTrigger>(), triggers);
        assert_eq!(words::<Jitter>(), ["small", "full"]);
        assert_eq!(words::<ChainExecution>(), ["gateway", "cloudflare"]);
        assert_eq!(words::<WindowWord>(), ["request", "hour", "day", "month"]);
        assert_eq!(words::<Enforcement>(), ["soft", "hard", "strict"]);
        assert_eq!(
            words::<ScopeKind>(),
            ["global", "user", "feature", "model", "userId", "provider", "key", "team"]
        );
    }

    #[test]
    fn a_struct_has_no_words() {
        assert_eq!(words::<Settings>(), [""; 0]);
    }
}
