//! Functions that a model may call, and the format its answer must have.

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::json;

/// A function the model may call.
#[derive(Debug, Clone, PartialEq)]
pub struct Tool {
    pub name: String,
    pub description: Option<String>,
    /// JSON Schema of the arguments: an object.
    pub parameters: Map<String, Value>,
    /// The arguments must match the schema exactly, if the provider can enforce it.
    pub strict: Option<bool>,
}

/// Whether the model may, must or must not call a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolChoice {
    Auto,
    None,
    Required,
    /// This one.
    Named(String),
}

/// The required format of the answer's text.
#[derive(Debug, Clone, PartialEq)]
pub enum ResponseFormat {
    /// Any JSON object.
    Json,
    Schema {
        name: String,
        schema: Map<String, Value>,
        strict: Option<bool>,
    },
}

/// A call of a tool. It serialises as callers get it: [`AnsweredCall`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ToolCall {
    pub id: String,
    pub name: String,
    /// JSON text, as the model wrote it.
    pub arguments: String,
    /// The vendor's own data on the call (Gemini's thought signature), which must be sent back unchanged.
    pub signature: Option<String>,
}

impl ToolCall {
    /// The arguments as an object; `None` where the text is no JSON object. Empty text means no arguments.
    pub fn parsed_arguments(&self) -> Option<Map<String, Value>> {
        let text = self.arguments.trim();
        if text.is_empty() { Some(Map::new()) } else { json::parse(text.as_bytes()).ok() }
    }

    /// Whether its arguments have come to their end.
    fn is_whole(&self) -> bool {
        !self.arguments.trim().is_empty() && self.parsed_arguments().is_some()
    }

    /// Whether a part with this name begins another call: this one is whole. Some services repeat the name in each part.
    fn is_followed_by(&self, name: &str, arguments: &str) -> bool {
        !self.name.is_empty() && self.is_whole() && (self.name != name || !arguments.is_empty())
    }

    /// The complete call as a single streamed part.
    pub fn into_delta(self, index: u64) -> ToolCallDelta {
        let Self { id, name, arguments, signature } = self;
        ToolCallDelta { index: Some(index), id: Some(id), name: Some(name), arguments, signature }
    }
}

/// A streamed part of a call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ToolCallDelta {
    /// The upstream's number for the call within its answer; from any base, and not given by every service.
    pub index: Option<u64>,
    pub id: Option<String>,
    pub name: Option<String>,
    pub arguments: String,
    pub signature: Option<String>,
}

/// Assembles calls from their parts, several calls at once.
#[derive(Debug, Clone, Default)]
pub struct ToolCallAssembly {
    calls: Vec<(Option<u64>, ToolCall)>,
}

impl ToolCallAssembly {
    pub fn push(&mut self, delta: ToolCallDelta) {
        let at = match self.find(&delta) {
            Some(at) => at,
            None => {
                self.calls.push((delta.index, ToolCall::default()));
                self.calls.len() - 1
            }
        };
        let call = &mut self.calls[at].1;
        if let Some(id) = delta.id.filter(|id| !id.is_empty()) {
            call.id = id;
        }
        if call.name.is_empty() {
            call.name = delta.name.unwrap_or_default();
        }
        call.arguments.push_str(&delta.arguments);
        call.signature = delta.signature.or(call.signature.take());
    }

