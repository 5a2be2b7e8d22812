//! A conversation with reasoning, parallel calls, an image in a tool's result and a failed tool, begun with each family and
//! carried on with each other one: what goes out is what the vendor's written rules take.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use gateway_engine::routing::direct;
use gateway_engine::routing::operation::{Chat, Stream};
use gateway_model::config::ProviderConfig;
use gateway_model::{Answer, ChatRequest, Provider, ProviderCall};
use gateway_providers::{ProviderEnv, build};
use gateway_testkit::replay::{Delivery, Framing, Replay};
use gateway_testkit::vendor_rules::{Vendor, problems};
use gateway_transport::NetworkSettings;
use serde_json::{Value, json};

/// A family, a model of it, and what it answers.
struct Party {
    family: &'static str,
    model: &'static str,
    vendor: Vendor,
    options: Value,
    answer: Value,
}

fn parties() -> Vec<Party> {
    let party = |family, model, vendor, answer| Party { family, model, vendor, options: json!({}), answer };
    vec![
        party("anthropic", "claude-sonnet-4-5", Vendor::Anthropic, anthropic_answer()),
        party("anthropic", "claude-opus-4-6", Vendor::Anthropic, anthropic_answer()),
        party("bedrock", "us.anthropic.claude-sonnet-4-5-v1:0", Vendor::Bedrock, bedrock_answer()),
        party("bedrock", "amazon.nova-lite-v1:0", Vendor::Bedrock, bedrock_answer()),
        party("gemini", "gemini-2.5-flash", Vendor::Gemini, gemini_answer()),
        party("gemini", "gemini-3.8-flash", Vendor::Gemini, gemini_answer()),
        party("openai", "gpt-4o", Vendor::OpenAi, openai_answer(&json!({}))),
        party("openai", "gpt-5.4", Vendor::OpenAi, openai_answer(&json!({}))),
        Party {
            options: json!({"api": "responses"}),
            ..party("openai", "gpt-5.4", Vendor::Responses, responses_answer())
        },
        party(
            "deepseek",
            "deepseek-v4-pro",
            Vendor::DeepSeek,
            openai_answer(&json!({"reasoning_content": "Both."})),
        ),
        party(
            "moonshot",
            "kimi-k2.6",
            Vendor::Moonshot,
            openai_answer(&json!({"reasoning_content": "Both."})),
        ),
        party("azure", "prod-gpt5", Vendor::OpenAi, openai_answer(&json!({}))),
        party(
            "openrouter",
            "anthropic/claude-opus-4-6",
            Vendor::Compatible,
            openai_answer(&json!({"reasoning_details": [
                {"type": "reasoning.text", "text": "Both.", "signature": "c2ln", "format": "anthropic-claude-v1", "index": 0},
            ]})),
        ),
        party(
            "groq",
            "openai/gpt-oss-120b",
            Vendor::Compatible,
            openai_answer(&json!({"reasoning": "Both."})),
        ),
        party("workers-ai", "@cf/meta/llama-4-scout", Vendor::Compatible, workers_ai_answer()),
        party("mistral", "mistral-medium-latest", Vendor::Mistral, openai_answer(&json!({}))),
    ]
}

fn anthropic_answer() -> Value {
    json!({"type": "message", "role": "assistant", "model": "m", "stop_reason": "tool_use", "content": [
        {"type": "thinking", "thinking": "Both.", "signature": "c2ln"},
        {"type": "text", "text": "I look."},
        {"type": "thinking", "thinking": "Now.", "signature": "c2ln"},
        {"type": "tool_use", "id": "toolu_01A", "name": "shot", "input": {"page": 1}},
        {"type": "tool_use", "id": "toolu_01B", "name": "shot", "input": {"page": 2}},
    ], "usage": {"input_tokens": 1, "output_tokens": 1}})
}

fn bedrock_answer() -> Value {
    let thought =
        |text: &str| json!({"reasoningContent": {"reasoningText": {"text": text, "signature": "c2ln"}}});
    let call = |id: &str| json!({"toolUse": {"toolUseId": id, "name": "shot", "input": {"page": 1}}});
    let content =
        json!([thought("Both."), {"text": "I look."}, thought("Now."), call("tooluse_A"), call("tooluse_B")]);
    json!({"output": {"message": {"role": "assistant", "content": content}}, "stopReason": "tool_use",
        "usage": {"inputTokens": 1, "outputTokens": 1}})
}

