//! A value that fits a JSON Schema, always the same one.

use serde_json::{Map, Number, Value, json};

/// Schemas may refer to themselves.
const DEEPEST: usize = 8;

/// A value for `schema`; free texts repeat what was asked.
pub(super) fn sample(schema: &Map<String, Value>, asked: &str) -> Value {
    Sampler { root: schema, asked: asked.trim() }.value(schema, 0)
}

struct Sampler<'a> {
    root: &'a Map<String, Value>,
    asked: &'a str,
}

impl Sampler<'_> {
    fn value(&self, schema: &Map<String, Value>, depth: usize) -> Value {
        if let Some(given) = ["const", "default"].iter().find_map(|key| schema.get(*key)) {
            return given.clone();
        }
        let first = |key: &str| schema.get(key).and_then(Value::as_array).and_then(|list| list.first());
        if let Some(given) = first("enum").or_else(|| first("examples")) {
            return given.clone();
        }
        if depth >= DEEPEST {
            return Value::Null;
        }
        let referred = schema.get("$ref").and_then(Value::as_str).and_then(|path| self.referred(path));
        let choice = ["anyOf", "oneOf", "allOf"].iter().find_map(|key| first(key)?.as_object());
        if let Some(other) = referred.or(choice) {
            return self.value(other, depth + 1);
        }
        let kind = schema.get("type");
        let kind = kind.and_then(|kind| kind.as_str().or_else(|| kind.as_array()?.first()?.as_str()));
        match kind {
            Some("string") => json!(self.text(schema)),
            Some("integer") => Value::Number(self.number(schema, 1)),
            Some("number") => Value::Number(self.number(schema, 1)),
            Some("boolean") => json!(true),
            Some("null") => Value::Null,
            Some("array") => self.array(schema, depth),
            None if schema.contains_key("items") => self.array(schema, depth),
            _ => self.object(schema, depth),
        }
    }

    fn object(&self, schema: &Map<String, Value>, depth: usize) -> Value {
        let properties = schema.get("properties").and_then(Value::as_object);
        let field = |(name, schema): (&String, &Value)| {
            Some((name.clone(), self.value(schema.as_object()?, depth + 1)))
        };
        Value::Object(properties.into_iter().flatten().filter_map(field).collect())
    }

    fn array(&self, schema: &Map<String, Value>, depth: usize) -> Value {
        let least = schema.get("minItems").and_then(Value::as_u64).unwrap_or(1).clamp(1, 16);
        let item = schema.get("items").and_then(Value::as_object);
        Value::Array((0..least).filter_map(|_| Some(self.value(item?, depth + 1))).collect())
    }

    fn text(&self, schema: &Map<String, Value>) -> String {
        match schema.get("format").and_then(Value::as_str) {
            Some("date-time") => "2026-01-01T00:00:00Z".to_owned(),
            Some("date") => "2026-01-01".to_owned(),
            Some("time") => "00:00:00Z".to_owned(),
            Some("email") => "mock@example.com".to_owned(),
            Some("uri") => "https://example.com/".to_owned(),
            Some("uuid") => "00000000-0000-4000-8000-000000000000".to_owned(),
            _ => {
                let most = schema.get("maxLength").and_then(Value::as_u64).unwrap_or(200);
                self.asked.chars().take(usize::try_from(most).unwrap_or(usize::MAX)).collect()
            }
        }
    }

    fn number(&self, schema: &Map<String, Value>, usual: i64) -> Number {
        let bound = |key: &str| schema.get(key).and_then(Value::as_i64);
        let least =
            bound("minimum").or_else(|| bound("exclusiveMinimum").map(|least| least.saturating_add(1)));
        let most = bound("maximum").or_else(|| bound("exclusiveMaximum").map(|most| most.saturating_sub(1)));
        let number = usual.max(least.unwrap_or(i64::MIN));
        most.map_or(number, |most| number.min(most)).into()
    }

    /// `#/$defs/NAME`, and no other kind.
    fn referred(&self, path: &str) -> Option<&Map<String, Value>> {
        let mut parts = path.strip_prefix("#/")?.split('/');
        let first = self.root.get(parts.next()?)?;
        parts.try_fold(first, |value, part| value.get(part))?.as_object()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(schema: Value) -> Value {
        sample(schema.as_object().unwrap(), " Is it warm in Rome? ")
    }

    #[test]
    fn a_sample_fits_its_schema() {
        let schema = json!({
            "type": "object",
            "properties": {
                "city": {"type": "string", "maxLength": 5},
                "unit": {"enum": ["celsius", "fahrenheit"]},
                "days": {"type": "integer", "minimum": 3},
                "share": {"type": "number", "exclusiveMaximum": 1},
                "on": {"type": ["boolean", "null"]},
                "tags": {"type": "array", "items": {"type": "string"}, "minItems": 2},
                "at": {"$ref": "#/$defs/Place"},
                "free": {"anyOf": [{"type": "null"}, {"type": "string"}]},
            },
            "$defs": {"Place": {"type": "object", "properties": {"lat": {"type": "number", "default": 41.9}}}},
        });
        assert_eq!(
            of(schema),
            json!({
                "city": "Is it", "unit": "celsius", "days": 3, "share": 0, "on": true,
                "tags": ["Is it warm in Rome?", "Is it warm in Rome?"], "at": {"lat": 41.9}, "free": null,
            })
        );
    }

    #[test]
    fn a_schema_that_holds_itself_comes_to_an_end() {
        let sample = of(
            json!({"type": "object", "properties": {"next": {"$ref": "#"}, "in": {"$ref": "#/properties/in"}}}),
        );
        assert!(sample.is_object());
    }
}
