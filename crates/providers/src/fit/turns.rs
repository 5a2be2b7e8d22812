//! The order of turns, and what may not stand in one.

use std::borrow::Cow;

use gateway_model::added_words::FIRST_TURN;
use gateway_model::{Content, Message, Part, Role};
use serde_json::{Map, Value, json};

use super::results::text_part;

/// What a receiver wants of a conversation's turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TurnRules {
    /// The first turn is the user's: there must be one.
    pub user_first: bool,
    /// Neighbours of one role are refused, and instructions behind the first turn.
    pub alternate: bool,
    /// A user's turn may not follow a tool's result.
    pub bridges: bool,
    /// Blank texts are refused.
    pub no_blanks: bool,
    pub prefill: Prefill,
}

impl TurnRules {
    /// Any order.
    pub const NONE: Self = Self {
        user_first: false,
        alternate: false,
        bridges: false,
        no_blanks: false,
        prefill: Prefill::Taken,
    };
}

/// What becomes of a last turn of the assistant's, which an answer is to go on from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prefill {
    Taken,
    /// It must not end with blanks.
    Trimmed,
    /// The last turn must be the user's.
    Refused,
}

const GO_ON: &str = "Go on exactly where your last message ends.";
const BRIDGE: &str = "OK.";

/// The conversation in an order that the receiver takes.
pub fn fit_turns(messages: &[Message], rules: TurnRules) -> Cow<'_, [Message]> {
    if rules == TurnRules::NONE {
        return Cow::Borrowed(messages);
    }
    let mut fitted = Cow::Borrowed(messages);
    if rules.prefill == Prefill::Trimmed && ends_in_blanks(messages) {
        fitted.to_mut().last_mut().into_iter().for_each(trim_end);
    }
    if rules.no_blanks && fitted.iter().any(has_blanks) {
        fitted = Cow::Owned(fitted.iter().filter_map(without_blanks).collect());
    }
    if rules.alternate
        && fitted.windows(2).any(|pair| matches!(pair, [one, next] if is_out_of_turn(one, next)))
    {
        fitted = Cow::Owned(joined(&fitted));
    }
    if rules.bridges && fitted.windows(2).any(|pair| matches!(pair, [one, next] if needs_bridge(one, next))) {
        fitted = Cow::Owned(bridged(&fitted));
    }
    let first = fitted.iter().position(|message| !message.role.is_instruction());
    if rules.user_first && first.is_none_or(|at| fitted[at].role != Role::User) {
        let at = first.unwrap_or(fitted.len());
        fitted.to_mut().insert(at, Message::plain(Role::User, FIRST_TURN));
    }
    if rules.prefill == Prefill::Refused && ends_in_prefill(&fitted) {
        fitted.to_mut().push(Message::plain(Role::User, GO_ON));
    }
    fitted
}

/// Whether the answer is to go on from a last turn of the assistant's.
pub fn ends_in_prefill(messages: &[Message]) -> bool {
    messages.last().is_some_and(|last| last.role == Role::Assistant && last.tool_calls.is_empty())
}

fn ends_in_blanks(messages: &[Message]) -> bool {
    let ends_blank = |text: &str| text.ends_with(char::is_whitespace);
    ends_in_prefill(messages)
        && match messages.last().map(|last| &last.content) {
            Some(Content::Text(text)) => ends_blank(text),
            Some(Content::Parts(parts)) => {
                matches!(parts.last(), Some(Part::Text { text, .. }) if ends_blank(text))
            }
            _ => false,
        }
}

fn trim_end(message: &mut Message) {
    let written = message.source.as_mut().and_then(|source| source.get_mut("content"));
    match &mut message.content {
        Content::Text(text) => {
            text.truncate(text.trim_end().len());
            if let Some(written) = written {
                *written = json!(text);
            }
        }
        Content::Parts(parts) => {
            if let Some(Part::Text { text, .. }) = parts.last_mut() {
                text.truncate(text.trim_end().len());
                if let Some(last) = written.and_then(Value::as_array_mut).and_then(|list| list.last_mut()) {
                    last["text"] = json!(text);
                }
            }
        }
        Content::Empty => {}
    }
}

