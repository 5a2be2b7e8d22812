//! Chat completions. Sources: OpenAI's reference, "Create chat completion"; Mistral's, "Chat Completion"; Perplexity's, "Sonar
//! API"; DeepSeek's guide "Thinking Mode"; Moonshot's "Thinking Models".

use serde_json::Value;

use super::{Alternatives, CallIds, Check, Vendor, list, texts};

const FIELDS: [&str; 21] = [
    "top_k",
    "model",
    "messages",
    "stream",
    "stream_options",
    "max_tokens",
    "max_completion_tokens",
    "temperature",
    "top_p",
    "stop",
    "seed",
    "random_seed",
    "presence_penalty",
    "frequency_penalty",
    "reasoning_effort",
    "tools",
    "tool_choice",
    "response_format",
    "user",
    "thinking",
    "parallel_tool_calls",
];

pub fn check(vendor: Vendor, model: &str, body: &Value, check: &mut Check) {
    check.fields("body", body, &FIELDS);
    let messages = list(&body["messages"]);
    check.that(!messages.is_empty(), || "messages: none".to_owned());
    let mut ids = CallIds::default();
    let mut open: Vec<String> = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        let at = format!("messages[{index}]");
        self::message(vendor, &at, message, check);
        let role = message["role"].as_str().unwrap_or_default();
        if role == "tool" {
            let id = message["tool_call_id"].as_str().unwrap_or_default();
            let place = open.iter().position(|call| call == id);
            check.that(place.is_some(), || format!("{at}: answers no open call ({id})"));
            place.map(|place| open.remove(place));
        } else {
            check.that(open.is_empty(), || format!("{at}: calls without a result: {open:?}"));
        }
        let calls = list(&message["tool_calls"]);
        for call in calls {
            let id = call["id"].as_str().unwrap_or_default();
            ids.add(&at, id, check);
            check.that(takes_id(vendor, id), || format!("{at}: the id {id:?}"));
            let arguments = call["function"]["arguments"].as_str().unwrap_or_default();
            let parsed = serde_json::from_str::<Value>(arguments);
            check.that(parsed.is_ok_and(|value| value.is_object()), || {
                format!("{at}: arguments {arguments:?}")
            });
        }
        open.extend(texts(calls.iter().map(|call| &call["id"])));
    }
    check.that(open.is_empty(), || format!("calls without a result: {open:?}"));
    order(vendor, messages, check);
    settings(vendor, model, body, check);
}

fn takes_id(vendor: Vendor, id: &str) -> bool {
    match vendor {
        Vendor::Mistral => id.len() == 9 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()),
        Vendor::OpenAi => (1..=40).contains(&id.len()),
        _ => !id.is_empty(),
    }
}

fn message(vendor: Vendor, at: &str, message: &Value, check: &mut Check) {
    let own: &[&str] = match vendor {
        Vendor::Mistral => &["prefix"],
        Vendor::DeepSeek => &["reasoning_content", "prefix"],
        Vendor::Moonshot => &["reasoning_content", "partial"],
        Vendor::OpenAi => &["refusal", "audio"],
        Vendor::Compatible => &["reasoning_details"],
        _ => &[],
    };
    let known = ["role", "content", "name", "tool_calls", "tool_call_id"];
    check.fields(at, message, &[&known, own].concat());
    let has_calls = !list(&message["tool_calls"]).is_empty();
    check.that(message.get("tool_calls").is_none() || has_calls, || format!("{at}: no calls in tool_calls"));
    let content = &message["content"];
    match message["role"].as_str().unwrap_or_default() {
        "tool" => {
            let is_text = content.is_string() || list(content).iter().all(|part| part["type"] == "text");
            check.that(vendor == Vendor::Mistral || is_text, || format!("{at}: a result that is no text"));
        }
        "assistant" => {
            let says = content.is_string() || !list(content).is_empty();
            check.that(says || has_calls, || format!("{at}: neither content nor calls"));
            let empty = content.as_str().is_none_or(str::is_empty) && list(content).is_empty();
            check.that(vendor != Vendor::Mistral || !empty || has_calls, || format!("{at}: empty"));
            let thought = !message["reasoning_content"].is_null();
            let wants = matches!(vendor, Vendor::DeepSeek | Vendor::Moonshot) && has_calls;
            check.that(!wants || thought, || format!("{at}: calls without reasoning_content"));
        }
        "developer" => check.that(vendor == Vendor::OpenAi, || format!("{at}: role developer")),
        "system" | "user" => {
            check.that(content.is_string() || content.is_array(), || format!("{at}: no content"));
        }
        role => check.problems.push(format!("{at}: role {role:?}")),
    }
    for part in list(content) {
        let file = &part["file"];
        let named = file["file_id"].is_string() || file["filename"].is_string();
        check.that(part["type"] != "file" || named, || format!("{at}: a file without a name"));
        check.that(part["type"] != "text" || part["text"].is_string(), || {
            format!("{at}: a part without text")
        });
    }
}

fn order(vendor: Vendor, messages: &[Value], check: &mut Check) {
    let roles: Vec<&str> =
        messages.iter().map(|message| message["role"].as_str().unwrap_or_default()).collect();
    let last =
        messages.last().map(|message| (message["role"].as_str().unwrap_or_default(), &message["prefix"]));
    match vendor {
        Vendor::Mistral => {
            for (index, pair) in roles.windows(2).enumerate() {
                check.that(*pair != ["tool", "user"], || format!("messages[{}]: user after tool", index + 1));
            }
            let ends = matches!(last, Some(("user" | "tool", _)) | Some(("assistant", Value::Bool(true))));
            check.that(ends, || format!("the last turn: {last:?}"));
        }
        Vendor::Perplexity => {
            let spoken: Vec<&&str> = roles.iter().skip_while(|role| **role == "system").collect();
            check.that(spoken.first() == Some(&&"user"), || "the first turn is not the user's".to_owned());
            check.that(spoken.windows(2).all(|pair| pair[0] != pair[1]), || format!("turns: {spoken:?}"));
            check.that(!spoken.contains(&&"system"), || "instructions behind the first turn".to_owned());
            check.that(roles.last() == Some(&"user"), || "the last turn is not the user's".to_owned());
        }
        _ => {}
    }
}

fn settings(vendor: Vendor, model: &str, body: &Value, check: &mut Check) {
    let alternatives = if vendor == Vendor::OpenAi { Alternatives::Refused } else { Alternatives::Taken };
    for tool in list(&body["tools"]) {
        check.schema("tools", &tool["function"]["parameters"], alternatives);
    }
    check.that(vendor != Vendor::Perplexity || body.get("tools").is_none(), || "tools".to_owned());
    let reasons = model.starts_with('o') || model.starts_with("gpt-5");
    if vendor == Vendor::OpenAi {
        check.that(!reasons || body.get("max_tokens").is_none(), || "max_tokens".to_owned());
        check.that(list(&body["stop"]).len() <= 4, || "more than four texts to stop at".to_owned());
    }
    if body["response_format"]["type"] == "json_object" {
        let named = body["messages"].to_string().to_ascii_lowercase().contains("json");
        check.that(named, || "json_object, and no message says json".to_owned());
    }
    let has_calls = list(&body["messages"]).iter().any(|message| message.get("tool_calls").is_some());
    check.that(!list(&body["tools"]).is_empty() || !has_calls || vendor != Vendor::Mistral, || {
        "calls without tools".to_owned()
    });
}
