//! `generateContent`. Sources: Google's reference, "Generating content"; its guides to function calling and thought signatures.

use serde_json::Value;

use super::{Alternatives, Check, list};

const FIELDS: [&str; 7] = [
    "contents",
    "systemInstruction",
    "tools",
    "toolConfig",
    "generationConfig",
    "safetySettings",
    "cachedContent",
];
const PART: [&str; 7] =
    ["text", "inlineData", "fileData", "functionCall", "functionResponse", "thought", "thoughtSignature"];

pub fn check(model: &str, body: &Value, check: &mut Check) {
    check.fields("body", body, &FIELDS);
    let contents = list(&body["contents"]);
    check.that(contents.first().is_some_and(|turn| turn["role"] == "user"), || {
        "the first turn is not the user's".to_owned()
    });
    let count = |turn: &Value, kind: &str| {
        list(&turn["parts"]).iter().filter(|part| part.get(kind).is_some()).count()
    };
    for (index, turn) in contents.iter().enumerate() {
        let at = format!("contents[{index}]");
        check.fields(&at, turn, &["role", "parts"]);
        let role = turn["role"].as_str().unwrap_or_default();
        check.that(["user", "model"].contains(&role), || format!("{at}: role {role}"));
        let parts = list(&turn["parts"]);
        check.that(!parts.is_empty(), || format!("{at}: no parts"));
        for part in parts {
            check.fields(&at, part, &PART);
            let empty = part["text"] == "" && part.get("thoughtSignature").is_none();
            check.that(!empty, || format!("{at}: an empty text"));
            if let Some(response) = part.get("functionResponse") {
                check.fields(&at, response, &["id", "name", "response", "parts"]);
                check.that(response["response"].is_object(), || format!("{at}: a result that is no object"));
            }
        }
        let calls = count(turn, "functionCall");
        if calls > 0 {
            let before = index.checked_sub(1).and_then(|before| contents.get(before));
            check.that(before.is_some_and(|turn| turn["role"] == "user"), || {
                format!("{at}: calls behind no turn of the user's")
            });
            let results = contents.get(index + 1).map_or(0, |next| count(next, "functionResponse"));
            check.that(results == calls, || format!("{at}: {calls} calls, {results} results"));
            let first = parts.iter().find(|part| part.get("functionCall").is_some());
            let signed = first.is_some_and(|call| call.get("thoughtSignature").is_some());
            check.that(!model.starts_with("gemini-3") || signed, || {
                format!("{at}: the first call has no signature")
            });
        }
        let results = count(turn, "functionResponse");
        let called = index.checked_sub(1).map_or(0, |before| count(&contents[before], "functionCall"));
        check.that(results == 0 || results == called, || format!("{at}: results of no calls"));
    }
    for declaration in list(&body["tools"]).iter().flat_map(|tool| list(&tool["functionDeclarations"])) {
        check.schema("tools", &declaration["parametersJsonSchema"], Alternatives::Taken);
    }
    check.that(list(&body["generationConfig"]["stopSequences"]).len() <= 5, || "stopSequences".to_owned());
}
