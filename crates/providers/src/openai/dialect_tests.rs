use std::sync::Arc;

use serde_json::{Value, json};

use super::dialect::Dialect;
use super::{OpenAiWire, Wire};
use crate::catalogue::dialect_of;
use crate::settings::CallSettings;
use crate::wire::Mode;
use gateway_model::ProviderCall;
use gateway_model::{ChatRequest, Feature};

/// What goes out for a request in a family's dialect, without its model and messages.
fn sent(family: &str, request: &Value) -> Value {
    let mut body = whole(family, request, Mode::Stream);
    let fields = body.as_object_mut().unwrap();
    assert_eq!(fields.shift_remove("stream"), Some(json!(true)));
    fields.shift_remove("model");
    fields.shift_remove("messages");
    body
}

fn whole(family: &str, request: &Value, mode: Mode) -> Value {
    of_model(family, "m", request, mode)
}

fn of_model(family: &str, model: &str, request: &Value, mode: Mode) -> Value {
    let mut full = json!({"messages": [{"role": "user", "content": "hi"}]});
    full.as_object_mut().unwrap().extend(request.as_object().unwrap().clone());
    let request = ChatRequest::from_json(&full.to_string()).unwrap();
    let call = ProviderCall {
        max_tokens: request.max_tokens,
        request: Arc::new(request),
        model: model.to_owned(),
        timeout: None,
        deadline: None,
        sent: Default::default(),
    };
    serde_json::from_slice(&wire(family).body(&mut CallSettings::new(&call), mode).unwrap()).unwrap()
}

fn wire(family: &str) -> OpenAiWire {
    OpenAiWire::new(dialect_of(family).unwrap())
}

/// The differences that matter, all in one request.
fn all() -> Value {
    json!({"maxTokens": 9, "seed": 7, "presencePenalty": 0.5, "frequencyPenalty": 0.25, "userId": "u"})
}

#[test]
fn fields_are_called_as_each_service_calls_them() {
    let penalties = json!({"presence_penalty": 0.5, "frequency_penalty": 0.25});
    let with = |first: Value, penalties: &Value, last: Value| -> Value {
        let parts = [first, penalties.clone(), last];
        Value::Object(parts.iter().flat_map(|part| part.as_object().unwrap().clone()).collect())
    };
    let usage = json!({"include_usage": true});
    let none = json!({});
    for family in ["deepseek", "siliconflow", "vllm", "xai", "qwen", "minimax", "openrouter"] {
        let first = json!({"stream_options": usage, "max_tokens": 9, "seed": 7});
        assert_eq!(sent(family, &all()), with(first, &penalties, json!({"user": "u"})), "{family}");
    }
    for family in ["groq", "moonshot"] {
        let first = json!({"stream_options": usage, "max_completion_tokens": 9, "seed": 7});
        assert_eq!(sent(family, &all()), with(first, &penalties, json!({"user": "u"})), "{family}");
    }
    for family in ["nvidia", "ollama"] {
        let first = json!({"stream_options": usage, "max_tokens": 9, "seed": 7});
        assert_eq!(sent(family, &all()), with(first, &penalties, none.clone()), "{family}");
    }
    for family in ["zhipu", "zai", "perplexity"] {
        assert_eq!(
            sent(family, &all()),
            with(json!({"max_tokens": 9}), &penalties, none.clone()),
            "{family}"
        );
    }
    let first = json!({"max_tokens": 9, "random_seed": 7});
    assert_eq!(sent("mistral", &all()), with(first, &penalties, none.clone()));
    let first = json!({"max_tokens": 9, "seed": 7});
    assert_eq!(sent("cohere", &all()), with(first, &penalties, none.clone()));
    let first = json!({"stream_options": usage, "max_completion_tokens": 9, "seed": 7});
    assert_eq!(sent("cerebras", &all()), with(first, &none, json!({"user": "u"})));
}

/// `tools` by their names, and `tool_choice`.
fn choice(family: &str, choice: &Value) -> (Vec<String>, Value) {
    let tools = json!([{"name": "f", "parameters": {}}, {"name": "g", "parameters": {}}]);
    let body = whole(family, &json!({"tools": tools, "toolChoice": choice}), Mode::Full);
    let tools = body["tools"].as_array().cloned().unwrap_or_default();
    let names = tools.iter().map(|tool| tool["function"]["name"].as_str().unwrap().to_owned());
    (names.collect(), body["tool_choice"].clone())
}

