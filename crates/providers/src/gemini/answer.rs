//! Answers, and what the chunks of a stream share with them: each chunk is an answer with a few of its parts.

use crate::read_error::ReadError;
use gateway_model::error::UpstreamReport;
use serde::Deserialize;
use serde_json::{Value, json};

use super::partial_args::PartialArgs;
use super::parts::{AFTER, SIGNATURE};
use crate::lenient::shape::Kind::{Number, Object, Objects, Text, Word};
use crate::lenient::shape::{self, Shape};
use crate::lenient::{TokenCount, describe_unreadable, is_reported, nonzero, usage_of};
use gateway_model::{Answer, StreamEvent, TokenUsage, ToolCallAssembly, ToolCallDelta};

/// Reads a whole answer.
pub fn answer(body: &[u8]) -> Result<Answer, ReadError> {
    let chunks = Chunk::read_all(body).map_err(|error| describe_unreadable(body, &error))?;
    let (mut answer, mut calls) = (Answer::default(), ToolCallAssembly::default());
    let mut reader = Reader::default();
    let mut has_candidate = false;
    for mut chunk in chunks {
        if let Some(problem) = chunk.problem() {
            return Err(problem.into());
        }
        answer.usage = chunk.usage().or(answer.usage);
        let Some(mut candidate) = chunk.candidate() else { continue };
        has_candidate = true;
        let parts = reader.parts(candidate.parts());
        parts.tool_calls.into_iter().for_each(|call| calls.push(call));
        answer.content.push_str(&parts.text);
        answer.reasoning.push_str(&parts.reasoning);
        answer.reasoning_details.extend(parts.reasoning_details);
        answer.finish_reason =
            candidate.finish_reason.filter(|reason| !reason.is_empty()).or(answer.finish_reason);
        answer.model = chunk.model_version.unwrap_or(answer.model);
    }
    if !has_candidate {
        return Err("the answer has no candidates".into());
    }
    Ok(Answer { tool_calls: calls.finish(), ..answer })
}

