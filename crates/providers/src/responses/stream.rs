//! The stream: events with names of their own, each about one item of the output.

use crate::read_error::ReadError;
use gateway_model::error::UpstreamReport;
use serde::Deserialize;
use serde_json::Value;

use super::answer::{FullResponse, Said, answer, call, message_text, phase, reasoning_text};
use crate::lenient::shape::Kind::{Content, List, Number, Object, Word};
use crate::lenient::shape::{self, Shape};
use crate::lenient::{BorrowedText, unreadable_event};
use crate::places::Place;
use crate::wire::StreamDecoder;
use gateway_model::{Answer, FinishReason, StreamEvent, TextChunk, ToolCallDelta, json};

/// Of all events.
const EVENT: &Shape = &[
    ("output_index", Number),
    ("delta", Content),
    ("arguments", Content),
    ("item", Object),
    ("response", Object),
    ("response.model", Word),
    ("response.status", Word),
    ("response.output", List),
    ("response.usage", Object),
    ("response.usage.input_tokens_details", Object),
    ("response.usage.output_tokens_details", Object),
    ("response.incomplete_details", Object),
    ("response.incomplete_details.reason", Word),
];

#[derive(Default)]
pub struct ResponsesDecoder {
    model: String,
    said: Said,
    /// Messages whose text or refusal has been told, by their place in the output.
    told: Vec<Option<u64>>,
    /// Items that call a tool, and whether their arguments have begun.
    calls: Vec<(Option<u64>, bool)>,
    /// Some reasoning has been reported, in this item or before it.
    reasoned: bool,
    /// The reasoning of this item has been reported.
    reasoned_here: bool,
    /// More reasoning is set apart from what came before.
    apart: bool,
    /// What came so far, and before the message under way.
    place: Place,
    message_place: Place,
    done: bool,
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(rename = "type", borrow)]
    kind: BorrowedText<'a>,
    #[serde(borrow)]
    delta: Option<BorrowedText<'a>>,
    output_index: Option<u64>,
    arguments: Option<String>,
    item: Option<Value>,
    response: Option<FullResponse>,
}

impl ResponsesDecoder {
    fn model(&mut self, model: Option<String>) -> Option<String> {
        let model = model.filter(|model| *model != self.model)?;
        self.model.clone_from(&model);
        Some(model)
    }

    /// Notes that a message's text comes in parts.
    fn told(&mut self, index: Option<u64>) {
        if self.told.last() != Some(&index) {
            self.told.push(index);
        }
    }

    fn reasoning(&mut self, text: &str) -> StreamEvent {
        let before = if std::mem::take(&mut self.apart) { "\n\n" } else { "" };
        (self.reasoned, self.reasoned_here) = (true, true);
        StreamEvent::Reasoning(format!("{before}{text}"))
    }

    fn begin_item(&mut self, index: Option<u64>, item: &Value) -> Option<StreamEvent> {
        match item["type"].as_str() {
            Some("function_call") => {
                let call = call(item);
                self.said.calls = true;
                self.place.calls += 1;
                self.calls.push((index, !call.arguments.is_empty()));
                Some(StreamEvent::ToolCall(ToolCallDelta {
                    index,
                    id: Some(call.id),
                    name: Some(call.name),
                    arguments: call.arguments,
                    signature: None,
                }))
            }
            Some("message") => {
                self.message_place = self.place;
                None
            }
            Some("reasoning") => {
                self.apart = self.reasoned;
                self.reasoned_here = false;
                None
            }
            _ => None,
        }
    }

    fn more_arguments(&mut self, index: Option<u64>, arguments: String) -> Option<StreamEvent> {
        let (_, begun) = self.calls.iter_mut().find(|(of, _)| *of == index)?;
        if arguments.is_empty() {
            return None;
        }
        *begun = true;
        Some(StreamEvent::ToolCall(ToolCallDelta { index, arguments, ..ToolCallDelta::default() }))
    }

    /// Arguments as the end of their item repeats them: news only where none came before.
    fn all_arguments(&mut self, index: Option<u64>, arguments: String) -> Option<StreamEvent> {
        let begun = self.calls.iter().any(|(of, begun)| *of == index && *begun);
        if begun { None } else { self.more_arguments(index, arguments) }
    }

    fn finish_item(&mut self, index: Option<u64>, item: Value, into: &mut Vec<StreamEvent>) {
        match item["type"].as_str() {
            Some("function_call") if self.calls.iter().all(|(of, _)| *of != index) => {
                into.extend(self.begin_item(index, &item));
            }
            Some("function_call") => into.extend(self.all_arguments(index, call(&item).arguments)),
            Some("reasoning") => {
                let untold = reasoning_text(&item).filter(|_| !self.reasoned_here);
                into.extend(untold.map(|text| self.reasoning(&text)));
                into.push(StreamEvent::ReasoningDetails(vec![self.place.note(item)]));
            }
            Some("message") => {
                if !self.told.contains(&index) {
                    self.message_place = self.place;
                    self.tell_message(index, &item, into);
                }
                let phase = phase(&item).map(|phase| self.message_place.note(phase));
                into.extend(phase.map(|phase| StreamEvent::ReasoningDetails(vec![phase])));
            }
            _ => {}
        }
    }

