//! Streams, in Workers AI's own form or in OpenAI's.

use crate::read_error::ReadError;
use serde::Deserialize;

use super::DIALECT;
use super::answer::answer;
use crate::lenient::{IsFilled, TextOrParts, find_reported_failure, shape};
use crate::openai::{OpenAiDecoder, SHAPE, WireCall, WireUsage};
use crate::wire::StreamDecoder;
use gateway_model::{Answer, StreamEvent, ToolCallDelta};

/// One event of a stream: text, mostly.
#[derive(Deserialize)]
struct Chunk {
    response: Option<TextOrParts>,
    tool_calls: Option<Vec<WireCall>>,
    usage: Option<WireUsage>,
    #[serde(default)]
    choices: IsFilled,
}

pub struct WorkersAiDecoder {
    /// For events in OpenAI's form.
    openai: OpenAiDecoder,
    /// Calls so far, which have no number of their own.
    calls: u64,
}

impl WorkersAiDecoder {
    pub fn new() -> Self {
        Self { openai: OpenAiDecoder::new(DIALECT), calls: 0 }
    }

    fn push_calls(&mut self, calls: Vec<WireCall>, into: &mut Vec<StreamEvent>) {
        for call in calls {
            let mut part = ToolCallDelta::from(call);
            // Some models end a call with a part in which all is null.
            if part.id.is_none() && part.name.is_none() && part.arguments.is_empty() {
                continue;
            }
            if part.index.is_none() {
                part.index = Some(self.calls);
                self.calls += 1;
            }
            into.push(StreamEvent::ToolCall(part));
        }
    }
}

impl StreamDecoder for WorkersAiDecoder {
    fn event(
        &mut self,
        name: Option<&str>,
        data: &str,
        into: &mut Vec<StreamEvent>,
    ) -> Result<(), ReadError> {
        let Ok(chunk) = shape::read::<Chunk>(data.as_bytes(), SHAPE) else {
            // `[DONE]`, and stray lines.
            return self.openai.event(name, data, into);
        };
        if chunk.choices.0 {
            return self.openai.event(name, data, into);
        }
        let usage = chunk.usage.and_then(|usage| usage.counts(&DIALECT));
        if chunk.response.is_none() && chunk.tool_calls.is_none() && usage.is_none() {
            let reported = serde_json::from_str(data).ok().and_then(|body| find_reported_failure(&body));
            return reported.map_or(Ok(()), |report| Err(report.into()));
        }
        self.push_calls(chunk.tool_calls.unwrap_or_default(), into);
        let delta = chunk.response.map(TextOrParts::into_string).unwrap_or_default();
        // Counts come by themselves, beside an empty text.
        if !delta.is_empty() {
            into.push(StreamEvent::text(delta));
        }
        into.extend(usage.map(StreamEvent::Usage));
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.openai.is_done()
    }

    fn may_end(&self) -> bool {
        self.openai.may_end()
    }

    fn whole(&self, body: &[u8]) -> Result<Answer, ReadError> {
        answer(body)
    }
}
