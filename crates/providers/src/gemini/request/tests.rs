use std::sync::Arc;

use super::*;
use gateway_model::ChatRequest;

const FLASH: &str = "gemini-3.8-flash";

fn call(model: &str, request: &Value) -> ProviderCall {
    let request = ChatRequest::from_json(&request.to_string()).unwrap();
    ProviderCall {
        max_tokens: request.max_tokens,
        request: Arc::new(request),
        model: model.to_owned(),
        timeout: None,
        deadline: None,
        sent: Default::default(),
    }
}

fn sent(model: &str, request: Value) -> Value {
    body(&mut CallSettings::new(&call(model, &request)))
}

fn contents_of(model: &str, messages: Value) -> Value {
    sent(model, json!({ "messages": messages }))["contents"].clone()
}

fn tool(name: &str) -> Value {
    json!({"name": name, "parameters": {"type": "object", "properties": {"x": {"$ref": "#/$defs/x"}},
        "$defs": {"x": {"type": ["string", "null"]}}}})
}

#[test]
fn every_option_has_its_field_in_a_fixed_order() {
    let request = json!({
        "messages": [{"role": "user", "content": "q"}], "temperature": 0.5, "topP": 0.9, "maxTokens": 10,
        "stop": ["a", "b"], "seed": 7, "presencePenalty": 0.1, "frequencyPenalty": -0.2, "reasoningEffort": "low",
        "userId": "u", "tools": [tool("f")], "toolChoice": {"name": "f"},
        "responseFormat": {"jsonSchema": {"type": "object", "additionalProperties": false}, "strict": true},
    });
    let expected = concat!(
        r#"{"contents":[{"role":"user","parts":[{"text":"q"}]}],"#,
        r#""tools":[{"functionDeclarations":[{"name":"f","parametersJsonSchema":{"type":"object","properties":"#,
        r##"{"x":{"$ref":"#/$defs/x"}},"$defs":{"x":{"type":["string","null"]}}}}]}],"##,
        r#""toolConfig":{"functionCallingConfig":{"mode":"ANY","allowedFunctionNames":["f"]}},"#,
        r#""generationConfig":{"temperature":0.5,"topP":0.9,"maxOutputTokens":10,"stopSequences":["a","b"],"seed":7,"#,
        r#""presencePenalty":0.1,"frequencyPenalty":-0.2,"responseMimeType":"application/json","#,
        r#""responseJsonSchema":{"type":"object","additionalProperties":false},"#,
        r#""thinkingConfig":{"thinkingLevel":"low","includeThoughts":true}}}"#,
    );
    assert_eq!(sent(FLASH, request.clone()).to_string(), expected);
    assert_eq!(sent(FLASH, request).to_string(), expected);
}

#[test]
fn choices_of_tools_are_modes() {
    for (choice, mode) in [("auto", "AUTO"), ("none", "NONE"), ("required", "ANY")] {
        let request = json!({"messages": [{"role": "user", "content": "q"}], "tools": [tool("f")], "toolChoice": choice});
        assert_eq!(sent(FLASH, request)["toolConfig"], json!({"functionCallingConfig": {"mode": mode}}));
    }
    let request = json!({"messages": [{"role": "user", "content": "q"}], "toolChoice": "none"});
    assert_eq!(sent(FLASH, request)["toolConfig"], Value::Null);
}

#[test]
fn instructions_are_gathered_from_wherever_they_stand() {
    let body = sent(
        FLASH,
        json!({"messages": [
            {"role": "system", "content": "one"},
            {"role": "user", "content": "q"},
            {"role": "developer", "content": [{"type": "text", "text": "two"}, {"type": "text", "text": "three"}]},
            {"role": "assistant", "content": "a"},
            {"role": "system", "content": ""},
            {"role": "user", "content": "r"},
        ]}),
    );
    assert_eq!(
        body["systemInstruction"],
        json!({"parts": [{"text": "one"}, {"text": "two"}, {"text": "three"}]})
    );
    assert_eq!(
        body["contents"],
        json!([
            {"role": "user", "parts": [{"text": "q"}]},
            {"role": "model", "parts": [{"text": "a"}]},
            {"role": "user", "parts": [{"text": "r"}]},
        ])
    );
}

