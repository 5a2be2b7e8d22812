//! Functions that a model may call, and the format its answer must have.

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

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
        if text.is_empty() { Some(Map::new()) } else { serde_json::from_str(text).ok() }
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

    /// The call a part belongs to. Some services number all their calls 0, but give each its own id.
    fn find(&self, delta: &ToolCallDelta) -> Option<usize> {
        let other_call = |call: &ToolCall| {
            delta.id.as_ref().is_some_and(|id| !id.is_empty() && !call.id.is_empty() && *id != call.id)
        };
        let at = match delta.index {
            Some(_) => self.calls.iter().rposition(|(index, _)| *index == delta.index),
            None => self.calls.len().checked_sub(1),
        }?;
        (!other_call(&self.calls[at].1)).then_some(at)
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
    /// The model's text, where it is no JSON object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw_arguments: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature: Option<&'a str>,
}

impl<'a> From<&'a ToolCall> for AnsweredCall<'a> {
    fn from(call: &'a ToolCall) -> Self {
        let ToolCall { id, name, arguments, signature } = call;
        let parsed = call.parsed_arguments();
        Self {
            id,
            name,
            raw_arguments: parsed.is_none().then_some(arguments),
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
