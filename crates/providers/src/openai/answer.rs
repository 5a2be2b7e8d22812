//! Whole answers, and what streams share with them.

use crate::read_error::ReadError;
use gateway_model::error::UpstreamReport;
use serde::Deserialize;
use serde_json::Value;

use super::Dialect;
use super::reasoning::{kept_text, thought_signature};
use super::shape::SHAPE;
use super::think_tags::ThinkTags;
use crate::lenient::{
    Dollars, TextOrParts, TokenCount, count_of, describe_unreadable, find_reported_failure, is_reported,
    nonzero, shape, usage_of,
};
use gateway_model::{Answer, FinishReason, TokenUsage, ToolCall, ToolCallAssembly, ToolCallDelta, Usd, json};

pub fn answer(body: &[u8], dialect: &Dialect) -> Result<Answer, ReadError> {
    let whole: FullResponse = shape::read(body, SHAPE).map_err(|error| describe_unreadable(body, &error))?;
    let Some(choice) = first_choice(whole.choices.unwrap_or_default()) else {
        let reported = json::parse(body).ok().and_then(|body| find_reported_failure(&body));
        return Err(reported.map_or("the answer has no choices".into(), Into::into));
    };
    if let Some(error) = whole.error.or(choice.error).filter(is_reported) {
        return Err(UpstreamReport::of(&error).into());
    }
    let finish_reason = choice.finish_reason.word().map(str::to_owned);
    let message = choice.message.ok_or("the answer has no choices")?;
    let mut tool_calls = message.tool_calls.unwrap_or_default();
    tool_calls.extend(message.function_call.map(WireCall::of));
    let mut content = message.content.unwrap_or_default();
    let said = [message.reasoning_content, message.reasoning, message.reasoning_text, message.thinking];
    let mut reasoning = first_filled(said).unwrap_or_else(|| content.take_thinking());
    let mut content = content.into_string();
    if reasoning.is_empty() && dialect.think_tags {
        let mut tags = ThinkTags::default();
        let (parted, rest) = (tags.push(&content), tags.finish());
        content = parted.text + &rest.text;
        reasoning = parted.reasoning + &rest.reasoning;
    }
    let reasoning_details = message.reasoning_details.unwrap_or_else(|| {
        dialect.keeps_reasoning().then(|| kept_text(&reasoning)).flatten().into_iter().collect()
    });
    Ok(Answer {
        content,
        model: whole.model.unwrap_or_default(),
        finish_reason,
        tool_calls: calls(tool_calls),
        reasoning,
        reasoning_details,
        usage: whole.usage.or(choice.usage).and_then(|usage| usage.counts(dialect)),
        ..Answer::default()
    })
}

/// Of the fields in which services give reasoning, the first that says something.
pub fn first_filled(fields: impl IntoIterator<Item = Option<TextOrParts>>) -> Option<String> {
    fields.into_iter().flatten().map(TextOrParts::into_string).find(|text| !text.is_empty())
}

/// Of several answers the first by its number. Entries of one number add up: some services give a call one of its own.
fn first_choice(choices: Vec<Choice>) -> Option<Choice> {
    let number = |choice: &Choice| choice.index.unwrap_or(0);
    let first = choices.iter().map(number).min()?;
    choices.into_iter().filter(|choice| number(choice) == first).reduce(Choice::and)
}

/// Whole calls. Each is one of its own, whatever its number says.
pub fn calls(calls: Vec<WireCall>) -> Vec<ToolCall> {
    let mut assembly = ToolCallAssembly::default();
    for (index, call) in (0..).zip(calls) {
        assembly.push(ToolCallDelta { index: Some(index), ..call.into() });
    }
    assembly.finish()
}

#[derive(Deserialize)]
struct FullResponse {
    model: Option<String>,
    choices: Option<Vec<Choice>>,
    usage: Option<WireUsage>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    index: Option<u64>,
    message: Option<WireMessage>,
    #[serde(default)]
    finish_reason: FinishReason,
    usage: Option<WireUsage>,
    /// OpenRouter's word on a model that failed half-way.
    error: Option<Value>,
}

impl Choice {
    fn and(mut self, other: Self) -> Self {
        if self.finish_reason.word().is_none() {
            self.finish_reason = other.finish_reason;
        }
        self.usage = self.usage.or(other.usage);
        self.error = self.error.or(other.error);
        self.message = match (self.message, other.message) {
            (Some(message), Some(more)) => Some(message.and(more)),
            (message, more) => message.or(more),
        };
        self
    }
}

impl WireMessage {
    fn and(mut self, other: Self) -> Self {
        let joined = |text: Option<TextOrParts>, more: Option<TextOrParts>| match (text, more) {
            (Some(text), Some(more)) => Some(text.and(more)),
            (text, more) => text.or(more),
        };
        self.content = joined(self.content, other.content);
        self.reasoning_content = joined(self.reasoning_content, other.reasoning_content);
        self.reasoning = joined(self.reasoning, other.reasoning);
        self.reasoning_text = joined(self.reasoning_text, other.reasoning_text);
        self.thinking = joined(self.thinking, other.thinking);
        let calls = |calls: Option<Vec<WireCall>>| calls.unwrap_or_default();
        self.tool_calls = Some(calls(self.tool_calls).into_iter().chain(calls(other.tool_calls)).collect());
        self.function_call = self.function_call.or(other.function_call);
        self.reasoning_details = self.reasoning_details.or(other.reasoning_details);
        self
    }
}

