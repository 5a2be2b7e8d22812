//! Several keys of one entry against a server: each request's key, and what becomes of the refused ones.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::time::Duration;

use gateway_engine::routing::direct;
use gateway_engine::routing::operation::{Chat, Stream};
use gateway_model::config::ProviderConfig;
use gateway_model::{AnswerBuilder, ChatRequest};
use gateway_model::{EmbedCall, EventSource, Provider, ProviderCall};
use gateway_model::{ErrorKind, Failure, GatewayError};
use gateway_providers::{ProviderEnv, build};
use gateway_testkit::replay::{Delivery, Framing, Replay};
use gateway_transport::NetworkSettings;
use serde_json::{Value, json};
use tokio::time::Instant;

fn reply(status: u16, headers: &[(&str, &str)], body: &str) -> Delivery {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let pieces = vec![body.as_bytes().to_vec()];
    Delivery { status, headers, framing: Framing::Length, pieces, pause: Duration::ZERO, lost: false }
}

fn answer() -> Delivery {
    let body = json!({
        "id": "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT", "object": "chat.completion", "created": 1_741_569_952,
        "model": "m", "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi", "refusal": null},
            "logprobs": null, "finish_reason": "stop"}],
    });
    reply(200, &[], &body.to_string())
}

fn stream() -> Delivery {
    let chunk = |delta: Value, finish: Value| {
        let chunk = json!({
            "id": "chatcmpl-B9MHDbslfkBeAs8l4bebGdFOJ6PeG", "object": "chat.completion.chunk",
            "created": 1_741_570_283, "model": "m",
            "choices": [{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}],
        });
        format!("data: {chunk}\n\n")
    };
    let body = chunk(json!({"role": "assistant", "content": "Hi"}), json!(null))
        + &chunk(json!({}), json!("stop"))
        + "data: [DONE]\n\n";
    reply(200, &[("content-type", "text/event-stream")], &body)
}

/// As services do it, with the key in the message.
fn unauthorized(key: &str) -> Delivery {
    let error = json!({"error": {"message": format!("Incorrect API key provided: {}.", secret(key)),
        "type": "invalid_request_error", "param": null, "code": "invalid_api_key"}});
    reply(401, &[], &error.to_string())
}

fn limited(headers: &[(&str, &str)]) -> Delivery {
    let error = json!({"error": {"message": "Rate limit reached", "type": "tokens", "param": null,
        "code": "rate_limit_exceeded"}});
    reply(429, headers, &error.to_string())
}

fn secret(name: &str) -> String {
    format!("sk-{name}-0123456789")
}

struct Fixture {
    server: Replay,
    provider: Arc<dyn Provider>,
}

impl Fixture {
    async fn start(fields: Value) -> Self {
        let server = Replay::start().await;
        let mut entry = json!({
            "name": "p", "provider": "openai", "baseUrl": server.url, "models": ["m"], "timeoutMs": 5_000,
            "auth": {"type": "apiKey", "envVars": ["A", "B", "C"]},
        });
        entry.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let entry: ProviderConfig = serde_json::from_value(entry).unwrap();
        let var = |name: &str| (name.len() == 1).then(|| secret(name));
        let env = ProviderEnv { var: &var, network: NetworkSettings::default() };
        let provider = build(&entry.provider, &entry, &env).unwrap().unwrap();
        Self { server, provider }
    }

    fn deliver(&self, deliveries: impl IntoIterator<Item = Delivery>) {
        deliveries.into_iter().for_each(|delivery| self.server.deliver(delivery));
    }

    /// The keys of the next `count` requests, a letter each.
    async fn keys(&self, count: usize) -> String {
        let mut keys = String::new();
        for _ in 0..count {
            let seen = self.server.seen().await;
            let key = seen.headers["authorization"].strip_prefix("Bearer sk-").unwrap();
            keys.push_str(key.strip_suffix("-0123456789").unwrap());
        }
        keys
    }

    async fn chat(&self, model: &str) -> Result<String, GatewayError> {
        direct::send(&Chat, &*self.provider, &call(model)).await.map(|answer| answer.content).map_err(error)
    }

    fn in_cooldown(&self) -> Vec<String> {
        let states = self.provider.keys();
        assert!(!json!(states).to_string().contains("sk-"));
        let active = states.into_iter().filter(|state| state.reason.is_some());
        active.map(|state| format!("{} {}", state.variable, state.model.unwrap_or_default())).collect()
    }
}

fn call(model: &str) -> ProviderCall {
    let request = json!({"messages": [{"role": "user", "content": "Hello"}]}).to_string();
    ProviderCall {
        request: Arc::new(ChatRequest::from_json(&request).unwrap()),
        model: model.to_owned(),
        max_tokens: None,
        timeout: None,
        deadline: None,
        sent: Default::default(),
    }
}

fn error(failure: Failure) -> GatewayError {
    assert!(!format!("{failure} {failure:?}").contains("sk-"), "a key shows: {failure:?}");
    match failure {
        Failure::Gateway(error) => *error,
        Failure::Foreign(error) => panic!("{error:?}"),
    }
}

