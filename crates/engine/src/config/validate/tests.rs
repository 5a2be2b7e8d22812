use serde_json::json;

use super::*;
use crate::config::check;

fn usable() -> Value {
    json!({
        "providers": [{ "name": "p", "provider": "openai", "models": ["m"], "auth": { "type": "apiKey", "envVar": "K" } }],
        "routes": {
            "rules": [{ "name": "r", "priority": 1, "match": {}, "target": { "provider": "p", "fallbackChain": "c" } }],
            "fallbackChains": [{ "name": "c", "steps": [{ "provider": "p", "when": [] }] }],
        },
        "budgets": [{ "name": "b", "scope": { "type": "global" }, "window": "day", "enforcement": "hard" }],
    })
}

fn faults(raw: &Value) -> Vec<String> {
    validate(raw, &gateway_providers::has_defaults)
        .iter()
        .map(|fault| format!("{}: {}", fault.path, fault.message))
        .collect()
}

/// The faults of the usable configuration with `value` at `place`.
fn with(place: &str, value: Value) -> Vec<String> {
    let mut raw = usable();
    let (holder, key) = place.rsplit_once('/').unwrap();
    raw.pointer_mut(holder).unwrap()[key] = value;
    faults(&raw)
}

fn without(place: &str) -> Vec<String> {
    let mut raw = usable();
    let (holder, key) = place.rsplit_once('/').unwrap();
    raw.pointer_mut(holder).unwrap().as_object_mut().unwrap().remove(key).unwrap();
    faults(&raw)
}

const NONE: [&str; 0] = [];

#[test]
fn valid_configurations_have_no_faults() {
    assert_eq!(faults(&usable()), NONE);
    assert_eq!(faults(&json!({ "providers": [], "routes": { "rules": [] }, "budgets": [] })), NONE);
    check(&usable(), &gateway_providers::has_defaults).unwrap();
}

#[test]
fn faults_come_in_the_order_of_the_files() {
    let raw = json!({
        "providers": [{ "auth": {} }, 1],
        "routes": { "rules": [{}, null], "fallbackChains": [{ "steps": [{ "when": ["x"] }] }, "c"] },
        "budgets": [{}, { "scope": {} }],
    });
    assert_eq!(
        faults(&raw),
        [
            "providers[0].name: required string",
            "providers[0].provider: required string (e.g. 'openai', 'anthropic', 'openrouter')",
            "providers[0].models: must be a non-empty array of strings",
            "providers[0].auth.type: must be one of: apiKey, bearer, none, customHeader",
            "providers[0].auth.envVar: required when auth.type is \"undefined\"",
            "providers[1]: must be an object",
            "rules[0].name: required string",
            "rules[0].priority: required number",
            "rules[0].target: required object with 'provider' field",
            "rules[1]: must be an object",
            "fallbackChains[0].name: required string",
            "fallbackChains[0].steps[0].provider: required string",
            "fallbackChains[0].steps[0].when: invalid trigger \"x\", must be: timeout, rate_limit, provider_error, \
             budget_exceeded, manual",
            "fallbackChains[1]: must be an object",
            "budgets[0].name: required string",
            "budgets[0].window: must be one of: request, hour, day, month",
            "budgets[0].enforcement: must be one of: soft, hard, strict",
            "budgets[0].scope: required object with 'type' field",
            "budgets[1].name: required string",
            "budgets[1].window: must be one of: request, hour, day, month",
            "budgets[1].enforcement: must be one of: soft, hard, strict",
            "budgets[1].scope.type: must be one of: global, user, feature, model, userId, provider, key, team",
        ]
    );
}

#[test]
fn one_error_lists_every_fault() {
    let mut raw = usable();
    raw["providers"][0]["name"] = json!(1);
    raw["budgets"] = json!({});
    let error = check(&raw, &gateway_providers::has_defaults).unwrap_err();
    let message = "Invalid configuration: 2 validation error(s):\n  - providers[0].name: required string\n  - budgets: must be an array";
    assert_eq!((error.message.as_str(), &*error.code), (message, "CONFIG_INVALID"));
}

#[test]
fn collections_must_be_arrays() {
    let raw = json!({ "providers": {}, "routes": { "rules": "r", "fallbackChains": {} } });
    let list =
        ["providers", "rules", "fallbackChains", "budgets"].map(|name| format!("{name}: must be an array"));
    assert_eq!(faults(&raw), list);
    for routes in [json!(null), json!([]), json!("r")] {
        assert_eq!(with("/routes", routes), ["routes: must be an object"]);
    }
    assert_eq!(without("/routes"), ["routes: must be an object"]);
    assert_eq!(without("/routes/fallbackChains"), NONE);
    assert_eq!(with("/routes/fallbackChains", json!(null)), NONE);
    assert_eq!(faults(&json!(null)).len(), 3);
}

