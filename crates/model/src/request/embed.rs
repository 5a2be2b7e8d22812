//! A request for vectors, read from JSON and checked field by field.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::read::{A_STRING, AN_OBJECT, FieldError, Read, count, not_json, object, scalar, string};
use super::{ChatRequest, options};
use crate::error::GatewayError;
use crate::json;

/// What a caller of `embed` asks.
#[derive(Debug, Clone)]
pub struct EmbedRequest {
    /// At least one, and none of them empty.
    pub inputs: Arc<[String]>,
    /// Length of the vectors, where the model can shorten them.
    pub dimensions: Option<u64>,
    /// By what the call is routed, and what else it shares with a chat; it has no messages.
    pub common: Arc<ChatRequest>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields<'a> {
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    dimensions: Option<&'a RawValue>,
    model: Option<&'a RawValue>,
    task_type: Option<&'a RawValue>,
    feature: Option<&'a RawValue>,
    user_tier: Option<&'a RawValue>,
    sensitivity: Option<&'a RawValue>,
    user_id: Option<&'a RawValue>,
    metadata: Option<&'a RawValue>,
    provider_options: Option<&'a RawValue>,
    timeout_ms: Option<&'a RawValue>,
}

const INPUT: &str = "must be a non-empty string, or a non-empty array of them";

impl EmbedRequest {
    /// Reads the JSON text of a request; fields it does not know are ignored.
    ///
    /// # Errors
    /// `invalid_request`, with the path of the field at fault: `input[1]`.
    pub fn from_json(text: &str) -> Result<Self, GatewayError> {
        let read = read(text).or_else(|error| match json::replace_lone(text) {
            Some(text) => read(&text),
            None => Err(error),
        });
        Ok(read?)
    }
}

fn read(text: &str) -> Read<EmbedRequest> {
    // An array would be read as a structure's fields in their order.
    if !text.trim_start().starts_with('{') {
        return Err(FieldError::new("request", AN_OBJECT));
    }
    let fields: Fields<'_> = serde_json::from_str(text).map_err(not_json)?;
    Ok(EmbedRequest {
        inputs: inputs(fields.input)?,
        dimensions: count("dimensions", fields.dimensions)?,
        common: Arc::new(ChatRequest {
            model: string("model", fields.model)?,
            task_type: string("taskType", fields.task_type)?,
            feature: string("feature", fields.feature)?,
            user_tier: string("userTier", fields.user_tier)?,
            sensitivity: string("sensitivity", fields.sensitivity)?,
            user_id: string("userId", fields.user_id)?,
            metadata: object("metadata", fields.metadata)?,
            provider_options: options::provider_options("providerOptions", fields.provider_options)?,
            timeout_ms: count("timeoutMs", fields.timeout_ms)?,
            ..ChatRequest::default()
        }),
    })
}

fn inputs(raw: Option<&RawValue>) -> Read<Arc<[String]>> {
    match scalar::<Value>("input", raw, INPUT)? {
        Some(Value::String(text)) if !text.is_empty() => Ok([text].into()),
        Some(Value::Array(list)) if !list.is_empty() => {
            let read = |(index, value)| match value {
                Value::String(text) if !text.is_empty() => Ok(text),
                Value::String(_) => Err(FieldError::new(format!("input[{index}]"), "must not be empty")),
                _ => Err(FieldError::new(format!("input[{index}]"), A_STRING)),
            };
            list.into_iter().enumerate().map(read).collect()
        }
        _ => Err(FieldError::new("input", INPUT)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_text_or_several() {
        let read = |text| EmbedRequest::from_json(text).unwrap();
        assert_eq!(read(r#"{"input":"a"}"#).inputs[..], ["a"]);
        let several = read(r#"{"input":["a","b"],"dimensions":256,"taskType":"search","model":null}"#);
        assert_eq!((several.inputs.len(), several.dimensions), (2, Some(256)));
        assert_eq!(
            (several.common.task_type.as_deref(), several.common.model.as_deref()),
            (Some("search"), None)
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, path) in [
            (r#"{}"#, "input"),
            (r#"{"input":""}"#, "input"),
            (r#"{"input":[]}"#, "input"),
            (r#"{"input":7}"#, "input"),
            (r#"{"input":["a",""]}"#, "input[1]"),
            (r#"{"input":["a",null]}"#, "input[1]"),
            (r#"{"input":"a","dimensions":0}"#, "dimensions"),
            (r#"{"input":"a","model":7}"#, "model"),
            (r#"["a"]"#, "request"),
        ] {
            let error = EmbedRequest::from_json(text).unwrap_err();
            assert_eq!(error.details.unwrap()["path"], path, "{text}");
        }
    }
}
