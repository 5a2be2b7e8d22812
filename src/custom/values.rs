//! What custom providers give, read from JSON: their answers, chunks, vectors and errors.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::pending_calls::Thrown;
use gateway_model::error::{ErrorKind, Failure, ForeignError, GatewayError, UpstreamReport};
use gateway_model::{
    Answer, FinishReason, StreamEvent, TextChunk, TokenUsage, ToolCall, ToolCallDelta, Warning, json,
};

/// What the JS layer says of an error that was thrown; the error itself stays there.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ThrownFields {
    #[serde(default)]
    message: String,
    kind: Option<String>,
    code: Option<String>,
    /// Another error's own `status`, `type` and `code`, too.
    upstream_status: Option<u16>,
    upstream_type: Option<String>,
    upstream_code: Option<String>,
    retry_after_ms: Option<u64>,
}

/// The failure that a thrown error stands for.
pub fn read_thrown(Thrown { json, id, keeper }: Thrown) -> Failure {
    match json::parse::<ThrownFields>(json.as_bytes()) {
        Ok(thrown) => {
            let ThrownFields { message, kind, code, upstream_status, .. } = thrown;
            let report = UpstreamReport {
                kind: thrown.upstream_type,
                code: thrown.upstream_code,
                ..UpstreamReport::new(&*message)
            };
            let reason = report.reason(upstream_status.unwrap_or(500));
            // Kinds that are not the gateway's own count as a provider's failure.
            let kind = kind.map(|kind| {
                serde_json::from_value::<ErrorKind>(kind.into()).unwrap_or(ErrorKind::ProviderResponse)
            });
            let retry_after = thrown.retry_after_ms.map(Duration::from_millis);
            if keeper.is_none() {
                let error = GatewayError::new(kind.unwrap_or(ErrorKind::ProviderResponse), message);
                return GatewayError { retry_after, ..error }.into();
            }
            let error =
                ForeignError { id, keeper, message, kind, code, upstream_status, reason, retry_after };
            Failure::Foreign(error)
        }
        Err(_) => GatewayError::internal("a custom provider's error could not be read").into(),
    }
}

/// `ProviderResult` of the declarations: an answer, or a stream's usage.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object with `content`, `model` and token counts")]
pub struct FullResponse {
    content: Option<String>,
    pub model: Option<String>,
    input_tokens: Option<f64>,
    output_tokens: Option<f64>,
    total_tokens: Option<f64>,
    finish_reason: Option<String>,
    tool_calls: Option<Vec<CustomToolCall>>,
    reasoning: Option<String>,
    reasoning_details: Option<Vec<Value>>,
    cache_read_tokens: Option<f64>,
    cache_write_tokens: Option<f64>,
    reasoning_tokens: Option<f64>,
    #[serde(default)]
    warnings: Option<Vec<CustomWarning>>,
}

/// `ProviderWarning` of the declarations.
#[derive(Deserialize)]
#[serde(expecting = "an object with `field` and `reason`")]
struct CustomWarning {
    field: String,
    reason: String,
}

/// `ToolCall` of the declarations.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object with `id`, `name` and `arguments`")]
struct CustomToolCall {
    id: Option<String>,
    name: String,
    arguments: Option<Value>,
    raw_arguments: Option<String>,
    signature: Option<String>,
}

/// `EmbeddingResult` of the declarations.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object with `vectors`")]
pub struct CustomVectors {
    pub vectors: Vec<Vec<f64>>,
    pub model: Option<String>,
    pub input_tokens: Option<f64>,
}

impl CustomToolCall {
    fn arguments(&mut self) -> String {
        match (self.raw_arguments.take(), self.arguments.take()) {
            (Some(raw), _) | (None, Some(Value::String(raw))) => raw,
            (None, Some(object)) => object.to_string(),
            (None, None) => String::new(),
        }
    }
}

impl From<CustomToolCall> for ToolCall {
    fn from(mut call: CustomToolCall) -> Self {
        let arguments = call.arguments();
        Self { id: call.id.unwrap_or_default(), name: call.name, arguments, signature: call.signature }
    }
}

