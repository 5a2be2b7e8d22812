//! Reads server-sent events by the rules of the [WHATWG standard](https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation).
//!
//! Bytes may arrive in chunks of any size. An event that lies in one chunk and has one data line is passed on without a
//! copy; split ones are buffered until they are complete.

use std::borrow::Cow;

use memchr::{memchr, memchr2};

const BOM: &[u8] = b"\xEF\xBB\xBF";

/// One event of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SseEvent<'a> {
    /// The event's type; `None` is the standard's `message`.
    pub event: Option<&'a str>,
    /// The data lines, joined by a line feed.
    pub data: &'a str,
}

/// One event was longer than the reader allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event of the stream is longer than {max_event_bytes} bytes")]
pub struct EventTooLarge {
    pub max_event_bytes: usize,
}

/// Turns the bytes of an event stream into events.
#[derive(Debug)]
pub struct SseReader {
    max_event_bytes: usize,
    /// How many bytes of a byte order mark have been seen; its length once past the start.
    bom_seen: usize,
    /// The last line ended with a CR at the end of a piece: an LF at the start of the next one belongs to it.
    skip_line_feed: bool,
    /// The start of an incomplete line.
    line: Vec<u8>,
    pending: Pending,
    #[cfg(test)]
    work: usize,
}

/// The lines of an event that arrived in earlier chunks.
#[derive(Debug, Default)]
struct Pending {
    event: Vec<u8>,
    data: Vec<u8>,
    /// One empty data line makes an event; none does not.
    has_data: bool,
}

/// The lines of an event in the current chunk.
#[derive(Default)]
struct Borrowed<'a> {
    event: Option<&'a [u8]>,
    data: Option<&'a [u8]>,
}

enum Field<'a> {
    Data(&'a [u8]),
    Event(&'a [u8]),
    Ignored,
}

impl SseReader {
    /// `max_event_bytes` bounds the buffer for one event: its type, its data and the current line.
    pub fn new(max_event_bytes: usize) -> Self {
        Self {
            max_event_bytes,
            bom_seen: 0,
            skip_line_feed: false,
            line: Vec::new(),
            pending: Pending::default(),
            #[cfg(test)]
            work: 0,
        }
    }

    /// Feeds the next bytes and calls `on_event` for each event that they complete. Takes time in proportion to
    /// `bytes`, however an event is split. Bytes that are not UTF-8 become replacement characters.
    ///
    /// # Errors
    /// One event is longer than the reader allows; do not use the reader after that.
    pub fn feed(
        &mut self,
        bytes: &[u8],
        mut on_event: impl FnMut(SseEvent<'_>),
    ) -> Result<(), EventTooLarge> {
        let mut rest = self.skip_byte_order_mark(bytes);
        if self.skip_line_feed && !rest.is_empty() {
            self.skip_line_feed = false;
            rest = rest.strip_prefix(b"\n").unwrap_or(rest);
        }
        if !self.line.is_empty() {
            let Some(after) = self.complete_line(rest)? else { return Ok(()) };
            rest = after;
        }
        let mut borrowed = Borrowed::default();
        while let Some((line, after)) = self.next_line(rest) {
            rest = after;
            if line.is_empty() {
                self.pending.dispatch(std::mem::take(&mut borrowed), &mut on_event);
                continue;
            }
            self.check_length(borrowed.len() + line.len())?;
            match field(line) {
                Field::Data(value) if borrowed.data.is_none() && !self.pending.has_data => {
                    borrowed.data = Some(value)
                }
                Field::Data(value) => {
                    self.count(borrowed.data.map_or(0, <[u8]>::len) + value.len());
                    self.pending.keep_data(borrowed.data.take());
                    self.pending.keep_data(Some(value));
                }
                Field::Event(value) => {
                    self.pending.event.clear();
                    borrowed.event = Some(value);
                }
                Field::Ignored => {}
            }
        }
        self.count(borrowed.len() + rest.len());
        self.check_length(borrowed.len() + rest.len())?;
        self.pending.keep(borrowed);
        self.line.extend_from_slice(rest);
        Ok(())
    }

    /// Ends the stream. The standard drops an event without its closing blank line, but some services close the
    /// connection without one, or even without the last line's end: this yields what there is. Whether a line was
    /// cut off shows in its data.
    pub fn finish(&mut self, mut on_event: impl FnMut(SseEvent<'_>)) {
        self.keep_line();
        self.pending.dispatch(Borrowed::default(), &mut on_event);
    }

    /// Adds a complete line to its event.
    fn keep_line(&mut self) {
        match field(&self.line) {
            Field::Data(value) => self.pending.keep_data(Some(value)),
            Field::Event(value) => self.pending.keep_event(value),
            Field::Ignored => {}
        }
        self.line.clear();
    }

    fn skip_byte_order_mark<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let mut rest = bytes;
        while self.bom_seen < BOM.len() {
            let Some(&byte) = rest.first() else { break };
            if byte != BOM[self.bom_seen] {
                self.line.extend_from_slice(&BOM[..self.bom_seen]);
                self.bom_seen = BOM.len();
                break;
            }
            self.bom_seen += 1;
            rest = &rest[1..];
        }
        rest
    }

    /// Adds to the line that an earlier piece began; the bytes after it, once its end has come.
    fn complete_line<'a>(&mut self, bytes: &'a [u8]) -> Result<Option<&'a [u8]>, EventTooLarge> {
        let found = self.next_line(bytes);
        let piece = found.map_or(bytes, |(line, _)| line);
        self.count(piece.len());
        self.check_length(self.line.len() + piece.len())?;
        self.line.extend_from_slice(piece);
        if found.is_some() {
            self.count(self.line.len());
            self.keep_line();
        }
        Ok(found.map(|(_, after)| after))
    }

    /// The first line of `bytes` without its end, and what follows; `None` when its end is not there.
    fn next_line<'a>(&mut self, bytes: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
        let end = memchr2(b'\n', b'\r', bytes);
        self.count(end.map_or(bytes.len(), |end| end + 1));
        let (line, after) = bytes.split_at(end?);
        let Some(after) = after.strip_prefix(b"\r") else { return Some((line, &after[1..])) };
        self.skip_line_feed = after.is_empty();
        Some((line, after.strip_prefix(b"\n").unwrap_or(after)))
    }

    fn check_length(&self, current: usize) -> Result<(), EventTooLarge> {
        let max_event_bytes = self.max_event_bytes;
        let length = self.pending.event.len() + self.pending.data.len() + current;
        if length > max_event_bytes { Err(EventTooLarge { max_event_bytes }) } else { Ok(()) }
    }

    /// Counts bytes that were looked at or copied, so that a test can tell linear time without a clock.
    #[cfg(test)]
    fn count(&mut self, bytes: usize) {
        self.work += bytes;
    }

    #[cfg(not(test))]
    #[allow(clippy::unused_self)]
    fn count(&mut self, _bytes: usize) {}
}

