//! Whole answers, and the counts that streams share with them.

use crate::read_error::ReadError;
use gateway_model::error::UpstreamReport;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::lenient::shape::Kind::{Object, Word};
use crate::lenient::shape::{self, Shape};
use crate::lenient::{TokenCount, describe_unreadable, is_reported, nonzero, usage_of};
use crate::places::Place;
use gateway_model::{Answer, TokenUsage, ToolCall};

const ANSWER: &Shape = &[
    ("model", Word),
    ("stop_reason", Word),
    ("usage", Object),
    ("usage.cache_creation", Object),
    ("usage.output_tokens_details", Object),
];

pub fn answer(body: &[u8]) -> Result<Answer, ReadError> {
    let whole: FullResponse = shape::read(body, ANSWER).map_err(|error| describe_unreadable(body, &error))?;
    if let Some(error) = whole.error.filter(is_reported) {
        return Err(UpstreamReport::of(&error).into());
    }
    let mut answer = Answer::default();
    for block in whole.content.ok_or("the answer has no content")? {
        if !block.is_object() {
            return Err("a block of the answer's content is not an object".into());
        }
        match block["type"].as_str() {
            Some("text") => answer.content.push_str(block["text"].as_str().unwrap_or_default()),
            Some("tool_use") => answer.tool_calls.push(ToolCall {
                id: block["id"].as_str().unwrap_or_default().to_owned(),
                name: block["name"].as_str().unwrap_or_default().to_owned(),
                arguments: block.get("input").map(Value::to_string).unwrap_or_default(),
                signature: None,
            }),
            Some("thinking" | "redacted_thinking") => {
                answer.reasoning.push_str(block["thinking"].as_str().unwrap_or_default());
                let place = Place { text: answer.content.len(), calls: answer.tool_calls.len() };
                answer.reasoning_details.push(place.note(block));
            }
            _ => {}
        }
    }
    Ok(Answer {
        model: whole.model.unwrap_or_default(),
        finish_reason: whole.stop_reason.filter(|reason| !reason.is_empty()),
        usage: whole.usage.and_then(|usage| usage.counts()),
        ..answer
    })
}

#[derive(Deserialize)]
struct FullResponse {
    model: Option<String>,
    content: Option<Vec<Value>>,
    stop_reason: Option<String>,
    usage: Option<WireUsage>,
    error: Option<Value>,
}

#[derive(Deserialize, Default, Clone, Copy)]
pub struct WireUsage {
    input_tokens: Option<TokenCount>,
    output_tokens: Option<TokenCount>,
    cache_read_input_tokens: Option<TokenCount>,
    cache_creation_input_tokens: Option<TokenCount>,
    cache_creation: Option<CacheCreation>,
    output_tokens_details: Option<OutputDetails>,
    /// Where the model ran more than once (compaction, tools of the vendor's own): what each run used. The counts beside it
    /// are those of the answer alone.
    #[serde(default, deserialize_with = "sum_of_runs")]
    iterations: Option<Runs>,
}

/// What all runs of a model used.
#[derive(Clone, Copy)]
struct Runs {
    input: Option<TokenCount>,
    output: Option<TokenCount>,
    cache_read: Option<TokenCount>,
    cache_write: Option<TokenCount>,
}

fn sum_of_runs<'de, D: Deserializer<'de>>(runs: D) -> Result<Option<Runs>, D::Error> {
    let runs = Value::deserialize(runs)?;
    let sum = |field: &str| {
        let runs = runs.as_array().into_iter().flatten();
        TokenCount::sum(runs.map(|run| TokenCount::deserialize(&run[field]).ok()))
    };
    let input = sum("input_tokens");
    Ok(input.is_some().then(|| Runs {
        input,
        output: sum("output_tokens"),
        cache_read: sum("cache_read_input_tokens"),
        cache_write: sum("cache_creation_input_tokens"),
    }))
}

#[derive(Deserialize, Clone, Copy)]
struct CacheCreation {
    ephemeral_1h_input_tokens: Option<TokenCount>,
}

#[derive(Deserialize, Clone, Copy)]
struct OutputDetails {
    thinking_tokens: Option<TokenCount>,
}

impl WireUsage {
    /// Anthropic's `input_tokens` leaves cached tokens out; ours has them in.
    pub fn counts(self) -> Option<TokenUsage> {
        let Runs { input, output, cache_read, cache_write } = self.iterations.unwrap_or(Runs {
            input: self.input_tokens,
            output: self.output_tokens,
            cache_read: self.cache_read_input_tokens,
            cache_write: self.cache_creation_input_tokens,
        });
        let usage = usage_of(input, output, None)?;
        let (read, write) = (nonzero(cache_read), nonzero(cache_write));
        Some(TokenUsage {
            input: usage.input + read.unwrap_or(0) + write.unwrap_or(0),
            cache_read: read,
            cache_write: write,
            cache_write_1h: nonzero(
                self.cache_creation.and_then(|written| written.ephemeral_1h_input_tokens),
            ),
            reasoning: nonzero(self.output_tokens_details.and_then(|details| details.thinking_tokens)),
            ..usage
        })
    }

    /// Later counts replace earlier ones, field by field; they are never added. A zero replaces nothing that is known: some
    /// relays repeat the first counts as zeros.
    pub fn replaced_by(self, later: Self) -> Self {
        let newer = |later: Option<TokenCount>, earlier| match nonzero(later) {
            Some(_) => later,
            None => nonzero(earlier).map_or(later.or(earlier), |_| earlier),
        };
        Self {
            input_tokens: newer(later.input_tokens, self.input_tokens),
            output_tokens: newer(later.output_tokens, self.output_tokens),
            cache_read_input_tokens: newer(later.cache_read_input_tokens, self.cache_read_input_tokens),
            cache_creation_input_tokens: newer(
                later.cache_creation_input_tokens,
                self.cache_creation_input_tokens,
            ),
            cache_creation: later.cache_creation.or(self.cache_creation),
            output_tokens_details: later.output_tokens_details.or(self.output_tokens_details),
            iterations: later.iterations.or(self.iterations),
        }
    }
}
