//! What vendors write of the requests that they take, as a check of bodies: ids, order, blanks, schemas, fields.
//!
//! The rules are those of the vendors' references, and of the errors that they answer with; each module names its source.

mod anthropic;
mod bedrock;
mod gemini;
mod openai;
mod responses;

use std::collections::HashSet;

use serde_json::Value;

/// Whose rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vendor {
    Anthropic,
    Bedrock,
    /// A service that follows OpenAI's form, without OpenAI's own bounds.
    Compatible,
    DeepSeek,
    Gemini,
    Mistral,
    Moonshot,
    OpenAi,
    Perplexity,
    Responses,
}

/// What the vendor would refuse of a body that is sent to `model`; empty: it takes it.
pub fn problems(vendor: Vendor, model: &str, body: &Value) -> Vec<String> {
    let mut check = Check::default();
    match vendor {
        Vendor::Anthropic => anthropic::check(model, body, &mut check),
        Vendor::Bedrock => bedrock::check(model, body, &mut check),
        Vendor::Gemini => gemini::check(model, body, &mut check),
        Vendor::Responses => responses::check(body, &mut check),
        Vendor::OpenAi
        | Vendor::Compatible
        | Vendor::DeepSeek
        | Vendor::Mistral
        | Vendor::Moonshot
        | Vendor::Perplexity => {
            openai::check(vendor, model, body, &mut check);
        }
    }
    check.problems
}

#[derive(Default)]
struct Check {
    problems: Vec<String>,
}

impl Check {
    /// Notes a problem unless `holds`.
    fn that(&mut self, holds: bool, problem: impl FnOnce() -> String) {
        if !holds {
            self.problems.push(problem());
        }
    }

    /// An object has these fields alone.
    fn fields(&mut self, at: &str, object: &Value, known: &[&str]) {
        let Some(object) = object.as_object() else {
            return self.problems.push(format!("{at}: is no object"));
        };
        for name in object.keys() {
            self.that(known.contains(&name.as_str()), || format!("{at}: unknown field {name}"));
        }
    }

    /// A tool's schema is an object at its root.
    fn schema(&mut self, at: &str, schema: &Value, alternatives: Alternatives) {
        self.that(schema["type"] == "object", || format!("{at}: no object at the root"));
        self.that(schema["properties"].is_object(), || format!("{at}: no properties"));
        if alternatives == Alternatives::Refused {
            let has = ["anyOf", "oneOf", "allOf"].iter().any(|key| schema.get(*key).is_some());
            self.that(!has, || format!("{at}: alternatives at the root"));
        }
    }

    fn not_blank(&mut self, at: &str, text: &Value) {
        let filled = text.as_str().is_some_and(|text| !text.trim().is_empty());
        self.that(filled, || format!("{at}: a blank text"));
    }
}

/// At the root of a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Alternatives {
    Taken,
    Refused,
}

/// Letters, digits, `_` and `-`, 64 at most.
fn is_plain_id(id: &str) -> bool {
    (1..=64).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

/// The ids of a conversation's calls, of which each must be new.
#[derive(Default)]
struct CallIds(HashSet<String>);

impl CallIds {
    fn add(&mut self, at: &str, id: &str, check: &mut Check) {
        check.that(self.0.insert(id.to_owned()), || format!("{at}: a second call {id:?}"));
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn texts<'a>(items: impl Iterator<Item = &'a Value>) -> Vec<String> {
    items.map(|item| item.as_str().unwrap_or_default().to_owned()).collect()
}

#[cfg(test)]
mod tests;
