//! The stream: answers in small, one after the other. Nothing marks its end but a finish reason and the body's own end.

use super::answer::{Chunk, Reader, answer};
use crate::lenient::unreadable_event;
use crate::read_error::ReadError;
use crate::wire::StreamDecoder;
use gateway_model::{Answer, FinishReason, StreamEvent, TextChunk};

#[derive(Default)]
pub struct GeminiDecoder {
    reader: Reader,
    model: String,
    finished: bool,
}

impl StreamDecoder for GeminiDecoder {
    fn event(
        &mut self,
        name: Option<&str>,
        data: &str,
        into: &mut Vec<StreamEvent>,
    ) -> Result<(), ReadError> {
        let Ok(chunks) = Chunk::read_all(data.as_bytes()) else {
            return unreadable_event(name, data);
        };
        chunks.into_iter().try_for_each(|chunk| self.read(chunk, into))
    }

    fn is_done(&self) -> bool {
        false
    }

    fn may_end(&self) -> bool {
        self.finished
    }

    fn whole(&self, body: &[u8]) -> Result<Answer, ReadError> {
        answer(body)
    }
}

impl GeminiDecoder {
    fn read(&mut self, mut chunk: Chunk, into: &mut Vec<StreamEvent>) -> Result<(), ReadError> {
        if let Some(problem) = chunk.problem() {
            return Err(problem.into());
        }
        let usage = chunk.usage();
        let mut text = TextChunk::default();
        if let Some(mut candidate) = chunk.candidate() {
            let parts = self.reader.parts(candidate.parts());
            text.delta = parts.push_other(into);
            text.finish_reason =
                candidate.finish_reason.map_or(FinishReason::Absent, |word| FinishReason::of(Some(word)));
        }
        if let Some(model) = chunk.model_version
            && model != self.model
        {
            self.model = model;
            text.model = Some(self.model.clone());
        }
        let ends = text.finish_reason.word().is_some();
        self.finished |= ends;
        if text.delta.is_empty() && !ends {
            into.extend(text.model.map(StreamEvent::Model));
        } else {
            into.push(StreamEvent::Text(text));
        }
        into.extend(usage.map(StreamEvent::Usage));
        Ok(())
    }
}
