//! Guards that a slip would turn off unseen: misspelt fields, names of nothing, limits that limit nothing. Each field could
//! be read; what the whole says is not what its author can have meant.

use std::collections::HashSet;

use serde::Deserialize;
use serde_aux::serde_introspection::serde_introspect;
use serde_json::{Map, Value};

use super::ValidationError;
use super::fields::fault;
use gateway_model::config::{
    AuthConfig, BudgetLimits, BudgetPolicy, BudgetWindow, CacheSettings, CalendarWindow, ModelPrices,
    RateLimit, RecordSettings, Retention, RetryBudget, RouteConstraints, RouteMatch, RouteRule, RouteTarget,
    Settings, UserLimit, nearest,
};

/// The parts of a configuration, wherever its form keeps them.
pub struct Parts<'v> {
    pub providers: &'v [Value],
    /// What paths call the list of rules.
    pub rules_name: &'static str,
    pub rules: &'v [Value],
    pub chains: &'v [Value],
    pub budgets: &'v [Value],
    pub settings: Option<&'v Value>,
}

/// What turns a guard off goes to `faults`, the rest to `warnings`.
pub fn check(parts: &Parts<'_>, faults: &mut Vec<ValidationError>, warnings: &mut Vec<ValidationError>) {
    for (index, entry) in parts.providers.iter().enumerate() {
        provider(&format!("providers[{index}]"), entry, faults, warnings);
    }
    let names = Names {
        entries: parts.providers.iter().filter_map(|entry| text(entry, "name")).collect(),
        chains: parts.chains.iter().filter_map(|chain| text(chain, "name")).collect(),
    };
    for (index, value) in parts.rules.iter().enumerate() {
        rule(&format!("{}[{index}]", parts.rules_name), value, &names, faults, warnings);
    }
    for (index, chain) in parts.chains.iter().enumerate() {
        let steps = chain.get("steps").and_then(Value::as_array);
        for (step, value) in steps.into_iter().flatten().enumerate() {
            names.entry(&format!("fallbackChains[{index}].steps[{step}]"), value, warnings);
        }
    }
    budgets(parts.budgets, faults);
    if let Some(settings) = parts.settings {
        self::settings(settings, faults, warnings);
    }
}

fn provider(
    path: &str,
    entry: &Value,
    faults: &mut Vec<ValidationError>,
    warnings: &mut Vec<ValidationError>,
) {
    if let Some(auth) = object(entry, "auth") {
        // `value` is refused by name, with what to do in its place.
        let known = [serde_introspect::<AuthConfig>(), &["value"]].concat();
        near_misses(&format!("{path}.auth"), auth, &known, warnings);
    }
    if let Some(limit) = object(entry, "rateLimit") {
        limits(&format!("{path}.rateLimit"), limit, serde_introspect::<RateLimit>(), faults);
    }
}

fn rule(
    path: &str,
    rule: &Value,
    names: &Names<'_>,
    faults: &mut Vec<ValidationError>,
    warnings: &mut Vec<ValidationError>,
) {
    if let Some(fields) = rule.as_object() {
        let known = serde_introspect::<RouteRule>();
        near_misses_but(path, fields, known, "constraints", faults, warnings);
    }
    if let Some(matches) = object(rule, "match") {
        let (path, known) = (format!("{path}.match"), serde_introspect::<RouteMatch>());
        if !matches.is_empty() && !matches.keys().any(|key| known.contains(&&**key)) {
            let message = format!("has none of {}: it would match every request", known.join(", "));
            fault(faults, &path, message + &hint_for_all(matches, known));
        } else {
            near_misses(&path, matches, known, warnings);
        }
    }
    if let Some(constraints) = object(rule, "constraints") {
        near_misses(
            &format!("{path}.constraints"),
            constraints,
            serde_introspect::<RouteConstraints>(),
            faults,
        );
    }
    let Some(target) = rule.get("target") else { return };
    let path = format!("{path}.target");
    if let Some(fields) = target.as_object() {
        near_misses(&path, fields, serde_introspect::<RouteTarget>(), warnings);
    }
    names.entry(&path, target, warnings);
    if let Some(chain) = text(target, "fallbackChain")
        && !names.chains.contains(chain)
    {
        let message = format!("names no chain: \"{chain}\"") + &hint(chain, names.chains.iter().copied());
        fault(warnings, format!("{path}.fallbackChain"), message);
    }
}

fn budgets(policies: &[Value], faults: &mut Vec<ValidationError>) {
    for (index, policy) in policies.iter().enumerate() {
        let path = format!("budgets[{index}]");
        match policy.get("limits") {
            Some(Value::Object(values)) => {
                limits(&format!("{path}.limits"), values, serde_introspect::<BudgetLimits>(), faults);
            }
            None => {
                if let Some(fields) = policy.as_object() {
                    near_misses(&path, fields, serde_introspect::<BudgetPolicy>(), faults);
                }
            }
            Some(_) => {}
        }
        if let Some(window) = object(policy, "window") {
            let path = format!("{path}.window");
            near_misses(&path, window, serde_introspect::<CalendarWindow>(), faults);
        }
        let same = |other: &&Value| {
            ["name", "scope"].iter().all(|key| other.get(key) == policy.get(key))
                && same_window(other.get("window"), policy.get("window"))
        };
        if let Some(first) = policies[..index].iter().position(|other| same(&other)) {
            fault(
                faults,
                path,
                format!("equals budgets[{first}] in name, scope and window: rename one of the two"),
            );
        }
    }
}

