//! The stream: events with names of their own, each about one item of the output.

use serde::Deserialize;
use serde_json::Value;

use super::answer::{FullResponse, Said, call, reasoning_text};
use crate::lenient::{BorrowedText, error_text};
use crate::wire::StreamDecoder;
use gateway_model::{FinishReason, OtherContent, StreamEvent, ToolCallDelta, json};

#[derive(Default)]
pub struct ResponsesDecoder {
    model: String,
    said: Said,
    /// Items that call a tool, and whether their arguments have begun.
    calls: Vec<(Option<u64>, bool)>,
    /// Some reasoning has been told, in this item or before it.
    reasoned: bool,
    /// The reasoning of this item has been told.
    reasoned_here: bool,
    /// More reasoning is set apart from what came before.
    apart: bool,
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
    error: Option<Value>,
    message: Option<String>,
}

impl ResponsesDecoder {
    fn model(&mut self, model: Option<String>) -> Option<String> {
        let model = model.filter(|model| *model != self.model)?;
        self.model.clone_from(&model);
        Some(model)
    }

    fn reasoning(&mut self, text: &str) -> OtherContent {
        let before = if std::mem::take(&mut self.apart) { "\n\n" } else { "" };
        (self.reasoned, self.reasoned_here) = (true, true);
        OtherContent { reasoning: format!("{before}{text}"), ..OtherContent::default() }
    }

    fn begin(&mut self, index: Option<u64>, item: &Value) -> Option<OtherContent> {
        match item["type"].as_str() {
            Some("function_call") => {
                let call = call(item);
                self.said.calls = true;
                self.calls.push((index, !call.arguments.is_empty()));
                Some(part_of_call(ToolCallDelta {
                    index,
                    id: Some(call.id),
                    name: Some(call.name),
                    arguments: call.arguments,
                    signature: None,
                }))
            }
            Some("reasoning") => {
                self.apart = self.reasoned;
                self.reasoned_here = false;
                None
            }
            _ => None,
        }
    }

    /// Arguments as they come, or whole at the end: then only where none came before.
    fn arguments(&mut self, index: Option<u64>, arguments: String, whole: bool) -> Option<OtherContent> {
        let (_, begun) = self.calls.iter_mut().find(|(of, _)| *of == index)?;
        if arguments.is_empty() || (whole && *begun) {
            return None;
        }
        *begun = true;
        Some(part_of_call(ToolCallDelta { index, arguments, ..ToolCallDelta::default() }))
    }

    fn finish_item(&mut self, index: Option<u64>, item: Value) -> Option<OtherContent> {
        match item["type"].as_str() {
            Some("function_call") if self.calls.iter().all(|(of, _)| *of != index) => {
                self.begin(index, &item)
            }
            Some("function_call") => self.arguments(index, call(&item).arguments, true),
            Some("reasoning") => {
                let untold = reasoning_text(&item).filter(|_| !self.reasoned_here);
                let told = untold.map(|text| self.reasoning(&text)).unwrap_or_default();
                Some(OtherContent { reasoning_details: vec![item], ..told })
            }
            _ => None,
        }
    }

    fn end(&mut self, kind: &str, response: Option<FullResponse>) -> Result<StreamEvent, String> {
        let mut whole = response.unwrap_or_default();
        let status = || kind.strip_prefix("response.").map(str::to_owned);
        whole.status = whole.status.or_else(status);
        let word = whole.finish(self.said)?;
        self.done = true;
        Ok(StreamEvent {
            model: self.model(whole.model),
            finish_reason: FinishReason::Word(word),
            usage: whole.usage.and_then(|usage| usage.counts()),
            ..StreamEvent::default()
        })
    }

    fn read(&mut self, event: Event<'_>, into: &mut Vec<StreamEvent>) -> Result<(), String> {
        let Event { kind: BorrowedText(kind), delta, output_index: index, .. } = event;
        let delta = delta.map(|BorrowedText(text)| text).unwrap_or_default();
        let other = match &*kind {
            "response.output_text.delta" => {
                self.said.text |= !delta.is_empty();
                into.push(StreamEvent::text(delta));
                None
            }
            "response.refusal.delta" => {
                self.said.refusal = true;
                Some(OtherContent::default())
            }
            "response.reasoning_summary_part.added" => {
                self.apart = self.reasoned;
                None
            }
            "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => {
                Some(self.reasoning(&delta))
            }
            "response.output_item.added" => event.item.and_then(|item| self.begin(index, &item)),
            "response.output_item.done" => event.item.and_then(|item| self.finish_item(index, item)),
            "response.function_call_arguments.delta" => self.arguments(index, delta.into_owned(), false),
            "response.function_call_arguments.done" => {
                self.arguments(index, event.arguments.unwrap_or_default(), true)
            }
            "response.created" => {
                into.extend(self.model(event.response.and_then(|response| response.model)).map(|model| {
                    StreamEvent { model: Some(model), bookkeeping: true, ..StreamEvent::default() }
                }));
                None
            }
            "response.completed" | "response.incomplete" | "response.failed" => {
                into.push(self.end(&kind, event.response)?);
                None
            }
            // The fields stand in the event itself, or in an object of their own.
            "error" => {
                let nested = event.error.filter(|error| !error.is_null());
                return Err(match (event.message, nested) {
                    (Some(message), _) => message,
                    (None, Some(error)) => error_text(&error),
                    (None, None) => "the stream reports an error".to_owned(),
                });
            }
            _ => None,
        };
        into.extend(other.map(StreamEvent::other));
        Ok(())
    }
}

fn part_of_call(part: ToolCallDelta) -> OtherContent {
    OtherContent { tool_calls: vec![part], ..OtherContent::default() }
}

impl StreamDecoder for ResponsesDecoder {
    fn event(&mut self, name: Option<&str>, data: &str, into: &mut Vec<StreamEvent>) -> Result<(), String> {
        let replaced;
        let mut event = serde_json::from_str::<Event<'_>>(data);
        if event.is_err()
            && let Some(text) = json::replace_lone(data)
        {
            replaced = text;
            event = serde_json::from_str(&replaced);
        }
        match event {
            Ok(event) => self.read(event, into),
            // Stray lines between good events are passed over, but a named error is one whatever its shape.
            Err(_) if name == Some("error") => Err(data.to_owned()),
            Err(_) => Ok(()),
        }
    }

    fn is_done(&self) -> bool {
        self.done
    }

    fn may_end(&self) -> bool {
        self.done
    }
}
