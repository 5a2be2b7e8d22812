//! OpenAI's answers and chunks with fields of odd types: read by field, once the quick way of reading has failed.

use serde_json::{Map, Value};

/// Drops what is of no type that says something, and writes the rest as the format has it: no other field is lost with it.
pub(crate) fn mend_openai(whole: &mut Value) {
    let Some(whole) = whole.as_object_mut() else { return };
    keep(whole, "model", Value::is_string);
    mend_usage(whole);
    keep(whole, "x_groq", Value::is_object);
    keep(whole, "choices", Value::is_array);
    let choices = whole.get_mut("choices").and_then(Value::as_array_mut).into_iter().flatten();
    for choice in choices.filter_map(Value::as_object_mut) {
        mend_number(choice, "index");
        keep(choice, "finish_reason", Value::is_string);
        mend_usage(choice);
        for part in ["delta", "message"] {
            keep(choice, part, Value::is_object);
            if let Some(message) = choice.get_mut(part).and_then(Value::as_object_mut) {
                mend_message(message);
            }
        }
    }
    if let Some(choices) = whole.get_mut("choices").and_then(Value::as_array_mut) {
        choices.retain(Value::is_object);
    }
}

fn mend_message(message: &mut Map<String, Value>) {
    keep(message, "reasoning_details", Value::is_array);
    keep(message, "tool_calls", Value::is_array);
    if let Some(calls) = message.get_mut("tool_calls").and_then(Value::as_array_mut) {
        calls.retain(Value::is_object);
        calls.iter_mut().filter_map(Value::as_object_mut).for_each(mend_call);
    }
    keep(message, "function_call", Value::is_object);
    if let Some(call) = message.get_mut("function_call").and_then(Value::as_object_mut) {
        mend_text(call, "name");
    }
}

fn mend_call(call: &mut Map<String, Value>) {
    mend_number(call, "index");
    mend_text(call, "id");
    mend_text(call, "name");
    keep(call, "function", Value::is_object);
    if let Some(function) = call.get_mut("function").and_then(Value::as_object_mut) {
        mend_text(function, "name");
    }
}

/// Its counts read odd types by themselves.
fn mend_usage(owner: &mut Map<String, Value>) {
    keep(owner, "usage", Value::is_object);
    if let Some(usage) = owner.get_mut("usage").and_then(Value::as_object_mut) {
        keep(usage, "prompt_tokens_details", Value::is_object);
        keep(usage, "completion_tokens_details", Value::is_object);
        keep(usage, "cost_details", Value::is_object);
    }
}

fn keep(fields: &mut Map<String, Value>, name: &str, fits: impl Fn(&Value) -> bool) {
    if fields.get(name).is_some_and(|value| !fits(value)) {
        fields.remove(name);
    }
}

/// A number as text is that number; anything else is none.
fn mend_number(fields: &mut Map<String, Value>, name: &str) {
    let number = match fields.get(name) {
        None => return,
        Some(Value::String(text)) => text.trim().parse::<u64>().ok(),
        Some(value) => value.as_u64(),
    };
    match number {
        Some(number) => fields.insert(name.to_owned(), number.into()),
        None => fields.remove(name),
    };
}

/// A number as a name or an id is its text; anything else is none.
fn mend_text(fields: &mut Map<String, Value>, name: &str) {
    if let Some(Value::Number(number)) = fields.get(name) {
        let text = number.to_string();
        fields.insert(name.to_owned(), text.into());
    }
    keep(fields, name, Value::is_string);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_odd_field_loses_itself_alone() {
        let call = json!({"index": "0", "id": 7, "function": {"name": "f", "arguments": "{}"}});
        let mut chunk = json!({"model": 1, "usage": [], "choices": [null, {
            "index": true, "finish_reason": 0, "delta": {"content": "a", "tool_calls": ["x", call], "function_call": ""}}]});
        mend_openai(&mut chunk);
        let call = json!({"index": 0, "id": "7", "function": {"name": "f", "arguments": "{}"}});
        assert_eq!(chunk, json!({"choices": [{"delta": {"content": "a", "tool_calls": [call]}}]}));
    }
}