#[test]
fn models_are_strings() {
    let fault = ["providers[0].models: must be a non-empty array of strings"];
    for models in [json!([]), json!("m"), json!([1]), json!(["m", null]), json!([""])] {
        assert_eq!(with("/providers/0/models", models), fault);
    }
}

#[test]
fn env_var_is_required_unless_the_auth_type_is_none() {
    let auth = |auth: Value| with("/providers/0/auth", auth);
    assert_eq!(auth(json!("k")), ["providers[0].auth: required object with 'type' field"]);
    assert_eq!(auth(json!({ "type": "none" })), NONE);
    assert_eq!(
        auth(json!({ "type": "bearer" })),
        ["providers[0].auth.envVar: required when auth.type is \"bearer\""]
    );
    assert_eq!(
        auth(json!({ "type": "customHeader", "envVar": "" })),
        ["providers[0].auth.envVar: required when auth.type is \"customHeader\""]
    );
    let types = "providers[0].auth.type: must be one of: apiKey, bearer, none, customHeader";
    assert_eq!(auth(json!({ "type": "basic", "envVar": "K" })), [types]);
    for (kind, printed) in [
        (json!("basic"), "basic"),
        (json!(null), "undefined"),
        (json!(1.0), "1"),
        (json!(-1.5), "-1.5"),
        (json!(true), "true"),
        (json!({}), "[object Object]"),
        (json!([1, null, ["a"]]), "1,,a"),
    ] {
        let fault = format!("providers[0].auth.envVar: required when auth.type is \"{printed}\"");
        assert_eq!(auth(json!({ "type": kind })), [types, &fault]);
    }
}

#[test]
fn env_vars_replace_env_var() {
    let auth = |vars: Value| with("/providers/0/auth", json!({ "type": "apiKey", "envVars": vars }));
    assert_eq!(auth(json!(["A", "B"])), NONE);
    for vars in [json!([]), json!("A"), json!([1])] {
        assert_eq!(auth(vars), ["providers[0].auth.envVars: must be a non-empty array of strings"]);
    }
    assert_eq!(auth(json!(null)), ["providers[0].auth.envVar: required when auth.type is \"apiKey\""]);
}

#[test]
fn key_in_the_configuration_is_refused_and_not_quoted() {
    let faults = with("/providers/0/auth/value", json!("sk-secret"));
    assert_eq!(
        faults,
        ["providers[0].auth.value: keys belong in the environment: name the variable in auth.envVar"]
    );
}

#[test]
fn steps_have_a_provider_and_known_triggers() {
    let steps = "/routes/fallbackChains/0/steps";
    for none in [json!([]), json!({}), json!(null)] {
        assert_eq!(with(steps, none), ["fallbackChains[0].steps: must be a non-empty array"]);
    }
    assert_eq!(with(steps, json!([1])), ["fallbackChains[0].steps[0]: must be an object"]);
    let all = json!(["timeout", "rate_limit", "provider_error", "budget_exceeded", "manual"]);
    assert_eq!(with(&format!("{steps}/0/when"), all), NONE);
    assert_eq!(with(&format!("{steps}/0/when"), json!(null)), NONE);
    let when = "fallbackChains[0].steps[0].when";
    assert_eq!(
        with(&format!("{steps}/0/when"), json!("timeout")),
        [format!("{when}: must be an array of trigger strings")]
    );
    let triggers = "must be: timeout, rate_limit, provider_error, budget_exceeded, manual";
    assert_eq!(
        with(&format!("{steps}/0/when"), json!(["timeout", "error", 5])),
        [
            format!("{when}: invalid trigger \"error\", {triggers}"),
            format!("{when}: invalid trigger \"5\", {triggers}")
        ]
    );
}

#[test]
fn windows_enforcements_and_scopes_are_known_words() {
    for window in ["request", "hour", "day", "month"] {
        assert_eq!(with("/budgets/0/window", json!(window)), NONE);
    }
    for enforcement in ["soft", "hard", "strict"] {
        assert_eq!(with("/budgets/0/enforcement", json!(enforcement)), NONE);
    }
    for scope in ["global", "user", "feature", "model", "userId", "provider", "key", "team"] {
        assert_eq!(with("/budgets/0/scope/type", json!(scope)), NONE);
    }
    assert_eq!(
        with("/budgets/0/scope", json!("global")),
        ["budgets[0].scope: required object with 'type' field"]
    );
}

