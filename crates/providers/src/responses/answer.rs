//! Whole answers, and what streams share with them.

use crate::read_error::ReadError;
use gateway_model::error::UpstreamReport;
use serde::Deserialize;
use serde_json::Value;

use crate::lenient::shape::Kind::{Object, Word};
use crate::lenient::shape::{self, Shape};
use crate::lenient::{TokenCount, describe_unreadable, is_reported, nonzero, usage_of};
use crate::places::Place;
use gateway_model::{Answer, TokenUsage, ToolCall};

const ANSWER: &Shape = &[
    ("model", Word),
    ("status", Word),
    ("usage", Object),
    ("usage.input_tokens_details", Object),
    ("usage.output_tokens_details", Object),
    ("incomplete_details", Object),
    ("incomplete_details.reason", Word),
];

pub fn answer(body: &[u8]) -> Result<Answer, ReadError> {
    let mut whole: FullResponse =
        shape::read(body, ANSWER).map_err(|error| describe_unreadable(body, &error))?;
    let (mut answer, mut refused) = (Answer::default(), false);
    let mut reasoning = Vec::new();
    let output = whole.output.take();
    for item in output.iter().flatten() {
        match item["type"].as_str() {
            Some("message") => {
                let place = Place { text: answer.content.len(), calls: answer.tool_calls.len() };
                answer.reasoning_details.extend(phase(item).map(|phase| place.note(phase)));
                let (text, refuses) = message_text(item);
                answer.content.push_str(&text);
                refused |= refuses;
            }
            Some("function_call") => answer.tool_calls.push(call(item)),
            Some("reasoning") => {
                reasoning.extend(reasoning_text(item));
                let place = Place { text: answer.content.len(), calls: answer.tool_calls.len() };
                answer.reasoning_details.push(place.note(item.clone()));
            }
            _ => {}
        }
    }
    let said =
        Said { text: !answer.content.is_empty(), refusal: refused, calls: !answer.tool_calls.is_empty() };
    let finish_reason = whole.finish(said)?;
    if output.is_none() {
        return Err("the answer has no output".into());
    }
    Ok(Answer {
        reasoning: reasoning.join("\n\n"),
        model: whole.model.unwrap_or_default(),
        finish_reason: Some(finish_reason),
        usage: whole.usage.and_then(|usage| usage.counts()),
        ..answer
    })
}

/// The text of a message, and whether it refuses.
pub fn message_text(item: &Value) -> (String, bool) {
    let parts = || item["content"].as_array().into_iter().flatten();
    let text = parts().filter(|part| part["type"] == "output_text");
    let text = text.map(|part| part["text"].as_str().unwrap_or_default()).collect();
    (text, parts().any(|part| part["type"] == "refusal"))
}

pub fn call(item: &Value) -> ToolCall {
    let text = |key: &str| item[key].as_str().unwrap_or_default().to_owned();
    ToolCall { id: text("call_id"), name: text("name"), arguments: text("arguments"), signature: None }
}

/// What a message is (`commentary` or `final_answer`), to be given back with it.
pub fn phase(item: &Value) -> Option<Value> {
    let phase = item["phase"].as_str()?;
    Some(serde_json::json!({ "type": "message", "phase": phase }))
}

/// The summary of a reasoning item, else the reasoning itself, which open models show.
pub fn reasoning_text(item: &Value) -> Option<String> {
    ["summary", "content"].iter().find_map(|list| {
        let parts = item[*list].as_array()?.iter().filter_map(|part| part["text"].as_str());
        let text = parts.collect::<Vec<_>>().join("\n\n");
        (!text.is_empty()).then_some(text)
    })
}

/// A response object, as answers and the events at both ends of a stream hold it.
#[derive(Deserialize, Default)]
pub struct FullResponse {
    pub model: Option<String>,
    pub status: Option<String>,
    pub output: Option<Vec<Value>>,
    pub usage: Option<WireUsage>,
    error: Option<Value>,
    incomplete_details: Option<IncompleteDetails>,
}

#[derive(Deserialize)]
struct IncompleteDetails {
    reason: Option<String>,
}

/// What an answer held.
#[derive(Debug, Clone, Copy, Default)]
pub struct Said {
    pub text: bool,
    pub refusal: bool,
    pub calls: bool,
}

impl FullResponse {
    /// Why the model stopped, in the words of chat completions; the error is what the service reports in its place.
    pub fn finish(&self, said: Said) -> Result<String, ReadError> {
        if let Some(error) = self.error.as_ref().filter(|error| is_reported(error)) {
            return Err(UpstreamReport::of(error).into());
        }
        let word = match self.status.as_deref() {
            None | Some("completed") if said.calls => "tool_calls",
            None | Some("completed") if said.refusal && !said.text => "content_filter",
            None | Some("completed") => "stop",
            Some("incomplete") => {
                let reason = self.incomplete_details.as_ref().and_then(|details| details.reason.as_deref());
                match reason {
                    Some("max_output_tokens") => "length",
                    Some(reason) => reason,
                    None => "incomplete",
                }
            }
            Some("failed") => return Err("the answer failed".into()),
            Some(status) => {
                return Err(format!("the answer is not complete: its status is \"{status}\"").into());
            }
        };
        Ok(word.to_owned())
    }
}

#[derive(Deserialize)]
pub struct WireUsage {
    input_tokens: Option<TokenCount>,
    output_tokens: Option<TokenCount>,
    input_tokens_details: Option<InputDetails>,
    output_tokens_details: Option<OutputDetails>,
    total_tokens: Option<TokenCount>,
}

#[derive(Deserialize)]
struct InputDetails {
    cached_tokens: Option<TokenCount>,
    cache_write_tokens: Option<TokenCount>,
}

#[derive(Deserialize)]
struct OutputDetails {
    reasoning_tokens: Option<TokenCount>,
}

impl WireUsage {
    pub fn counts(&self) -> Option<TokenUsage> {
        let usage = usage_of(self.input_tokens, self.output_tokens, self.total_tokens)?;
        let input = self.input_tokens_details.as_ref();
        Some(TokenUsage {
            cache_read: nonzero(input.and_then(|details| details.cached_tokens)),
            cache_write: nonzero(input.and_then(|details| details.cache_write_tokens)),
            reasoning: nonzero(
                self.output_tokens_details.as_ref().and_then(|details| details.reasoning_tokens),
            ),
            ..usage
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_answer_that_did_not_end_is_none() {
        let read = |body: Value| answer(body.to_string().as_bytes()).map_err(|error| error.to_string());
        assert!(read(json!({"status": "cancelled", "output": []})).unwrap_err().contains("cancelled"));
        assert!(read(json!({"status": "failed", "output": []})).unwrap_err().contains("failed"));
        assert_eq!(read(json!({"error": {"message": "no"}})), Err("no".to_owned()));
        assert_eq!(read(json!({"status": "completed"})), Err("the answer has no output".to_owned()));
        let word = |body| read(body).unwrap().finish_reason.unwrap();
        assert_eq!(word(json!({"status": "incomplete", "output": []})), "incomplete");
        assert_eq!(word(json!({"output": [7, {"type": "web_search_call"}, {"type": "message"}]})), "stop");
    }
}
