use serde_json::json;

use super::*;

fn found(vendor: Vendor, model: &str, body: Value) -> String {
    problems(vendor, model, &body).join("; ")
}

#[test]
fn what_each_vendor_takes_is_no_problem() {
    let user = json!({"role": "user", "content": "hi"});
    assert_eq!(found(Vendor::OpenAi, "gpt-4o", json!({"model": "gpt-4o", "messages": [user]})), "");
    assert_eq!(
        found(
            Vendor::Anthropic,
            "claude-sonnet-4-5",
            json!({"model": "m", "max_tokens": 9, "messages": [user]})
        ),
        ""
    );
    let turn = json!({"role": "user", "content": [{"text": "hi"}]});
    assert_eq!(found(Vendor::Bedrock, "m", json!({"messages": [turn]})), "");
    assert_eq!(
        found(Vendor::Gemini, "m", json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]}]})),
        ""
    );
    assert_eq!(found(Vendor::Responses, "m", json!({"model": "m", "input": [user]})), "");
}

#[test]
fn what_a_vendor_refuses_is_found() {
    let call = |id: &str| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let calling = json!({"role": "assistant", "content": null, "tool_calls": [call("call_0123456789")]});
    let result = json!({"role": "tool", "tool_call_id": "call_0123456789", "content": "r"});
    let user = json!({"role": "user", "content": "hi"});
    let body = json!({"model": "m", "messages": [user, calling, result, user]});
    assert_eq!(found(Vendor::OpenAi, "gpt-4o", body.clone()), "");
    for word in ["the id", "user after tool", "calls without tools"] {
        assert!(found(Vendor::Mistral, "m", body.clone()).contains(word), "{word}");
    }
    assert!(found(Vendor::DeepSeek, "m", body).contains("without reasoning_content"));

    let used = json!({"type": "tool_use", "id": "a.b", "name": "f", "input": {}});
    let thought = json!({"type": "thinking", "thinking": "t", "signature": "s", "after": {}});
    let messages =
        json!([user, {"role": "assistant", "content": [used, thought, {"type": "text", "text": " "}]}]);
    let problems =
        found(Vendor::Anthropic, "claude-opus-4-6", json!({"max_tokens": 9, "messages": messages}));
    for word in ["unknown field after", "a blank text", "the id", "without a result", "the last turn is"] {
        assert!(problems.contains(word), "{word}: {problems}");
    }
}