#[test]
fn media_go_inline_or_by_their_address() {
    let contents = contents_of(
        FLASH,
        json!([{"role": "user", "content": [
            {"type": "text", "text": ""},
            {"type": "image", "data": "AA==", "mimeType": "image/webp"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,BB=="}},
            {"type": "image", "url": "https://example.com/a/cat.JPG?size=1"},
            {"type": "image", "url": "gs://bucket/dir.png/object"},
            {"type": "image", "url": "https://generativelanguage.googleapis.com/v1beta/files/abc123"},
            {"type": "file", "data": "CC==", "mimeType": "application/pdf", "name": "a.pdf"},
            {"type": "audio", "data": "DD==", "mimeType": "audio/wav"},
        ]}]),
    );
    assert_eq!(
        contents,
        json!([{"role": "user", "parts": [
            {"inlineData": {"mimeType": "image/webp", "data": "AA=="}},
            {"inlineData": {"mimeType": "image/png", "data": "BB=="}},
            {"fileData": {"mimeType": "image/jpeg", "fileUri": "https://example.com/a/cat.JPG?size=1"}},
            {"fileData": {"fileUri": "gs://bucket/dir.png/object"}},
            {"fileData": {"fileUri": "https://generativelanguage.googleapis.com/v1beta/files/abc123"}},
            {"inlineData": {"mimeType": "application/pdf", "data": "CC=="}},
            {"inlineData": {"mimeType": "audio/wav", "data": "DD=="}},
        ]}])
    );
}

#[test]
fn a_turn_without_parts_is_left_out() {
    let contents = contents_of(
        FLASH,
        json!([
            {"role": "user", "content": "q"},
            {"role": "assistant", "content": ""},
            {"role": "assistant", "content": null, "tool_calls": []},
            {"role": "user", "content": [{"type": "refusal", "refusal": "no"}]},
            {"role": "user", "content": "r"},
        ]),
    );
    assert_eq!(
        contents,
        json!([
            {"role": "user", "parts": [{"text": "q"}]}, {"role": "user", "parts": [{"text": "r"}]},
        ])
    );
}

#[test]
fn results_of_a_round_share_a_turn_in_the_order_of_their_calls() {
    let contents = contents_of(
        FLASH,
        json!([
            {"role": "user", "content": "q"},
            {"role": "assistant", "content": "I look.", "toolCalls": [
                {"id": "fc-1", "name": "f", "arguments": {"b": 1, "a": 2.0}, "signature": "U2lnQQ=="},
                {"id": "call_1", "name": "g", "arguments": {}},
                {"id": "call_2", "name": "h", "arguments": "not JSON"},
            ]},
            {"role": "tool", "toolCallId": "call_2", "content": "[1, 2]"},
            {"role": "system", "content": "s"},
            {"role": "tool", "toolCallId": "call_1", "content": "{\"z\": 1, \"a\": null}"},
            {"role": "tool", "toolCallId": "fc-1", "content": "text"},
                {"role": "user", "content": "and?"},
        ]),
    );
    assert_eq!(contents.to_string(), json!([
        {"role": "user", "parts": [{"text": "q"}]},
        {"role": "model", "parts": [
            {"text": "I look."},
            {"functionCall": {"id": "fc-1", "name": "f", "args": {"b": 1, "a": 2.0}}, "thoughtSignature": "U2lnQQ=="},
            {"functionCall": {"name": "g", "args": {}}},
            {"functionCall": {"name": "h", "args": {}}},
        ]},
        {"role": "user", "parts": [
            {"functionResponse": {"id": "fc-1", "name": "f", "response": {"result": "text"}}},
            {"functionResponse": {"name": "g", "response": {"z": 1, "a": null}}},
            {"functionResponse": {"name": "h", "response": {"result": "[1, 2]"}}},
        ]},
        {"role": "user", "parts": [{"text": "and?"}]},
    ]).to_string());
}

#[test]
fn a_result_belongs_to_the_last_call_of_its_id() {
    let contents = contents_of(
        FLASH,
        json!([
            {"role": "assistant", "content": "", "toolCalls": [{"id": "call_0", "name": "first", "signature": "QQ=="}]},
            {"role": "tool", "toolCallId": "call_0", "content": "1"},
            {"role": "assistant", "content": "", "toolCalls": [{"id": "call_0", "name": "second", "signature": "QQ=="}]},
            {"role": "tool", "toolCallId": "call_0", "content": "2"},
        ]),
    );
    let name = |turn: usize| contents[turn]["parts"][0]["functionResponse"]["name"].clone();
    assert_eq!((name(1), name(3)), (json!("first"), json!("second")));
}

#[test]
fn images_in_results_are_part_of_them_where_the_model_can() {
    let messages = json!([
        {"role": "assistant", "content": "", "toolCalls": [{"id": "c", "name": "shot", "signature": "QQ=="}]},
        {"role": "tool", "toolCallId": "c", "content": [
            {"type": "text", "text": "done"}, {"type": "image", "data": "AA==", "mimeType": "image/png"},
            {"type": "image", "url": "https://x/y"},
        ]},
    ]);
    let image = json!({"inlineData": {"mimeType": "image/png", "data": "AA=="}});
    let linked = json!({"fileData": {"fileUri": "https://x/y"}});
    let response = json!({"id": "c", "name": "shot", "response": {"result": "done"}});
    let mut inside = response.clone();
    inside["parts"] = json!([image]);
    let parts = |model: &str| contents_of(model, messages.clone())[1]["parts"].clone();
    assert_eq!(parts(FLASH), json!([{"functionResponse": inside}, linked]));
    assert_eq!(parts("gemini-2.5-pro"), json!([{"functionResponse": response}, image, linked]));
}

fn model_parts(message: Value) -> Value {
    contents_of(FLASH, json!([message]))[0]["parts"].clone()
}

#[test]
fn kept_parts_come_back_in_their_places() {
    let parts = model_parts(json!({
        "role": "assistant", "content": "Grüße. Ich sehe nach.",
        "toolCalls": [
            {"id": "a", "name": "f", "arguments": {}, "signature": "c2ln/+=="},
            {"id": "b", "name": "g", "arguments": {}},
        ],
        "reasoningDetails": [
            {"thought": true, "text": "Hm.", "thoughtSignature": "VA==", "after": {"text": 0, "calls": 0}},
            {"type": "thinking", "thinking": "another vendor's", "signature": "eA=="},
            {"text": " Ich", "thoughtSignature": "VFg=", "after": {"text": 8, "calls": 0}},
            {"text": "", "thoughtSignature": "RQ==", "after": {"text": 23, "calls": 1}},
        ],
    }));
    assert_eq!(
        parts,
        json!([
            {"thought": true, "text": "Hm.", "thoughtSignature": "VA=="},
            {"text": "Grüße."},
            {"text": " Ich", "thoughtSignature": "VFg="},
            {"text": " sehe nach."},
            {"functionCall": {"id": "a", "name": "f", "args": {}}, "thoughtSignature": "c2ln/+=="},
            {"text": "", "thoughtSignature": "RQ=="},
            {"functionCall": {"id": "b", "name": "g", "args": {}}},
        ])
    );
}

#[test]
fn kept_parts_without_a_note_find_a_place() {
    let parts = |content: &str| {
        model_parts(json!({"role": "assistant", "content": content, "reasoningDetails": [
            {"thought": true, "thoughtSignature": "VA=="}, {"text": "end", "thoughtSignature": "RQ=="},
        ]}))
    };
    assert_eq!(
        parts("the end"),
        json!([
            {"thought": true, "thoughtSignature": "VA=="}, {"text": "the "}, {"text": "end", "thoughtSignature": "RQ=="},
        ])
    );
}

#[test]
fn a_changed_text_keeps_its_change() {
    for (content, after, text) in [
        ("changed", json!({"text": 4, "calls": 9}), "changed"),
        ("", json!({"text": 4}), ""),
        ("é", json!({"text": 1, "calls": "x"}), "é"),
        ("short", json!(7), "short"),
    ] {
        let parts = model_parts(json!({"role": "assistant", "content": content, "reasoningDetails": [
            {"text": "signed text", "thoughtSignature": "RQ==", "after": after},
        ]}));
        let parts = parts.as_array().unwrap();
        let all: String = parts.iter().map(|part| part["text"].as_str().unwrap()).collect();
        assert_eq!(all, text);
        assert!(parts.contains(&json!({"text": "", "thoughtSignature": "RQ=="})), "{parts:?}");
    }
}

#[test]
fn calls_of_other_vendors_get_the_mark_that_lets_them_pass() {
    let messages = json!([
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": null, "tool_calls": [
            {"id": "call_9xG2", "type": "function", "function": {"name": "f", "arguments": "{\"x\": 1}"}},
            {"id": "call_8hK1", "type": "function", "function": {"name": "g", "arguments": ""}},
        ]},
    ]);
    let parts = |model: &str| contents_of(model, messages.clone())[1]["parts"].clone();
    let first = json!({"id": "call_9xG2", "name": "f", "args": {"x": 1}});
    let second = json!({"functionCall": {"id": "call_8hK1", "name": "g", "args": {}}});
    assert_eq!(
        parts(FLASH),
        json!([{"functionCall": first, "thoughtSignature": "skip_thought_signature_validator"}, second])
    );
    assert_eq!(parts("gemini-2.5-flash"), json!([{"functionCall": first}, second]));
}

