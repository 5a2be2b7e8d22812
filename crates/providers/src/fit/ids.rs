//! Ids of tool calls, as the receiver takes them.
//!
//! Ids come from whoever made the calls, and vendors differ in what they take. An id that the receiver takes stays as it
//! is; any other becomes one that depends on the turns up to its call alone, so that a conversation that grows keeps its
//! ids, and prompt caches their worth. Ids that stand for several calls are told apart; a result follows its call.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use gateway_model::{Message, Role};
use serde_json::{Value, json};

/// The ids that a receiver takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdRule {
    /// Any text.
    Any,
    /// Of so many bytes at most.
    AtMost(usize),
    /// Letters, digits, `_` and `-`, so many at most.
    Plain(usize),
    /// Nine letters and digits.
    Nine,
}

impl IdRule {
    fn takes(self, id: &str) -> bool {
        !id.is_empty()
            && match self {
                Self::Any => true,
                Self::AtMost(most) => id.len() <= most,
                Self::Plain(most) => id.len() <= most && id.bytes().all(is_plain),
                Self::Nine => id.len() == NINE && id.bytes().all(|byte| byte.is_ascii_alphanumeric()),
            }
    }

    /// An id that is taken, and is not the `round`-th try's of before.
    fn make(self, id: &str, round: usize) -> String {
        let most = match self {
            Self::Nine => return nine(id, round),
            Self::Any => usize::MAX,
            Self::AtMost(most) | Self::Plain(most) => most,
        };
        let mut made: String = match self {
            Self::Plain(_) => id.chars().map(|c| if is_plain_char(c) { c } else { '_' }).collect(),
            _ => id.to_owned(),
        };
        if made.is_empty() {
            made.push_str("call");
        }
        let tail = match (made.len() > most, round) {
            (false, 0) => return made,
            // What was cut off tells ids apart that begin alike.
            (true, _) => format!("_{:08x}", short_hash(id, round)),
            (false, round) => format!("_{}", round + 1),
        };
        let mut end = made.len().min(most.saturating_sub(tail.len()));
        while !made.is_char_boundary(end) {
            end -= 1;
        }
        made.truncate(end);
        made + &tail
    }
}

const NINE: usize = 9;

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

fn is_plain_char(c: char) -> bool {
    u8::try_from(c).is_ok_and(is_plain)
}

fn nine(id: &str, round: usize) -> String {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut rest = hash(id, round);
    (0..NINE)
        .map(|_| {
            let digit = DIGITS.get((rest % 62) as usize).copied().unwrap_or(b'0');
            rest /= 62;
            char::from(digit)
        })
        .collect()
}

/// FNV-1a: the same in every release, which the standard library's is not.
fn hash(id: &str, round: usize) -> u64 {
    let round = round.to_string();
    let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let mixed = id.bytes().chain([0]).chain(round.bytes()).fold(0xcbf2_9ce4_8422_2325, fold);
    mixed ^ (mixed >> 29)
}

fn short_hash(id: &str, round: usize) -> u32 {
    let hash = hash(id, round);
    (hash ^ (hash >> 32)) as u32
}

/// A call so far: the id it goes by, and whether a result has come.
struct Sent {
    id: String,
    is_answered: bool,
}

/// The conversation with ids that the receiver takes, each for one call alone.
pub fn fit_ids(messages: &[Message], rule: IdRule) -> Cow<'_, [Message]> {
    let mut fitted = Cow::Borrowed(messages);
    let mut used: HashSet<String> = HashSet::new();
    // By the id of whoever made the call; the calls of one id in their order.
    let mut calls: HashMap<&str, Vec<Sent>> = HashMap::new();
    for (at, message) in messages.iter().enumerate() {
        let ids: Vec<String> =
            message.tool_calls.iter().map(|call| take_id(&call.id, rule, &mut used)).collect();
        if ids.iter().zip(&message.tool_calls).any(|(id, call)| *id != call.id)
            && let Some(message) = fitted.to_mut().get_mut(at)
        {
            rename_calls(message, &ids);
        }
        for (id, call) in ids.into_iter().zip(&message.tool_calls) {
            calls.entry(&*call.id).or_default().push(Sent { id, is_answered: false });
        }
        let Some(result) = message.tool_call_id.as_deref().filter(|_| message.role == Role::Tool) else {
            continue;
        };
        let Some(sent) = calls.get_mut(result).and_then(|calls| answered_call(calls)) else { continue };
        sent.is_answered = true;
        if sent.id != result
            && let Some(message) = fitted.to_mut().get_mut(at)
        {
            rename_result(message, &sent.id);
        }
    }
    fitted
}

fn take_id(id: &str, rule: IdRule, used: &mut HashSet<String>) -> String {
    let mut taken = if rule.takes(id) { id.to_owned() } else { rule.make(id, 0) };
    let mut round = 0;
    while !used.insert(taken.clone()) {
        round += 1;
        taken = rule.make(id, round);
    }
    taken
}

/// The call that the next result is of: the first that has none, else the last.
fn answered_call(calls: &mut [Sent]) -> Option<&mut Sent> {
    let at = calls.iter().position(|call| !call.is_answered).or(calls.len().checked_sub(1))?;
    calls.get_mut(at)
}

