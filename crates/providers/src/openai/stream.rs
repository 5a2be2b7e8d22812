//! The stream: chunks of one choice, usage in the last of them, then `[DONE]`.

use crate::read_error::ReadError;
use gateway_model::error::UpstreamReport;
use serde::Deserialize;
use serde_json::Value;

use super::Dialect;
use super::answer::{WireCall, WireFunction, WireUsage, answer, first_filled};
use super::reasoning::{BlockAssembly, kept_text};
use super::shape::SHAPE;
use super::think_tags::ThinkTags;
use crate::lenient::{
    BorrowedText, IsFilled, Items, TextOrParts, find_reported_failure, is_reported, shape, unreadable_event,
};
use crate::wire::StreamDecoder;
use gateway_model::{Answer, FinishReason, StreamEvent, TextChunk, json};

pub struct OpenAiDecoder {
    dialect: Dialect,
    model: String,
    /// Blocks of reasoning that are handed on whole, when the answer ends.
    blocks: BlockAssembly,
    /// Reasoning that is kept as one, of services that want it back.
    reasoning: String,
    tags: ThinkTags,
    /// The number of the answer that is read: of several, the one that begins.
    choice: Option<u64>,
    finished: bool,
    done: bool,
}

impl OpenAiDecoder {
    pub fn new(dialect: Dialect) -> Self {
        let mut tags = ThinkTags::default();
        if !dialect.think_tags {
            tags.give_up();
        }
        Self {
            dialect,
            model: String::new(),
            blocks: BlockAssembly::default(),
            reasoning: String::new(),
            tags,
            choice: None,
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
    reasoning_text: Option<Box<TextOrParts>>,
    thinking: Option<Box<TextOrParts>>,
    reasoning_details: Option<Vec<Value>>,
    tool_calls: Option<Vec<WireCall>>,
    /// The form of calls before there were several.
    function_call: Option<Box<WireFunction>>,
    #[serde(default)]
    refusal: IsFilled,
}

impl Delta {
    /// Hands on what it holds beside text; whether that is reasoning. `kept` gathers the reasoning that is to be given back.
    fn push_other(&mut self, kept: Option<&mut String>, into: &mut Vec<StreamEvent>) -> bool {
        let said = [
            self.reasoning_content.take(),
            self.reasoning.take(),
            self.reasoning_text.take(),
            self.thinking.take(),
        ];
        let reasoning = first_filled(said.into_iter().map(|field| field.map(|text| *text)))
            .unwrap_or_else(|| self.content.as_mut().map(TextOrParts::take_thinking).unwrap_or_default());
        let has_reasoning = !reasoning.is_empty();
        if has_reasoning {
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
        has_reasoning
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
                let Some(mended) = shape::mended(data, SHAPE) else { return unreadable_event(name, data) };
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

    fn whole(&self, body: &[u8]) -> Result<Answer, ReadError> {
        answer(body, &self.dialect)
    }
}

impl OpenAiDecoder {
    /// Takes reasoning between tags out of `text`; the last piece of an answer `ends` it.
    fn part_reasoning(&mut self, text: &mut String, ends: bool, into: &mut Vec<StreamEvent>) {
        let mut parted = self.tags.push(text);
        if ends {
            let rest = self.tags.finish();
            parted.reasoning.push_str(&rest.reasoning);
            parted.text.push_str(&rest.text);
        }
        if !parted.reasoning.is_empty() {
            if self.dialect.keeps_reasoning() {
                self.reasoning.push_str(&parted.reasoning);
            }
            into.push(StreamEvent::Reasoning(parted.reasoning));
        }
        *text = parted.text;
    }

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
        for choice in chunk.choices {
            // Of several answers one alone; entries of one number add up.
            let number = choice.index.unwrap_or(0);
            if *self.choice.get_or_insert(number) != number {
                continue;
            }
            has_choice = true;
            usage = usage.or(choice.usage);
            error = error.or(choice.error);
            if let Some(mut delta) = choice.delta {
                let kept = self.dialect.keeps_reasoning().then_some(&mut self.reasoning);
                if delta.push_other(kept, into) {
                    self.tags.give_up();
                }
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
        let ends = text.finish_reason.word().is_some();
        if !self.tags.is_over() {
            self.part_reasoning(&mut text.delta, ends, into);
        }
        if ends {
            self.finished = true;
            self.push_blocks(into);
        }
        into.push(StreamEvent::Text(text));
        into.extend(usage.map(StreamEvent::Usage));
        Ok(())
    }
}
