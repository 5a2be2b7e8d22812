//! What scripts and commands answer.

use redis::Value;

/// A reply that is not what its command gives.
#[derive(Debug)]
pub(super) struct Malformed;

pub(super) fn integer(value: &Value) -> Result<i64, Malformed> {
    match value {
        Value::Int(integer) => Ok(*integer),
        _ => text(value)?.parse().map_err(|_| Malformed),
    }
}

pub(super) fn text(value: &Value) -> Result<&str, Malformed> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).map_err(|_| Malformed),
        Value::SimpleString(text) => Ok(text),
        _ => Err(Malformed),
    }
}

pub(super) fn array(value: &Value) -> Result<&[Value], Malformed> {
    match value {
        Value::Array(values) => Ok(values),
        _ => Err(Malformed),
    }
}
