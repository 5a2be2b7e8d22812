use serde_json::{Value, json};

use crate::config::{parse_gateway, warnings};

/// The faults' lines of a configuration whose providers are `a` and `b`.
fn faults(parts: Value) -> Vec<String> {
    match parse_gateway(&with(parts), &[]) {
        Ok(_) => Vec::new(),
        Err(error) => {
            error.message.lines().skip(1).map(|line| line.trim_start_matches("  - ").to_owned()).collect()
        }
    }
}

fn warned(parts: Value) -> Vec<String> {
    assert_eq!(faults(parts.clone()), [""; 0]);
    warnings(&with(parts))
}

fn with(parts: Value) -> Value {
    let entry = |name: &str| json!({"name": name, "provider": "openai", "models": ["m"]});
    let mut raw = json!({"providers": [entry("a"), entry("b")], "routes": [], "budgets": []});
    raw.as_object_mut().unwrap().extend(parts.as_object().unwrap().clone());
    raw
}

fn policy(limits: Value) -> Value {
    json!({"budgets": [
        {"name": "d", "scope": {"type": "global"}, "window": "day", "enforcement": "strict", "limits": limits},
    ]})
}

fn rule(fields: Value) -> Value {
    let mut rule = json!({"name": "r", "priority": 1, "target": {"provider": "a"}});
    rule.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    json!({"routes": [rule]})
}

#[test]
fn limits_that_limit_nothing_are_refused_with_what_was_meant() {
    let none = "budgets[0].limits: limits nothing: it has none of maxInputTokens, maxOutputTokens, maxTotalTokens, maxCostUsd, warnAt";
    assert_eq!(faults(policy(json!({}))), [none]);
    for misspelt in ["maxCost", "maxCostUSD", "max_cost_usd", "MaxCostUsd"] {
        let expected = format!("{none}; did you mean \"maxCostUsd\"?");
        assert_eq!(faults(policy(json!({misspelt: 1}))), [expected], "{misspelt}");
    }
    assert_eq!(faults(policy(json!({"daily": 1}))), [none]);
    assert_eq!(
        faults(policy(json!({"maxTotalTokens": 5, "maxCostUSD": 1}))),
        ["budgets[0].limits.maxCostUSD: unknown field; did you mean \"maxCostUsd\"?"]
    );
    assert_eq!(
        faults(policy(json!({"maxCostUsd": -1}))),
        ["budgets[0].limits.maxCostUsd: must be a number of 0 or more"]
    );
    // Also where the whole of them is misspelt.
    let mut misnamed = policy(json!({}));
    let policy = misnamed["budgets"][0].as_object_mut().unwrap();
    policy.remove("limits");
    policy.insert("limit".into(), json!({"maxCostUsd": 1}));
    assert_eq!(faults(misnamed), ["budgets[0].limit: unknown field; did you mean \"limits\"?"]);
}

#[test]
fn rates_that_limit_nothing_are_refused() {
    let none = "limits nothing: it has none of requestsPerMinute, tokensPerMinute";
    let nothing = |path: &str| [format!("{path}: {none}, maxConcurrency")];
    assert_eq!(faults(json!({"settings": {"limits": {}}})), nothing("settings.limits"));
    let no_limit = json!({"settings": {"limits": [{"maxConcurrency": 1}, {"per": "userTier"}]}});
    assert_eq!(faults(no_limit), nothing("settings.limits[1]"));
    assert_eq!(
        faults(json!({"settings": {"limits": [{"requestsPerMinute": 1, "tokenPerMinute": 5}]}})),
        ["settings.limits[0].tokenPerMinute: unknown field; did you mean \"tokensPerMinute\"?"]
    );
    for limits in [json!([{"requestsPerMinute": 1, "per": "metadata.team"}]), json!({"maxConcurrency": 1})] {
        assert_eq!(faults(json!({"settings": {"limits": limits}})), Vec::<String>::new());
    }
    let misspelt = json!({"name": "c", "provider": "openai", "rateLimit": {"requestPerMinute": 5}});
    assert_eq!(
        faults(json!({"providers": [misspelt]})),
        [format!("providers[0].rateLimit: {none}; did you mean \"requestsPerMinute\"?")]
    );
}

#[test]
fn what_is_left_out_is_no_limit() {
    let mut absent = policy(json!({}));
    absent["budgets"][0].as_object_mut().unwrap().remove("limits");
    assert_eq!(faults(absent), [""; 0]);
    assert_eq!(faults(policy(Value::Null)), [""; 0]);
    assert_eq!(faults(rule(json!({"match": {}, "constraints": {}}))), [""; 0]);
    assert_eq!(faults(json!({"settings": {"limits": null}})), [""; 0]);
}

#[test]
fn a_rule_that_would_match_everything_by_a_slip_is_refused() {
    let none = "routes[0].match: has none of taskType, userTier, sensitivity, feature, model: it would match every request";
    assert_eq!(faults(rule(json!({"match": {"team": "x"}}))), [none]);
    assert_eq!(
        faults(rule(json!({"match": {"task_type": "x"}}))),
        [format!("{none}; did you mean \"taskType\"?")]
    );
    assert_eq!(
        faults(rule(json!({"constraints": {"maxCostUSD": 1}}))),
        ["routes[0].constraints.maxCostUSD: unknown field; did you mean \"maxCostUsd\"?"]
    );
}