/// Advances the clock without waiting; connections are not affected.
async fn advance_clock(seconds: u64) {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(seconds)).await;
    tokio::time::resume();
}

#[tokio::test]
async fn keys_take_turns() {
    let on = Fixture::start(json!({})).await;
    on.deliver((0..4).map(|_| answer()));
    for _ in 0..4 {
        on.chat("m").await.unwrap();
    }
    assert_eq!(on.keys(4).await, "ABCA");
}

#[tokio::test]
async fn unauthorized_key_cools_down_for_a_minute() {
    let on = Fixture::start(json!({})).await;
    on.deliver([unauthorized("A"), answer(), answer(), answer(), answer()]);
    for _ in 0..4 {
        assert_eq!(on.chat("m").await.unwrap(), "Hi");
    }
    assert_eq!(on.keys(5).await, "ABCBC");
    assert_eq!(on.in_cooldown(), ["A "]);
    advance_clock(61).await;
    on.deliver([answer(), answer(), answer()]);
    for _ in 0..3 {
        on.chat("m").await.unwrap();
    }
    let mut keys: Vec<_> = on.keys(3).await.chars().collect();
    keys.sort_unstable();
    assert_eq!(keys, ['A', 'B', 'C']);
    assert!(on.in_cooldown().is_empty());
}

#[tokio::test]
async fn rate_limited_key_cools_down_for_its_model_until_retry_after() {
    let on = Fixture::start(json!({"auth": {"type": "bearer", "envVars": ["A", "B"]}})).await;
    on.deliver([limited(&[("retry-after", "30")]), answer(), answer()]);
    on.chat("m").await.unwrap();
    on.chat("m").await.unwrap();
    assert_eq!(on.keys(3).await, "ABB");
    assert_eq!(on.in_cooldown(), ["A m"]);
    on.deliver([answer(), answer()]);
    on.chat("other").await.unwrap();
    on.chat("other").await.unwrap();
    assert_eq!(on.keys(2).await, "AB");
    advance_clock(20).await;
    assert_eq!(on.in_cooldown(), ["A m"]);
    advance_clock(11).await;
    assert!(on.in_cooldown().is_empty());
}

