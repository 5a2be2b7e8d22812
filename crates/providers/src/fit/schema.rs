//! Schemas of tools: an object at the root.

use gateway_model::Tool;
use serde_json::{Map, Value, json};

/// What a receiver wants at the root of a tool's schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RootRule {
    /// An object.
    Object,
    /// An object, without alternatives beside its fields.
    PlainObject,
}

const ALTERNATIVES: [&str; 3] = ["anyOf", "oneOf", "allOf"];

/// Whether the receiver takes the tool's schema.
pub fn fits(tool: &Tool, rule: RootRule) -> bool {
    let schema = &tool.parameters;
    let is_object = schema.get("type").is_some_and(|kind| kind == "object")
        && schema.get("properties").is_some_and(Value::is_object);
    is_object && (rule == RootRule::Object || !has_alternatives(schema))
}

/// Whether it has alternatives at its root.
pub fn has_alternatives(schema: &Map<String, Value>) -> bool {
    ALTERNATIVES.iter().any(|key| schema.contains_key(*key))
}

/// The schema of an object that allows at least what `schema` does.
pub fn fit_schema(schema: &Map<String, Value>, rule: RootRule) -> Map<String, Value> {
    let mut root = Map::from_iter([("type".to_owned(), json!("object"))]);
    root.extend(
        schema.iter().filter(|(key, _)| *key != "type").map(|(key, value)| (key.clone(), value.clone())),
    );
    if rule == RootRule::PlainObject {
        for key in ALTERNATIVES {
            if let Some(Value::Array(alternatives)) = root.shift_remove(key) {
                merge(&mut root, key, &alternatives);
            }
        }
    }
    if !root.get("properties").is_some_and(Value::is_object) {
        root.insert("properties".to_owned(), json!({}));
    }
    root
}

/// Takes the alternatives' properties; what all of them require is required.
fn merge(root: &mut Map<String, Value>, key: &str, alternatives: &[Value]) {
    let mut properties = root.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    let mut sets: Vec<Vec<&Value>> = Vec::new();
    for alternative in alternatives {
        for (name, property) in alternative["properties"].as_object().into_iter().flatten() {
            match properties.get_mut(name) {
                None => drop(properties.insert(name.clone(), property.clone())),
                Some(known) if known == property => {}
                Some(known) => add_alternative(known, property),
            }
        }
        sets.push(alternative["required"].as_array().into_iter().flatten().collect());
    }
    let by_all = |name: &&&Value| sets.iter().all(|set| set.contains(*name));
    let required: Vec<Value> = match key {
        "allOf" => sets.iter().flatten().map(|name| (*name).clone()).collect(),
        _ => sets.first().into_iter().flatten().filter(by_all).map(|name| (*name).clone()).collect(),
    };
    root.insert("properties".to_owned(), Value::Object(properties));
    if !required.is_empty() {
        let known = root.entry("required").or_insert_with(|| json!([]));
        if let Some(known) = known.as_array_mut() {
            for name in required {
                if !known.contains(&name) {
                    known.push(name);
                }
            }
        }
    }
    // What one alternative closes, another may open.
    if key != "allOf" {
        root.shift_remove("additionalProperties");
    }
}

/// A property that alternatives describe in several ways.
fn add_alternative(known: &mut Value, property: &Value) {
    match known.get_mut("anyOf").and_then(Value::as_array_mut) {
        Some(list) if !list.contains(property) => list.push(property.clone()),
        Some(_) => {}
        None => *known = json!({ "anyOf": [known.take(), property] }),
    }
}
