//! The stream: chunks of one choice, usage in the last of them, then `[DONE]`.

use crate::read_error::ReadError;
use gateway_model::error::UpstreamReport;
use serde::Deserialize;
use serde_json::Value;

use super::Dialect;
use super::answer::{WireCall, WireFunction, WireUsage};
use super::reasoning::{BlockAssembly, kept_text};
use crate::lenient::{
    BorrowedText, IsFilled, Items, TextOrParts, find_reported_failure, is_reported, mend_openai,
    unreadable_event,
};
use crate::wire::StreamDecoder;
use gateway_model::{FinishReason, StreamEvent, TextChunk, json};

pub struct OpenAiDecoder {
    dialect: Dialect,
    model: String,
    /// Blocks of reasoning that are handed on whole, when the answer ends.
    blocks: BlockAssembly,
    /// Reasoning that is kept as one, of services that want it back.
    reasoning: String,
    finished: bool,
    done: bool,
}

impl OpenAiDecoder {
    pub fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            model: String::new(),
            blocks: BlockAssembly::default(),
            reasoning: String::new(),
            finished: false,
            done: false,
        }
    }
}

// What few chunks have is boxed: a chunk is moved often while it is read.
#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow)]
    model: Option<BorrowedText<'a>>,
    #[serde(default)]
    choices: Items<ChunkChoice>,
    usage: Option<Box<WireUsage>>,
    error: Option<Box<Value>>,
    x_groq: Option<Box<GroqNotes>>,
}

#[derive(Deserialize)]
struct ChunkChoice {
    index: Option<u64>,
    delta: Option<Delta>,
    #[serde(default)]
    finish_reason: FinishReason,
    /// Moonshot's place for it.
    usage: Option<Box<WireUsage>>,
    error: Option<Box<Value>>,
}

/// What Groq adds to its first chunk and to its last.
#[derive(Deserialize)]
struct GroqNotes {
    usage: Option<Box<WireUsage>>,
    error: Option<Box<Value>>,
}

#[derive(Deserialize)]
struct Delta {
    content: Option<TextOrParts>,
    reasoning_content: Option<Box<TextOrParts>>,
    reasoning: Option<Box<TextOrParts>>,
    reasoning_details: Option<Vec<Value>>,
    tool_calls: Option<Vec<WireCall>>,
    /// The form of calls before there were several.
    function_call: Option<Box<WireFunction>>,
    #[serde(default)]
    refusal: IsFilled,
}

impl Delta {
    /// Hands on what it holds beside text.
    /// `kept` gathers the reasoning that is to be given back.
    fn push_other(&mut self, kept: Option<&mut String>, into: &mut Vec<StreamEvent>) {
        let reasoning = match self.reasoning_content.take().or(self.reasoning.take()) {
            Some(reasoning) => reasoning.into_string(),
            None => self.content.as_mut().map(TextOrParts::take_thinking).unwrap_or_default(),
        };
        if !reasoning.is_empty() {
            if let Some(kept) = kept {
                kept.push_str(&reasoning);
            }
            into.push(StreamEvent::Reasoning(reasoning));
        }
        let calls = self.tool_calls.take().unwrap_or_default();
        into.extend(calls.into_iter().map(|call| StreamEvent::ToolCall(call.into())));
        into.extend(self.function_call.take().map(|call| StreamEvent::ToolCall(WireCall::of(*call).into())));
        if self.refusal.0 {
            into.push(StreamEvent::Opaque);
        }
    }
}

impl OpenAiDecoder {
    /// Hands on the blocks of reasoning that are whole now.
    fn push_blocks(&mut self, into: &mut Vec<StreamEvent>) {
        let mut blocks = self.blocks.take();
        let reasoning = std::mem::take(&mut self.reasoning);
        if blocks.is_empty() {
            blocks.extend(kept_text(&reasoning));
        }
        if !blocks.is_empty() {
            into.push(StreamEvent::ReasoningDetails(blocks));
        }
    }
}

impl StreamDecoder for OpenAiDecoder {
    fn event(
        &mut self,
        name: Option<&str>,
        data: &str,
        into: &mut Vec<StreamEvent>,
    ) -> Result<(), ReadError> {
        if data == "[DONE]" {
            self.done = true;
            self.push_blocks(into);
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
        match chunk {
            Ok(chunk) => self.read(chunk, data, into),
            Err(_) => {
                let Some(mended) = mended(data) else { return unreadable_event(name, data) };
                match serde_json::from_str(&mended) {
                    Ok(chunk) => self.read(chunk, &mended, into),
                    Err(_) => unreadable_event(name, data),
                }
            }
        }
    }

    fn is_done(&self) -> bool {
        self.done
    }

    fn may_end(&self) -> bool {
        self.done || self.finished
    }
}

/// A chunk that the quick way of reading has failed at; `None`: it is no object.
fn mended(data: &str) -> Option<String> {
    let mut whole: Value = json::parse(data.as_bytes()).ok().filter(Value::is_object)?;
    mend_openai(&mut whole);
    Some(whole.to_string())
}

impl OpenAiDecoder {
    fn read(&mut self, chunk: Chunk<'_>, data: &str, into: &mut Vec<StreamEvent>) -> Result<(), ReadError> {
        let (groq_usage, groq_error) = chunk.x_groq.map_or((None, None), |notes| (notes.usage, notes.error));
        let (mut usage, mut error) = (chunk.usage, chunk.error);
        let mut text = TextChunk::default();
        if let Some(BorrowedText(model)) = chunk.model
            && model != self.model
        {
            self.model = model.into_owned();
            text.model = Some(self.model.clone());
        }
        let mut has_choice = false;
        // Of several answers the first alone; entries of one number add up.
        for choice in chunk.choices.into_iter().filter(|choice| choice.index.unwrap_or(0) == 0) {
            has_choice = true;
            usage = usage.or(choice.usage);
            error = error.or(choice.error);
            if let Some(mut delta) = choice.delta {
                delta.push_other(self.dialect.keeps_reasoning().then_some(&mut self.reasoning), into);
                for part in delta.reasoning_details.unwrap_or_default() {
                    self.blocks.push(part);
                }
                let more = delta.content.map(TextOrParts::into_string).unwrap_or_default();
                if text.delta.is_empty() { text.delta = more } else { text.delta.push_str(&more) }
            }
            if choice.finish_reason.word().is_some() || text.finish_reason == FinishReason::Absent {
                text.finish_reason = choice.finish_reason;
            }
        }
        if let Some(error) = error.or(groq_error).filter(|error| is_reported(error)) {
            return Err(UpstreamReport::of(&error).into());
        }
        let usage = usage.or(groq_usage).and_then(|usage| usage.counts(&self.dialect));
        if !has_choice
            && usage.is_none()
            && let Some(problem) =
                serde_json::from_str(data).ok().and_then(|body| find_reported_failure(&body))
        {
            return Err(problem.into());
        }
        if text.finish_reason.word().is_some() {
            self.finished = true;
            self.push_blocks(into);
        }
        into.push(StreamEvent::Text(text));
        into.extend(usage.map(StreamEvent::Usage));
        Ok(())
    }
}