fn gemini_answer() -> Value {
    json!({"candidates": [{"finishReason": "STOP", "content": {"role": "model", "parts": [
        {"text": "Both.", "thought": true},
        {"text": "I look."},
        {"functionCall": {"name": "shot", "args": {"page": 1}}, "thoughtSignature": "c2ln"},
        {"functionCall": {"name": "shot", "args": {"page": 2}}},
    ]}}], "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 1}})
}

fn openai_answer(fields: &Value) -> Value {
    // Ids as Kimi writes them, which other vendors refuse.
    let call = |id: &str| json!({"id": id, "type": "function", "function": {"name": "shot", "arguments": "{\"page\": 1}"}});
    let mut message = json!({"role": "assistant", "content": "I look.", "tool_calls": [call("functions.shot:0"), call("functions.shot:1")]});
    message.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    json!({"model": "m", "choices": [{"index": 0, "finish_reason": "tool_calls", "message": message}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1}})
}

fn workers_ai_answer() -> Value {
    let call = |page: u8| json!({"name": "shot", "arguments": {"page": page}});
    json!({"success": true, "errors": [], "messages": [], "result": {"response": "I look.",
        "tool_calls": [call(1), call(2)], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}})
}

fn responses_answer() -> Value {
    let call = |id: &str| json!({"type": "function_call", "call_id": id, "name": "shot", "arguments": "{\"page\":1}"});
    json!({"status": "completed", "model": "m", "output": [
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"},
        {"type": "message", "role": "assistant", "phase": "commentary", "content": [{"type": "output_text", "text": "I look."}]},
        {"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": "gAAA"},
        call(&format!("call_{}", "x".repeat(55))), call("call|B"),
    ], "usage": {"input_tokens": 1, "output_tokens": 1}})
}

fn provider(party: &Party, url: &str) -> Arc<dyn Provider> {
    let entry: ProviderConfig = serde_json::from_value(json!({
        "name": "p", "provider": party.family, "baseUrl": url, "models": [party.model], "timeoutMs": 20_000,
        "auth": {"type": "bearer", "envVar": "KEY"}, "options": party.options,
    }))
    .unwrap();
    let env = ProviderEnv { var: &|_| Some("sk-0123456789".to_owned()), network: NetworkSettings::default() };
    build(&entry.provider, &entry, &env).unwrap().unwrap()
}

fn delivery(body: &Value) -> Delivery {
    Delivery {
        status: 200,
        headers: BTreeMap::from([("content-type".to_owned(), "application/json".to_owned())]),
        framing: Framing::Length,
        pieces: vec![body.to_string().into_bytes()],
        pause: Duration::ZERO,
        lost: false,
    }
}

fn call(party: &Party, messages: &[Value]) -> ProviderCall {
    let schema = json!({"anyOf": [{"type": "object", "properties": {"page": {"type": "number"}}, "required": ["page"]}]});
    let request = json!({
        "messages": messages, "tools": [{"name": "shot", "parameters": schema}, {"name": "bare", "parameters": {}}],
        "reasoningEffort": "low", "maxTokens": 9000, "stop": ["END", ""],
    });
    let request = ChatRequest::from_json(&request.to_string()).unwrap();
    ProviderCall {
        max_tokens: request.max_tokens,
        request: Arc::new(request),
        model: party.model.to_owned(),
        timeout: None,
        deadline: None,
        sent: Default::default(),
    }
}

/// Asks a party; its answer, and what it was sent.
async fn ask(party: &Party, messages: &[Value]) -> (Answer, Value) {
    let replay = Replay::start().await;
    let provider = provider(party, &replay.url);
    replay.deliver(delivery(&party.answer));
    let answer = direct::send(&Chat, &*provider, &call(party, messages)).await.unwrap();
    (answer, replay.seen().await.body)
}

/// What a streamed request's body is; the reply is no stream, and fails or not.
async fn streamed_body(party: &Party, messages: &[Value]) -> Value {
    let replay = Replay::start().await;
    let provider = provider(party, &replay.url);
    replay.deliver(delivery(&party.answer));
    let _ = direct::send(&Stream, &*provider, &call(party, messages)).await;
    replay.seen().await.body
}

/// The turn and the results of its tools, as a program gives them back.
fn carried_on(answer: &Answer) -> Vec<Value> {
    let mut messages = vec![json!({
        "role": "assistant", "content": answer.content, "toolCalls": answer.tool_calls,
        "reasoningDetails": answer.reasoning_details,
    })];
    let image = json!([{"type": "text", "text": "a screen"}, {"type": "image", "data": "iVBORw0KGgo=", "mimeType": "image/png"}]);
    let results = [json!({"content": image}), json!({"content": "no such page", "isError": true})];
    for (call, mut result) in answer.tool_calls.iter().zip(results) {
        result["role"] = json!("tool");
        result["toolCallId"] = json!(call.id);
        messages.push(result);
    }
    messages
}

fn assert_taken(begun: &str, party: &Party, body: &Value) {
    let found = problems(party.vendor, party.model, body);
    assert!(found.is_empty(), "{begun}, then {} {}: {found:#?}\n{body:#}", party.family, party.model);
}

#[tokio::test]
async fn a_conversation_goes_on_with_any_family() {
    let first = [
        json!({"role": "system", "content": "Be terse."}),
        json!({"role": "user", "content": "Look at both."}),
    ];
    for one in parties() {
        let begun = format!("begun with {} {}", one.family, one.model);
        let (answer, body) = ask(&one, &first).await;
        assert_taken(&begun, &one, &body);
        assert_eq!((answer.tool_calls.len(), &*answer.content), (2, "I look."), "{begun}");
        let in_loop: Vec<Value> = first.iter().cloned().chain(carried_on(&answer)).collect();
        for other in parties() {
            // In the tool loop, behind it, and in a second loop of the other's.
            let (second, body) = ask(&other, &in_loop).await;
            assert_taken(&begun, &other, &body);
            assert_taken(&begun, &other, &streamed_body(&other, &in_loop).await);
            let asked = in_loop.iter().cloned().chain([json!({"role": "user", "content": "And now?"})]);
            assert_taken(&begun, &other, &ask(&other, &asked.collect::<Vec<_>>()).await.1);
            let again: Vec<Value> = in_loop.iter().cloned().chain(carried_on(&second)).collect();
            assert_taken(&begun, &other, &ask(&other, &again).await.1);
            let back = ask(&one, &again).await.1;
            assert_taken(&format!("{begun}, then {}, and back", other.model), &one, &back);
        }
    }
}

#[tokio::test]
async fn odd_conversations_are_fitted_for_each_family() {
    let user = |content: &str| json!({"role": "user", "content": content});
    let assistant = |content: &str| json!({"role": "assistant", "content": content});
    let system = json!({"role": "system", "content": "Be terse."});
    let document = json!({"role": "user", "content": [{"type": "file", "data": "JVBERi0xLjQK", "mimeType": "application/pdf"}]});
    let notes = json!({"role": "user", "content": [{"type": "file", "data": "e30=", "mimeType": "application/json"}]});
    for messages in [
        vec![system.clone()],
        vec![assistant("Hello."), user("hi")],
        vec![user("a"), user(" "), user("b"), system, user("c")],
        vec![user("a"), assistant(""), user("b")],
        vec![user("a"), assistant("Go on, ")],
        vec![document],
        vec![notes],
        vec![user("")],
    ] {
        // Workers AI takes no files: nothing is sent.
        let has_file = messages.iter().any(|message| message["content"][0]["type"] == "file");
        for party in parties().iter().filter(|party| !(has_file && party.family == "workers-ai")) {
            let body = ask(party, &messages).await.1;
            assert_taken(&format!("{messages:?}"), party, &body);
        }
    }
}

#[tokio::test]
async fn turns_alternate_for_perplexity() {
    let perplexity = Party {
        family: "perplexity",
        model: "sonar",
        vendor: Vendor::Perplexity,
        options: json!({}),
        answer: openai_answer(&json!({})),
    };
    let talk = [
        ("user", "a"),
        ("user", "b"),
        ("system", "s"),
        ("assistant", "c"),
        ("assistant", "d"),
        ("user", "e"),
    ];
    let messages: Vec<Value> =
        talk.iter().map(|(role, content)| json!({"role": role, "content": content})).collect();
    let request = ChatRequest::from_json(&json!({ "messages": messages }).to_string()).unwrap();
    let replay = Replay::start().await;
    replay.deliver(delivery(&perplexity.answer));
    let call = ProviderCall {
        max_tokens: None,
        request: Arc::new(request),
        model: "sonar".to_owned(),
        timeout: None,
        deadline: None,
        sent: Default::default(),
    };
    direct::send(&Chat, &*provider(&perplexity, &replay.url), &call).await.unwrap();
    let found = problems(Vendor::Perplexity, "sonar", &replay.seen().await.body);
    assert!(found.is_empty(), "{found:?}");
}

#[tokio::test]
async fn schemas_and_arguments_pass_nine_hundred_deep() {
    let nested =
        |depth: usize| format!("{}{{}}{}", r#"{"a":{"b":"#.repeat(depth / 2), "}}".repeat(depth / 2));
    let deep: Value = gateway_model::json::parse(nested(900).as_bytes()).unwrap();
    let messages = [
        json!({"role": "user", "content": "go"}),
        json!({"role": "assistant", "content": null, "toolCalls": [{"id": "c1", "name": "shot", "arguments": deep}]}),
        json!({"role": "tool", "toolCallId": "c1", "content": "r"}),
    ];
    for party in parties() {
        let replay = Replay::start().await;
        let provider = provider(&party, &replay.url);
        replay.deliver(delivery(&party.answer));
        direct::send(&Chat, &*provider, &call(&party, &messages)).await.unwrap();
        let sent = replay.seen().await.body.to_string();
        // As an object, or as a text in which quotes are escaped.
        let levels = sent.matches(r#""b":"#).count().max(sent.matches(r#"\"b\":"#).count());
        assert!(levels >= 450, "{} {}: {levels} levels", party.family, party.model);
    }
}
