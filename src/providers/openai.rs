//! OpenAI chat completions, spoken by OpenRouter and most compatible services too.
//!
//! Source: OpenAI's API reference, "Chat" and "Streaming" (`POST /chat/completions`).

use serde::Deserialize;
use serde_json::Value;

use super::ProviderCall;
use super::wire::{Count, First, PlainText, Presence, StreamDecoder, Text, Wire, error_text, usage_of};
use crate::error::GatewayError;
use crate::model::{Answer, FinishReason, StreamEvent, TokenUsage, json};

pub struct OpenAiWire;

impl Wire for OpenAiWire {
    const PATH: &'static str = "/chat/completions";

    fn body(&self, call: &ProviderCall, stream: bool) -> Result<Vec<u8>, GatewayError> {
        let broken = |error: serde_json::Error| {
            GatewayError::internal(format!("the request could not be written: {error}"))
        };
        let request = &call.request;
        let mut body =
            Vec::with_capacity(request.openai_messages.as_ref().map_or(0, |raw| raw.get().len()) + 256);
        body.extend_from_slice(b"{\"model\":");
        serde_json::to_writer(&mut body, &call.model).map_err(broken)?;
        body.extend_from_slice(b",\"messages\":");
        match &request.openai_messages {
            Some(raw) => body.extend_from_slice(raw.get().as_bytes()),
            None => serde_json::to_writer(&mut body, &request.openai_messages_value()).map_err(broken)?,
        }
        if stream {
            body.extend_from_slice(b",\"stream\":true,\"stream_options\":{\"include_usage\":true}");
        }
        if let Some(max_tokens) = call.max_tokens {
            body.extend_from_slice(b",\"max_tokens\":");
            body.extend_from_slice(max_tokens.to_string().as_bytes());
        }
        if let Some(temperature) = request.temperature {
            body.extend_from_slice(b",\"temperature\":");
            serde_json::to_writer(&mut body, &temperature).map_err(broken)?;
        }
        body.push(b'}');
        Ok(body)
    }

    fn answer(&self, body: &[u8]) -> Result<Answer, String> {
        let whole: Whole = json::parse(body).map_err(|error| not_an_answer(body, &error))?;
        if let Some(error) = whole.error.filter(|error| !error.is_null()) {
            return Err(error_text(&error));
        }
        let choice = whole.choices.unwrap_or_default().into_iter().next();
        let message = choice.and_then(|choice| choice.message).ok_or("the answer has no choices")?;
        Ok(Answer {
            content: message.content.map(PlainText::into_string).unwrap_or_default(),
            model: whole.model.unwrap_or_default(),
            usage: whole.usage.and_then(|usage| usage.counts()),
            total_tokens: None,
        })
    }

    fn decoder(&self) -> Box<dyn StreamDecoder> {
        Box::<OpenAiDecoder>::default()
    }
}

/// Why a 200 could not be read, for people: HTML, nothing, or cut JSON.
pub(super) fn not_an_answer(body: &[u8], error: &serde_json::Error) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(120)]);
    let begins = text.trim_start();
    if begins.is_empty() {
        "the answer is empty".to_owned()
    } else if error.is_eof() {
        "the answer's JSON is cut short".to_owned()
    } else {
        format!("the answer is not the JSON expected ({error}): {begins}")
    }
}

#[derive(Deserialize)]
struct Whole {
    model: Option<String>,
    choices: Option<Vec<Choice>>,
    usage: Option<WireUsage>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    message: Option<WireMessage>,
}

#[derive(Deserialize)]
struct WireMessage {
    content: Option<PlainText>,
}

#[derive(Deserialize)]
struct WireUsage {
    prompt_tokens: Option<Count>,
    completion_tokens: Option<Count>,
    prompt_tokens_details: Option<PromptDetails>,
    completion_tokens_details: Option<CompletionDetails>,
}

#[derive(Deserialize)]
struct PromptDetails {
    cached_tokens: Option<Count>,
}

#[derive(Deserialize)]
struct CompletionDetails {
    reasoning_tokens: Option<Count>,
}

impl WireUsage {
    fn counts(&self) -> Option<TokenUsage> {
        let usage = usage_of(self.prompt_tokens, self.completion_tokens)?;
        let nonzero = |count: Option<Count>| count.map(Count::get).filter(|count| *count > 0);
        Some(TokenUsage {
            cache_read: nonzero(
                self.prompt_tokens_details.as_ref().and_then(|details| details.cached_tokens),
            ),
            reasoning: nonzero(
                self.completion_tokens_details.as_ref().and_then(|details| details.reasoning_tokens),
            ),
            ..usage
        })
    }
}

#[derive(Default)]
struct OpenAiDecoder {
    model: String,
    finished: bool,
    done: bool,
}

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow)]
    model: Option<Text<'a>>,
    #[serde(default)]
    choices: First<ChunkChoice>,
    usage: Option<WireUsage>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct ChunkChoice {
    delta: Option<Delta>,
    #[serde(default, deserialize_with = "finish_reason")]
    finish_reason: FinishReason,
}

#[derive(Deserialize)]
struct Delta {
    content: Option<PlainText>,
    /// DeepSeek's name for reasoning; OpenRouter says `reasoning`.
    #[serde(default)]
    reasoning_content: Presence,
    #[serde(default)]
    reasoning: Presence,
    #[serde(default)]
    tool_calls: Presence,
    #[serde(default)]
    refusal: Presence,
}

impl Delta {
    fn has_other_content(&self) -> bool {
        [&self.reasoning_content, &self.reasoning, &self.tool_calls, &self.refusal]
            .iter()
            .any(|field| field.0)
    }
}

fn finish_reason<'de, D: serde::Deserializer<'de>>(input: D) -> Result<FinishReason, D::Error> {
    Ok(Option::<String>::deserialize(input)?.map_or(FinishReason::Null, FinishReason::Word))
}

impl StreamDecoder for OpenAiDecoder {
    fn event(&mut self, name: Option<&str>, data: &str, into: &mut Vec<StreamEvent>) -> Result<(), String> {
        if data == "[DONE]" {
            self.done = true;
            return Ok(());
        }
        let replaced;
        let mut chunk = serde_json::from_str::<Chunk<'_>>(data);
        if chunk.is_err()
            && let Some(text) = json::replace_lone(data)
        {
            replaced = text;
            chunk = serde_json::from_str(&replaced);
        }
        let Ok(chunk) = chunk else {
            // Stray lines between good events are passed over, but a named error is one whatever its shape.
            return if name == Some("error") { Err(data.to_owned()) } else { Ok(()) };
        };
        if let Some(error) = chunk.error.filter(|error| !error.is_null()) {
            return Err(error_text(&error));
        }
        let mut event =
            StreamEvent { usage: chunk.usage.and_then(|usage| usage.counts()), ..StreamEvent::default() };
        if let Some(Text(model)) = chunk.model
            && model != self.model
        {
            self.model = model.into_owned();
            event.model = Some(self.model.clone());
        }
        if let First(Some(choice)) = chunk.choices {
            if let Some(delta) = choice.delta {
                event.other_content = delta.has_other_content();
                event.delta = delta.content.map(PlainText::into_string).unwrap_or_default();
            }
            self.finished |= choice.finish_reason.word().is_some();
            event.finish_reason = choice.finish_reason;
        }
        into.push(event);
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.done
    }

    fn may_end(&self) -> bool {
        self.done || self.finished
    }
}
