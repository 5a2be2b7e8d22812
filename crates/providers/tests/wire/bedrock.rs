//! Bedrock beyond its transcripts: request signatures and embeddings.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use gateway_engine::routing::direct;
use gateway_engine::routing::operation::{Chat, Embed};
use gateway_model::ChatRequest;
use gateway_model::config::ProviderConfig;
use gateway_model::{Provider, ProviderCall};
use serde_json::{Value, json};

use super::provider;
use gateway_testkit::replay::{Delivery, Framing, Replay, Seen};

const MODEL: &str = "amazon.titan-embed-text-v2:0";

fn signed_provider(replay: &Replay) -> Arc<dyn Provider> {
    let entry = json!({
        "name": "replay", "provider": "bedrock", "baseUrl": replay.url, "models": [MODEL],
        "auth": {"type": "apiKey", "envVar": "REPLAY_ACCESS_KEY_ID"}, "options": {"region": "eu-west-1"},
        "retry": {"maxAttempts": 2, "backoffMs": 1300},
    });
    provider(&serde_json::from_value::<ProviderConfig>(entry).unwrap())
}

fn reply(status: u16, body: &Value) -> Delivery {
    Delivery {
        status,
        headers: BTreeMap::from([("content-type".into(), "application/json".into())]),
        framing: Framing::Length,
        pieces: vec![body.to_string().into_bytes()],
        pause: Duration::ZERO,
        lost: false,
    }
}

/// The date and the signature of a request.
fn signature(seen: &Seen) -> (String, String) {
    let header = |name: &str| seen.headers[name].clone();
    let (date, authorization) = (header("x-amz-date"), header("authorization"));
    let scope = format!(
        "AWS4-HMAC-SHA256 Credential=value of REPLAY_ACCESS_KEY_ID/{}/eu-west-1/bedrock/aws4_request, \
         SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, Signature=",
        &date[..8]
    );
    let signature = authorization.strip_prefix(&scope).unwrap_or_else(|| panic!("{authorization}"));
    assert_eq!(signature.len(), 64);
    assert_eq!(header("x-amz-security-token"), "value of REPLAY_SESSION_TOKEN");
    (date, signature.to_owned())
}

#[tokio::test]
async fn each_attempt_has_a_signature_of_its_own() {
    let replay = Replay::start().await;
    let provider = signed_provider(&replay);
    replay.deliver(reply(503, &json!({"message": "Bedrock is unable to process your request."})));
    replay.deliver(reply(
        200,
        &json!({"output": {"message": {"role": "assistant", "content": [{"text": "Hello!"}]}}, "stopReason": "end_turn"}),
    ));
    let request = json!({"messages": [{"role": "user", "content": "Say hello."}]});
    let call = ProviderCall {
        request: Arc::new(ChatRequest::from_json(&request.to_string()).unwrap()),
        model: MODEL.to_owned(),
        max_tokens: None,
        timeout: None,
        deadline: None,
        sent: Default::default(),
    };
    assert_eq!(direct::send(&Chat, &*provider, &call).await.unwrap().content, "Hello!");
    let (first, second) = (signature(&replay.seen().await), signature(&replay.seen().await));
    assert!(first.0 < second.0, "{first:?} {second:?}");
    assert_ne!(first.1, second.1);
}

#[tokio::test]
async fn each_text_is_embedded_by_a_request_of_its_own() {
    let replay = Replay::start().await;
    let provider = signed_provider(&replay);
    replay.deliver(reply(200, &json!({"embedding": [0.5, -0.25], "inputTextTokenCount": 3})));
    replay.deliver(reply(200, &json!({"embedding": [1.0, 0.0], "inputTextTokenCount": 4})));
    let options = json!({"bedrock": {"normalize": false}, "openai": {"x": 1}});
    let request = ChatRequest {
        user_id: Some("u-1".to_owned()),
        provider_options: options.as_object().cloned(),
        ..ChatRequest::default()
    };
    let call = ProviderCall {
        request: Arc::new(request),
        model: MODEL.to_owned(),
        max_tokens: None,
        timeout: None,
        deadline: None,
        sent: Default::default(),
    };
    let texts = Embed { inputs: ["one".to_owned(), "two".to_owned()].into(), dimensions: Some(256) };
    let answer = direct::send(&texts, &*provider, &call).await.unwrap();
    assert_eq!(answer.vectors, [[0.5, -0.25], [1.0, 0.0]]);
    assert_eq!((answer.model.as_str(), answer.input_tokens), (MODEL, Some(7)));
    for text in ["one", "two"] {
        let seen = replay.seen().await;
        signature(&seen);
        assert_eq!(seen.path, "/model/amazon.titan-embed-text-v2%3A0/invoke");
        assert_eq!(seen.body, json!({"inputText": text, "dimensions": 256, "normalize": false}));
    }
}
