//! The Responses API. Source: OpenAI's reference, "Create a model response".

use serde_json::Value;

use super::{Alternatives, CallIds, Check, list};

const FIELDS: [&str; 17] = [
    "model",
    "input",
    "stream",
    "store",
    "include",
    "max_output_tokens",
    "temperature",
    "top_p",
    "reasoning",
    "tools",
    "tool_choice",
    "text",
    "user",
    "safety_identifier",
    "metadata",
    "instructions",
    "parallel_tool_calls",
];

pub fn check(body: &Value, check: &mut Check) {
    check.fields("body", body, &FIELDS);
    let input = list(&body["input"]);
    check.that(!input.is_empty(), || "input: none".to_owned());
    let mut ids = CallIds::default();
    let mut open: Vec<&str> = Vec::new();
    for (index, item) in input.iter().enumerate() {
        let at = format!("input[{index}]");
        let kind = item["type"].as_str().unwrap_or("message");
        let known: &[&str] = match kind {
            "message" => &["role", "content", "phase", "id", "status"],
            "function_call" => &["call_id", "name", "arguments", "id", "status"],
            "function_call_output" => &["call_id", "output", "id", "status"],
            "reasoning" => &["id", "summary", "content", "encrypted_content", "status"],
            _ => {
                check.problems.push(format!("{at}: an item {kind:?}"));
                continue;
            }
        };
        check.fields(&at, item, &[&["type"], known].concat());
        let id = item["call_id"].as_str().unwrap_or_default();
        match kind {
            "function_call" => {
                ids.add(&at, id, check);
                check.that((1..=64).contains(&id.len()), || format!("{at}: the id {id:?}"));
                check.that(item["arguments"].is_string(), || format!("{at}: arguments"));
                open.push(id);
            }
            "function_call_output" => {
                let place = open.iter().position(|call| *call == id);
                check.that(place.is_some(), || format!("{at}: answers no open call"));
                place.map(|place| open.remove(place));
            }
            "reasoning" => {
                let kept = item["encrypted_content"].is_string() || !list(&item["content"]).is_empty();
                check.that(kept, || format!("{at}: reasoning that nobody has kept"));
                check.that(input.get(index + 1).is_some(), || {
                    format!("{at}: reasoning that leads to nothing")
                });
            }
            _ => message(&at, item, check),
        }
    }
    check.that(open.is_empty(), || format!("calls without a result: {open:?}"));
    for tool in list(&body["tools"]) {
        check.schema("tools", &tool["parameters"], Alternatives::Refused);
    }
    if body["text"]["format"]["type"] == "json_object" {
        let named = body["input"].to_string().to_ascii_lowercase().contains("json");
        check.that(named, || "json_object, and no message says json".to_owned());
    }
}

fn message(at: &str, item: &Value, check: &mut Check) {
    let role = item["role"].as_str().unwrap_or_default();
    check.that(["user", "assistant", "system", "developer"].contains(&role), || format!("{at}: role {role}"));
    check.that(role == "assistant" || item.get("phase").is_none(), || format!("{at}: a phase"));
    let taken: &[&str] = if role == "assistant" {
        &["output_text", "refusal"]
    } else {
        &["input_text", "input_image", "input_file"]
    };
    for part in list(&item["content"]) {
        let kind = part["type"].as_str().unwrap_or_default();
        check.that(taken.contains(&kind), || format!("{at}: a part {kind:?}"));
    }
}
