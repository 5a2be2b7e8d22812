//! What the cache costs a call: computing its key, a look-up, storing an answer.

#![allow(clippy::unwrap_used)]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use gateway_engine::cache::{AnswerCache, CacheKey, Notes, Tenant, events};
use gateway_model::Outcome;
use gateway_model::config::CacheSettings;
use gateway_model::{Answer, ChatRequest, Message, Role};
use serde_json::json;

/// Texts of `bytes` in all, in four messages.
fn plain(bytes: usize) -> ChatRequest {
    let text = "word ".repeat(bytes / 20);
    let roles = [Role::System, Role::User, Role::Assistant, Role::User];
    let messages = roles.map(|role| Message::plain(role, text.clone())).to_vec();
    ChatRequest { messages, max_tokens: Some(256), temperature: Some(0.2), ..ChatRequest::default() }
}

/// Parts, calls and tools: about 1 kB of JSON.
fn rich() -> ChatRequest {
    let text = "word ".repeat(60);
    let schema = json!({ "type": "object", "properties": { "city": { "type": "string" }, "days": { "type": "integer" } } });
    let request = json!({
        "messages": [
            { "role": "user", "content": [
                { "type": "text", "text": text },
                { "type": "image_url", "image_url": { "url": "https://example.com/a.png", "detail": "low" } },
            ] },
            { "role": "assistant", "content": null, "tool_calls": [
                { "id": "call_1", "type": "function", "function": { "name": "weather", "arguments": "{\"city\":\"Oslo\"}" } },
            ] },
            { "role": "tool", "tool_call_id": "call_1", "content": "cold" },
        ],
        "tools": [{ "name": "weather", "description": "The weather of some days.", "parameters": schema }],
        "providerOptions": { "openai": { "user": "u", "store": false } },
    });
    ChatRequest::from_json(&request.to_string()).unwrap()
}

fn key(request: &ChatRequest, identity: &str) -> CacheKey {
    CacheKey::of_chat(request, request.max_tokens, identity, Tenant::default(), Notes::Ignored)
}

fn answer() -> Outcome {
    let answer = Answer {
        content: "word ".repeat(200),
        model: "model".to_owned(),
        finish_reason: Some("stop".to_owned()),
        ..Answer::default()
    };
    Outcome { answer, ..Outcome::default() }
}

fn bench(criterion: &mut Criterion) {
    let (small, large, rich) = (plain(1_000), plain(100_000), rich());
    for (name, request) in [("1 kB", &small), ("100 kB", &large), ("1 kB of parts and tools", &rich)] {
        criterion.bench_function(&format!("key of {name}"), |bench| {
            bench.iter(|| key(black_box(request), "entry/model"));
        });
    }

    let cache = AnswerCache::new(CacheSettings::default());
    for number in 0..5_000 {
        cache.put(key(&small, &number.to_string()), answer(), None);
    }
    let kept = key(&small, "100");
    criterion.bench_function("hit", |bench| bench.iter(|| cache.get(black_box(&kept)).unwrap()));
    criterion.bench_function("key and hit", |bench| {
        bench.iter(|| cache.get(&key(black_box(&small), "100")).unwrap());
    });
    let absent = key(&small, "none");
    criterion.bench_function("miss", |bench| bench.iter(|| cache.get(black_box(&absent))));

    let mut number = 0;
    criterion.bench_function("put", |bench| {
        let fresh = || {
            number += 1;
            (key(&small, &format!("put {number}")), answer())
        };
        bench.iter_batched(fresh, |(key, answer)| cache.put(key, answer, None), BatchSize::SmallInput);
    });

    let answer = answer();
    criterion.bench_function("events of 1 kB", |bench| bench.iter(|| events(black_box(&answer))));
}

criterion_group!(benches, bench);
criterion_main!(benches);
