//! The checks of a configuration. Users see the messages: paths and wording are part of the API.

use std::borrow::Cow;

use serde_json::{Value, json};

use super::fields::{A_COUNT, AN_OBJECT, Fields, each, fault, is_count, must_be_one_of, object};
use super::stores::stores;
use super::{HasDefaults, ValidationError};
use crate::routing::pool::strategy_names;
use gateway_model::config::{
    A_HASH_KEY, A_LIMIT_KEY, AN_UNKNOWN_PRICE, AuthType, CalendarUnit, ChainExecution, Enforcement,
    FallbackTrigger, Jitter, LimitKey, NOT_AS_THE_OLD_NAME, OnStoreError, SEND_USER_ID, ScopeKind,
    UnknownPrice, WindowWord, Zone, is_hash_key, nearest, words,
};

/// Every fault of `{providers, routes: {rules, fallbackChains?}, budgets}`, in that order; empty if there is none.
pub fn validate(raw: &Value, has_defaults: HasDefaults<'_>) -> Vec<ValidationError> {
    let mut faults = Vec::new();
    providers_file(raw.get("providers"), has_defaults, &mut faults);
    match raw.get("routes") {
        Some(Value::Object(routes)) => {
            each("rules", routes.get("rules"), &mut faults, rule);
            if let Some(chains) = routes.get("fallbackChains").filter(|chains| !chains.is_null()) {
                each("fallbackChains", Some(chains), &mut faults, chain);
            }
        }
        _ => fault(&mut faults, "routes", AN_OBJECT),
    }
    each("budgets", raw.get("budgets"), &mut faults, budget);
    if let Some(value) = raw.get("settings").filter(|settings| !settings.is_null()) {
        object("settings", value, &mut faults, settings);
    }
    faults
}

/// A list of entries, or an object with the list and the settings that all its entries share.
fn providers_file(raw: Option<&Value>, has_defaults: HasDefaults<'_>, faults: &mut Vec<ValidationError>) {
    let provider = |entry: &mut Fields<'_, '_>| provider(entry, has_defaults);
    match raw.and_then(Value::as_object) {
        None => each("providers", raw, faults, provider),
        Some(file) => {
            each("providers", file.get("providers"), faults, provider);
            if let Some(gateway) = file.get("cloudflareGateway").filter(|gateway| !gateway.is_null()) {
                object("cloudflareGateway", gateway, faults, cloudflare_gateway);
            }
        }
    }
}

fn cloudflare_gateway(gateway: &mut Fields<'_, '_>) {
    gateway.required_string("accountId");
    gateway.required_string("gatewayId");
    gateway.optional_strings(["tokenEnvVar"]);
    gateway.optional_amounts(["cacheTtl"]);
    gateway.optional("skipCache", Value::is_boolean, "must be a boolean");
    gateway.optional("baseUrl", is_http_url, "must be an http or https URL");
}

fn provider(entry: &mut Fields<'_, '_>, has_defaults: HasDefaults<'_>) {
    entry.required_string("name");
    entry.required_string_or("provider", "required string (e.g. 'openai', 'anthropic', 'openrouter')");
    let has_defaults = entry.get("provider").and_then(Value::as_str).is_some_and(has_defaults);
    if !has_defaults || entry.get("models").is_some_and(|models| *models != json!([])) {
        entry.strings("models");
    }
    if let Some(mut auth) = entry.required_object("auth", "required object with 'type' field") {
        provider_auth(&mut auth, has_defaults);
    }
    entry.optional("baseUrl", is_http_url, "must be an http or https URL");
    entry.optional("enabled", Value::is_boolean, "must be a boolean");
    entry.optional_strings(["defaultModel"]);
    entry.optional_amounts(["timeoutMs", "maxResponseBytes", "streamIdleMs", "priority"]);
    let sends_user = |value: &Value| value.is_boolean() || value == "hashed";
    entry.optional("sendUserId", sends_user, SEND_USER_ID);
    entry.optional("http2", Value::is_boolean, "must be a boolean");
    if entry.get("redirectHosts").is_some_and(|hosts| *hosts != json!([])) {
        entry.strings("redirectHosts");
    }
    entry.optional("weight", is_weight, A_WEIGHT);
    entry.optional("unknownPrice", |price| UnknownPrice::read(price).is_some(), AN_UNKNOWN_PRICE);
    entry.optional("maxConcurrency", is_count, A_COUNT);
    if let Some(mut retry) = entry.optional_object("retry") {
        retry.optional_amounts(["maxAttempts", "backoffMs", "maxRetryAfterMs"]);
        retry.optional_one_of("jitter", words::<Jitter>());
    }
    if let Some(mut limit) = entry.optional_object("rateLimit") {
        rate_limit(&mut limit);
    }
    if let Some(mut breaker) = entry.optional_object("breaker") {
        breaker.optional_amounts(["cooldownMs"]);
        breaker.optional("failureThreshold", is_count, A_COUNT);
        breaker.optional("probesToClose", is_count, A_COUNT);
        breaker.optional("halfOpenMaxRequests", is_count, A_COUNT);
        let [probes, old] =
            ["probesToClose", "halfOpenMaxRequests"].map(|key| breaker.get(key).and_then(Value::as_f64));
        if probes.is_some() && old.is_some() && probes != old {
            breaker.fault("probesToClose", NOT_AS_THE_OLD_NAME);
        }
    }
    if let Some(mut check) = entry.optional_object("healthCheck") {
        check.optional("intervalMs", is_count, A_COUNT);
    }
    if let Some(mut headers) = entry.optional_object("headers") {
        headers.all_strings();
    }
    if let Some(mut options) = entry.optional_object("options") {
        options.optional_amounts(["delayMs"]);
        options.optional_strings(["region"]);
    }
    if let Some(mut gateway) = entry.optional_object("cloudflareGateway") {
        cloudflare_gateway(&mut gateway);
    }
}

