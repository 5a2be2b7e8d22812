//! A whole answer, and its counts.

use crate::read_error::ReadError;
use gateway_model::error::UpstreamReport;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::lenient::shape::Kind::{Object, Word};
use crate::lenient::shape::{self, Shape};
use crate::lenient::{TokenCount, count_of, describe_unreadable, nonzero, usage_of};
use crate::places::Place;
use gateway_model::{Answer, TokenUsage, ToolCall};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FullResponse {
    output: Option<Output>,
    stop_reason: Option<String>,
    usage: Option<WireUsage>,
    message: Option<Value>,
}

#[derive(Deserialize)]
struct Output {
    message: Option<OutputMessage>,
}

#[derive(Deserialize)]
struct OutputMessage {
    content: Option<Vec<Value>>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "camelCase")]
pub struct WireUsage {
    input_tokens: Option<TokenCount>,
    output_tokens: Option<TokenCount>,
    cache_read_input_tokens: Option<TokenCount>,
    cache_write_input_tokens: Option<TokenCount>,
    total_tokens: Option<TokenCount>,
    /// What was written to the cache, by how long it stays there.
    #[serde(default, deserialize_with = "written_for_an_hour")]
    cache_details: Option<TokenCount>,
}

fn written_for_an_hour<'de, D: Deserializer<'de>>(details: D) -> Result<Option<TokenCount>, D::Error> {
    let details = Value::deserialize(details)?;
    let hour = details.as_array().into_iter().flatten().filter(|written| written["ttl"] == "1h");
    Ok(TokenCount::sum(hour.map(|written| TokenCount::deserialize(&written["inputTokens"]).ok())))
}

impl WireUsage {
    /// Bedrock's `inputTokens` leaves cached tokens out; ours has them in.
    pub fn counts(self) -> Option<TokenUsage> {
        let usage = usage_of(self.input_tokens, self.output_tokens, None)?;
        let (read, write) = (nonzero(self.cache_read_input_tokens), nonzero(self.cache_write_input_tokens));
        let cached = read.unwrap_or(0).saturating_add(write.unwrap_or(0));
        let input = usage.input.saturating_add(cached);
        Some(
            TokenUsage {
                input,
                cache_read: read,
                cache_write: write,
                cache_write_1h: nonzero(self.cache_details),
                ..usage
            }
            .with_total(count_of(self.total_tokens)),
        )
    }
}

const ANSWER: &Shape = &[("stopReason", Word), ("usage", Object)];

pub fn answer(body: &[u8]) -> Result<Answer, ReadError> {
    let whole: FullResponse = shape::read(body, ANSWER).map_err(|error| describe_unreadable(body, &error))?;
    let Some(message) = whole.output.and_then(|output| output.message) else {
        // An error that came with a 200, from a proxy say.
        return Err(whole
            .message
            .as_ref()
            .map_or("the answer has no output".into(), |said| UpstreamReport::of(said).into()));
    };
    let mut answer = Answer {
        finish_reason: whole.stop_reason.filter(|reason| !reason.is_empty()),
        usage: whole.usage.and_then(WireUsage::counts),
        ..Answer::default()
    };
    for block in message.content.ok_or("the answer has no content")? {
        let Value::Object(fields) = &block else {
            return Err("a block of the answer's content is not an object".into());
        };
        // A block has one field, which says what it is.
        let Some((kind, value)) = fields.iter().find(|(_, value)| !value.is_null()) else { continue };
        match kind.as_str() {
            "text" => answer.content.push_str(value.as_str().unwrap_or_default()),
            "toolUse" => answer.tool_calls.push(ToolCall {
                id: value["toolUseId"].as_str().unwrap_or_default().to_owned(),
                name: value["name"].as_str().unwrap_or_default().to_owned(),
                arguments: value.get("input").map(Value::to_string).unwrap_or_default(),
                signature: None,
            }),
            "reasoningContent" => {
                answer.reasoning.push_str(value["reasoningText"]["text"].as_str().unwrap_or_default());
                let place = Place { text: answer.content.len(), calls: answer.tool_calls.len() };
                answer.reasoning_details.push(place.note(block));
            }
            // Text with the places in documents that it rests on.
            "citationsContent" => {
                let parts = value["content"].as_array().into_iter().flatten();
                answer.content.extend(parts.filter_map(|part| part["text"].as_str()));
            }
            _ => {}
        }
    }
    Ok(answer)
}
