//! Reading single fields, and what is said of one that is wrong.

use std::borrow::Cow;
use std::fmt;

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::error::GatewayError;
use crate::json;

pub const A_STRING: &str = "must be a string";
pub const AN_ARRAY: &str = "must be an array";
pub const AN_OBJECT: &str = "must be an object";
const A_COUNT: &str = "must be a whole number of 1 or more";

/// What is wrong, and where.
pub struct FieldError {
    path: String,
    problem: Cow<'static, str>,
}

pub type Read<T> = Result<T, FieldError>;

impl From<FieldError> for GatewayError {
    fn from(error: FieldError) -> Self {
        Self::invalid_request(&error.path, error.problem)
    }
}

impl FieldError {
    pub fn new(path: impl Into<String>, problem: &'static str) -> Self {
        Self { path: path.into(), problem: Cow::Borrowed(problem) }
    }

    pub fn inside(self, place: fmt::Arguments<'_>) -> Self {
        Self { path: format!("{place}{}", self.path), ..self }
    }
}

#[allow(clippy::needless_pass_by_value)]
pub fn not_json(error: serde_json::Error) -> FieldError {
    FieldError { path: "request".to_owned(), problem: Cow::Owned(format!("is not valid JSON: {error}")) }
}

pub fn scalar<T: DeserializeOwned + Send>(
    path: &str,
    raw: Option<&RawValue>,
    problem: &'static str,
) -> Read<Option<T>> {
    raw.map(|raw| json::parse_nested(raw.get().as_bytes()))
        .transpose()
        .map_err(|_| FieldError::new(path, problem))
}

pub fn number(path: &str, raw: Option<&RawValue>) -> Read<Option<f64>> {
    scalar(path, raw, "must be a number")
}

pub fn string(path: &str, raw: Option<&RawValue>) -> Read<Option<String>> {
    scalar(path, raw, A_STRING)
}

/// Any whole number.
pub fn integer(path: &str, raw: Option<&RawValue>) -> Read<Option<i64>> {
    scalar(path, raw, "must be a whole number")
}

pub fn object(path: &str, raw: Option<&RawValue>) -> Read<Option<Map<String, Value>>> {
    scalar(path, raw, AN_OBJECT)
}

/// JavaScript has one kind of number: `1e3` is whole.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
pub fn count(path: &str, raw: Option<&RawValue>) -> Read<Option<u64>> {
    match scalar::<f64>(path, raw, A_COUNT)? {
        Some(number) if number < 1.0 || number.fract() != 0.0 => Err(FieldError::new(path, A_COUNT)),
        number => Ok(number.map(|number| number as u64)),
    }
}

/// A field that is there and not `null`.
pub fn set<'a>(holder: &'a Map<String, Value>, key: &str) -> Option<&'a Value> {
    holder.get(key).filter(|value| !value.is_null())
}

pub fn text<'a>(holder: &'a Map<String, Value>, key: &str) -> Read<&'a str> {
    holder.get(key).and_then(Value::as_str).ok_or_else(|| FieldError::new(format!(".{key}"), A_STRING))
}
