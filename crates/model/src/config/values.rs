//! Reads single values the way JavaScript would take them.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// `null` counts as unset.
pub(super) fn null_as_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    input: D,
) -> Result<T, D::Error> {
    Option::deserialize(input).map(Option::unwrap_or_default)
}

/// JavaScript takes `"5000"` for a number where one is needed, and settings often come from the environment.
struct NumberVisitor;

impl<'de> Visitor<'de> for NumberVisitor {
    type Value = Option<f64>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a number")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Some(number))
    }

    #[allow(clippy::cast_precision_loss)]
    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Some(number as f64))
    }

    #[allow(clippy::cast_precision_loss)]
    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Some(number as f64))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        match text.trim() {
            "" => Ok(None),
            text => match text.parse::<f64>() {
                Ok(number) if number.is_finite() => Ok(Some(number)),
                _ => Err(E::custom("must be a number")),
            },
        }
    }
}

pub(super) fn number<'de, D: Deserializer<'de>>(input: D) -> Result<Option<f64>, D::Error> {
    input.deserialize_any(NumberVisitor)
}

pub(super) fn number_or_zero<'de, D: Deserializer<'de>>(input: D) -> Result<f64, D::Error> {
    number(input).map(Option::unwrap_or_default)
}

/// Truncates fractions and accepts `1e21`; refuses negative numbers.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
pub(super) fn whole_number<'de, D: Deserializer<'de>>(input: D) -> Result<Option<u64>, D::Error> {
    match number(input)? {
        Some(number) if number < 0.0 => Err(D::Error::custom("must be a number of 0 or more")),
        number => Ok(number.map(|number| number as u64)),
    }
}

/// A whole number of 1 or more, such as attempts or requests.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
pub(super) fn count<'de, D: Deserializer<'de>>(input: D) -> Result<Option<u64>, D::Error> {
    match number(input)? {
        Some(number) if number < 1.0 => Err(D::Error::custom("must be a number of 1 or more")),
        number => Ok(number.map(|number| number as u64)),
    }
}

pub(super) fn small_count<'de, D: Deserializer<'de>>(input: D) -> Result<Option<u32>, D::Error> {
    Ok(count(input)?.map(|number| u32::try_from(number).unwrap_or(u32::MAX)))
}

pub(super) fn weight<'de, D: Deserializer<'de>>(input: D) -> Result<Option<f64>, D::Error> {
    match number(input)? {
        Some(number) if number <= 0.0 => Err(D::Error::custom("must be a number above 0")),
        number => Ok(number),
    }
}

pub(super) fn amount<'de, D: Deserializer<'de>>(input: D) -> Result<Option<f64>, D::Error> {
    match number(input)? {
        Some(number) if number < 0.0 => Err(D::Error::custom("must be a number of 0 or more")),
        number => Ok(number),
    }
}

/// Numbers between 0 and 1, by name.
pub(super) fn fractions<'de, D: Deserializer<'de>>(input: D) -> Result<BTreeMap<String, f64>, D::Error> {
    #[derive(Deserialize)]
    struct Fraction(#[serde(deserialize_with = "fraction")] f64);

    let fractions: Option<BTreeMap<String, Fraction>> = Option::deserialize(input)?;
    Ok(fractions.unwrap_or_default().into_iter().map(|(name, Fraction(number))| (name, number)).collect())
}

fn fraction<'de, D: Deserializer<'de>>(input: D) -> Result<f64, D::Error> {
    let number = number(input).ok().flatten().filter(|number| (0.0..=1.0).contains(number));
    number.ok_or_else(|| D::Error::custom("must be a number between 0 and 1"))
}

pub(super) fn small_number<'de, D: Deserializer<'de>>(input: D) -> Result<Option<u32>, D::Error> {
    Ok(whole_number(input)?.map(|number| u32::try_from(number).unwrap_or(u32::MAX)))
}

/// Empty text counts as unset.
pub(super) fn filled<'de, D: Deserializer<'de>>(input: D) -> Result<Option<String>, D::Error> {
    Ok(Option::deserialize(input)?.filter(|text: &String| !text.is_empty()))
}

/// Only `false` itself switches a feature off.
pub(super) fn unless_false<'de, D: Deserializer<'de>>(input: D) -> Result<Option<bool>, D::Error> {
    Ok(Option::<Value>::deserialize(input)?.map(|value| value != Value::Bool(false)))
}

/// `fetch` takes numbers and booleans as header values.
pub(super) fn header_values<'de, D: Deserializer<'de>>(
    input: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    let headers = Option::<BTreeMap<String, Value>>::deserialize(input)?.unwrap_or_default();
    let read = |(name, value)| match value {
        Value::Null => None,
        Value::String(text) => Some(Ok((name, text))),
        Value::Number(_) | Value::Bool(_) => Some(Ok((name, value.to_string()))),
        Value::Array(_) | Value::Object(_) => Some(Err(D::Error::custom("must map names to strings"))),
    };
    headers.into_iter().filter_map(read).collect()
}
