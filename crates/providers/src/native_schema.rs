//! Schemas that Claude is kept to by its vendor, at Anthropic and on Bedrock.
//!
//! Source: Anthropic's guide "Structured outputs" (`output_config.format`), Amazon's "Structured outputs" (`outputConfig`): objects
//! must be closed, and keywords that bound lengths and numbers are refused. What cannot be said so is asked for in words.

use serde_json::{Map, Value, json};

/// Keywords that are taken as they are.
const TAKEN: [&str; 9] =
    ["type", "required", "enum", "const", "description", "title", "default", "format", "$schema"];

/// The schema with each of its objects closed; `None`: the vendor would refuse it, or it allows more than a closed one.
pub fn closed(schema: &Map<String, Value>) -> Option<Map<String, Value>> {
    schema.contains_key("properties").then(|| close(schema)).flatten()
}

fn close(schema: &Map<String, Value>) -> Option<Map<String, Value>> {
    let mut closed = Map::new();
    for (key, value) in schema {
        let value = match key.as_str() {
            "properties" => {
                let properties = value.as_object()?.iter();
                let closed = properties.map(|(name, property)| Some((name.clone(), close_value(property)?)));
                Value::Object(closed.collect::<Option<_>>()?)
            }
            "items" => close_value(value)?,
            "anyOf" => Value::Array(value.as_array()?.iter().map(close_value).collect::<Option<_>>()?),
            "additionalProperties" if value == false => continue,
            known if TAKEN.contains(&known) => value.clone(),
            _ => return None,
        };
        closed.insert(key.clone(), value);
    }
    let is_object = match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.contains(&json!("object")),
        kind => kind.is_some_and(|kind| kind == "object"),
    };
    if is_object || schema.contains_key("properties") {
        // An object of any fields cannot be closed.
        schema.get("properties")?;
        closed.insert("additionalProperties".to_owned(), json!(false));
    }
    Some(closed)
}

fn close_value(schema: &Value) -> Option<Value> {
    close(schema.as_object()?).map(Value::Object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_closed_and_what_is_refused_is_asked_for_in_words() {
        let closed = |schema: Value| closed(schema.as_object().unwrap()).map(Value::Object);
        let open = json!({"type": "object", "properties": {
            "list": {"type": "array", "items": {"type": "object", "properties": {"a": {"type": ["string", "null"]}}}},
            "either": {"anyOf": [{"type": "null"}, {"type": "object", "properties": {}, "additionalProperties": false}]},
        }, "required": ["list"]});
        let sent = closed(open).unwrap();
        assert_eq!(sent["additionalProperties"], false);
        assert_eq!(sent["properties"]["list"]["items"]["additionalProperties"], false);
        assert_eq!(sent["properties"]["either"]["anyOf"][1]["additionalProperties"], false);
        for refused in [
            json!({"type": "object"}),
            json!({"type": "object", "properties": {}, "additionalProperties": true}),
            json!({"type": "object", "properties": {"a": {"type": "object"}}}),
            json!({"type": "object", "properties": {"a": {"type": "string", "maxLength": 9}}}),
            json!({"type": "object", "properties": {"a": {"$ref": "#"}}}),
        ] {
            assert_eq!(closed(refused.clone()), None, "{refused}");
        }
    }
}