#[test]
fn a_choice_of_tools_is_put_in_each_services_words() {
    let both = || vec!["f".to_owned(), "g".to_owned()];
    let one = || vec!["g".to_owned()];
    let named = json!({"name": "g"});
    let object = json!({"type": "function", "function": {"name": "g"}});
    assert_eq!(choice("groq", &json!("required")), (both(), json!("required")));
    assert_eq!(choice("groq", &named), (both(), object.clone()));
    assert_eq!(choice("mistral", &json!("required")), (both(), json!("any")));
    assert_eq!(choice("mistral", &named), (both(), object.clone()));
    assert_eq!(choice("moonshot", &json!("required")), (both(), Value::Null));
    assert_eq!(choice("moonshot", &named), (both(), object));
    for family in ["llamacpp", "lmstudio"] {
        assert_eq!(choice(family, &json!("required")), (both(), json!("required")), "{family}");
        assert_eq!(choice(family, &named), (one(), json!("required")), "{family}");
        assert_eq!(choice(family, &json!("none")), (both(), json!("none")), "{family}");
    }
    for family in ["ollama", "zhipu"] {
        assert_eq!(choice(family, &json!("auto")), (both(), json!("auto")), "{family}");
        assert_eq!(choice(family, &json!("required")), (both(), Value::Null), "{family}");
        assert_eq!(choice(family, &named), (one(), Value::Null), "{family}");
        assert_eq!(choice(family, &json!("none")), (Vec::new(), Value::Null), "{family}");
    }
}

/// `response_format`, and whether the model is asked in words.
fn format(family: &str, format: &Value) -> (Value, bool) {
    let request = json!({"responseFormat": format, "messages": [{"role": "user", "content": "hi, in JSON"}]});
    let body = whole(family, &request, Mode::Full);
    (body["response_format"].clone(), body["messages"].as_array().unwrap().len() == 2)
}

#[test]
fn a_form_of_answers_is_asked_for_in_fields_or_in_words() {
    let schema = json!({"type": "object", "properties": {"a": {"type": "string"}}});
    let ours = json!({"jsonSchema": schema, "name": "n", "strict": true});
    let json = json!("json");
    let object = json!({"type": "json_object"});
    let full = json!({"type": "json_schema", "json_schema": {"name": "n", "schema": schema, "strict": true}});
    let bare = json!({"type": "json_schema", "json_schema": {"schema": schema}});
    for family in ["mistral", "groq", "xai", "vllm", "ollama", "cohere"] {
        assert_eq!(format(family, &ours), (full.clone(), false), "{family}");
        assert_eq!(format(family, &json), (object.clone(), false), "{family}");
    }
    for family in ["deepseek", "moonshot", "zhipu"] {
        assert_eq!(format(family, &ours), (object.clone(), true), "{family}");
        assert_eq!(format(family, &json), (object.clone(), false), "{family}");
    }
    assert_eq!(format("lmstudio", &ours), (full, false));
    assert_eq!(format("lmstudio", &json), (Value::Null, true));
    assert_eq!(format("perplexity", &ours), (bare, false));
    assert_eq!(format("perplexity", &json), (Value::Null, true));
    assert_eq!(format("minimax", &ours), (Value::Null, true));
    assert_eq!(format("minimax", &json), (Value::Null, true));
}

#[test]
fn json_is_named_where_no_message_names_it() {
    let messages = |family: &str| {
        let body = whole(family, &json!({"responseFormat": "json"}), Mode::Full);
        assert_eq!(body["response_format"], json!({"type": "json_object"}), "{family}");
        body["messages"].clone()
    };
    for family in ["openai", "deepseek", "qwen", "groq"] {
        let sent = messages(family);
        assert_eq!((&sent[0]["role"], &sent[1]["content"]), (&json!("system"), &json!("hi")), "{family}");
        assert!(sent[0]["content"].as_str().unwrap().contains("JSON"), "{family}");
    }
}

#[test]
fn a_turn_to_go_on_from_is_marked_where_the_service_wants_it() {
    let request =
        json!({"messages": [{"role": "user", "content": "u"}, {"role": "assistant", "content": "{"}]});
    let last = |family: &str| whole(family, &request, Mode::Full)["messages"][1].clone();
    let marked = |field: &str| json!({"role": "assistant", "content": "{", field: true});
    assert_eq!(last("mistral"), marked("prefix"));
    assert_eq!(last("moonshot"), marked("partial"));
    assert_eq!(last("openai"), json!({"role": "assistant", "content": "{"}));
    // A turn with calls is not one to go on from.
    let calls = json!([{"id": "abcdefghi", "name": "f", "arguments": {}}]);
    let request = json!({"messages": [{"role": "user", "content": "u"}, {"role": "assistant", "content": "x", "toolCalls": calls}]});
    assert_eq!(whole("mistral", &request, Mode::Full)["messages"][1].get("prefix"), None);
}

#[test]
fn instructions_of_the_application_are_the_systems_where_nothing_else_is_known() {
    let request =
        json!({"messages": [{"role": "developer", "content": "d"}, {"role": "user", "content": "u"}]});
    for (family, role) in
        [("openai", "developer"), ("openrouter", "developer"), ("ollama", "system"), ("groq", "system")]
    {
        assert_eq!(whole(family, &request, Mode::Full)["messages"][0]["role"], role, "{family}");
    }
}

