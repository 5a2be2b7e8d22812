//! Messages. Sources: Anthropic's reference, "Messages"; its guides "Tool use", "Extended thinking", "Adaptive thinking" and
//! "What's new in Claude 4.6".

use serde_json::Value;

use super::{Alternatives, CallIds, Check, is_plain_id, list, texts};

const FIELDS: [&str; 15] = [
    "model",
    "messages",
    "max_tokens",
    "stream",
    "temperature",
    "top_p",
    "top_k",
    "system",
    "stop_sequences",
    "thinking",
    "output_config",
    "tools",
    "tool_choice",
    "metadata",
    "service_tier",
];

pub fn check(model: &str, body: &Value, check: &mut Check) {
    check.fields("body", body, &FIELDS);
    check.that(body["max_tokens"].as_u64().is_some_and(|bound| bound > 0), || "max_tokens".to_owned());
    match &body["system"] {
        Value::Null | Value::String(_) => {}
        system => list(system).iter().for_each(|block| self::block("system", "user", block, check)),
    }
    let messages = list(&body["messages"]);
    let first = messages.first().map(|message| &message["role"]);
    check.that(first.is_some_and(|role| role == "user"), || "the first turn is not the user's".to_owned());
    let mut ids = CallIds::default();
    let mut open: Vec<String> = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        let at = format!("messages[{index}]");
        check.fields(&at, message, &["role", "content"]);
        let role = message["role"].as_str().unwrap_or_default();
        check.that(["user", "assistant"].contains(&role), || format!("{at}: role {role}"));
        let content = &message["content"];
        if content.is_string() {
            check.not_blank(&at, content);
        } else {
            check.that(!list(content).is_empty(), || format!("{at}: no content"));
        }
        list(content).iter().for_each(|block| self::block(&at, role, block, check));
        let of_type = |kind: &'static str| list(content).iter().filter(move |block| block["type"] == kind);
        if index > 0 && !open.is_empty() {
            let answered = texts(of_type("tool_result").map(|block| &block["tool_use_id"]));
            let whole = open.iter().all(|id| answered.contains(id)) && answered.len() == open.len();
            check.that(whole, || format!("{at}: calls {open:?}, results {answered:?}"));
        }
        let results = of_type("tool_result").count();
        let leading = list(content).iter().take_while(|block| block["type"] == "tool_result").count();
        check.that(results == leading, || format!("{at}: results behind other blocks"));
        open = texts(of_type("tool_use").map(|block| &block["id"]));
        for id in &open {
            ids.add(&at, id, check);
            check.that(is_plain_id(id), || format!("{at}: the id {id:?}"));
        }
    }
    check.that(open.is_empty(), || format!("calls without a result: {open:?}"));
    last_turn(model, messages, check);
    thinking(body, messages, check);
    for tool in list(&body["tools"]) {
        check.schema("tools", &tool["input_schema"], Alternatives::Refused);
    }
    list(&body["stop_sequences"]).iter().for_each(|text| check.not_blank("stop_sequences", text));
}

fn block(at: &str, role: &str, block: &Value, check: &mut Check) {
    let kind = block["type"].as_str().unwrap_or_default();
    let known: &[&str] = match kind {
        "text" => &["text"],
        "image" => &["source"],
        "document" => &["source", "title"],
        "tool_use" => &["id", "name", "input"],
        "tool_result" => &["tool_use_id", "content", "is_error"],
        "thinking" => &["thinking", "signature"],
        "redacted_thinking" => &["data"],
        _ => return check.problems.push(format!("{at}: a block {kind:?}")),
    };
    check.fields(at, block, &[&["type", "cache_control"], known].concat());
    match kind {
        "text" => check.not_blank(at, &block["text"]),
        "tool_use" => {
            check.that(role == "assistant", || format!("{at}: a call of the user's"));
            check.that(block["input"].is_object(), || format!("{at}: no input"));
        }
        "tool_result" => {
            check.that(role == "user", || format!("{at}: a result of the assistant's"));
            let content = list(&block["content"]);
            let is_text = content.iter().all(|part| part["type"] == "text");
            check.that(block["is_error"] != true || is_text, || format!("{at}: a failure that is no text"));
            content.iter().for_each(|part| self::block(at, role, part, check));
        }
        "thinking" => check.that(block["signature"].as_str().is_some_and(|text| !text.is_empty()), || {
            format!("{at}: thinking without a signature")
        }),
        "document" => {
            let source = &block["source"];
            let pdf = source["type"] != "base64" || source["media_type"] == "application/pdf";
            check.that(pdf, || format!("{at}: a document in base64 that is no PDF"));
        }
        _ => {}
    }
}

fn last_turn(model: &str, messages: &[Value], check: &mut Check) {
    let Some(last) = messages.last().filter(|last| last["role"] == "assistant") else { return };
    let newer = ["-4-6", "-4-7", "-4-8", "opus-5", "sonnet-5", "fable-5"]
        .iter()
        .any(|version| model.contains(version));
    check.that(!newer, || "the last turn is the assistant's".to_owned());
    let text = last["content"].as_str().or_else(|| list(&last["content"]).last()?["text"].as_str());
    let blank = text.is_some_and(|text| text.ends_with(char::is_whitespace));
    check.that(!blank, || "the last turn ends in blanks".to_owned());
}

fn thinking(body: &Value, messages: &[Value], check: &mut Check) {
    let thinking = &body["thinking"];
    if thinking.is_null() {
        return;
    }
    let temperature = body["temperature"].as_f64();
    check.that(temperature.is_none_or(|value| value == 1.0), || "a temperature beside thinking".to_owned());
    check.that(body.get("top_k").is_none(), || "top_k beside thinking".to_owned());
    if thinking["type"] != "enabled" {
        return;
    }
    let forced = matches!(body["tool_choice"]["type"].as_str(), Some("any" | "tool"));
    check.that(!forced, || "a forced tool beside thinking".to_owned());
    check.that(thinking["budget_tokens"].as_u64() < body["max_tokens"].as_u64(), || {
        "budget_tokens".to_owned()
    });
    // The turn under way begins behind the user's last words that are no result.
    let is_words = |message: &Value| {
        message["role"] == "user"
            && !list(&message["content"]).iter().any(|block| block["type"] == "tool_result")
    };
    let begun = messages.iter().rposition(is_words).map_or(0, |at| at + 1);
    let turn = messages.iter().skip(begun).find(|message| message["role"] == "assistant");
    let begins = turn.is_none_or(|turn| {
        let first = list(&turn["content"]).first().map(|block| &block["type"]);
        first.is_some_and(|kind| kind == "thinking" || kind == "redacted_thinking")
    });
    check.that(begins, || "the turn under way does not begin with thinking".to_owned());
}
