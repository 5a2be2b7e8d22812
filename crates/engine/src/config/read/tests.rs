use serde_json::{Value, json};

use crate::config::parse;
use gateway_model::config::{AuthType, BudgetWindow, Enforcement, FallbackTrigger, ScopeKind};

fn faults(raw: &Value) -> Vec<String> {
    let error = parse(raw).unwrap_err();
    let (head, faults) = error.message.split_once("\n  - ").unwrap();
    let faults: Vec<String> = faults.split("\n  - ").map(str::to_owned).collect();
    assert_eq!(head, format!("Invalid configuration: {} validation error(s):", faults.len()));
    faults
}

fn provider_faults(provider: &Value) -> Vec<String> {
    faults(&json!({ "providers": [{ "name": "a", "provider": "openai" }, provider], "routes": [] }))
}

#[test]
fn every_field_is_read() {
    let config = parse(&json!({
        "providers": [{
            "name": "p", "provider": "openai", "baseUrl": "https://x", "enabled": true, "defaultModel": "d",
            "models": ["m", "n"], "timeoutMs": 5000, "retry": { "maxAttempts": 3, "backoffMs": 10, "maxRetryAfterMs": 20 },
            "auth": { "type": "customHeader", "envVar": "K", "headerName": "X-Key" }, "headers": { "A": "b" },
            "unknown": 1,
        }],
        "routes": [{
            "name": "r", "priority": 2.5, "enabled": false, "match": { "taskType": "t", "sensitivity": "high" },
            "target": { "provider": "p", "model": "m", "fallbackChain": "c" },
            "constraints": { "maxCostUsd": 0.5, "maxInputTokens": 10, "maxLatencyMs": 20 },
        }],
        "fallbackChains": [{ "name": "c", "steps": [{ "provider": "p", "when": ["timeout", "manual"], "timeoutMs": 7 }] }],
        "budgets": [{
            "name": "b", "scope": { "type": "user", "key": "k" }, "window": "month", "enforcement": "strict",
            "limits": { "maxCostUsd": 1, "maxTotalTokens": 100, "warnAt": 0.8 },
        }],
    }))
    .unwrap();
    let provider = &config.providers[0];
    assert_eq!(provider.base_url.as_deref(), Some("https://x"));
    assert_eq!((provider.enabled, provider.timeout_ms), (Some(true), Some(5000)));
    assert_eq!(provider.fallback_model(), Some("d"));
    assert_eq!(provider.retry.unwrap().max_attempts, Some(3));
    assert_eq!((provider.auth.kind, provider.auth.env_var.as_deref()), (AuthType::CustomHeader, Some("K")));
    assert_eq!(provider.headers["A"], "b");
    let rule = &config.routes[0];
    assert_eq!((rule.priority, rule.enabled), (2.5, Some(false)));
    assert_eq!(rule.matches.sensitivity.as_deref(), Some("high"));
    assert_eq!((rule.constraints.max_cost_usd, rule.constraints.max_latency_ms), (Some(0.5), Some(20)));
    let step = &config.fallback_chains[0].steps[0];
    assert_eq!(step.when, [FallbackTrigger::Timeout, FallbackTrigger::Manual]);
    assert_eq!(step.timeout_ms, Some(7));
    let budget = &config.budgets[0];
    assert_eq!((budget.scope.kind, &budget.window), (ScopeKind::User, &BudgetWindow::Month));
    assert_eq!((budget.enforcement, budget.limits.max_cost_usd), (Enforcement::Strict, Some(1.0)));
}

#[test]
fn optional_fields_may_be_absent_or_null() {
    let config = parse(&json!({
        "providers": [{ "name": "p", "provider": "mine" }, {
            "name": "q", "provider": "mine", "baseUrl": "", "enabled": null, "models": null, "timeoutMs": null,
            "retry": null, "auth": null, "headers": null,
        }],
        "routes": [{ "target": { "provider": "p", "model": null } }, {
            "priority": null, "enabled": null, "match": null, "target": { "provider": "p" }, "constraints": null,
        }],
        "fallbackChains": null,
    }))
    .unwrap();
    assert_eq!((config.fallback_chains.len(), config.budgets.len()), (0, 0));
    assert_eq!(config.providers[1].base_url, None);
    assert_eq!((config.routes[0].priority, config.routes[1].enabled), (0.0, None));
}

#[test]
fn values_are_read_as_javascript_takes_them() {
    let config = parse(&json!({
        "providers": [{
            "name": "p", "provider": "openai", "enabled": 0, "timeoutMs": " 5000 ", "headers": { "A": 1, "B": true, "C": null },
            "retry": { "maxAttempts": 1e21, "backoffMs": "" }, "auth": { "envVars": ["A", "B"] },
        }],
        "routes": [{ "priority": "10", "target": { "provider": "p" } }],
        "fallbackChains": [{ "steps": [{ "provider": "p", "when": ["whenever"] }] }],
    }))
    .unwrap();
    let provider = &config.providers[0];
    assert_eq!((provider.enabled, provider.timeout_ms), (Some(true), Some(5000)));
    assert_eq!((&*provider.headers["A"], &*provider.headers["B"], provider.headers.len()), ("1", "true", 2));
    let retry = provider.retry.unwrap();
    assert_eq!((retry.max_attempts, retry.backoff_ms), (Some(u32::MAX), None));
    assert_eq!(provider.auth.variables(), ["A", "B"]);
    assert_eq!(config.routes[0].priority, 10.0);
    assert_eq!(config.fallback_chains[0].steps[0].when, [FallbackTrigger::Manual]);
}