#[test]
fn calendar_windows_have_a_unit_and_maybe_a_time_zone() {
    for unit in ["hour", "day", "week", "month"] {
        assert_eq!(with("/budgets/0/window", json!({ "unit": unit })), NONE);
    }
    let berlin = json!({ "unit": "day", "timeZone": "Europe/Berlin" });
    assert_eq!(with("/budgets/0/window", berlin), NONE);
    assert_eq!(with("/budgets/0/window", json!({ "unit": "day", "timeZone": null })), NONE);
    let units = "budgets[0].window.unit: must be one of: hour, day, week, month";
    assert_eq!(with("/budgets/0/window", json!({})), [units]);
    assert_eq!(
        with("/budgets/0/window", json!({ "unit": "weekly", "timeZone": "Europe/Berln" })),
        [
            format!("{units}; did you mean \"week\"?"),
            "budgets[0].window.timeZone: must be an IANA time zone, such as \"UTC\" or \"Europe/Berlin\"; \
             did you mean \"Europe/Berlin\"?"
                .to_owned(),
        ]
    );
    assert_eq!(with("/budgets/0/window", json!({ "unit": "day", "timeZone": 1 })).len(), 1);
}

#[test]
fn optional_fields_may_be_null() {
    for place in [
        "/providers/0/baseUrl",
        "/providers/0/retry",
        "/providers/0/headers",
        "/providers/0/auth/value",
        "/routes/rules/0/match",
        "/routes/rules/0/enabled",
        "/routes/rules/0/constraints",
        "/budgets/0/limits",
    ] {
        assert_eq!(with(place, json!(null)), NONE, "{place}");
    }
}

#[test]
fn optional_fields_of_the_wrong_type_are_reported() {
    let amount = "must be a number of 0 or more";
    let flag = "must be a boolean";
    let text = "must be a string";
    let object = "must be an object";
    for (place, value, path, message) in [
        ("/providers/0/enabled", json!("yes"), "providers[0].enabled", flag),
        ("/providers/0/defaultModel", json!(1), "providers[0].defaultModel", text),
        ("/providers/0/timeoutMs", json!("5000"), "providers[0].timeoutMs", amount),
        ("/providers/0/timeoutMs", json!(-1), "providers[0].timeoutMs", amount),
        ("/providers/0/retry", json!(3), "providers[0].retry", object),
        ("/providers/0/retry", json!({ "backoffMs": true }), "providers[0].retry.backoffMs", amount),
        ("/providers/0/headers", json!("h"), "providers[0].headers", object),
        ("/providers/0/headers", json!({ "X-A": 1 }), "providers[0].headers.X-A", text),
        ("/providers/0/auth/headerName", json!(1), "providers[0].auth.headerName", text),
        ("/routes/rules/0/enabled", json!(0), "rules[0].enabled", flag),
        ("/routes/rules/0/match", json!("chat"), "rules[0].match", object),
        ("/routes/rules/0/match/taskType", json!(["chat"]), "rules[0].match.taskType", text),
        ("/routes/rules/0/target/model", json!({}), "rules[0].target.model", text),
        (
            "/routes/rules/0/constraints",
            json!({ "maxCostUsd": "1" }),
            "rules[0].constraints.maxCostUsd",
            amount,
        ),
        (
            "/routes/fallbackChains/0/steps/0/timeoutMs",
            json!(-1),
            "fallbackChains[0].steps[0].timeoutMs",
            amount,
        ),
        ("/budgets/0/scope/key", json!(7), "budgets[0].scope.key", text),
        ("/budgets/0/limits", json!({ "maxTotalTokens": -1 }), "budgets[0].limits.maxTotalTokens", amount),
        (
            "/budgets/0/limits",
            json!({ "warnAt": 80 }),
            "budgets[0].limits.warnAt",
            "must be a number between 0 and 1",
        ),
    ] {
        assert_eq!(with(place, value), [format!("{path}: {message}")]);
    }
}

#[test]
fn base_url_must_be_http() {
    for url in ["http://localhost:11434/v1", "HTTPS://x", " https://x/y/ ", ""] {
        assert_eq!(with("/providers/0/baseUrl", json!(url)), NONE, "{url}");
    }
    for url in ["localhost:11434", "ftp://x", "https://", "https:///v1", "x"] {
        let fault = ["providers[0].baseUrl: must be an http or https URL"];
        assert_eq!(with("/providers/0/baseUrl", json!(url)), fault, "{url}");
    }
}

#[test]
fn probes_to_close_and_its_old_name_must_agree() {
    let breaker = |breaker: Value| with("/providers/0/breaker", breaker);
    assert_eq!(breaker(json!({ "probesToClose": 2 })), NONE);
    assert_eq!(breaker(json!({ "probesToClose": 2, "halfOpenMaxRequests": 2 })), NONE);
    assert_eq!(
        breaker(json!({ "probesToClose": 0 })),
        ["providers[0].breaker.probesToClose: must be a number of 1 or more"]
    );
    assert_eq!(
        breaker(json!({ "probesToClose": 2, "halfOpenMaxRequests": 3 })),
        [
            "providers[0].breaker.probesToClose: must equal halfOpenMaxRequests, its old name, where both are set"
        ]
    );
}
