//! A streamed body as events, in either framing.

use super::event_stream::EventStreamReader;
use super::sse::{EventTooLarge, SseReader};

/// Turns the bytes of a body into events: a type, if the service gives one, and data.
pub enum Frames {
    ServerSentEvents(SseReader),
    /// The binary frames of AWS.
    EventStream(EventStreamReader),
}

impl Frames {
    /// Feeds the next bytes and calls `on_event` for each event that they complete.
    ///
    /// # Errors
    /// The bytes are not events, or one event is too long; do not use the reader after that.
    pub fn feed(&mut self, bytes: &[u8], mut on_event: impl FnMut(Option<&str>, &str)) -> Result<(), String> {
        match self {
            Self::ServerSentEvents(reader) => {
                reader.feed(bytes, |event| on_event(event.event, event.data)).map_err(too_large)
            }
            Self::EventStream(reader) => reader.feed(bytes, on_event),
        }
    }

    /// Ends the body: calls `on_event` for an event that has no proper end.
    pub fn finish(&mut self, mut on_event: impl FnMut(Option<&str>, &str)) {
        match self {
            Self::ServerSentEvents(reader) => reader.finish(|event| on_event(event.event, event.data)),
            // An incomplete frame is dropped.
            Self::EventStream(_) => {}
        }
    }
}

fn too_large(_: EventTooLarge) -> String {
    "one event of the stream is longer than maxResponseBytes".to_owned()
}