fn is_blank(part: &Part) -> bool {
    matches!(part, Part::Text { text, .. } if text.trim().is_empty())
}

/// Whether a message has blanks that say nothing. The places of reasoning are counted in a turn's texts: formats pass over
/// the blank ones of such a turn.
fn has_blanks(message: &Message) -> bool {
    message.role != Role::Tool
        && message.reasoning_details.is_empty()
        && match &message.content {
            Content::Text(text) => {
                text.trim().is_empty() && (message.tool_calls.is_empty() || !text.is_empty())
            }
            Content::Parts(parts) => {
                parts.iter().any(is_blank) || (parts.is_empty() && message.tool_calls.is_empty())
            }
            Content::Empty => message.tool_calls.is_empty(),
        }
}

/// The message without blanks; `None`: nothing is left of it.
fn without_blanks(message: &Message) -> Option<Message> {
    if !has_blanks(message) {
        return Some(message.clone());
    }
    let mut rest = message.clone();
    let Content::Parts(parts) = &message.content else {
        if message.tool_calls.is_empty() {
            return None;
        }
        rest.content = Content::Empty;
        super::results::rewrite(&mut rest, Value::Null);
        return Some(rest);
    };
    if parts.iter().all(is_blank) && message.tool_calls.is_empty() {
        return None;
    }
    if let Some(written) = rest.source.as_mut().and_then(|source| source.get_mut("content")?.as_array_mut()) {
        let mut blanks = parts.iter().map(is_blank);
        written.retain(|_| !blanks.next().unwrap_or(false));
    }
    rest.content = Content::Parts(parts.iter().filter(|part| !is_blank(part)).cloned().collect());
    Some(rest)
}

fn is_out_of_turn(one: &Message, next: &Message) -> bool {
    can_join(one, next) || (next.role.is_instruction() && !one.role.is_instruction())
}

fn can_join(one: &Message, next: &Message) -> bool {
    one.role == next.role
        && matches!(one.role, Role::User | Role::Assistant)
        && one.tool_calls.is_empty()
        && next.tool_calls.is_empty()
}

/// Instructions first, then turns of alternating roles.
fn joined(messages: &[Message]) -> Vec<Message> {
    let (mut turns, spoken): (Vec<Message>, Vec<Message>) =
        messages.iter().cloned().partition(|message| message.role.is_instruction());
    for message in spoken {
        match turns.last_mut() {
            Some(last) if can_join(last, &message) => join(last, message),
            _ => turns.push(message),
        }
    }
    turns
}

fn join(message: &mut Message, next: Message) {
    if let (Some(first), Some(second)) = (message.plain_text(), next.plain_text()) {
        message.content = Content::Text([first, second].join("\n\n"));
        return;
    }
    let (mut parts, mut written) = in_parts(message);
    let (more, more_written) = in_parts(&next);
    parts.extend(more);
    written.extend(more_written);
    let role = json!(message.role.as_str());
    let source = message.source.get_or_insert_with(|| Map::from_iter([("role".to_owned(), role)]));
    source.insert("content".to_owned(), Value::Array(written));
    message.content = Content::Parts(parts);
    message.reasoning_details.extend(next.reasoning_details);
}

/// The content as a list, and as it is written.
fn in_parts(message: &Message) -> (Vec<Part>, Vec<Value>) {
    match &message.content {
        Content::Text(text) => {
            (vec![Part::Text { text: text.clone(), cache_control: false }], vec![text_part(text)])
        }
        Content::Parts(parts) => {
            let written = message.source.as_ref().and_then(|source| source.get("content")?.as_array());
            (parts.clone(), written.cloned().unwrap_or_default())
        }
        Content::Empty => (Vec::new(), Vec::new()),
    }
}

fn needs_bridge(one: &Message, next: &Message) -> bool {
    one.role == Role::Tool && next.role == Role::User
}

fn bridged(messages: &[Message]) -> Vec<Message> {
    let mut turns: Vec<Message> = Vec::with_capacity(messages.len() + 1);
    for message in messages {
        if turns.last().is_some_and(|last| needs_bridge(last, message)) {
            turns.push(Message::plain(Role::Assistant, BRIDGE));
        }
        turns.push(message.clone());
    }
    turns
}
