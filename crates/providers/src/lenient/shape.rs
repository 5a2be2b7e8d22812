//! The fields of a format that services write in types of their own. What does not fit is written as the format has it, or
//! dropped, and takes no other field with it.

use serde::Deserialize;
use serde_json::{Map, Value};

use gateway_model::json;

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A text; a number is its text.
    Text,
    /// A text of the answer itself; a number is its text. What is no text is never dropped: it could not be lost unseen.
    Content,
    /// A text that is one of the format's words.
    Word,
    /// A whole number; a text of digits is that number.
    Number,
    Object,
    /// A list; what is no object in it is dropped.
    Objects,
    List,
}

/// Paths of fields (`choices.*.index`; `*` stands for each element of a list), the outer ones first.
pub(crate) type Shape = [(&'static str, Kind)];

/// Reads JSON; where that fails, with what does not fit `shape` mended.
///
/// # Errors
/// As [`json::parse`], of the text as it came.
pub(crate) fn read<T: for<'de> Deserialize<'de> + Send>(text: &[u8], shape: &Shape) -> serde_json::Result<T> {
    json::parse(text).or_else(|error| {
        let mut whole: Value = json::parse(text)?;
        mend(&mut whole, shape);
        serde_json::from_value(whole).map_err(|_| error)
    })
}

/// The object that `text` is, as `shape` has it; `None`: it is no object.
pub(crate) fn mended(text: &str, shape: &Shape) -> Option<String> {
    let mut whole: Value = json::parse(text.as_bytes()).ok().filter(Value::is_object)?;
    mend(&mut whole, shape);
    Some(whole.to_string())
}

/// Drops what does not fit, and writes the rest as the format has it.
pub(crate) fn mend(whole: &mut Value, shape: &Shape) {
    for (path, kind) in shape {
        mend_at(whole, path, *kind);
    }
}

fn mend_at(value: &mut Value, path: &str, kind: Kind) {
    let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    match (value, rest) {
        (Value::Array(items), Some(rest)) if name == "*" => {
            for item in items {
                mend_at(item, rest, kind);
            }
        }
        (Value::Object(fields), None) => mend_field(fields, name, kind),
        (Value::Object(fields), Some(rest)) => {
            if let Some(inner) = fields.get_mut(name) {
                mend_at(inner, rest, kind);
            }
        }
        _ => {}
    }
}

fn mend_field(fields: &mut Map<String, Value>, name: &str, kind: Kind) {
    let Some(value) = fields.get_mut(name) else { return };
    let fits = match (kind, &mut *value) {
        (_, Value::Null)
        | (Kind::Text | Kind::Content | Kind::Word, Value::String(_))
        | (Kind::Object, Value::Object(_))
        | (Kind::List, Value::Array(_)) => true,
        (Kind::Text | Kind::Content, Value::Number(number)) => {
            *value = number.to_string().into();
            true
        }
        (Kind::Number, Value::Number(number)) => number.is_u64(),
        (Kind::Number, Value::String(text)) => match text.trim().parse::<u64>() {
            Ok(number) => {
                *value = number.into();
                true
            }
            Err(_) => false,
        },
        (Kind::Objects, Value::Array(items)) => {
            items.retain(Value::is_object);
            true
        }
        _ => kind == Kind::Content,
    };
    if !fits {
        fields.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_odd_field_loses_itself_alone() {
        let shape = &[
            ("model", Kind::Word),
            ("usage", Kind::Object),
            ("choices", Kind::Objects),
            ("choices.*.index", Kind::Number),
            ("choices.*.calls", Kind::List),
            ("choices.*.calls.*.id", Kind::Text),
        ];
        let mut whole = json!({"model": 1, "usage": [], "more": {"a": 1}, "choices": [
            null,
            {"index": "0", "text": "a", "calls": [{"id": 7}, "x", {"id": true}]},
            {"index": -1, "calls": 9},
        ]});
        mend(&mut whole, shape);
        let mended = json!({"more": {"a": 1}, "choices": [
            {"index": 0, "text": "a", "calls": [{"id": "7"}, "x", {}]},
            {},
        ]});
        assert_eq!(whole, mended);
    }

    #[test]
    fn what_fits_and_what_is_null_stays() {
        let whole = json!({"model": null, "usage": {"a": []}, "choices": [{"index": 3}]});
        let mut same = whole.clone();
        mend(&mut same, &[("model", Kind::Word), ("usage", Kind::Object), ("choices.*.index", Kind::Number)]);
        assert_eq!(same, whole);
    }
}