    /// The call a part belongs to; `None`: it begins one. Services number calls in many ways (all 0, anew after each call,
    /// not at all), so that an id seen before says more than a number does.
    fn find(&self, delta: &ToolCallDelta) -> Option<usize> {
        let given =
            |text: &Option<String>| text.as_deref().filter(|text| !text.is_empty()).map(str::to_owned);
        let (id, name) = (given(&delta.id), given(&delta.name));
        let open = self.calls.len().checked_sub(1);
        let numbered = || match delta.index {
            Some(_) => self.calls.iter().rposition(|(index, _)| *index == delta.index),
            None => open,
        };
        if let Some(id) = id {
            let known = self.calls.iter().rposition(|(_, call)| call.id == id);
            // Some services give all calls of an answer one id: a head under a number of its own is another call.
            let begins = delta.name.is_some() && delta.index.is_some() && numbered().is_none();
            return known
                .filter(|_| !begins)
                .or_else(|| numbered().filter(|&at| self.calls[at].1.id.is_empty()));
        }
        match (numbered(), name) {
            (Some(at), Some(name)) => {
                (!self.calls[at].1.is_followed_by(&name, &delta.arguments)).then_some(at)
            }
            (Some(at), None) => Some(at),
            (None, Some(_)) => None,
            // An orphan belongs to the open call.
            (None, None) => open.filter(|&at| !self.calls[at].1.is_whole()),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// The calls in the order they began; those without an id get one.
    pub fn finish(&self) -> Vec<ToolCall> {
        let named = |(number, (_, call)): (usize, &(Option<u64>, ToolCall))| {
            let mut call = call.clone();
            if call.id.is_empty() {
                call.id = format!("call_{number}");
            }
            call
        };
        self.calls.iter().enumerate().map(named).collect()
    }
}

/// A call as the user gets it: with its arguments parsed.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AnsweredCall<'a> {
    pub id: &'a str,
    pub name: &'a str,
    pub arguments: Map<String, Value>,
    /// The model's text, where it is no JSON object, or has numbers that JavaScript would change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw_arguments: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature: Option<&'a str>,
}

impl<'a> From<&'a ToolCall> for AnsweredCall<'a> {
    fn from(call: &'a ToolCall) -> Self {
        let ToolCall { id, name, arguments, signature } = call;
        let parsed = call.parsed_arguments();
        let is_exact = parsed.is_some() && numbers_survive(arguments);
        Self {
            id,
            name,
            raw_arguments: (!is_exact).then_some(arguments),
            arguments: parsed.unwrap_or_default(),
            signature: signature.as_deref(),
        }
    }
}

impl Serialize for ToolCall {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        AnsweredCall::from(self).serialize(out)
    }
}

/// Whether each number of a JSON text is the same number once JavaScript has parsed it.
fn numbers_survive(json: &str) -> bool {
    let bytes = json.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                at += 1;
                while at < bytes.len() && bytes[at] != b'"' {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
                at += 1;
            }
            b'-' | b'0'..=b'9' => {
                let length = bytes[at..]
                    .iter()
                    .take_while(|byte| matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9'))
                    .count();
                if !number_survives(&json[at..at + length]) {
                    return false;
                }
                at += length;
            }
            _ => at += 1,
        }
    }
    true
}

/// Fifteen digits survive in a double; longer ones do where its shortest text has the same digits.
fn number_survives(text: &str) -> bool {
    let digits = significant_digits(text);
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => {
            (digits.is_empty() || number != 0.0)
                && (digits.len() <= 15 || digits == significant_digits(&format!("{number:e}")))
        }
        _ => false,
    }
}