#[test]
fn a_form_beside_tools_is_asked_for_in_words_before_gemini_3() {
    let request = json!({"messages": [{"role": "user", "content": "q"}], "tools": [tool("f")], "responseFormat": "json"});
    let old = call("gemini-2.5-flash", &request);
    assert!(!has_format(&old));
    let body = body(&mut CallSettings::new(&old));
    assert!(body["systemInstruction"]["parts"][0]["text"].as_str().unwrap().contains("JSON"));
    assert_eq!(body["generationConfig"], Value::Null);
    assert!(has_format(&call(FLASH, &request)));
    assert_eq!(sent(FLASH, request)["generationConfig"], json!({"responseMimeType": "application/json"}));
}

#[test]
fn strict_tools_are_held_against_their_schemas_where_the_model_may_choose() {
    let mode = |model: &str, choice: Value| {
        let request = json!({"messages": [{"role": "user", "content": "q"}], "toolChoice": choice,
            "tools": [{"name": "f", "strict": true}]});
        sent(model, request)["toolConfig"]["functionCallingConfig"]["mode"].clone()
    };
    assert_eq!(mode("gemini-3.8-flash", Value::Null), "VALIDATED");
    assert_eq!(mode("gemini-2.5-flash", json!("auto")), "VALIDATED");
    assert_eq!(mode("gemini-3.8-flash", json!("required")), "ANY");
    assert_eq!(mode("gemini-3.8-flash", json!("none")), "NONE");
    assert_eq!(mode("gemini-2.0-flash", Value::Null), Value::Null);
}
