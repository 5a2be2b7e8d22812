//! Whole answers, in Workers AI's own form or in OpenAI's, inside of Cloudflare's envelope.

use crate::read_error::ReadError;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::DIALECT;
use crate::lenient::{IsFilled, describe_unreadable, find_reported_failure, shape};
use crate::openai::{SHAPE, WireCall, WireUsage, calls, read_answer};
use gateway_model::{Answer, json};

/// Reads a whole answer.
pub fn answer(body: &[u8]) -> Result<Answer, ReadError> {
    let result = read_result(body)?;
    let native: Native =
        shape::read(result.get().as_bytes(), SHAPE).map_err(|error| describe_unreadable(body, &error))?;
    if native.choices.0 {
        return read_answer(result.get().as_bytes(), &DIALECT);
    }
    if native.response.is_none() && native.tool_calls.is_none() {
        return Err("the answer has no response".into());
    }
    Ok(Answer {
        content: text_of(native.response),
        tool_calls: calls(native.tool_calls.unwrap_or_default()),
        usage: native.usage.and_then(|usage| usage.counts(&DIALECT)),
        ..Answer::default()
    })
}

/// `{"result": …, "success": …, "errors": […], "messages": […]}`.
#[derive(Deserialize)]
struct Envelope {
    result: Option<Box<RawValue>>,
    success: Option<bool>,
}

/// What stands in the envelope, where the call went well.
pub(super) fn read_result(body: &[u8]) -> Result<Box<RawValue>, ReadError> {
    let envelope: Envelope = json::parse(body).map_err(|error| describe_unreadable(body, &error))?;
    match envelope {
        Envelope { result: Some(result), success: None | Some(true) } => Ok(result),
        _ => {
            let reported = json::parse(body).ok().and_then(|body| find_reported_failure(&body));
            Err(reported.map_or("the answer has no result".into(), Into::into))
        }
    }
}

/// An answer, or an event of one, in Workers AI's own form.
#[derive(Deserialize)]
struct Native {
    /// A text; with JSON mode, the object itself.
    response: Option<Value>,
    tool_calls: Option<Vec<WireCall>>,
    usage: Option<WireUsage>,
    /// OpenAI's form.
    #[serde(default)]
    choices: IsFilled,
}

fn text_of(response: Option<Value>) -> String {
    match response {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text,
        Some(other) => other.to_string(),
    }
}