const ANSWER: &Shape = &[
    ("candidates", Objects),
    ("candidates.*.finishReason", Word),
    ("candidates.*.index", Number),
    ("promptFeedback", Object),
    ("promptFeedback.blockReason", Word),
    ("promptFeedback.blockReasonMessage", Text),
    ("usageMetadata", Object),
    ("modelVersion", Word),
];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Chunk {
    candidates: Option<Vec<Candidate>>,
    prompt_feedback: Option<Feedback>,
    usage_metadata: Option<WireUsage>,
    pub model_version: Option<String>,
    error: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Candidate {
    content: Option<WireContent>,
    pub finish_reason: Option<String>,
    #[serde(default)]
    index: u64,
}

#[derive(Deserialize)]
struct WireContent {
    parts: Option<Vec<Value>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Feedback {
    block_reason: Option<String>,
    block_reason_message: Option<String>,
}

/// The counts of a prompt and of what was made of it.
#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "camelCase")]
struct WireUsage {
    prompt_token_count: Option<TokenCount>,
    tool_use_prompt_token_count: Option<TokenCount>,
    cached_content_token_count: Option<TokenCount>,
    candidates_token_count: Option<TokenCount>,
    thoughts_token_count: Option<TokenCount>,
    total_token_count: Option<TokenCount>,
}

impl Chunk {
    /// One chunk, or a list of them: so they come without `alt=sse`, and so come errors then.
    pub fn read_all(json: &[u8]) -> serde_json::Result<Vec<Self>> {
        if !json.trim_ascii_start().starts_with(b"[") {
            return shape::read(json, ANSWER).map(|chunk| vec![chunk]);
        }
        let chunks: Vec<Value> = gateway_model::json::parse(json)?;
        chunks.into_iter().map(|chunk| shape::read(chunk.to_string().as_bytes(), ANSWER)).collect()
    }

    /// What the upstream reports in place of an answer.
    pub fn problem(&self) -> Option<UpstreamReport> {
        if let Some(error) = self.error.as_ref().filter(|error| is_reported(error)) {
            return Some(UpstreamReport::of(error));
        }
        let feedback = self.prompt_feedback.as_ref()?;
        let reason = feedback.block_reason.as_deref()?;
        if self.candidates.as_ref().is_some_and(|candidates| !candidates.is_empty()) {
            return None;
        }
        let message = feedback.block_reason_message.as_deref().filter(|message| !message.is_empty());
        let message = match message {
            Some(message) => format!("the prompt was blocked ({reason}): {message}"),
            None => format!("the prompt was blocked ({reason})"),
        };
        Some(UpstreamReport { is_flagged: true, ..UpstreamReport::new(message) })
    }

    /// The first of several answers, where `candidateCount` asked for more.
    pub fn candidate(&mut self) -> Option<Candidate> {
        self.candidates.take()?.into_iter().find(|candidate| candidate.index == 0)
    }

    /// Thoughts come beside the answer's tokens, cached tokens within the prompt's.
    pub fn usage(&self) -> Option<TokenUsage> {
        let counts = self.usage_metadata?;
        let usage = usage_of(
            TokenCount::sum([counts.prompt_token_count, counts.tool_use_prompt_token_count].into_iter()),
            TokenCount::sum([counts.candidates_token_count, counts.thoughts_token_count].into_iter()),
            counts.total_token_count,
        )?;
        let reasoning = nonzero(counts.thoughts_token_count);
        Some(TokenUsage { cache_read: nonzero(counts.cached_content_token_count), reasoning, ..usage })
    }
}

impl Candidate {
    pub fn parts(&mut self) -> Vec<Value> {
        self.content.take().and_then(|content| content.parts).unwrap_or_default()
    }
}

/// Reads the parts of one answer, in one go or as they come.
#[derive(Default)]
pub struct Reader {
    /// Bytes of text so far.
    text: usize,
    /// Calls so far.
    calls: u64,
    /// The arguments of a call that comes in parts.
    partial: Option<PartialArgs>,
}

/// What some parts of an answer hold.
#[derive(Default)]
pub struct Parts {
    pub text: String,
    pub reasoning: String,
    pub reasoning_details: Vec<Value>,
    pub tool_calls: Vec<ToolCallDelta>,
    /// There is content that has no form of its own here.
    opaque: bool,
}

impl Parts {
    /// Hands on all but the text, which is given back.
    pub fn push_other(self, into: &mut Vec<StreamEvent>) -> String {
        if !self.reasoning.is_empty() {
            into.push(StreamEvent::Reasoning(self.reasoning));
        }
        into.extend(self.tool_calls.into_iter().map(StreamEvent::ToolCall));
        if !self.reasoning_details.is_empty() {
            into.push(StreamEvent::ReasoningDetails(self.reasoning_details));
        }
        if self.opaque {
            into.push(StreamEvent::Opaque);
        }
        self.text
    }
}

impl Reader {
    pub fn parts(&mut self, parts: Vec<Value>) -> Parts {
        let mut read = Parts::default();
        for part in parts {
            let before = self.text;
            if let Some(call) = part.get("functionCall") {
                let signature = part[SIGNATURE].as_str().map(str::to_owned);
                read.tool_calls.extend(self.call(call, signature));
                continue;
            }
            match part["text"].as_str() {
                Some(thought) if part["thought"] == true => {
                    read.reasoning.push_str(thought);
                    read.opaque |= thought.is_empty();
                }
                Some(more) => {
                    read.text.push_str(more);
                    self.text += more.len();
                }
                // An image, or code that was run.
                None => read.opaque |= part.is_object(),
            }
            if part[SIGNATURE].is_string()
                && let Value::Object(mut block) = part
            {
                block.insert(AFTER.to_owned(), json!({"text": before, "calls": self.calls}));
                read.reasoning_details.push(Value::Object(block));
            }
        }
        read
    }

    /// A call comes whole, or in parts where the request asked for that: its name first, then its arguments.
    fn call(&mut self, call: &Value, signature: Option<String>) -> Option<ToolCallDelta> {
        if let Some(mut partial) = self.partial.take() {
            if !partial.push(call) {
                self.partial = Some(partial);
                return None;
            }
            let index = Some(partial.index);
            let arguments = partial.into_text();
            return Some(ToolCallDelta { index, arguments, signature, ..ToolCallDelta::default() });
        }
        let index = self.calls;
        self.calls += 1;
        let mut partial = PartialArgs::new(index);
        if !partial.push(call) {
            self.partial = Some(partial);
            let text = |field: &str| call[field].as_str().map(str::to_owned);
            return Some(ToolCallDelta {
                index: Some(index),
                id: text("id"),
                name: text("name"),
                signature,
                ..ToolCallDelta::default()
            });
        }
        Some(ToolCallDelta {
            index: Some(index),
            id: call["id"].as_str().map(str::to_owned),
            name: call["name"].as_str().map(str::to_owned),
            arguments: call
                .get("args")
                .filter(|args| !args.is_null())
                .map_or("{}".to_owned(), Value::to_string),
            signature,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::parts::model_turn;
    use super::super::thinking::Generation;
    use super::*;
    use gateway_model::{Message, Role, Side};

    fn read(body: &Value) -> Result<Answer, ReadError> {
        answer(body.to_string().as_bytes())
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        for (body, problem) in [
            (
                json!([{"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}}]),
                "overloaded",
            ),
            (json!({"error": {"code": 500}}), "{\"code\":500}"),
            (json!({"promptFeedback": {"blockReason": "OTHER"}}), "the prompt was blocked (OTHER)"),
            (
                json!({"promptFeedback": {"blockReason": "SAFETY", "blockReasonMessage": "no"}, "candidates": []}),
                "the prompt was blocked (SAFETY): no",
            ),
            (json!({"usageMetadata": {"promptTokenCount": 1}}), "the answer has no candidates"),
            (json!({"candidates": null}), "the answer has no candidates"),
            (json!([]), "the answer has no candidates"),
        ] {
            assert_eq!(read(&body).unwrap_err().to_string(), problem, "{body}");
        }
        for body in
            ["", "[", "7", "[7]", "{\"candidates\":7}", "{\"candidates\":[{\"content\":[1]}]}", "<html>"]
        {
            assert!(answer(body.as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn odd_parts_are_passed_over() {
        let parts = json!([
            7, null, {}, {"text": null}, {"text": "a"}, {"functionCall": "f"}, {"functionCall": {"args": null}},
            {"inlineData": {"mimeType": "image/png", "data": "AA=="}},
        ]);
        let answer = read(&json!({"candidates": [{"content": {"parts": parts}}]})).unwrap();
        assert_eq!(answer.content, "a");
        let calls: Vec<_> = answer.tool_calls.iter().map(|call| (&*call.id, &*call.arguments)).collect();
        assert_eq!(calls, [("call_0", "{}"), ("call_1", "{}")]);
        assert_eq!((answer.finish_reason, answer.usage), (None, None));
    }

    #[test]
    fn the_first_of_several_answers_counts() {
        let candidate =
            |index: u64, text: &str| json!({"index": index, "content": {"parts": [{"text": text}]}});
        let answer = read(&json!({"candidates": [candidate(1, "b"), candidate(0, "a")]})).unwrap();
        assert_eq!(answer.content, "a");
    }

    #[test]
    fn thoughts_and_tools_are_counted_beside_the_rest() {
        let usage = |counts: Value| {
            let chunks = Chunk::read_all(json!({"usageMetadata": counts}).to_string().as_bytes()).unwrap();
            chunks[0].usage()
        };
        let all = json!({"promptTokenCount": 100, "toolUsePromptTokenCount": 20, "cachedContentTokenCount": 64,
            "candidatesTokenCount": 7, "thoughtsTokenCount": 30, "totalTokenCount": 157});
        let expected = TokenUsage { cache_read: Some(64), reasoning: Some(30), ..TokenUsage::new(120, 37) };
        assert_eq!(usage(all), Some(expected));
        let only_thoughts = TokenUsage { reasoning: Some(9), ..TokenUsage::new(4, 9) };
        assert_eq!(usage(json!({"promptTokenCount": 4, "thoughtsTokenCount": 9})), Some(only_thoughts));
        let one_side = TokenUsage { unreported: Some(Side::Output), ..TokenUsage::new(4, 0) };
        assert_eq!(usage(json!({"promptTokenCount": 4})), Some(one_side));
        assert_eq!(usage(json!({"promptTokenCount": 4, "totalTokenCount": 9})), Some(TokenUsage::new(4, 5)));
        assert_eq!(usage(json!({"totalTokenCount": 4})), None);
    }

    #[test]
    fn an_answer_goes_back_as_it_came() {
        let parts = json!([
            {"text": "Unsigned thought.", "thought": true},
            {"text": "Signed thought.", "thought": true, "thoughtSignature": "QQ+/=="},
            {"text": "Grüße, "},
            {"text": "ich sehe", "thoughtSignature": "Qg=="},
            {"text": " nach."},
            {"text": "", "thoughtSignature": "Qw=="},
            {"functionCall": {"id": "fc1", "name": "f", "args": {"b": 1, "a": [1.5, "é"]}}, "thoughtSignature": "RA=="},
            {"thoughtSignature": "RQ=="},
            {"functionCall": {"name": "g", "args": {}}},
            {"text": "", "thoughtSignature": "Rg=="},
        ]);
        let answer = read(&json!({"candidates": [{"content": {"parts": parts, "role": "model"}}]})).unwrap();
        assert_eq!(answer.reasoning, "Unsigned thought.Signed thought.");

        let mut reader = Reader::default();
        let mut details = Vec::new();
        for part in parts.as_array().unwrap() {
            details.extend(reader.parts(vec![part.clone()]).reasoning_details);
        }
        assert_eq!(details, answer.reasoning_details);

        let message = Message {
            tool_calls: answer.tool_calls,
            reasoning_details: answer.reasoning_details,
            ..Message::plain(Role::Assistant, answer.content)
        };
        let mut back = parts.as_array().unwrap().clone();
        back.remove(0);
        assert_eq!(model_turn(&message, Generation::Level), back);
    }
}
