//! Stream events as the chunks that JavaScript reads.

use serde::Serialize;
use serde::ser::{SerializeSeq, Serializer};

use super::protocol::chunk;
use gateway_model::{FinishReason, StreamEvent, TextChunk};

/// The chunks of some events: a plain string for text alone, an array of [`chunk`] for anything more.
pub struct Batch<'a> {
    events: &'a [StreamEvent],
    len: usize,
    null_finish: bool,
}

impl<'a> Batch<'a> {
    pub fn new(events: &'a [StreamEvent]) -> Self {
        let (mut len, mut null_finish) = (0, false);
        for event in events {
            match event {
                StreamEvent::Text(chunk) => {
                    len += 1;
                    null_finish |= chunk.finish_reason == FinishReason::Null;
                }
                StreamEvent::Reasoning(text) => len += usize::from(!text.is_empty()),
                // Part of the figures at the end.
                StreamEvent::ReasoningDetails(_)
                | StreamEvent::ToolCall(_)
                | StreamEvent::Opaque
                | StreamEvent::Warnings(_)
                | StreamEvent::Model(_)
                | StreamEvent::Usage(_) => {}
            }
        }
        Self { events, len, null_finish }
    }

    /// The number of chunks.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether a plain string has a `finishReason` of null; else it has none.
    pub fn null_finish(&self) -> bool {
        self.null_finish
    }

    fn plain_finish(&self) -> FinishReason {
        if self.null_finish { FinishReason::Null } else { FinishReason::Absent }
    }
}

impl Serialize for Batch<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let plain = self.plain_finish();
        let mut model = None;
        let mut chunks = out.serialize_seq(Some(self.len))?;
        for event in self.events {
            match event {
                StreamEvent::Text(TextChunk { delta, model: named, finish_reason }) => {
                    match (finish_reason, named.as_deref().or(model.take())) {
                        (reason, None) if *reason == plain => chunks.serialize_element(delta)?,
                        (FinishReason::Absent, model) => {
                            chunks.serialize_element(&chunk::Text { delta, model })?;
                        }
                        (reason, model) => {
                            let finish_reason = reason.word();
                            chunks.serialize_element(&chunk::Finish { delta, model, finish_reason })?;
                        }
                    }
                }
                StreamEvent::Reasoning(delta) if delta.is_empty() => {}
                StreamEvent::Reasoning(delta) => chunks.serialize_element(&chunk::Reasoning { delta })?,
                StreamEvent::Model(name) => model = Some(name.as_str()),
                StreamEvent::ReasoningDetails(_)
                | StreamEvent::ToolCall(_)
                | StreamEvent::Opaque
                | StreamEvent::Warnings(_)
                | StreamEvent::Usage(_) => {}
            }
        }
        chunks.end()
    }
}