fn rename_calls(message: &mut Message, ids: &[String]) {
    for (call, id) in message.tool_calls.iter_mut().zip(ids) {
        call.id.clone_from(id);
    }
    let Some(source) = &mut message.source else { return };
    let written = source.get_mut("tool_calls").and_then(Value::as_array_mut);
    // Kinds of calls that are not read here have no `function`, and keep what they have.
    let functions = written.into_iter().flatten().filter(|call| call["function"]["name"].is_string());
    for (call, id) in functions.zip(ids) {
        call["id"] = json!(id);
    }
}

fn rename_result(message: &mut Message, id: &str) {
    message.tool_call_id = Some(id.to_owned());
    if let Some(source) = &mut message.source
        && let Some(written) = source.get_mut("tool_call_id")
    {
        *written = json!(id);
    }
}

#[cfg(test)]
mod tests {
    use gateway_model::ChatRequest;

    use super::*;

    fn ids(messages: &Value, rule: IdRule) -> (Vec<String>, Vec<String>) {
        let mut list = vec![json!({"role": "user", "content": "go"})];
        list.extend(messages.as_array().unwrap().clone());
        let request = ChatRequest::from_json(&json!({ "messages": list }).to_string()).unwrap();
        let fitted = fit_ids(&request.messages, rule);
        let calls = fitted.iter().flat_map(|message| &message.tool_calls).map(|call| call.id.clone());
        let results = fitted.iter().filter_map(|message| message.tool_call_id.clone());
        (calls.collect(), results.collect())
    }

    fn turn(ids: &[&str]) -> Value {
        let calls = ids.iter().map(|id| json!({"id": id, "name": "f", "arguments": {}}));
        json!({"role": "assistant", "content": null, "toolCalls": calls.collect::<Value>()})
    }

    fn result(id: &str) -> Value {
        json!({"role": "tool", "toolCallId": id, "content": "r"})
    }

    fn round(given: &[&str], rule: IdRule) -> Vec<String> {
        let results = given.iter().map(|id| result(id));
        let messages: Value = std::iter::once(turn(given)).chain(results).collect();
        let (calls, results) = ids(&messages, rule);
        assert_eq!(calls, results);
        assert!(calls.iter().all(|id| rule.takes(id)), "{calls:?}");
        assert_eq!(calls.iter().collect::<HashSet<_>>().len(), given.len(), "{calls:?}");
        calls
    }

    #[test]
    fn good_ids_stay_and_the_list_is_not_copied() {
        for (id, rule) in [
            ("toolu_01-A", IdRule::Plain(64)),
            ("functions.f:0", IdRule::AtMost(40)),
            ("functions|f|0", IdRule::Any),
            ("D681PevKs", IdRule::Nine),
        ] {
            assert_eq!(round(&[id], rule), [id]);
            let request = json!({"messages": [turn(&[id]), result(id)]});
            let request = ChatRequest::from_json(&request.to_string()).unwrap();
            assert!(matches!(fit_ids(&request.messages, rule), Cow::Borrowed(_)));
        }
    }

    #[test]
    fn ids_that_are_refused_become_ones_that_are_taken() {
        assert_eq!(
            round(&["functions.f:0", "functions|f|0"], IdRule::Plain(64)),
            ["functions_f_0", "functions_f_0_2"]
        );
        let long = "x".repeat(90);
        for rule in [IdRule::Plain(64), IdRule::AtMost(40), IdRule::Nine] {
            round(&[&format!("{long}1"), &format!("{long}2"), "", "é", "é é"], rule);
        }
        let longest = round(&[&"é".repeat(40)], IdRule::AtMost(40));
        assert!(longest[0].starts_with('é'));
    }

    #[test]
    fn one_id_for_several_calls_becomes_several() {
        let again = json!([turn(&["f-0"]), result("f-0"), turn(&["f-0"]), result("f-0")]);
        let (calls, results) = ids(&again, IdRule::Plain(64));
        assert_eq!(calls, ["f-0", "f-0_2"]);
        assert_eq!(results, calls);
        assert_eq!(round(&["x", "x", "x"], IdRule::Any), ["x", "x_2", "x_3"]);
    }

    #[test]
    fn ids_do_not_change_when_the_conversation_grows() {
        let first = json!([turn(&["a.b"]), result("a.b")]);
        let grown = json!([turn(&["a.b"]), result("a.b"), turn(&["a_b", "a.b"]), result("a_b")]);
        for rule in [IdRule::Plain(64), IdRule::Nine] {
            assert_eq!(ids(&first, rule).0[0], ids(&grown, rule).0[0]);
        }
    }

    #[test]
    fn messages_in_openais_form_are_renamed_where_they_are_written() {
        let calls = json!([{"id": "custom", "type": "custom", "custom": {"name": "c", "input": ""}},
            {"id": "a.b", "type": "function", "function": {"name": "f", "arguments": "{}"}}]);
        let request = json!({"messages": [{"role": "assistant", "content": null, "tool_calls": calls},
            {"role": "tool", "tool_call_id": "a.b", "content": "r"}]});
        let request = ChatRequest::from_json(&request.to_string()).unwrap();
        let fitted = fit_ids(&request.messages, IdRule::Plain(64)).into_owned();
        let written = ChatRequest { messages: fitted, ..ChatRequest::default() }.openai_messages_value();
        assert_eq!(written[0]["tool_calls"][0]["id"], "custom");
        assert_eq!(
            (&written[0]["tool_calls"][1]["id"], &written[1]["tool_call_id"]),
            (&json!("a_b"), &json!("a_b"))
        );
    }
}