impl Pending {
    fn keep(&mut self, borrowed: Borrowed<'_>) {
        if let Some(event) = borrowed.event {
            self.keep_event(event);
        }
        self.keep_data(borrowed.data);
    }

    fn keep_event(&mut self, event: &[u8]) {
        self.event.clear();
        self.event.extend_from_slice(event);
    }

    fn keep_data(&mut self, data: Option<&[u8]>) {
        let Some(data) = data else { return };
        if self.has_data {
            self.data.push(b'\n');
        }
        self.has_data = true;
        self.data.extend_from_slice(data);
    }

    /// A blank line: yields the event, if it has data, and begins the next one.
    fn dispatch(&mut self, borrowed: Borrowed<'_>, on_event: &mut impl FnMut(SseEvent<'_>)) {
        if let Some(data) = borrowed.data.or(self.has_data.then_some(self.data.as_slice())) {
            let event = text(borrowed.event.unwrap_or(&self.event));
            let event = if event.is_empty() { None } else { Some(event.as_ref()) };
            on_event(SseEvent { event, data: &text(data) });
        }
        self.event.clear();
        self.data.clear();
        self.has_data = false;
    }
}

impl Borrowed<'_> {
    fn len(&self) -> usize {
        self.event.map_or(0, <[u8]>::len) + self.data.map_or(0, <[u8]>::len)
    }
}

/// Reads a line.
fn field(line: &[u8]) -> Field<'_> {
    if let Some(value) = line.strip_prefix(b"data:") {
        return Field::Data(without_space(value));
    }
    let (name, value) = match memchr(b':', line) {
        Some(colon) => (&line[..colon], without_space(&line[colon + 1..])),
        None => (line, &line[line.len()..]),
    };
    match name {
        b"data" => Field::Data(value),
        b"event" => Field::Event(value),
        _ => Field::Ignored,
    }
}

fn without_space(value: &[u8]) -> &[u8] {
    value.strip_prefix(b" ").unwrap_or(value)
}

fn text(bytes: &[u8]) -> Cow<'_, str> {
    // `from_utf8` is the faster of the two on valid text.
    std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}

#[cfg(test)]
mod tests;
