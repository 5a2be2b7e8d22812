//! Arguments of a call that come field by field, each under its path. Source: Vertex AI's reference, `FunctionCall` and
//! `PartialArg`.

use serde_json::{Map, Value};

/// The arguments of the call that is under way.
#[derive(Debug)]
pub struct PartialArgs {
    pub index: u64,
    arguments: Value,
}

impl PartialArgs {
    pub fn new(index: u64) -> Self {
        Self { index, arguments: Value::Object(Map::new()) }
    }

    /// Adds a part of a `functionCall`; true: it is the last one.
    pub fn push(&mut self, call: &Value) -> bool {
        if let Some(Value::Object(whole)) = call.get("args")
            && let Value::Object(arguments) = &mut self.arguments
        {
            arguments.extend(whole.clone());
        }
        for part in call["partialArgs"].as_array().into_iter().flatten() {
            if let (Some(path), Some(value)) = (part["jsonPath"].as_str(), value_of(part))
                && let Some(place) = place(&mut self.arguments, path)
            {
                set(place, value);
            }
        }
        call["willContinue"] != true
    }

    pub fn into_text(self) -> String {
        self.arguments.to_string()
    }
}

fn value_of(part: &Value) -> Option<Value> {
    ["stringValue", "numberValue", "boolValue"]
        .iter()
        .find_map(|kind| part.get(*kind).cloned())
        .or_else(|| part.get("nullValue").map(|_| Value::Null))
}

/// A text goes on where its field has one already.
fn set(place: &mut Value, value: Value) {
    match (place, value) {
        (Value::String(begun), Value::String(more)) => begun.push_str(&more),
        (place, value) => *place = value,
    }
}

/// The deepest place that is written to: as deep as JSON is read.
const MAX_STEPS: usize = 1000;
/// The longest list that is written to.
const MAX_INDEX: usize = 100_000;

enum Step<'p> {
    Field(&'p str),
    Element(usize),
}

/// The steps of a path (`$.a.b[0]`, `$['a']`); `None`: it is no such path.
fn steps(path: &str) -> Option<Vec<Step<'_>>> {
    let mut rest = path.strip_prefix('$')?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(begun) = rest.strip_prefix('.') {
            let end = begun.find(['.', '[']).unwrap_or(begun.len());
            steps.push(Step::Field(&begun[..end]));
            rest = &begun[end..];
        } else {
            let (inside, behind) = rest.strip_prefix('[')?.split_once(']')?;
            steps.push(match inside.parse::<usize>() {
                Ok(index) => Step::Element(Some(index).filter(|index| *index <= MAX_INDEX)?),
                Err(_) => Step::Field(inside.trim_matches(['\'', '"'])),
            });
            rest = behind;
        }
    }
    (steps.len() <= MAX_STEPS).then_some(steps)
}

/// The place of a path, with what is missing on the way.
fn place<'v>(root: &'v mut Value, path: &str) -> Option<&'v mut Value> {
    steps(path)?.into_iter().try_fold(root, |at, step| match step {
        Step::Field(name) => Some(field(at, name)),
        Step::Element(index) => element(at, index),
    })
}

fn field<'v>(at: &'v mut Value, name: &str) -> &'v mut Value {
    if !at.is_object() {
        *at = Value::Object(Map::new());
    }
    &mut at[name]
}

fn element(at: &mut Value, index: usize) -> Option<&mut Value> {
    if !at.is_array() {
        *at = Value::Array(Vec::new());
    }
    let items = at.as_array_mut()?;
    if items.len() <= index {
        items.resize(index + 1, Value::Null);
    }
    items.get_mut(index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn joined(parts: &[Value]) -> (String, bool) {
        let mut call = PartialArgs::new(0);
        let mut ended = false;
        for part in parts {
            ended = call.push(part);
        }
        (call.into_text(), ended)
    }

    #[test]
    fn parts_become_arguments() {
        let parts = [
            json!({"name": "book", "willContinue": true}),
            json!({"partialArgs": [{"jsonPath": "$.city", "stringValue": "Cux", "willContinue": true}], "willContinue": true}),
            json!({"partialArgs": [{"jsonPath": "$.city", "stringValue": "haven"}, {"jsonPath": "$.n", "numberValue": 2}], "willContinue": true}),
            json!({"partialArgs": [
                {"jsonPath": "$.guests[1]['first name']", "stringValue": "Ida"}, {"jsonPath": "$.guests[0].age", "numberValue": 7},
                {"jsonPath": "$.quiet", "boolValue": true}, {"jsonPath": "$.note", "nullValue": "NULL_VALUE"},
            ], "willContinue": true}),
            json!({}),
        ];
        let text =
            r#"{"city":"Cuxhaven","n":2,"guests":[{"age":7},{"first name":"Ida"}],"quiet":true,"note":null}"#;
        assert_eq!(joined(&parts), (text.to_owned(), true));
        assert!(!joined(&parts[..4]).1);
    }

    #[test]
    fn what_is_no_path_is_passed_over() {
        for path in ["", "city", "$[", "$x", "$.a[999999999]b"] {
            let part = json!({"partialArgs": [{"jsonPath": path, "stringValue": "x"}]});
            assert_eq!(joined(&[part]).0, "{}", "{path}");
        }
    }
}
