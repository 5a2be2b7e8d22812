//! Converse. Source: the Amazon Bedrock API reference, "Converse", "ContentBlock", "ToolResultBlock" and "DocumentBlock".

use serde_json::Value;

use super::{Alternatives, CallIds, Check, is_plain_id, list, texts};

const FIELDS: [&str; 9] = [
    "messages",
    "system",
    "inferenceConfig",
    "toolConfig",
    "additionalModelRequestFields",
    "requestMetadata",
    "guardrailConfig",
    "outputConfig",
    "performanceConfig",
];
const BLOCKS: [&str; 7] =
    ["text", "image", "document", "toolUse", "toolResult", "reasoningContent", "cachePoint"];

pub fn check(model: &str, body: &Value, check: &mut Check) {
    check.fields("body", body, &FIELDS);
    list(&body["system"]).iter().for_each(|block| self::block(model, "system", block, check));
    let messages = list(&body["messages"]);
    let first = messages.first().map(|message| &message["role"]);
    check.that(first.is_some_and(|role| role == "user"), || "the first turn is not the user's".to_owned());
    let alternate = messages.windows(2).all(|pair| pair[0]["role"] != pair[1]["role"]);
    check.that(alternate, || "neighbours of one role".to_owned());
    let mut ids = CallIds::default();
    let mut open: Vec<String> = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        let at = format!("messages[{index}]");
        check.fields(&at, message, &["role", "content"]);
        let content = list(&message["content"]);
        check.that(!content.is_empty(), || format!("{at}: no content"));
        content.iter().for_each(|block| self::block(model, &at, block, check));
        let has = |kind: &str| content.iter().any(|block| block.get(kind).is_some());
        check.that(!has("document") || has("text"), || format!("{at}: a document without a text"));
        let of_kind = |kind: &'static str| content.iter().filter_map(move |block| block.get(kind));
        let answered = texts(of_kind("toolResult").map(|result| &result["toolUseId"]));
        let whole = open.iter().all(|id| answered.contains(id)) && answered.len() == open.len();
        check.that(whole, || format!("{at}: calls {open:?}, results {answered:?}"));
        open = texts(of_kind("toolUse").map(|call| &call["toolUseId"]));
        for id in &open {
            ids.add(&at, id, check);
            check.that(is_plain_id(id), || format!("{at}: the id {id:?}"));
        }
    }
    check.that(open.is_empty(), || format!("calls without a result: {open:?}"));
    let tools = list(&body["toolConfig"]["tools"]);
    check.that(ids.0.is_empty() || !tools.is_empty(), || "calls without a toolConfig".to_owned());
    for tool in tools {
        check.schema("tools", &tool["toolSpec"]["inputSchema"]["json"], Alternatives::Refused);
    }
    list(&body["inferenceConfig"]["stopSequences"])
        .iter()
        .for_each(|text| check.not_blank("stopSequences", text));
}

fn block(model: &str, at: &str, block: &Value, check: &mut Check) {
    check.fields(at, block, &BLOCKS);
    check.that(block.as_object().is_some_and(|block| block.len() == 1), || {
        format!("{at}: a block of several")
    });
    if let Some(text) = block.get("text") {
        check.not_blank(at, text);
    }
    if let Some(result) = block.get("toolResult") {
        check.fields(at, result, &["toolUseId", "content", "status"]);
        check.that(!list(&result["content"]).is_empty(), || format!("{at}: an empty result"));
        list(&result["content"]).iter().for_each(|part| self::block(model, at, part, check));
    }
    if let Some(call) = block.get("toolUse") {
        check.fields(at, call, &["toolUseId", "name", "input"]);
        check.that(call["input"].is_object(), || format!("{at}: no input"));
    }
    if let Some(reasoning) = block.get("reasoningContent").filter(|_| model.contains("anthropic")) {
        let signed =
            reasoning["reasoningText"]["signature"].is_string() || reasoning["redactedContent"].is_string();
        check.that(signed, || format!("{at}: reasoning without a signature"));
    }
}
