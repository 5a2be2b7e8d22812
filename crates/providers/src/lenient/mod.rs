//! Fields of answers, read from every form that services write them in: a field of an odd type loses itself, never the
//! answer that it stands in.

mod failure;
pub(crate) mod shape;
mod text;

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use gateway_model::TokenUsage;

pub(crate) use failure::{describe_unreadable, find_reported_failure, is_reported, unreadable_event};
pub(crate) use text::{BorrowedText, TextOrParts};

/// A list that has one item nearly always; `null` is an empty one.
#[derive(Debug)]
pub(crate) struct Items<T> {
    first: Option<T>,
    rest: Vec<T>,
}

impl<T> Default for Items<T> {
    fn default() -> Self {
        Self { first: None, rest: Vec::new() }
    }
}

impl<T> IntoIterator for Items<T> {
    type Item = T;
    type IntoIter = std::iter::Chain<std::option::IntoIter<T>, std::vec::IntoIter<T>>;

    fn into_iter(self) -> Self::IntoIter {
        self.first.into_iter().chain(self.rest)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Items<T> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct ListOrNull<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for ListOrNull<T> {
            type Value = Items<T>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a list")
            }
            fn visit_unit<E>(self) -> Result<Items<T>, E> {
                Ok(Items::default())
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Items<T>, A::Error> {
                let mut items = Items { first: list.next_element()?, rest: Vec::new() };
                while let Some(item) = list.next_element()? {
                    items.rest.push(item);
                }
                Ok(items)
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

/// A count as services write it: some say `12.0`, some `"12"`. What is no count (a truth value, a list, a negative number, more
/// than any answer has) is not believed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct TokenCount(Option<u64>);

impl TokenCount {
    pub fn known(count: u64) -> Self {
        Self(Some(count))
    }

    /// The sum of some counts; `None`: none of them can be believed.
    pub fn sum(counts: impl Iterator<Item = Option<TokenCount>>) -> Option<Self> {
        let sum = counts.filter_map(count_of).reduce(u64::saturating_add)?;
        Some(Self(Some(sum)))
    }
}

/// More tokens than any call has.
const MAX_COUNT: f64 = 1e9;

impl TokenCount {
    fn of(number: f64) -> Self {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        Self((0.0..=MAX_COUNT).contains(&number).then_some(number as u64))
    }
}

impl<'de> Deserialize<'de> for TokenCount {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Count;
        impl<'de> Visitor<'de> for Count {
            type Value = TokenCount;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a count")
            }
            fn visit_unit<E>(self) -> Result<TokenCount, E> {
                Ok(TokenCount(None))
            }
            fn visit_bool<E>(self, _: bool) -> Result<TokenCount, E> {
                Ok(TokenCount(None))
            }
            fn visit_i64<E>(self, _: i64) -> Result<TokenCount, E> {
                Ok(TokenCount(None))
            }
            fn visit_u64<E>(self, number: u64) -> Result<TokenCount, E> {
                #[allow(clippy::cast_precision_loss)]
                let number = number as f64;
                Ok(TokenCount::of(number))
            }
            fn visit_f64<E>(self, number: f64) -> Result<TokenCount, E> {
                Ok(TokenCount::of(number))
            }
            fn visit_str<E>(self, text: &str) -> Result<TokenCount, E> {
                Ok(text.trim().parse().map_or(TokenCount(None), TokenCount::of))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<TokenCount, A::Error> {
                while items.next_element::<IgnoredAny>()?.is_some() {}
                Ok(TokenCount(None))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<TokenCount, A::Error> {
                while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(TokenCount(None))
            }
        }
        input.deserialize_any(Count)
    }
}

/// A count that can be believed.
pub(crate) fn count_of(count: Option<TokenCount>) -> Option<u64> {
    count?.0
}

/// A count that says something.
pub(crate) fn nonzero(count: Option<TokenCount>) -> Option<u64> {
    count_of(count).filter(|count| *count > 0)
}

/// Input and output, once one of them is known. Of a `total` that is larger than their sum, the rest is output: some services
/// leave reasoning out of it.
pub(crate) fn usage_of(
    input: Option<TokenCount>,
    output: Option<TokenCount>,
    total: Option<TokenCount>,
) -> Option<TokenUsage> {
    let known = TokenUsage::known(count_of(input), count_of(output))?;
    Some(known.with_total(count_of(total)))
}

/// US dollars as services write them, as a number or as text. What no call costs is not believed.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Dollars(pub Option<f64>);

/// More dollars than any call costs.
const MAX_DOLLARS: f64 = 1e5;

impl<'de> Deserialize<'de> for Dollars {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let dollars = match Value::deserialize(input)? {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        Ok(Self(dollars.filter(|dollars| (0.0..=MAX_DOLLARS).contains(dollars))))
    }
}