#[test]
fn guards_whose_name_is_misspelt_are_refused() {
    assert_eq!(
        faults(rule(json!({"constraint": {"maxCostUsd": 1}}))),
        ["routes[0].constraint: unknown field; did you mean \"constraints\"?"]
    );
    assert_eq!(
        faults(json!({"settings": {"limit": {"requestsPerMinute": 1}}})),
        ["settings.limit: unknown field; did you mean \"limits\"?"]
    );
}

#[test]
fn equal_policies_are_refused() {
    let policy = |name: &str, kind: &str| json!({"name": name, "scope": {"type": kind}, "window": "day", "enforcement": "hard"});
    let list = |policies: &[Value]| json!({"budgets": policies});
    assert_eq!(faults(list(&[policy("d", "user"), policy("d", "global"), policy("e", "user")])), [""; 0]);
    assert_eq!(
        faults(list(&[policy("d", "user"), policy("e", "user"), policy("d", "user")])),
        ["budgets[2]: equals budgets[0] in name, scope and window: rename one of the two"]
    );
    let calendar = |window: Value| json!({"name": "d", "scope": {"type": "user"}, "window": window, "enforcement": "hard"});
    let [day, berlin] = [json!({"unit": "day"}), json!({"unit": "day", "timeZone": "Europe/Berlin"})];
    assert_eq!(faults(list(&[calendar(day.clone()), calendar(berlin), policy("d", "user")])), [""; 0]);
    assert_eq!(
        faults(list(&[calendar(day), calendar(json!({"unit": "day", "timeZone": "utc"}))])),
        ["budgets[1]: equals budgets[0] in name, scope and window: rename one of the two"]
    );
}

#[test]
fn a_calendar_window_that_would_be_another_is_refused() {
    let with = |window: Value| {
        faults(
            json!({"budgets": [{"name": "d", "scope": {"type": "user"}, "window": window, "enforcement": "hard"}]}),
        )
    };
    assert_eq!(
        with(json!({"unit": "day", "timezone": "Europe/Berlin"})),
        ["budgets[0].window.timezone: unknown field; did you mean \"timeZone\"?"]
    );
    let zone = "budgets[0].window.timeZone: must be an IANA time zone, such as \"UTC\" or \"Europe/Berlin\"";
    assert_eq!(
        with(json!({"unit": "day", "timeZone": "America/NewYork"})),
        [format!("{zone}; did you mean \"America/New_York\"?")]
    );
    let unit = "must be one of: hour, day, week, month";
    assert_eq!(
        with(json!({"unit": "months"})),
        [format!("budgets[0].window.unit: {unit}; did you mean \"month\"?")]
    );
    assert_eq!(with(json!({"unit": 7})), ["budgets[0].window.unit: must be a string"]);
    assert_eq!(with(json!({})), ["budgets[0].window.unit: required"]);
    assert_eq!(with(json!("weekly")), ["budgets[0].window: must be one of: request, hour, day, month"]);
    let words = "budgets[0].window: must be one of: request, hour, day, month or {unit, timeZone}";
    assert_eq!(with(json!(7)), [words]);
}

#[test]
fn other_slips_are_warned_of() {
    assert_eq!(
        warned(rule(json!({"match": {"feature": "x", "userTeir": "free"}}))),
        ["routes[0].match.userTeir: unknown field; did you mean \"userTier\"?"]
    );
    assert_eq!(
        warned(rule(json!({"target": {"provider": "aa", "fallbackchain": "f", "fallbackChain": "main"}}))),
        [
            "routes[0].target.fallbackchain: unknown field; did you mean \"fallbackChain\"?",
            "routes[0].target.provider: names no provider: \"aa\"; did you mean \"a\"?",
            "routes[0].target.fallbackChain: names no chain: \"main\"",
        ]
    );
    assert_eq!(
        warned(
            json!({"fallbackChains": [{"name": "f", "steps": [{"provider": "a"}, {"provider": "azure"}]}]})
        ),
        ["fallbackChains[0].steps[1].provider: names no provider: \"azure\""]
    );
    assert_eq!(
        warned(json!({"settings": {"deduplicate": true, "cache": {"ttl": 5}}})),
        [
            "settings.deduplicate: unknown field; did you mean \"dedupe\"?",
            "settings.cache.ttl: unknown field; did you mean \"ttlMs\"?",
        ]
    );
    let entry = json!({"name": "a", "provider": "openai", "auth": {"type": "bearer", "envvar": "KEY"}});
    assert_eq!(
        warned(json!({"providers": [entry]})),
        ["providers[0].auth.envvar: unknown field; did you mean \"envVar\"?"]
    );
}

#[test]
fn fields_of_the_programs_own_are_left_alone() {
    assert_eq!(warned(rule(json!({"comment": "x", "target": {"provider": "b", "note": "y"}}))), [""; 0]);
    assert_eq!(warned(json!({"settings": {"$schema": "x", "owner": "y"}})), [""; 0]);
}
