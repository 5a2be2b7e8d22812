//! Reads `application/vnd.amazon.eventstream`, the binary frames in which AWS streams.
//!
//! Source: the Smithy specification, "Amazon Event Stream", and the AWS documentation, "Event stream encoding". A frame:
//! its length and its headers' length (4 bytes each), the checksum of these 8 bytes, headers, payload, and the checksum
//! of all before it.

use std::fmt::Display;

use aws_smithy_eventstream::frame::{DecodedFrame, MessageFrameDecoder};
use bytes::{Buf, BytesMut};

/// Lengths and their checksum.
const PRELUDE: usize = 12;

/// The type of an event that reports an error without a type of its own; its data is `{"message": …}`.
pub const ERROR: &str = "error";

/// Turns the bytes of such a stream into events: type, and payload as text.
pub struct EventStreamReader {
    max_event_bytes: usize,
    decoder: MessageFrameDecoder,
    /// Bytes of the incomplete frame.
    kept: BytesMut,
    /// The incomplete frame has a valid prelude.
    checked: bool,
    /// No frame has arrived yet.
    fresh: bool,
    /// The body is text, such as an error page: it gives no events, by which the caller can tell.
    is_text: bool,
    #[cfg(test)]
    work: usize,
}

impl EventStreamReader {
    /// `max_event_bytes` bounds a frame.
    pub fn new(max_event_bytes: usize) -> Self {
        Self {
            max_event_bytes,
            decoder: MessageFrameDecoder::new(),
            kept: BytesMut::new(),
            checked: false,
            fresh: true,
            is_text: false,
            #[cfg(test)]
            work: 0,
        }
    }

    /// Feeds the next bytes and calls `on_event` for each frame that they complete: with an event's type or an
    /// exception's, and the payload. Takes time in proportion to `bytes`, however a frame is split.
    ///
    /// # Errors
    /// A frame is damaged, or longer than the reader allows; do not use the reader after that.
    pub fn feed(&mut self, bytes: &[u8], mut on_event: impl FnMut(Option<&str>, &str)) -> Result<(), String> {
        if self.is_text {
            return Ok(());
        }
        self.kept.extend_from_slice(bytes);
        self.count(bytes.len());
        while self.checked || self.check_prelude()? {
            let before = self.kept.len();
            let frame = self.decoder.decode_frame(&mut self.kept).map_err(damaged)?;
            self.count(before - self.kept.remaining());
            let DecodedFrame::Complete(message) = frame else { break };
            self.checked = false;
            self.fresh = false;
            let header = |name: &str| {
                let header = message.headers().iter().find(|header| header.name().as_str() == name)?;
                header.value().as_string().ok().map(|value| value.as_str())
            };
            let payload = String::from_utf8_lossy(message.payload());
            match header(":message-type") {
                Some("exception") => on_event(Some(header(":exception-type").unwrap_or(ERROR)), &payload),
                Some("error") => on_event(Some(ERROR), &unmodelled(&header)),
                _ => on_event(header(":event-type"), &payload),
            }
        }
        Ok(())
    }

    /// Whether the buffered bytes can begin a frame, as far as its prelude tells.
    fn check_prelude(&mut self) -> Result<bool, String> {
        // A frame's first byte is that of a length below 2²⁵; text begins with no such character.
        if self.fresh && self.kept.first().is_some_and(|first| *first >= b'\t') {
            self.is_text = true;
            self.kept.clear();
            return Ok(false);
        }
        let Some(prelude) = self.kept.first_chunk::<PRELUDE>() else { return Ok(false) };
        let [l0, l1, l2, l3, _, _, _, _, c0, c1, c2, c3] = *prelude;
        if crc32fast::hash(&prelude[..8]) != u32::from_be_bytes([c0, c1, c2, c3]) {
            return Err(damaged("the checksum of a frame's lengths is wrong"));
        }
        let length = usize::try_from(u32::from_be_bytes([l0, l1, l2, l3])).unwrap_or(usize::MAX);
        if length > self.max_event_bytes {
            return Err("one event of the stream is longer than maxResponseBytes".to_owned());
        }
        self.checked = true;
        Ok(true)
    }

    /// Counts bytes that were copied, so that a test can tell linear time without a clock.
    #[cfg(test)]
    fn count(&mut self, bytes: usize) {
        self.work += bytes;
    }

    #[cfg(not(test))]
    #[allow(clippy::unused_self)]
    fn count(&mut self, _bytes: usize) {}
}

fn damaged(problem: impl Display) -> String {
    format!("the stream is damaged: {problem}")
}

/// An error that stands in the headers alone.
fn unmodelled<'a>(header: &impl Fn(&str) -> Option<&'a str>) -> String {
    let said: Vec<&str> = [":error-code", ":error-message"].into_iter().filter_map(header).collect();
    serde_json::json!({ "message": said.join(": ") }).to_string()
}

#[cfg(test)]
mod tests;