#[test]
fn faults_are_reported_with_their_path() {
    assert_eq!(faults(&json!(null)), ["providers: must be an array", "routes: must be an array"]);
    let raw = json!({ "providers": [], "routes": { "rules": [] }, "fallbackChains": {}, "budgets": "b" });
    let lists = ["routes", "fallbackChains", "budgets"].map(|name| format!("{name}: must be an array"));
    assert_eq!(faults(&raw), lists);

    assert_eq!(provider_faults(&json!(["a", "openai"])), ["providers[1]: must be an object"]);
    let fault =
        |key: &str, value: Value| provider_faults(&json!({ "name": "b", "provider": "openai", key: value }));
    assert_eq!(provider_faults(&json!({ "name": "b" })), ["providers[1].provider: required"]);
    assert_eq!(fault("name", json!(1)), ["providers[1].name: must be a string"]);
    assert_eq!(fault("models", json!("m")), ["providers[1].models: must be an array"]);
    assert_eq!(fault("models", json!(["m", 1])), ["providers[1].models[1]: must be a string"]);
    assert_eq!(
        fault("auth", json!({ "type": "basic" })),
        ["providers[1].auth.type: must be one of: apiKey, bearer, none, customHeader"]
    );
    assert_eq!(fault("timeoutMs", json!(-1)), ["providers[1].timeoutMs: must be a number of 0 or more"]);
    assert_eq!(fault("timeoutMs", json!("soon")), ["providers[1].timeoutMs: must be a number"]);
    assert_eq!(
        fault("retry", json!({ "backoffMs": [] })),
        ["providers[1].retry.backoffMs: must be a number"]
    );

    let raw = json!({
        "providers": [],
        "routes": [{ "name": "r" }, { "target": { "model": "m" } }],
        "fallbackChains": [{ "steps": [{ "provider": "p" }, { "provider": "p", "when": "timeout" }] }],
        "budgets": [{ "name": "b", "scope": { "type": "tenant" }, "window": "day", "enforcement": "hard" }],
    });
    assert_eq!(
        faults(&raw),
        [
            "routes[0].target: required",
            "routes[1].target.provider: required",
            "fallbackChains[0].steps[1].when: must be an array",
            "budgets[0].scope.type: must be one of: global, user, feature, model, userId, provider, key, team",
        ]
    );
}

#[test]
fn values_are_never_quoted() {
    for provider in [
        json!({ "name": "b", "provider": "openai", "auth": "sk, expected-secret" }),
        json!({ "name": "b", "provider": "openai", "auth": { "type": "sk-secret" } }),
        json!({ "name": "b", "provider": "openai", "auth": { "type": "none", "envVars": "missing field `secret" } }),
        json!({ "name": "b", "provider": "openai", "headers": "Bearer secret, expected secret" }),
        json!({ "name": "b", "provider": "openai", "headers": { "A": ["secret"] } }),
        json!({ "name": "b", "provider": "openai", "timeoutMs": "secret" }),
    ] {
        let faults = provider_faults(&provider).concat();
        assert!(!faults.contains("secret"), "{faults}");
    }
}

#[test]
fn an_unknown_strategy_is_refused_with_the_known_names() {
    let rule = |strategy: Value| json!({ "target": { "pool": [{ "provider": "p" }], "strategy": strategy } });
    let raw = |routes: Value| {
        json!({
            "providers": [{ "name": "p", "provider": "openai" }],
            "routes": routes,
        })
    };
    let config = parse(&raw(json!([rule(json!("cost")), rule(json!(null))]))).unwrap();
    let strategy = |index: usize| config.routes[index].target.pool.as_ref().unwrap().strategy.as_str();
    assert_eq!((strategy(0), strategy(1)), ("cost", "priority"));
    // The name of the wrong one is not repeated; a rule that names no pool is checked, too.
    let single = json!({ "target": { "provider": "p", "strategy": "" } });
    let names = crate::routing::pool::strategy_names().join(", ");
    assert!(names.starts_with("priority, weighted, round_robin, least_busy"));
    assert_eq!(
        faults(&raw(json!([rule(json!("secret")), rule(json!(1)), single]))),
        [
            format!("routes[0].target.strategy: must be one of: {names}"),
            "routes[1].target.strategy: must be a string".to_owned(),
            format!("routes[2].target.strategy: must be one of: {names}"),
        ]
    );
}

#[test]
fn probes_to_close_has_an_old_name() {
    let probes = |breaker: Value| {
        let entry = json!({ "name": "b", "provider": "openai", "breaker": breaker });
        crate::config::provider(&entry).map(|entry| entry.breaker.unwrap().probes_to_close)
    };
    assert_eq!(probes(json!({})).unwrap(), None);
    assert_eq!(probes(json!({ "probesToClose": 2 })).unwrap(), Some(2));
    assert_eq!(probes(json!({ "halfOpenMaxRequests": 2 })).unwrap(), Some(2));
    assert_eq!(probes(json!({ "probesToClose": 2, "halfOpenMaxRequests": 2 })).unwrap(), Some(2));
    let breaker = json!({ "breaker": { "probesToClose": 2, "halfOpenMaxRequests": 3 }, "name": "b", "provider": "openai" });
    assert_eq!(
        provider_faults(&breaker),
        [
            "providers[1].breaker.probesToClose: must equal halfOpenMaxRequests, its old name, where both are set"
        ]
    );
}
