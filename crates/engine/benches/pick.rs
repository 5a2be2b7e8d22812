//! What a pick costs: `cargo bench -p gateway-engine --bench pick`. Each strategy among 3 and among 200 available targets,
//! set up as in a call: real providers with circuit breakers, measured latencies and listed prices. `cost` and `hybrid`
//! work out what the call would cost at each target; counting the prompt's tokens, which a call does once, is excluded.

#![allow(clippy::unwrap_used)]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use gateway_engine::config;
use gateway_engine::gateway::PromptEstimate;
use gateway_engine::routing::pool::strategy_names;
use gateway_engine::routing::{CallOptions, ProviderEntry, RoutePool};
use gateway_model::config::{ProviderConfig, Settings};
use gateway_model::{ChatRequest, Message, Role};
use gateway_pricing::PriceBook;
use gateway_providers::{ProviderEnv, build};
use gateway_transport::NetworkSettings;
use serde_json::{Value, json};

const MODELS: [(&str, &str); 5] = [
    ("openai", "gpt-4o"),
    ("openai", "gpt-4o-mini"),
    ("anthropic", "claude-sonnet-4-5"),
    ("gemini", "gemini-2.5-pro"),
    ("deepseek", "deepseek-chat"),
];

fn pool(strategy: &str, targets: usize) -> RoutePool {
    let entry = |number: usize| {
        let (family, model) = MODELS[number % MODELS.len()];
        json!({ "name": format!("provider-{number}"), "provider": family, "auth": { "type": "apiKey", "envVar": "KEY" },
            "models": [model], "weight": 1 + number % 3, "priority": number % 2 })
    };
    let members: Vec<Value> =
        (0..targets).map(|number| json!({ "provider": format!("provider-{number}") })).collect();
    let config = config::parse(&json!({
        "providers": (0..targets).map(entry).collect::<Vec<_>>(),
        "routes": [{ "name": "all", "match": {}, "target": { "pool": members, "strategy": strategy } }],
    }))
    .unwrap();
    let env =
        ProviderEnv { var: &|_: &str| Some("sk-0123456789".to_owned()), network: NetworkSettings::default() };
    let load = |entry: &ProviderConfig| {
        let provider = build(&entry.provider, entry, &env).unwrap().unwrap();
        (entry.name.clone(), Arc::new(ProviderEntry::new(provider, entry)))
    };
    let providers = config.providers.iter().map(load).collect();
    let quality = MODELS.iter().zip([0.8, 0.5, 0.9, 0.7, 0.6]);
    let settings = Settings {
        quality: quality.map(|((_, model), quality)| ((*model).to_owned(), quality)).collect(),
        ..Settings::default()
    };
    let config = config.routes[0].target.pool.as_ref().unwrap();
    let pool = RoutePool::new(config, &providers, &settings, &PriceBook::default());
    for number in 0..targets {
        pool.member(number).unwrap().target.latency().record((number * 7919 % 1000) as f64);
    }
    pool
}

fn call_options() -> CallOptions {
    let request = Arc::new(ChatRequest {
        messages: vec![Message::plain(Role::User, "word ".repeat(200))],
        user_id: Some("f81d4fae-7dec-11d0-a765-00a0c91e6bf6".into()),
        ..ChatRequest::default()
    });
    CallOptions::new(request.clone(), Arc::new(PromptEstimate::new(request)))
}

fn pick(criterion: &mut Criterion) {
    for strategy in strategy_names() {
        let mut group = criterion.benchmark_group(strategy);
        for targets in [3, 200] {
            let (pool, options, tried) = (pool(strategy, targets), call_options(), vec![false; targets]);
            group.bench_function(BenchmarkId::from_parameter(targets), |bencher| {
                bencher.iter(|| {
                    let known = pool.known(black_box(&options));
                    pool.pick(black_box(&options.request), &known, black_box(&tried)).unwrap()
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, pick);
criterion_main!(benches);
