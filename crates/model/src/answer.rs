//! A whole answer, as a provider gives it.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::Value;

use super::event::{FinishReason, StreamEvent, TextChunk};
use super::tools::{ToolCall, ToolCallAssembly, ToolCallDelta};
use super::usage::{TokenUsage, UsageSource};

/// What a provider answered to one attempt. It serialises as what a response has in addition to [`CallFigures`].
///
/// [`CallFigures`]: super::outcome::CallFigures
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    pub content: String,
    /// The model as the upstream reports it.
    #[serde(skip)]
    pub model: String,
    /// The upstream's own word for why it stopped; [`Answer::finished`] turns it into the one that callers get.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// Text of the model's reasoning.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reasoning: String,
    /// The reasoning in its vendor's own blocks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasoning_details: Vec<Value>,
    /// The settings of the request that the provider did not get as they were written.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
    /// `None`: the provider gave no counts.
    #[serde(skip)]
    pub usage: Option<TokenUsage>,
    /// The provider's own total, where it is not the sum of input and output.
    #[serde(skip)]
    pub total_tokens: Option<u64>,
}

/// A setting of the request that the answering provider did not get as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// The path of the request's field: `topK`, `tools[0].strict`.
    pub field: String,
    /// What was done instead, and why: a sentence for people.
    pub reason: String,
    /// The name of the provider that answered.
    pub provider: String,
}

impl Answer {
    /// Everything the model wrote.
    pub fn output_text(&self) -> Cow<'_, str> {
        output_text(&self.content, &self.reasoning, &self.tool_calls)
    }

    /// The events of a stream that comes to this answer.
    pub fn into_events(self) -> Vec<StreamEvent> {
        let mut events = Vec::new();
        if !self.reasoning.is_empty() {
            events.push(StreamEvent::Reasoning(self.reasoning));
        }
        if !self.reasoning_details.is_empty() {
            events.push(StreamEvent::ReasoningDetails(self.reasoning_details));
        }
        events.extend((0..).zip(self.tool_calls).map(|(index, call)| {
            StreamEvent::ToolCall(ToolCallDelta {
                index: Some(index),
                id: Some(call.id),
                name: Some(call.name),
                arguments: call.arguments,
                signature: call.signature,
            })
        }));
        if !self.warnings.is_empty() {
            events.push(StreamEvent::Warnings(self.warnings));
        }
        events.push(StreamEvent::Text(TextChunk {
            delta: self.content,
            model: Some(self.model).filter(|model| !model.is_empty()),
            finish_reason: FinishReason::of(self.finish_reason),
        }));
        events.extend(self.usage.map(StreamEvent::Usage));
        events
    }

    /// The answer with its reason to stop in the words that are the same for every vendor. Whatever the upstream calls it, an
    /// answer with tool calls has stopped for them, unless it was cut: then its calls may not be whole.
    pub fn finished(mut self) -> Self {
        let word = self.finish_reason.as_deref().map(FinishReason::normalised);
        let is_cut = matches!(word.as_deref(), Some("length" | "content_filter"));
        self.finish_reason =
            if self.tool_calls.is_empty() || is_cut { word } else { Some("tool_calls".to_owned()) };
        self
    }
}

/// Folds the events of a stream into the answer they make: the one place that does.
#[derive(Debug, Clone, Default)]
pub struct AnswerBuilder {
    /// All of it but the calls, which come in parts.
    answer: Answer,
    calls: ToolCallAssembly,
}

impl AnswerBuilder {
    /// `model` is the answer's until an event names another.
    pub fn new(model: String) -> Self {
        Self { answer: Answer { model, ..Answer::default() }, calls: ToolCallAssembly::default() }
    }

    pub fn push(&mut self, event: &StreamEvent) {
        let answer = &mut self.answer;
        match event {
            StreamEvent::Text(chunk) => {
                answer.content.push_str(&chunk.delta);
                if let Some(model) = &chunk.model {
                    answer.model.clone_from(model);
                }
                if let Some(word) = chunk.finish_reason.word() {
                    answer.finish_reason = Some(word.to_owned());
                }
            }
            StreamEvent::Reasoning(text) => answer.reasoning.push_str(text),
            StreamEvent::ReasoningDetails(blocks) => answer.reasoning_details.extend_from_slice(blocks),
            StreamEvent::ToolCall(part) => self.calls.push(part.clone()),
            StreamEvent::Opaque => {}
            StreamEvent::Warnings(warnings) => answer.warnings.extend_from_slice(warnings),
            StreamEvent::Model(model) => answer.model.clone_from(model),
            StreamEvent::Usage(usage) => answer.usage = Some(*usage),
        }
    }

    /// The answer so far, without its calls: they may not be whole yet.
    pub fn so_far(&self) -> &Answer {
        &self.answer
    }

    /// Everything the model has written so far.
    pub fn output_text(&self) -> Cow<'_, str> {
        output_text(&self.answer.content, &self.answer.reasoning, &self.calls.finish())
    }

    pub fn finish(self) -> Answer {
        Answer { tool_calls: self.calls.finish(), ..self.answer }
    }
}

impl<'a> FromIterator<&'a StreamEvent> for AnswerBuilder {
    fn from_iter<T: IntoIterator<Item = &'a StreamEvent>>(events: T) -> Self {
        let mut builder = Self::default();
        events.into_iter().for_each(|event| builder.push(event));
        builder
    }
}

/// Everything a model wrote, to be counted where its provider gives no counts: vendors bill reasoning and calls too.
pub fn output_text<'a>(content: &'a str, reasoning: &str, calls: &[ToolCall]) -> Cow<'a, str> {
    if reasoning.is_empty() && calls.is_empty() {
        return Cow::Borrowed(content);
    }
    let calls = calls.iter().flat_map(|call| [call.name.as_str(), call.arguments.as_str()]);
    let texts: Vec<&str> = [reasoning, content].into_iter().chain(calls).collect();
    Cow::Owned(texts.join("\n"))
}

/// One attempt, as in an answer's `attempts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AttemptRecord {
    pub provider: String,
    pub model: String,
    /// Absent where it answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_code: Option<String>,
    /// Milliseconds.
    pub latency_ms: u64,
}

/// What the caller of `embed` gets.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EmbedResponse {
    pub request_id: String,
    /// One for each text, in their order.
    pub vectors: Vec<Vec<f64>>,
    pub provider: String,
    pub model: String,
    pub input_tokens: u64,
    /// US dollars.
    pub estimated_cost_usd: f64,
    #[serde(skip_serializing_if = "UsageSource::is_reported")]
    pub usage_source: UsageSource,
}