#[tokio::test]
async fn retry_delay_in_an_error_body_is_the_cooldown() {
    let on = Fixture::start(json!({
        "provider": "gemini", "auth": {"type": "bearer", "envVars": ["A", "B"]},
    }))
    .await;
    let quota = json!({"error": {"code": 429, "message": "Quota exceeded", "status": "RESOURCE_EXHAUSTED", "details": [
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34s"}]}});
    let wrong = json!({"error": {"code": 400, "message": "API key not valid.", "status": "INVALID_ARGUMENT", "details": [
        {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com"}]}});
    on.deliver([reply(429, &[], &quota.to_string()), reply(400, &[], &wrong.to_string())]);
    assert_eq!(on.chat("m").await.unwrap_err().kind, ErrorKind::ProviderAuth);
    let states = on.provider.keys();
    let cooldown_seconds: Vec<_> =
        states.iter().map(|state| state.cooldown_ms.unwrap().div_ceil(1_000)).collect();
    assert_eq!((on.in_cooldown(), cooldown_seconds), (vec!["A m".to_owned(), "B ".to_owned()], vec![34, 60]));
}

#[tokio::test]
async fn nothing_is_sent_while_all_keys_cool_down() {
    let on = Fixture::start(json!({"retry": {"maxAttempts": 3, "backoffMs": 1}})).await;
    on.deliver(["A", "B", "C"].map(unauthorized));
    for _ in 0..2 {
        let error = on.chat("m").await.unwrap_err();
        assert_eq!((error.kind, error.http_status), (ErrorKind::ProviderAuth, 401));
    }
    assert_eq!(on.keys(3).await, "ABC");
    // The server has no answer left: a request would end with a timeout instead.
    assert_eq!(
        direct::list_models(&*on.provider).await.map_err(error).unwrap_err().kind,
        ErrorKind::ProviderAuth
    );
}

#[tokio::test]
async fn retry_waits_for_the_first_cooldown_to_end() {
    let on = Fixture::start(json!({"retry": {"maxAttempts": 2, "backoffMs": 60_000}})).await;
    on.deliver(["9000", "200", "9000"].map(|ms| limited(&[("retry-after-ms", ms)])));
    on.deliver([answer()]);
    let begun = Instant::now();
    assert_eq!(on.chat("m").await.unwrap(), "Hi");
    assert!(begun.elapsed() >= Duration::from_millis(200) && begun.elapsed() < Duration::from_secs(8));
    assert_eq!(on.keys(4).await, "ABCB");
}

#[tokio::test]
async fn retry_after_over_the_cap_ends_the_attempts() {
    let on = Fixture::start(json!({"retry": {"maxAttempts": 5, "maxRetryAfterMs": 100}})).await;
    on.deliver((0..3).map(|_| limited(&[("retry-after", "60")])));
    let error = on.chat("m").await.unwrap_err();
    assert_eq!(
        (error.kind, error.retry_after.map(|wait| wait.as_secs() > 50)),
        (ErrorKind::ProviderRateLimit, Some(true))
    );
    assert_eq!(on.keys(3).await, "ABC");
}

#[tokio::test]
async fn streams_go_on_with_the_next_key() {
    let on = Fixture::start(json!({})).await;
    on.deliver([unauthorized("A"), limited(&[]), stream()]);
    let mut source = direct::send(&Stream, &*on.provider, &call("m")).await.map_err(error).unwrap();
    let mut events = Vec::new();
    while source.next(&mut events).await.unwrap() {}
    assert_eq!(events.iter().collect::<AnswerBuilder>().finish().content, "Hi");
    assert_eq!(on.keys(3).await, "ABC");
    assert_eq!(on.in_cooldown(), ["A ", "B m"]);
}

#[tokio::test]
async fn embeddings_and_lists_of_models_go_on_with_the_next_key() {
    let on = Fixture::start(json!({})).await;
    let vectors = json!({"object": "list", "model": "m", "usage": {"prompt_tokens": 1, "total_tokens": 1},
        "data": [{"object": "embedding", "index": 0, "embedding": [0.5, -0.25]}]});
    on.deliver([limited(&[]), reply(200, &[], &vectors.to_string())]);
    let order =
        EmbedCall { inputs: ["text".to_owned()].into(), model: "m".to_owned(), ..EmbedCall::default() };
    assert_eq!(on.provider.embed(&order).await.map_err(error).unwrap().vectors, [[0.5, -0.25]]);
    assert_eq!((on.keys(2).await, on.in_cooldown()), ("AB".to_owned(), vec!["A m".to_owned()]));
}

#[tokio::test]
async fn other_failures_start_no_cooldown() {
    let on = Fixture::start(json!({"retry": {"maxAttempts": 2, "backoffMs": 1}})).await;
    on.deliver([reply(400, &[], "{}"), reply(503, &[], ""), answer()]);
    assert_eq!(on.chat("m").await.unwrap_err().kind, ErrorKind::ProviderResponse);
    assert_eq!(on.chat("m").await.unwrap(), "Hi");
    assert_eq!(on.keys(3).await, "ABC");
    assert!(on.in_cooldown().is_empty());
}

#[tokio::test]
async fn the_timeout_is_of_all_keys_together() {
    let on = Fixture::start(json!({"timeoutMs": 1_000})).await;
    // The first refusal is slow, and the next request gets no answer.
    let pause = Duration::from_millis(700);
    on.deliver([Delivery { pause, ..unauthorized("A") }]);
    let begun = Instant::now();
    assert_eq!(on.chat("m").await.unwrap_err().kind, ErrorKind::ProviderTimeout);
    assert!(begun.elapsed() < Duration::from_millis(1_600), "{:?}", begun.elapsed());
    let deadline = ProviderCall { deadline: Some(Instant::now() + Duration::from_millis(50)), ..call("m") };
    let failure = on.provider.chat(&deadline).await.unwrap_err();
    assert_eq!(failure.kind(), Some(ErrorKind::ProviderTimeout));
    assert!(begun.elapsed() < Duration::from_millis(1_900), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn single_key_never_cools_down() {
    for auth in [json!({"envVar": "A"}), json!({"envVars": ["A", "UNSET"]})] {
        let on = Fixture::start(json!({ "auth": auth })).await;
        on.deliver([unauthorized("A"), limited(&[("retry-after", "60")]), answer()]);
        assert_eq!(on.chat("m").await.unwrap_err().kind, ErrorKind::ProviderAuth);
        assert_eq!(on.chat("m").await.unwrap_err().retry_after, Some(Duration::from_secs(60)));
        assert_eq!(on.chat("m").await.unwrap(), "Hi");
        assert_eq!(on.keys(3).await, "AAA");
    }
}

#[tokio::test]
async fn bearer_keys_of_bedrock_take_turns() {
    let on = Fixture::start(json!({
        "provider": "bedrock", "options": {"region": "us-east-1"}, "auth": {"type": "bearer", "envVars": ["A", "B"]},
    }))
    .await;
    let denied = reply(403, &[], r#"{"Message":"Authentication failed: API Key not valid"}"#);
    let body = json!({"metrics": {"latencyMs": 9}, "stopReason": "end_turn",
        "output": {"message": {"role": "assistant", "content": [{"text": "Hi"}]}},
        "usage": {"inputTokens": 3, "outputTokens": 1, "totalTokens": 4}});
    on.deliver([denied, reply(200, &[], &body.to_string())]);
    assert_eq!(on.chat("amazon.nova-lite-v1:0").await.unwrap(), "Hi");
    assert_eq!((on.keys(2).await, on.in_cooldown()), ("AB".to_owned(), vec!["A ".to_owned()]));
}