#[test]
fn blocks_of_reasoning_go_back_to_those_who_have_a_field_for_them() {
    let blocks = json!([
        {"type": "reasoning.text", "text": "t", "signature": "c2ln", "format": "anthropic-claude-v1", "index": 0},
        {"type": "thinking", "thinking": "another vendor's", "signature": "x"},
    ]);
    let request = json!({"messages": [
        {"role": "user", "content": "u"},
        {"role": "assistant", "content": "a", "reasoningDetails": blocks},
        {"role": "user", "content": "v"},
    ]});
    let turn = |family: &str| whole(family, &request, Mode::Full)["messages"][1].clone();
    let plain = json!({"role": "assistant", "content": "a"});
    assert_eq!(turn("deepseek"), plain);
    let mut kept = plain;
    kept["reasoning_details"] = json!([blocks[0]]);
    assert_eq!(turn("openrouter"), kept);
}

#[test]
fn a_turns_reasoning_in_the_services_own_field_goes_back_as_it_is() {
    let turn = json!({"role": "assistant", "content": "", "reasoning_content": "r",
        "toolCalls": [{"id": "1", "name": "f", "arguments": {}}]});
    let request = json!({"messages": [{"role": "user", "content": "u"}, turn, {"role": "tool", "toolCallId": "1", "content": "x"}]});
    let sent = whole("deepseek", &request, Mode::Full)["messages"][1].clone();
    assert_eq!(sent["reasoning_content"], "r");
    assert_eq!(sent["tool_calls"][0]["function"]["name"], "f");
}

#[test]
fn reasoning_that_led_to_calls_goes_back_where_the_service_wants_it() {
    let kept = json!([{"type": "reasoning_content", "text": "First I look it up."}]);
    let call = json!({"id": "f:0", "name": "f", "arguments": {}});
    let request = |details: &Value| {
        json!({"messages": [
            {"role": "user", "content": "u"},
            {"role": "assistant", "content": "", "toolCalls": [call], "reasoningDetails": details},
            {"role": "tool", "toolCallId": "f:0", "content": "r"},
            {"role": "assistant", "content": "a"},
            {"role": "user", "content": "v"},
        ]})
    };
    for (family, own, others) in [
        ("deepseek", json!("First I look it up."), json!("")),
        ("moonshot", json!("First I look it up."), json!("")),
        ("xiaomi", json!("First I look it up."), json!("")),
        ("siliconflow", json!("First I look it up."), Value::Null),
        ("zai", json!("First I look it up."), Value::Null),
        ("groq", Value::Null, Value::Null),
        ("openai", Value::Null, Value::Null),
    ] {
        let sent = |details: &Value| whole(family, &request(details), Mode::Full)["messages"].clone();
        assert_eq!(sent(&kept)[1]["reasoning_content"], own, "{family}");
        // Another model's calls.
        let other = sent(&json!([{"type": "thinking", "thinking": "t", "signature": "s"}]));
        assert_eq!(other[1]["reasoning_content"], others, "{family}");
        assert_eq!(other[3], json!({"role": "assistant", "content": "a"}), "{family}");
    }
}

#[test]
fn signatures_of_calls_go_back_to_geminis_behind_other_addresses() {
    let signed = |model: &str, signature: Option<&str>| {
        let mut call = json!({"id": "c1", "name": "f", "arguments": {}});
        if let Some(signature) = signature {
            call["signature"] = json!(signature);
        }
        let request = json!({"messages": [
            {"role": "user", "content": "u"},
            {"role": "assistant", "content": null, "toolCalls": [call, {"id": "c2", "name": "f", "arguments": {}}]},
            {"role": "tool", "toolCallId": "c1", "content": "r"},
        ]});
        let sent = of_model("openai", model, &request, Mode::Full)["messages"][1]["tool_calls"].clone();
        assert_eq!(sent[1].get("extra_content"), None);
        sent[0]["extra_content"]["google"]["thought_signature"].clone()
    };
    assert_eq!(signed("gemini-3-flash-preview", Some("c2ln")), "c2ln");
    assert_eq!(signed("google/gemini-2.5-pro", Some("c2ln")), "c2ln");
    assert_eq!(signed("google/gemini-3-pro", None), "skip_thought_signature_validator");
    assert_eq!(signed("gemini-2.5-pro", None), Value::Null);
    assert_eq!(signed("gpt-5", Some("c2ln")), Value::Null);
}

#[test]
fn what_a_service_cannot_do_is_refused() {
    assert!(!wire("perplexity").supports(Feature::Tools));
    assert!(wire("perplexity").supports(Feature::Images));
    assert!(wire("mistral").supports(Feature::Tools));
    assert_eq!(Wire::models_path(&wire("perplexity")), None);
    assert_eq!(Wire::models_path(&wire("github-models")), None);
    assert!(wire("groq").embeddings().is_none());
    assert_eq!(wire("qwen").embeddings().unwrap().max_inputs(), 10);
    assert_eq!(Dialect::OPENAI.embedding_inputs, 2048);
}
