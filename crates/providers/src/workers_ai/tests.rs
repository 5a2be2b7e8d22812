use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::{ProviderEnv, build, complete};
use gateway_model::ChatRequest;
use gateway_transport::NetworkSettings;

fn body(request: &Value, mode: Mode) -> Value {
    let request = ChatRequest::from_json(&request.to_string()).unwrap();
    let call = ProviderCall {
        max_tokens: request.max_tokens,
        request: Arc::new(request),
        model: "@cf/meta/llama-3.1-8b-instruct".to_owned(),
        timeout: None,
        deadline: None,
        sent: Default::default(),
    };
    serde_json::from_slice(&Wire::body(&WorkersAiWire, &mut CallSettings::new(&call), mode).unwrap()).unwrap()
}

#[test]
fn model_names_keep_slashes_and_at_signs_in_the_path() {
    assert_eq!(run_path("@cf/meta/llama-3.1-8b-instruct"), "/run/@cf/meta/llama-3.1-8b-instruct");
    assert_eq!(run_path("a?b#c/d e"), "/run/a%3Fb%23c/d%20e");
}

#[test]
fn developer_role_and_null_content_are_replaced() {
    let request = json!({"messages": [
        {"role": "developer", "content": "d"},
        {"role": "user", "content": "u"},
        {"role": "assistant", "content": null, "toolCalls": [{"id": "1", "name": "f", "arguments": {}}]},
        {"role": "tool", "toolCallId": "1", "content": "r"},
    ]});
    let sent = body(&request, Mode::Full);
    assert_eq!(sent["messages"][0]["role"], "system");
    assert_eq!(sent["messages"][2]["content"], "");
    assert_eq!(sent["messages"][2]["tool_calls"][0]["function"]["name"], "f");
    assert_eq!(sent.as_object().unwrap().len(), 1);
}

#[test]
fn response_format_is_a_field_or_words_when_streaming() {
    let request = json!({"messages": [{"role": "user", "content": "u"}],
        "responseFormat": {"jsonSchema": {"type": "object"}, "name": "n"}});
    let whole = body(&request, Mode::Full);
    assert_eq!(whole["response_format"], json!({"type": "json_schema", "json_schema": {"type": "object"}}));
    assert_eq!(whole["messages"].as_array().unwrap().len(), 1);
    let streamed = body(&request, Mode::Stream);
    assert_eq!(streamed.get("response_format"), None);
    assert_eq!(streamed["messages"][0]["role"], "system");
}

#[test]
fn named_tool_choice_offers_that_tool_alone() {
    let request = json!({"messages": [{"role": "user", "content": "u"}], "toolChoice": {"name": "g"},
        "tools": [{"name": "f", "parameters": {}}, {"name": "g", "parameters": {}}]});
    let sent = body(&request, Mode::Full);
    assert_eq!(sent["tool_choice"], "required");
    assert_eq!(sent["tools"].as_array().unwrap().len(), 1);
    assert_eq!(sent["tools"][0]["function"]["name"], "g");
}

#[test]
fn vectors_and_models_are_read_out_of_the_envelope() {
    let body = json!({"result": {"shape": [2, 2], "data": [[1.0, 0.5], [0, -1]], "pooling": "mean"},
        "success": true, "errors": [], "messages": []});
    let vectors = WorkersAiWire.vectors(body.to_string().as_bytes()).unwrap();
    assert_eq!(vectors.vectors, [[1.0, 0.5], [0.0, -1.0]]);
    assert_eq!(vectors.input_tokens, None);
    let failed =
        json!({"result": null, "success": false, "errors": [{"code": 5007, "message": "No such model"}]});
    assert_eq!(
        WorkersAiWire.vectors(failed.to_string().as_bytes()).unwrap_err().to_string(),
        "No such model"
    );
    let nothing = json!({"result": {}, "success": true});
    assert!(
        WorkersAiWire.vectors(nothing.to_string().as_bytes()).unwrap_err().to_string().contains("no data")
    );
    let models = json!({"result": [{"id": "0", "name": "@cf/baai/bge-m3"}], "success": true});
    assert_eq!(WorkersAiWire.models(models.to_string().as_bytes()).unwrap(), ["@cf/baai/bge-m3"]);
}

#[test]
fn entry_needs_an_account_or_a_base_url() {
    let built = |options: Value| {
        let mut entry = json!({"name": "it", "provider": "workers-ai", "auth": {}});
        entry.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
        let mut entry = serde_json::from_value(entry).unwrap();
        complete("workers-ai", &mut entry);
        let var = |name: &str| (name == "CLOUDFLARE_API_TOKEN").then(|| "sk-0123456789".to_owned());
        let env = ProviderEnv { var: &var, network: NetworkSettings::default() };
        build("workers-ai", &entry, &env)
            .map(|provider| provider.unwrap().family().to_owned())
            .map_err(|error| error.to_string())
    };
    assert_eq!(built(json!({"options": {"accountId": "a"}})), Ok("workers-ai".to_owned()));
    for climbing in [".", ".."] {
        assert!(built(json!({"options": {"accountId": climbing}})).unwrap_err().contains("accountId"));
    }
    assert_eq!(built(json!({"baseUrl": "https://host/ai"})), Ok("workers-ai".to_owned()));
    let missing = "Provider \"it\": options.accountId is required for family \"workers-ai\"";
    assert_eq!(built(json!({})), Err(missing.to_owned()));
}