#[derive(Deserialize)]
struct WireMessage {
    content: Option<TextOrParts>,
    /// DeepSeek's name for reasoning; OpenRouter says `reasoning`, GitHub's models `reasoning_text`, Ollama's `thinking`.
    reasoning_content: Option<TextOrParts>,
    reasoning: Option<TextOrParts>,
    reasoning_text: Option<TextOrParts>,
    thinking: Option<TextOrParts>,
    /// OpenRouter's blocks of it.
    reasoning_details: Option<Vec<Value>>,
    tool_calls: Option<Vec<WireCall>>,
    /// The form of calls before there were several.
    function_call: Option<WireFunction>,
}

/// A call of a tool, whole or in part.
#[derive(Deserialize)]
pub struct WireCall {
    index: Option<u64>,
    id: Option<String>,
    function: Option<WireFunction>,
    /// Workers AI's own calls have no `function` around these.
    name: Option<String>,
    arguments: Option<Value>,
    /// Google's, behind an address of OpenAI's form.
    extra_content: Option<Value>,
}

impl WireCall {
    /// A call in the form before there were several.
    pub fn of(function: WireFunction) -> Self {
        Self {
            index: None,
            id: None,
            function: Some(function),
            name: None,
            arguments: None,
            extra_content: None,
        }
    }
}

#[derive(Deserialize)]
pub struct WireFunction {
    name: Option<String>,
    /// JSON as text; a few services send the object itself.
    arguments: Option<Value>,
}

impl From<WireCall> for ToolCallDelta {
    fn from(call: WireCall) -> Self {
        let (name, arguments) = match call.function {
            Some(function) => (function.name, function.arguments),
            None => (call.name, call.arguments),
        };
        Self {
            index: call.index,
            id: call.id,
            name,
            arguments: match arguments {
                None | Some(Value::Null) => String::new(),
                Some(Value::String(text)) => text,
                Some(object) => object.to_string(),
            },
            signature: call.extra_content.as_ref().and_then(thought_signature),
        }
    }
}

#[derive(Deserialize)]
pub struct WireUsage {
    prompt_tokens: Option<TokenCount>,
    completion_tokens: Option<TokenCount>,
    prompt_tokens_details: Option<PromptDetails>,
    completion_tokens_details: Option<CompletionDetails>,
    /// DeepSeek's count of tokens read from its cache.
    prompt_cache_hit_tokens: Option<TokenCount>,
    /// Moonshot's.
    cached_tokens: Option<TokenCount>,
    /// The same, of some servers of open models.
    num_cached_tokens: Option<TokenCount>,
    total_tokens: Option<TokenCount>,
    /// OpenRouter's, in dollars: what it charged. Where it asked with the caller's own key, that is its fee alone.
    cost: Option<Dollars>,
    cost_details: Option<CostDetails>,
}

#[derive(Deserialize)]
struct CostDetails {
    /// What the caller's own key was charged.
    upstream_inference_cost: Option<Dollars>,
}

#[derive(Deserialize)]
struct PromptDetails {
    cached_tokens: Option<TokenCount>,
    /// OpenRouter's, for models whose makers bill writing.
    cache_write_tokens: Option<TokenCount>,
    /// DashScope's.
    cache_creation_input_tokens: Option<TokenCount>,
}

#[derive(Deserialize)]
struct CompletionDetails {
    reasoning_tokens: Option<TokenCount>,
}

impl WireUsage {
    fn cost(&self) -> Option<Usd> {
        let charged = self.cost?.0?;
        let own_key = self.cost_details.as_ref().and_then(|details| details.upstream_inference_cost?.0);
        Some(Usd::from_dollars(charged + own_key.unwrap_or(0.0)))
    }

    pub fn counts(&self, dialect: &Dialect) -> Option<TokenUsage> {
        let prompt = self.prompt_tokens_details.as_ref();
        let reasoning =
            nonzero(self.completion_tokens_details.as_ref().and_then(|details| details.reasoning_tokens));
        let apart = reasoning.filter(|_| dialect.reasoning_apart).unwrap_or(0);
        let completion = count_of(self.completion_tokens).map(|count| count.saturating_add(apart));
        let usage = usage_of(self.prompt_tokens, completion.map(TokenCount::known), self.total_tokens)?;
        Some(TokenUsage {
            charged: self.cost().filter(|_| dialect.reports_cost).and_then(Usd::picodollars),
            cache_read: nonzero(
                prompt
                    .and_then(|details| details.cached_tokens)
                    .or(self.prompt_cache_hit_tokens)
                    .or(self.cached_tokens)
                    .or(self.num_cached_tokens),
            ),
            cache_write: nonzero(
                prompt.and_then(|details| details.cache_write_tokens.or(details.cache_creation_input_tokens)),
            ),
            reasoning,
            ..usage
        })
    }
}