/// `has_defaults`: the family has a default variable for its key.
fn provider_auth(auth: &mut Fields<'_, '_>, has_defaults: bool) {
    auth.one_of("type", words::<AuthType>());
    let kind = auth.get("type");
    if auth.get("envVars").is_some() {
        auth.strings("envVars");
    } else if has_defaults && auth.get("envVar").is_none() {
        // The family's default is meant.
    } else if kind.and_then(Value::as_str) != Some("none") {
        let kind = kind.map_or(Cow::Borrowed("undefined"), as_javascript_prints);
        auth.required_string_or("envVar", &format!("required when auth.type is \"{kind}\""));
    }
    auth.optional_strings(["headerName"]);
    // The message never quotes what stands there: it is a key.
    auth.optional("value", |_| false, "keys belong in the environment: name the variable in auth.envVar");
}

fn rule(rule: &mut Fields<'_, '_>) {
    rule.required_string("name");
    rule.required_number("priority");
    if let Some(mut target) = rule.required_object("target", "required object with 'provider' field") {
        if target.get("pool").is_some() {
            pool(&mut target);
        } else {
            target.required_string("provider");
        }
        target.optional_strings(["model", "fallbackChain"]);
    }
    rule.optional("enabled", Value::is_boolean, "must be a boolean");
    if let Some(mut matches) = rule.optional_object("match") {
        matches.optional_strings(["taskType", "userTier", "sensitivity", "feature", "model"]);
    }
    if let Some(mut hedge) = rule.optional_object("hedge") {
        let is_delay = |value: &Value| is_count(value) || value == "p95";
        match hedge.get("afterMs") {
            None => hedge.fault("afterMs", "required: milliseconds, or \"p95\""),
            Some(_) => hedge.optional("afterMs", is_delay, "must be a number of 1 or more, or \"p95\""),
        }
        hedge.optional("maxExtra", is_count, A_COUNT);
    }
    if let Some(mut constraints) = rule.optional_object("constraints") {
        constraints.optional_amounts(["maxCostUsd", "maxInputTokens", "maxLatencyMs"]);
    }
}

fn pool(target: &mut Fields<'_, '_>) {
    target.each("pool", |member| {
        member.required_string("provider");
        member.optional_strings(["model"]);
        member.optional("weight", is_weight, A_WEIGHT);
    });
    // A name that is none of ours may be one of the program's: `new Gateway` knows them.
    target.optional(
        "strategy",
        |name| name.as_str().is_some_and(is_strategy),
        &must_be_one_of(&strategy_names()),
    );
    target.optional("hashKey", |key| key.as_str().is_some_and(is_hash_key), A_HASH_KEY);
    target.optional("maxAttempts", is_count, A_COUNT);
    if let Some(mut weights) = target.optional_object("weights") {
        let names = ["cost", "latency", "quality"];
        weights.optional_amounts(names);
        if names.iter().all(|name| weights.get(name).is_some_and(|weight| weight.as_f64() == Some(0.0))) {
            weights.fault("cost", "one of the weights must be above 0");
        }
    }
}

/// One of ours, or a name that is not a slip of one of them.
fn is_strategy(name: &str) -> bool {
    let known = strategy_names();
    !name.is_empty() && (known.contains(&name) || nearest(name, known.into_iter()).is_none())
}

fn rate_limit(limit: &mut Fields<'_, '_>) {
    limit.optional("requestsPerMinute", is_count, A_COUNT);
    limit.optional("tokensPerMinute", is_count, A_COUNT);
}

fn user_limit(limit: &mut Fields<'_, '_>) {
    rate_limit(limit);
    limit.optional("maxConcurrency", is_count, A_COUNT);
    let is_key = |key: &Value| key.as_str().is_some_and(|key| LimitKey::read(key).is_some());
    limit.optional("per", is_key, A_LIMIT_KEY);
}

