//! A turn's blocks of reasoning in their old places among its texts and calls.
//!
//! Vendors bind a block to what stood before it, while answers hold text, calls and blocks apart. A block that something stood
//! before carries our note of it: `"after": {"text": 12, "calls": 0}`, 12 bytes of the answer's text and none of its calls. When
//! the turn comes back the text is divided there again, and the note stays behind. A turn whose text was changed on the way
//! keeps the change.

use gateway_model::{Content, Message, Part, ToolCall};
use serde_json::{Value, json};

/// Our note on a block.
pub const AFTER: &str = "after";

/// What an answer held so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Place {
    /// Bytes of text.
    pub text: usize,
    pub calls: usize,
}

impl Place {
    /// The block with a note of this place, unless it is the answer's beginning.
    pub fn note(self, mut block: Value) -> Value {
        if self != Self::default()
            && let Some(fields) = block.as_object_mut()
        {
            fields.insert(AFTER.to_owned(), json!({ "text": self.text, "calls": self.calls }));
        }
        block
    }

    fn take(block: &mut Value) -> Self {
        let note = block.as_object_mut().and_then(|fields| fields.shift_remove(AFTER)).unwrap_or_default();
        let count = |name: &str| note[name].as_u64().and_then(|count| usize::try_from(count).ok());
        Self { text: count("text").unwrap_or(0), calls: count("calls").unwrap_or(0) }
    }
}

/// A piece of a turn.
#[derive(Debug, PartialEq)]
pub enum Piece<'a> {
    Text(&'a str),
    /// Any part, of content that is a list.
    Part(&'a Part),
    /// Without our note.
    Block(Value),
    Call(&'a ToolCall),
}

/// The turn in pieces; of its blocks those that `is_ours` knows.
pub fn pieces<'a>(message: &'a Message, is_ours: impl Fn(&Value) -> bool) -> Vec<Piece<'a>> {
    let mut turn = Turn { text: 0, parts: Vec::new(), calls: &message.tool_calls, pieces: Vec::new() };
    match &message.content {
        Content::Text(text) if !text.is_empty() => turn.parts.push(Unsent::Text(text)),
        Content::Parts(parts) => turn.parts.extend(parts.iter().map(Unsent::Part)),
        Content::Text(_) | Content::Empty => {}
    }
    turn.parts.reverse();
    for block in message.reasoning_details.iter().filter(|block| is_ours(block)) {
        let mut block = block.clone();
        let place = Place::take(&mut block);
        turn.text_up_to(place.text);
        turn.calls_up_to(place.calls);
        turn.pieces.push(Piece::Block(block));
    }
    turn.text_up_to(usize::MAX);
    turn.calls_up_to(usize::MAX);
    turn.pieces
}

enum Unsent<'a> {
    Text(&'a str),
    Part(&'a Part),
}

struct Turn<'a> {
    /// Bytes of text that are in `pieces`.
    text: usize,
    /// What is not in `pieces`, the next of it last.
    parts: Vec<Unsent<'a>>,
    calls: &'a [ToolCall],
    pieces: Vec<Piece<'a>>,
}

impl<'a> Turn<'a> {
    fn text_up_to(&mut self, end: usize) {
        while self.text < end
            && let Some(next) = self.parts.pop()
        {
            match next {
                Unsent::Text(text) => {
                    let (piece, rest) = text.split_at_checked(end - self.text).unwrap_or((text, ""));
                    self.text += piece.len();
                    self.pieces.push(Piece::Text(piece));
                    if !rest.is_empty() {
                        self.parts.push(Unsent::Text(rest));
                        return;
                    }
                }
                Unsent::Part(part) => {
                    if let Part::Text { text, .. } = part {
                        self.text += text.len();
                    }
                    self.pieces.push(Piece::Part(part));
                }
            }
        }
    }

    fn calls_up_to(&mut self, end: usize) {
        let sent = self.pieces.iter().filter(|piece| matches!(piece, Piece::Call(_))).count();
        self.pieces.extend(self.calls.iter().take(end).skip(sent).map(Piece::Call));
    }
}

#[cfg(test)]
mod tests {
    use gateway_model::ChatRequest;

    use super::*;

    fn shape(turn: &Value) -> String {
        let request = json!({"messages": [{"role": "user", "content": "go"}, turn]});
        let request = ChatRequest::from_json(&request.to_string()).unwrap();
        let pieces = pieces(&request.messages[1], |block| block["type"] == "t");
        let shapes = pieces.iter().map(|piece| match piece {
            Piece::Text(text) => (*text).to_owned(),
            Piece::Part(Part::Text { text, .. }) => text.clone(),
            Piece::Part(_) => "part".to_owned(),
            Piece::Block(block) => block.to_string(),
            Piece::Call(call) => call.id.clone(),
        });
        shapes.collect::<Vec<_>>().join(" | ")
    }

    #[test]
    fn blocks_stand_where_they_stood() {
        let note = |text: usize, calls: usize| Place { text, calls }.note(json!({"type": "t"}));
        assert_eq!(note(0, 0), json!({"type": "t"}));
        let calls = json!([{"id": "c1", "name": "f"}, {"id": "c2", "name": "f"}]);
        let t = r#"{"type":"t"}"#;
        for (content, blocks, expected) in [
            (
                json!("ab"),
                json!([note(0, 0), note(1, 0), note(2, 1)]),
                format!("{t} | a | {t} | b | c1 | {t} | c2"),
            ),
            (json!("ab"), json!([{"type": "other"}]), "ab | c1 | c2".to_owned()),
            // Text that was cut, or changed so that the place is within a character.
            (json!("a"), json!([note(5, 0)]), format!("a | {t} | c1 | c2")),
            (json!("é"), json!([note(1, 9)]), format!("é | c1 | c2 | {t}")),
            (json!(null), json!([note(0, 1)]), format!("c1 | {t} | c2")),
            (
                json!([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]),
                json!([note(1, 0)]),
                format!("a | {t} | b | c1 | c2"),
            ),
        ] {
            let turn = json!({"role": "assistant", "content": content, "toolCalls": calls, "reasoningDetails": blocks});
            assert_eq!(shape(&turn), expected);
        }
    }
}