    /// A message that comes whole, without parts before it.
    fn tell_message(&mut self, index: Option<u64>, item: &Value, into: &mut Vec<StreamEvent>) {
        let (text, refuses) = message_text(item);
        self.told.push(index);
        self.said.text |= !text.is_empty();
        self.said.refusal |= refuses;
        if refuses {
            into.push(StreamEvent::Opaque);
        }
        self.place.text += text.len();
        if !text.is_empty() {
            into.push(StreamEvent::text(text));
        }
    }

    /// What the end of a stream repeats of its output: news only where no event has told it.
    fn tell_untold(&mut self, output: Vec<Value>, into: &mut Vec<StreamEvent>) {
        let Said { text, refusal, calls } = self.said;
        if text || refusal || calls {
            return;
        }
        for (index, item) in (0..).zip(output) {
            if item["type"] == "reasoning" && self.reasoned {
                continue;
            }
            into.extend(self.begin_item(Some(index), &item));
            self.finish_item(Some(index), item, into);
        }
    }

    fn end(
        &mut self,
        kind: &str,
        response: Option<FullResponse>,
        into: &mut Vec<StreamEvent>,
    ) -> Result<(), ReadError> {
        let mut whole = response.unwrap_or_default();
        self.tell_untold(whole.output.take().unwrap_or_default(), into);
        let status = || kind.strip_prefix("response.").map(str::to_owned);
        whole.status = whole.status.or_else(status);
        let word = whole.finish(self.said)?;
        self.done = true;
        into.push(StreamEvent::Text(TextChunk {
            model: self.model(whole.model),
            finish_reason: FinishReason::Word(word),
            ..TextChunk::default()
        }));
        into.extend(whole.usage.and_then(|usage| usage.counts()).map(StreamEvent::Usage));
        Ok(())
    }

    fn read(&mut self, event: Event<'_>, into: &mut Vec<StreamEvent>) -> Result<(), ReadError> {
        let Event { kind: BorrowedText(kind), delta, output_index: index, .. } = event;
        let delta = delta.map(|BorrowedText(text)| text).unwrap_or_default();
        match &*kind {
            "response.output_text.delta" => {
                self.told(index);
                self.said.text |= !delta.is_empty();
                self.place.text += delta.len();
                into.push(StreamEvent::text(delta));
            }
            "response.refusal.delta" => {
                self.told(index);
                self.said.refusal = true;
                into.push(StreamEvent::Opaque);
            }
            "response.reasoning_summary_part.added" => self.apart = self.reasoned,
            "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => {
                into.push(self.reasoning(&delta));
            }
            "response.output_item.added" => {
                into.extend(event.item.and_then(|item| self.begin_item(index, &item)));
            }
            "response.output_item.done" => {
                if let Some(item) = event.item {
                    self.finish_item(index, item, into);
                }
            }
            "response.function_call_arguments.delta" => {
                into.extend(self.more_arguments(index, delta.into_owned()));
            }
            "response.function_call_arguments.done" => {
                into.extend(self.all_arguments(index, event.arguments.unwrap_or_default()));
            }
            "response.created" => {
                let model = event.response.and_then(|response| response.model);
                into.extend(self.model(model).map(StreamEvent::Model));
            }
            "response.completed" | "response.incomplete" | "response.failed" => {
                self.end(&kind, event.response, into)?;
            }
            _ => {}
        }
        Ok(())
    }
}

/// Whether an event is of a kind that is not read here, and may have fields of types of its own.
fn is_without_content(data: &str) -> bool {
    let Ok(event) = serde_json::from_str::<Value>(data) else { return false };
    event["type"].as_str().is_some_and(|kind| {
        let is_read = [
            "response.output_text.",
            "response.refusal.",
            "response.reasoning_",
            "response.function_call_arguments.",
            "response.output_item.",
        ];
        let ends = ["response.completed", "response.incomplete", "response.failed", "error"];
        !is_read.iter().any(|known| kind.starts_with(known)) && !ends.contains(&kind)
    })
}

impl StreamDecoder for ResponsesDecoder {
    fn event(
        &mut self,
        name: Option<&str>,
        data: &str,
        into: &mut Vec<StreamEvent>,
    ) -> Result<(), ReadError> {
        let replaced;
        let mut event = serde_json::from_str::<Event<'_>>(data);
        if event.is_err()
            && let Some(text) = json::replace_lone(data)
        {
            replaced = text;
            event = serde_json::from_str(&replaced);
        }
        match event {
            // The fields stand in the event itself, or in an object of their own.
            Ok(Event { kind: BorrowedText(kind), .. }) if kind == "error" => {
                Err(UpstreamReport::read(data).into())
            }
            Ok(event) => self.read(event, into),
            Err(_) if is_without_content(data) => Ok(()),
            Err(_) => {
                let mended = shape::mended(data, EVENT);
                match mended.as_deref().and_then(|mended| serde_json::from_str(mended).ok()) {
                    Some(event) => self.read(event, into),
                    None => unreadable_event(name, data),
                }
            }
        }
    }

    fn is_done(&self) -> bool {
        self.done
    }

    fn may_end(&self) -> bool {
        self.done
    }

    fn whole(&self, body: &[u8]) -> Result<Answer, ReadError> {
        answer(body)
    }
}