impl From<CustomToolCall> for ToolCallDelta {
    fn from(mut call: CustomToolCall) -> Self {
        let arguments = call.arguments();
        Self { index: None, id: call.id, name: Some(call.name), arguments, signature: call.signature }
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
pub fn count(number: f64) -> u64 {
    number.max(0.0) as u64
}

/// The largest whole number that JavaScript counts to exactly.
const MAX_COUNT: f64 = 9_007_199_254_740_991.0;

/// A count that can be one.
fn believed(number: Option<f64>) -> Option<u64> {
    number.filter(|number| (0.0..=MAX_COUNT).contains(number)).map(count)
}

impl FullResponse {
    /// `None`: the provider gave no counts.
    pub fn usage(&self) -> Option<TokenUsage> {
        let known = TokenUsage::known(believed(self.input_tokens), believed(self.output_tokens))?;
        Some(TokenUsage {
            cache_read: self.cache_read_tokens.map(count),
            cache_write: self.cache_write_tokens.map(count),
            reasoning: self.reasoning_tokens.map(count),
            ..known
        })
    }

    /// What the provider says that it left out or changed; `provider` is its name.
    pub fn take_warnings(&mut self, provider: &str) -> Vec<Warning> {
        let warnings = self.warnings.take().unwrap_or_default().into_iter();
        let warning =
            |CustomWarning { field, reason }| Warning { field, reason, provider: provider.to_owned() };
        warnings.map(warning).collect()
    }

    /// `requested_model` is the answer's where the provider names none.
    pub fn into_answer(mut self, provider: &str, requested_model: &str) -> Answer {
        Answer {
            warnings: self.take_warnings(provider),
            usage: self.usage(),
            total_tokens: self.total_tokens.map(count),
            content: self.content.unwrap_or_default(),
            model: self.model.unwrap_or_else(|| requested_model.to_owned()),
            finish_reason: self.finish_reason,
            tool_calls: self.tool_calls.unwrap_or_default().into_iter().map(Into::into).collect(),
            reasoning: self.reasoning.unwrap_or_default(),
            reasoning_details: self.reasoning_details.unwrap_or_default(),
        }
    }
}

/// One item of a custom stream.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object with `delta`")]
pub struct Chunk {
    delta: Option<String>,
    model: Option<String>,
    #[serde(default)]
    finish_reason: FinishReason,
    reasoning: Option<String>,
    /// Whole calls.
    tool_calls: Option<Vec<CustomToolCall>>,
    /// Set where the provider gives typed events, as `events` of an answer does.
    #[serde(rename = "type")]
    kind: Option<String>,
    id: Option<String>,
    name: Option<String>,
    input: Option<Value>,
    raw_input: Option<String>,
    signature: Option<String>,
    usage: Option<FullResponse>,
}

impl Chunk {
    /// A typed event as the chunk that says the same.
    fn untyped(mut self) -> Self {
        match self.kind.as_deref() {
            Some("reasoning") => self.reasoning = self.delta.take(),
            Some("tool_use") => {
                self.tool_calls = Some(vec![CustomToolCall {
                    id: self.id.take(),
                    name: self.name.take().unwrap_or_default(),
                    arguments: self.input.take(),
                    raw_arguments: self.raw_input.take(),
                    signature: self.signature.take(),
                }]);
            }
            _ => {}
        }
        self
    }

    /// Adds the events that the chunk stands for.
    pub fn push_events(self, into: &mut Vec<StreamEvent>) {
        let chunk = self.untyped();
        let before = into.len();
        into.extend(chunk.reasoning.filter(|text| !text.is_empty()).map(StreamEvent::Reasoning));
        let calls = chunk.tool_calls.into_iter().flatten();
        into.extend(calls.map(|call| StreamEvent::ToolCall(call.into())));
        let text = TextChunk {
            delta: chunk.delta.unwrap_or_default(),
            model: chunk.model,
            finish_reason: chunk.finish_reason,
        };
        // Typed events of another kind are no chunks of text.
        if chunk.kind.is_some()
            && into.len() > before
            && text.delta.is_empty()
            && text.finish_reason.word().is_none()
        {
            into.extend(text.model.map(StreamEvent::Model));
        } else {
            into.push(StreamEvent::Text(text));
        }
        into.extend(chunk.usage.and_then(|usage| usage.usage()).map(StreamEvent::Usage));
    }
}