fn settings(settings: &mut Fields<'_, '_>) {
    if let Some(mut cache) = settings.optional_object("cache") {
        cache.optional("enabled", Value::is_boolean, "must be a boolean");
        cache.optional("ttlMs", is_count, A_COUNT);
        cache.optional("maxEntries", is_count, A_COUNT);
    }
    settings.optional("dedupe", Value::is_boolean, "must be a boolean");
    match settings.get("limits") {
        None => {}
        Some(Value::Array(_)) => settings.each("limits", user_limit),
        Some(_) => {
            if let Some(mut limits) = settings.optional_object("limits") {
                user_limit(&mut limits);
            }
        }
    }
    if let Some(mut budget) = settings.optional_object("retryBudget") {
        budget.optional_amounts(["ratio", "reserve"]);
    }
    stores(settings);
    if let Some(prices) = settings.optional_object("prices") {
        prices.each_object(model_prices);
    }
    if let Some(mut quality) = settings.optional_object("quality") {
        quality.all(is_fraction, "must be a number between 0 and 1");
    }
}

fn model_prices(prices: &mut Fields<'_, '_>) {
    let required = ["inputPer1kTokens", "outputPer1kTokens"];
    for key in required {
        prices.required_number(key);
    }
    prices.optional_amounts(required);
    prices.optional_amounts(["cacheReadPer1kTokens", "cacheWritePer1kTokens"]);
}

fn is_fraction(value: &Value) -> bool {
    value.as_f64().is_some_and(|number| (0.0..=1.0).contains(&number))
}

const A_WEIGHT: &str = "must be a number above 0";

fn is_weight(value: &Value) -> bool {
    value.as_f64().is_some_and(|number| number > 0.0)
}

fn chain(chain: &mut Fields<'_, '_>) {
    chain.required_string("name");
    chain.optional_one_of("execution", words::<ChainExecution>());
    chain.optional_strings(["degradedReply"]);
    chain.each("steps", |step| {
        step.required_string("provider");
        match step.get("when") {
            None => {}
            Some(Value::Array(triggers)) => {
                let known = words::<FallbackTrigger>();
                for trigger in triggers {
                    if !trigger.as_str().is_some_and(|trigger| known.contains(&trigger)) {
                        let (trigger, known) = (as_javascript_prints(trigger), known.join(", "));
                        step.fault("when", format!("invalid trigger \"{trigger}\", must be: {known}"));
                    }
                }
            }
            Some(_) => step.fault("when", "must be an array of trigger strings"),
        }
        step.optional_strings(["model"]);
        step.optional_amounts(["timeoutMs"]);
    });
}

fn budget(policy: &mut Fields<'_, '_>) {
    policy.required_string("name");
    if policy.get("window").is_some_and(Value::is_object) {
        if let Some(mut window) = policy.optional_object("window") {
            calendar_window(&mut window);
        }
    } else {
        policy.one_of("window", words::<WindowWord>());
    }
    policy.one_of("enforcement", words::<Enforcement>());
    policy.optional_one_of("onStoreError", words::<OnStoreError>());
    if let Some(mut scope) = policy.required_object("scope", "required object with 'type' field") {
        scope.one_of("type", words::<ScopeKind>());
        scope.optional_strings(["key"]);
    }
    if let Some(mut limits) = policy.optional_object("limits") {
        limits.optional_amounts(["maxInputTokens", "maxOutputTokens", "maxTotalTokens", "maxCostUsd"]);
        limits.optional("warnAt", is_fraction, "must be a number between 0 and 1");
    }
    policy.optional_amounts(["maxOutputTokensPerCall"]);
    policy.optional("unknownPrice", |price| UnknownPrice::read(price).is_some(), AN_UNKNOWN_PRICE);
}

fn calendar_window(window: &mut Fields<'_, '_>) {
    let unit = window.get("unit").and_then(Value::as_str).unwrap_or_default();
    if let Err(fault) = CalendarUnit::read(unit) {
        window.fault("unit", fault);
    }
    let zone = window.get("timeZone").map(|zone| zone.as_str().unwrap_or_default());
    if let Some(Err(fault)) = zone.map(Zone::read) {
        window.fault("timeZone", fault);
    }
}

/// Empty text counts as unset.
fn is_http_url(value: &Value) -> bool {
    let Some(url) = value.as_str().map(str::trim) else { return false };
    let host = url.split_once(':').and_then(|(scheme, rest)| {
        let is_http = ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
        rest.strip_prefix("//").filter(|_| is_http)
    });
    url.is_empty() || host.is_some_and(|host| !host.is_empty() && !host.starts_with(['/', '?', '#']))
}

/// A value as JavaScript's template strings print it.
fn as_javascript_prints(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        Value::Object(_) => Cow::Borrowed("[object Object]"),
        Value::Array(list) => {
            let print = |value| {
                if matches!(value, &Value::Null) { Cow::Borrowed("") } else { as_javascript_prints(value) }
            };
            Cow::Owned(list.iter().map(print).collect::<Vec<_>>().join(","))
        }
        // `1.0` is `1` there.
        Value::Number(number) => match number.as_f64() {
            Some(whole) if whole.fract() == 0.0 && whole.abs() < 1e21 => Cow::Owned(format!("{whole:.0}")),
            _ => Cow::Owned(number.to_string()),
        },
        Value::Null | Value::Bool(_) => Cow::Owned(value.to_string()),
    }
}

#[cfg(test)]
mod tests;
