//! Whole answers, and what streams share with them.

use serde::Deserialize;
use serde_json::Value;

use super::Dialect;
use crate::lenient::{
    TextOrParts, TokenCount, describe_unreadable, error_text, find_reported_failure, nonzero, usage_of,
};
use gateway_model::{Answer, FinishReason, TokenUsage, ToolCall, ToolCallAssembly, ToolCallDelta, json};

pub fn answer(body: &[u8], dialect: &Dialect) -> Result<Answer, String> {
    let whole: FullResponse = json::parse(body).map_err(|error| describe_unreadable(body, &error))?;
    let Some(choice) = whole.choices.unwrap_or_default().into_iter().next() else {
        let reported = json::parse(body).ok().and_then(|body| find_reported_failure(&body));
        return Err(reported.unwrap_or_else(|| "the answer has no choices".to_owned()));
    };
    if let Some(error) = whole.error.or(choice.error).filter(|error| !error.is_null()) {
        return Err(error_text(&error));
    }
    let finish_reason = choice.finish_reason.word().map(str::to_owned);
    let message = choice.message.ok_or("the answer has no choices")?;
    let mut content = message.content.unwrap_or_default();
    let reasoning = match message.reasoning_content.or(message.reasoning) {
        Some(reasoning) => reasoning.into_string(),
        None => content.take_thinking(),
    };
    Ok(Answer {
        content: content.into_string(),
        model: whole.model.unwrap_or_default(),
        finish_reason,
        tool_calls: calls(message.tool_calls.unwrap_or_default()),
        reasoning,
        reasoning_details: message.reasoning_details.unwrap_or_default(),
        usage: whole.usage.or(choice.usage).and_then(|usage| usage.counts(dialect)),
        ..Answer::default()
    })
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
    message: Option<WireMessage>,
    #[serde(default)]
    finish_reason: FinishReason,
    usage: Option<WireUsage>,
    /// OpenRouter's word on a model that failed half-way.
    error: Option<Value>,
}

#[derive(Deserialize)]
struct WireMessage {
    content: Option<TextOrParts>,
    /// DeepSeek's name for reasoning; OpenRouter says `reasoning`.
    reasoning_content: Option<TextOrParts>,
    reasoning: Option<TextOrParts>,
    /// OpenRouter's blocks of it.
    reasoning_details: Option<Vec<Value>>,
    tool_calls: Option<Vec<WireCall>>,
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
}

#[derive(Deserialize)]
struct WireFunction {
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
            signature: None,
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
    pub fn counts(&self, dialect: &Dialect) -> Option<TokenUsage> {
        let usage = usage_of(self.prompt_tokens, self.completion_tokens)?;
        let prompt = self.prompt_tokens_details.as_ref();
        let reasoning =
            nonzero(self.completion_tokens_details.as_ref().and_then(|details| details.reasoning_tokens));
        let apart = reasoning.filter(|_| dialect.reasoning_apart).unwrap_or(0);
        Some(TokenUsage {
            output: usage.output + apart,
            cache_read: nonzero(
                prompt
                    .and_then(|details| details.cached_tokens)
                    .or(self.prompt_cache_hit_tokens)
                    .or(self.cached_tokens),
            ),
            cache_write: nonzero(
                prompt.and_then(|details| details.cache_write_tokens.or(details.cache_creation_input_tokens)),
            ),
            reasoning,
            ..usage
        })
    }
}
