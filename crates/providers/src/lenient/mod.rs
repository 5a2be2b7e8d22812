//! Fields of answers, read from every form that services write them in: a field of an odd type loses itself, never the
//! answer that it stands in.

mod failure;
mod text;

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use gateway_model::TokenUsage;

pub(crate) use failure::{describe_unreadable, error_text, find_reported_failure};
pub(crate) use text::{BorrowedText, TextOrParts};

/// The first of a list; `null` and an empty list have none.
#[derive(Debug)]
pub(crate) struct FirstItem<T>(pub Option<T>);

impl<T> Default for FirstItem<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for FirstItem<T> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct ListOrNull<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for ListOrNull<T> {
            type Value = FirstItem<T>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a list")
            }
            fn visit_unit<E>(self) -> Result<FirstItem<T>, E> {
                Ok(FirstItem(None))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<FirstItem<T>, A::Error> {
                let first = list.next_element()?;
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(FirstItem(first))
            }
        }
        input.deserialize_any(ListOrNull(PhantomData))
    }
}

/// Whether a field holds anything: `null`, `""`, `[]` and `{}` do not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct IsFilled(pub bool);

impl<'de> Deserialize<'de> for IsFilled {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Anything;
        impl<'de> Visitor<'de> for Anything {
            type Value = bool;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("anything")
            }
            fn visit_unit<E>(self) -> Result<bool, E> {
                Ok(false)
            }
            fn visit_str<E>(self, text: &str) -> Result<bool, E> {
                Ok(!text.is_empty())
            }
            fn visit_bool<E>(self, value: bool) -> Result<bool, E> {
                Ok(value)
            }
            fn visit_i64<E>(self, _: i64) -> Result<bool, E> {
                Ok(true)
            }
            fn visit_u64<E>(self, _: u64) -> Result<bool, E> {
                Ok(true)
            }
            fn visit_f64<E>(self, _: f64) -> Result<bool, E> {
                Ok(true)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<bool, A::Error> {
                let mut any = false;
                while items.next_element::<IgnoredAny>()?.is_some() {
                    any = true;
                }
                Ok(any)
            }
            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<bool, A::Error> {
                let mut any = false;
                while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
                    any = true;
                }
                Ok(any)
            }
        }
        input.deserialize_any(Anything).map(IsFilled)
    }
}

/// A count as JSON has it: some services write `12.0`.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Deserialize)]
#[serde(transparent)]
pub(crate) struct TokenCount(f64);

impl TokenCount {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub fn get(self) -> u64 {
        self.0.max(0.0) as u64
    }
}

/// A count that says something.
pub(crate) fn nonzero(count: Option<TokenCount>) -> Option<u64> {
    count.map(TokenCount::get).filter(|count| *count > 0)
}

/// Input and output, once one of them is known.
pub(crate) fn usage_of(input: Option<TokenCount>, output: Option<TokenCount>) -> Option<TokenUsage> {
    (input.is_some() || output.is_some())
        .then(|| TokenUsage::new(input.unwrap_or_default().get(), output.unwrap_or_default().get()))
}