/// A window that names no time zone is the same as one that names the default.
fn same_window(one: Option<&Value>, other: Option<&Value>) -> bool {
    let read = |window: Option<&Value>| BudgetWindow::deserialize(window?).ok();
    one == other || read(one).is_some_and(|window| Some(window) == read(other))
}

fn settings(settings: &Value, faults: &mut Vec<ValidationError>, warnings: &mut Vec<ValidationError>) {
    let Some(fields) = settings.as_object() else { return };
    near_misses_but("settings", fields, serde_introspect::<Settings>(), "limits", faults, warnings);
    for (model, prices) in object(settings, "prices").into_iter().flatten() {
        if let Some(prices) = prices.as_object() {
            near_misses(
                &format!("settings.prices.{model}"),
                prices,
                serde_introspect::<ModelPrices>(),
                faults,
            );
        }
    }
    for (key, known) in [
        ("cache", serde_introspect::<CacheSettings>()),
        ("retryBudget", serde_introspect::<RetryBudget>()),
        ("retention", serde_introspect::<Retention>()),
        ("records", serde_introspect::<RecordSettings>()),
    ] {
        if let Some(fields) = object(settings, key) {
            near_misses(&format!("settings.{key}"), fields, known, warnings);
        }
    }
    match settings.get("limits") {
        Some(Value::Object(values)) => user_limit("settings.limits", values, faults),
        Some(Value::Array(list)) => {
            for (index, values) in list.iter().enumerate() {
                if let Some(values) = values.as_object() {
                    user_limit(&format!("settings.limits[{index}]"), values, faults);
                }
            }
        }
        _ => {}
    }
}

/// As [`limits`], of which `per` is none.
fn user_limit(path: &str, values: &Map<String, Value>, faults: &mut Vec<ValidationError>) {
    let known = serde_introspect::<UserLimit>();
    let limiting: Vec<&str> = known.iter().copied().filter(|key| *key != "per").collect();
    if values.keys().any(|key| limiting.contains(&&**key)) {
        limits(path, values, known, faults);
    } else {
        limits(path, values, &limiting, faults);
    }
}

/// Limits that are there limit something, and each is what its author meant.
fn limits(path: &str, limits: &Map<String, Value>, known: &[&str], faults: &mut Vec<ValidationError>) {
    if limits.keys().any(|key| known.contains(&&**key)) {
        near_misses(path, limits, known, faults);
    } else {
        let message = format!("limits nothing: it has none of {}", known.join(", "));
        fault(faults, path, message + &hint_for_all(limits, known));
    }
    for key in known {
        if limits.get(*key).and_then(Value::as_f64).is_some_and(|limit| limit < 0.0) {
            fault(faults, format!("{path}.{key}"), "must be a number of 0 or more");
        }
    }
}

/// The names that other parts of a configuration can refer to.
struct Names<'v> {
    entries: HashSet<&'v str>,
    chains: HashSet<&'v str>,
}

impl Names<'_> {
    /// Warns where `provider` of a target or step names no entry.
    fn entry(&self, path: &str, value: &Value, warnings: &mut Vec<ValidationError>) {
        if let Some(name) = text(value, "provider")
            && !self.entries.contains(name)
        {
            let message = names_no_provider(name, self.entries.iter().copied());
            fault(warnings, format!("{path}.provider"), message);
        }
    }
}

pub(super) fn names_no_provider<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> String {
    format!("names no provider: \"{name}\"") + &hint(name, known)
}

/// Fields that nobody reads and that are close to one that is read.
fn near_misses(path: &str, fields: &Map<String, Value>, known: &[&str], out: &mut Vec<ValidationError>) {
    for (key, meant) in misspelt(fields, known) {
        fault(out, format!("{path}.{key}"), unknown_field(meant));
    }
}

/// As [`near_misses`], warned of, unless they mean `guard`.
fn near_misses_but(
    path: &str,
    fields: &Map<String, Value>,
    known: &[&'static str],
    guard: &str,
    faults: &mut Vec<ValidationError>,
    warnings: &mut Vec<ValidationError>,
) {
    for (key, meant) in misspelt(fields, known) {
        let out = if meant == guard { &mut *faults } else { &mut *warnings };
        fault(out, format!("{path}.{key}"), unknown_field(meant));
    }
}

fn unknown_field(meant: &str) -> String {
    format!("unknown field; did you mean \"{meant}\"?")
}

fn misspelt<'v, 'n>(
    fields: &'v Map<String, Value>,
    known: &'n [&'n str],
) -> impl Iterator<Item = (&'v str, &'n str)> {
    let unknown = fields.keys().filter(|key| !known.contains(&&***key));
    unknown.filter_map(|key| Some((&**key, nearest(key, known.iter().copied())?)))
}

fn hint_for_all(fields: &Map<String, Value>, known: &[&str]) -> String {
    fields
        .keys()
        .map(|key| hint(key, known.iter().copied()))
        .find(|hint| !hint.is_empty())
        .unwrap_or_default()
}

fn hint<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> String {
    nearest(name, known).map_or_else(String::new, |meant| format!("; did you mean \"{meant}\"?"))
}

fn object<'v>(value: &'v Value, key: &str) -> Option<&'v Map<String, Value>> {
    value.get(key)?.as_object()
}

fn text<'v>(value: &'v Value, key: &str) -> Option<&'v str> {
    value.get(key)?.as_str()
}

#[cfg(test)]
mod tests;