fn significant_digits(number: &str) -> String {
    let mantissa = number.split(['e', 'E']).next().unwrap_or_default();
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    digits.trim_start_matches('0').trim_end_matches('0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delta(index: Option<u64>, id: &str, name: &str, arguments: &str) -> ToolCallDelta {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        ToolCallDelta {
            index,
            id: some(id),
            name: some(name),
            arguments: arguments.to_owned(),
            signature: None,
        }
    }

    fn assembled(deltas: impl IntoIterator<Item = ToolCallDelta>) -> Vec<(String, String, String)> {
        let mut assembly = ToolCallAssembly::default();
        deltas.into_iter().for_each(|delta| assembly.push(delta));
        assembly.finish().into_iter().map(|call| (call.id, call.name, call.arguments)).collect()
    }

    fn calls(expected: &[(&str, &str, &str)]) -> Vec<(String, String, String)> {
        expected.iter().map(|&(id, name, args)| (id.into(), name.into(), args.into())).collect()
    }

    #[test]
    fn parts_of_several_calls_may_be_interleaved_and_numbered_from_any_base() {
        let parts = [
            delta(Some(7), "a", "f", ""),
            delta(Some(8), "b", "g", ""),
            delta(Some(7), "", "", "{\"x\""),
            delta(Some(8), "", "", "{}"),
            delta(Some(7), "", "", ":1}"),
        ];
        assert_eq!(assembled(parts), calls(&[("a", "f", "{\"x\":1}"), ("b", "g", "{}")]));
    }

    #[test]
    fn new_id_begins_a_call_where_indexes_are_missing_or_all_equal() {
        for index in [None, Some(0)] {
            let parts = [
                delta(index, "a", "f", "{"),
                delta(index, "", "", "}"),
                delta(index, "b", "g", ""),
                delta(index, "b", "", "{}"),
            ];
            assert_eq!(assembled(parts), calls(&[("a", "f", "{}"), ("b", "g", "{}")]));
        }
    }

    #[test]
    fn known_id_wins_over_the_number() {
        let parts = [
            delta(Some(0), "a", "f", "{\"x\":"),
            delta(Some(1), "a", "", "1}"),
            delta(Some(1), "b", "g", ""),
            delta(Some(1), "", "", "{}"),
        ];
        assert_eq!(assembled(parts), calls(&[("a", "f", "{\"x\":1}"), ("b", "g", "{}")]));
        let by_id_alone = [
            delta(None, "a", "f", ""),
            delta(None, "b", "g", ""),
            delta(None, "a", "", "{\"x\":"),
            delta(None, "b", "", "{}"),
            delta(None, "a", "", "1}"),
        ];
        assert_eq!(assembled(by_id_alone), calls(&[("a", "f", "{\"x\":1}"), ("b", "g", "{}")]));
    }

    #[test]
    fn calls_of_one_id_are_told_apart_by_their_heads() {
        let parts =
            [delta(Some(0), "a", "f", "{}"), delta(Some(1), "a", "g", ""), delta(Some(1), "a", "", "{}")];
        assert_eq!(assembled(parts), calls(&[("a", "f", "{}"), ("a", "g", "{}")]));
    }

    #[test]
    fn orphan_belongs_to_the_open_call() {
        let parts = [
            delta(Some(0), "a", "f", "{}"),
            delta(Some(0), "b", "g", ""),
            delta(Some(1), "", "", "{\"y\":"),
            delta(Some(1), "", "", "2}"),
        ];
        assert_eq!(assembled(parts), calls(&[("a", "f", "{}"), ("b", "g", "{\"y\":2}")]));
    }

    #[test]
    fn new_name_after_whole_arguments_begins_a_call() {
        let parts = [
            delta(Some(0), "", "f", "{\"x\":"),
            delta(Some(0), "", "f", "1}"),
            delta(Some(0), "", "f", ""),
            delta(Some(0), "", "g", "{}"),
        ];
        assert_eq!(assembled(parts), calls(&[("call_0", "f", "{\"x\":1}"), ("call_1", "g", "{}")]));
    }

    #[test]
    fn numbers_that_javascript_would_change_are_told_by_their_text() {
        for exact in [
            "{}",
            "[1,-2.5e3]",
            "\"2512292042121000001\"",
            "9007199254740991",
            "0.1",
            "1.0",
            "100000000000000000000",
            "0e0",
        ] {
            assert!(numbers_survive(exact), "{exact}");
        }
        for changed in
            ["{\"id\":2512292042121000001}", "9007199254740993", "0.12345678901234567891", "1e400", "1e-400"]
        {
            assert!(!numbers_survive(changed), "{changed}");
        }
    }

    #[test]
    fn call_without_an_id_gets_one() {
        assert_eq!(assembled([delta(Some(0), "", "f", "")]), calls(&[("call_0", "f", "")]));
    }

    #[test]
    fn arguments_are_an_object_or_raw_text() {
        let answered = |arguments: &str| {
            let call = ToolCall { arguments: arguments.to_owned(), ..ToolCall::default() };
            let AnsweredCall { arguments, raw_arguments, .. } = (&call).into();
            (Value::Object(arguments).to_string(), raw_arguments.map(str::to_owned))
        };
        assert_eq!(answered(""), ("{}".to_owned(), None));
        assert_eq!(answered("{\"b\":1,\"a\":2}"), ("{\"b\":1,\"a\":2}".to_owned(), None));
        for broken in ["{\"a\":", "[1]", "\"x\"", "null"] {
            assert_eq!(answered(broken), ("{}".to_owned(), Some(broken.to_owned())));
        }
    }
}
