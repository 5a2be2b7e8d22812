//! A streamed body as events, however the service frames them.

use super::event_stream::EventStreamReader;
use super::sse::{EventTooLarge, SseReader};

/// Turns the bytes of a body into events: a type, where the service names it, and data.
pub enum Frames {
    ServerSentEvents(SseReader),
    /// The binary frames of AWS.
    EventStream(EventStreamReader),
}

impl Frames {
    /// Feeds the next bytes and calls `on_event` for each event that they complete.
    ///
    /// # Errors
    /// The bytes are no events, or one event is too long; the reader is of no further use then.
    pub fn feed(&mut self, bytes: &[u8], mut on_event: impl FnMut(Option<&str>, &str)) -> Result<(), String> {
        match self {
            Self::ServerSentEvents(reader) => {
                reader.feed(bytes, |event| on_event(event.event, event.data)).map_err(too_large)
            }
            Self::EventStream(reader) => reader.feed(bytes, on_event),
        }
    }

    /// The body has ended: hands on what it ended with.
    pub fn finish(&mut self, mut on_event: impl FnMut(Option<&str>, &str)) {
        match self {
            Self::ServerSentEvents(reader) => reader.finish(|event| on_event(event.event, event.data)),
            // A frame that is not whole is none.
            Self::EventStream(_) => {}
        }
    }
}

fn too_large(_: EventTooLarge) -> String {
    "one event of the stream is longer than maxResponseBytes".to_owned()
}
