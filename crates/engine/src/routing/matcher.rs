//! Rules against requests.

use std::sync::Arc;

use serde::Serialize;

use super::call::TokenEstimator;
use gateway_model::ChatRequest;
use gateway_model::config::RouteRule;
use gateway_pricing::Asked;

/// A rule that was passed over for its constraints.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Excluded {
    pub rule: String,
    /// The constraint's name.
    pub constraint: &'static str,
    pub limit: f64,
    pub estimate: f64,
}

/// Rules in the order in which they are tried.
pub struct Matcher {
    rules: Vec<Arc<RouteRule>>,
    /// Enabled rules by priority, highest first; ties as written.
    order: Vec<usize>,
}

impl Matcher {
    pub fn new(rules: Vec<RouteRule>) -> Self {
        let mut order: Vec<usize> =
            (0..rules.len()).filter(|&index| rules[index].enabled != Some(false)).collect();
        order.sort_by(|&a, &b| rules[b].priority.total_cmp(&rules[a].priority));
        Self { rules: rules.into_iter().map(Arc::new).collect(), order }
    }

    pub fn rule(&self, index: usize) -> &Arc<RouteRule> {
        &self.rules[index]
    }

    /// Indices of the rules that match, in the order in which they are tried.
    pub fn matching<'a>(&'a self, request: &'a ChatRequest) -> impl Iterator<Item = usize> + 'a {
        self.order.iter().copied().filter(|&index| matches(&self.rules[index], request))
    }
}

fn matches(rule: &RouteRule, request: &ChatRequest) -> bool {
    // An empty string is no condition, as in `match: { taskType: "" }` of the TypeScript library.
    let fits = |wanted: &Option<String>, given: &Option<String>| match wanted.as_deref() {
        None | Some("") => true,
        wanted => wanted == given.as_deref(),
    };
    let wanted = &rule.matches;
    fits(&wanted.task_type, &request.task_type)
        && fits(&wanted.user_tier, &request.user_tier)
        && fits(&wanted.feature, &request.feature)
        && fits(&wanted.sensitivity, &request.sensitivity)
        && wanted
            .model
            .as_ref()
            .filter(|pattern| !pattern.is_empty())
            .is_none_or(|pattern| request.model.as_ref().is_some_and(|model| fits_pattern(pattern, model)))
}

/// `*` stands for any text, `?` for one character.
fn fits_pattern(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut at, mut wanted_at) = (0, 0);
    // Where the last star was, and what it stands for so far.
    let mut star: Option<(usize, usize)> = None;
    while at < text.len() {
        match pattern.get(wanted_at) {
            Some('*') => {
                star = Some((wanted_at, at));
                wanted_at += 1;
            }
            Some(&wanted) if wanted == '?' || wanted == text[at] => {
                wanted_at += 1;
                at += 1;
            }
            _ => match &mut star {
                Some((star, taken)) => {
                    *taken += 1;
                    (wanted_at, at) = (*star + 1, *taken);
                }
                None => return false,
            },
        }
    }
    pattern[wanted_at.min(pattern.len())..].iter().all(|&rest| rest == '*')
}

/// The first constraint that the estimate exceeds.
#[allow(clippy::cast_precision_loss)]
pub fn exceeded(rule: &RouteRule, asked: Asked<'_>, estimator: &dyn TokenEstimator) -> Option<Excluded> {
    let excluded =
        |constraint, limit, estimate| Some(Excluded { rule: rule.name.clone(), constraint, limit, estimate });
    if let Some(max) = rule.constraints.max_input_tokens
        && let Err(tokens) = estimator.input_tokens_within(asked.model, max)
    {
        return excluded("maxInputTokens", max as f64, tokens as f64);
    }
    if let Some(max) = rule.constraints.max_cost_usd
        && let Err(cost) = estimator.cost_within(asked, max)
    {
        return excluded("maxCostUsd", max, cost);
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn matcher(rules: serde_json::Value) -> Matcher {
        Matcher::new(serde_json::from_value(rules).unwrap())
    }

    fn request(fields: serde_json::Value) -> ChatRequest {
        let mut request = json!({"messages": [{"role": "user", "content": "hi"}]});
        request.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        ChatRequest::from_json(&request.to_string()).unwrap()
    }

    fn first(matcher: &Matcher, fields: serde_json::Value) -> Option<String> {
        let request = request(fields);
        matcher.matching(&request).next().map(|index| matcher.rule(index).name.clone())
    }

    #[test]
    fn the_highest_priority_wins_and_ties_go_by_order() {
        let rules = matcher(json!([
            {"name": "low", "priority": 1, "match": {}, "target": {"provider": "p"}},
            {"name": "first", "priority": 5, "match": {}, "target": {"provider": "p"}},
            {"name": "second", "priority": 5, "match": {}, "target": {"provider": "p"}},
            {"name": "off", "priority": 9, "enabled": false, "match": {}, "target": {"provider": "p"}},
        ]));
        assert_eq!(first(&rules, json!({})).as_deref(), Some("first"));
    }

    #[test]
    fn a_models_pattern_covers_the_whole_name() {
        for (pattern, model, fits) in [
            ("gpt-*", "gpt-4o", true),
            ("gpt-*", "gpt-", true),
            ("gpt-*", "o1-gpt-4", false),
            ("*", "anything", true),
            ("*-mini", "gpt-4o-mini", true),
            ("*-mini", "gpt-4o-mini-2024", false),
            ("gpt-?o", "gpt-4o", true),
            ("gpt-?o", "gpt-o", false),
            ("a*b*c", "axxbyybzc", true),
            ("a*b*c", "axxbyybz", false),
            ("claude-3-haiku", "claude-3-haiku", true),
            ("模型-*", "模型-大", true),
            ("", "x", false),
        ] {
            assert_eq!(fits_pattern(pattern, model), fits, "{pattern} {model}");
        }
        let rules = matcher(json!([
            {"name": "gpt", "priority": 1, "match": {"model": "gpt-*"}, "target": {"provider": "p"}},
            {"name": "rest", "priority": 0, "match": {}, "target": {"provider": "p"}},
        ]));
        assert_eq!(first(&rules, json!({"model": "gpt-4o"})).as_deref(), Some("gpt"));
        assert_eq!(first(&rules, json!({"model": "claude"})).as_deref(), Some("rest"));
        assert_eq!(first(&rules, json!({})).as_deref(), Some("rest"));
    }

    #[test]
    fn each_field_that_is_set_must_be_equal() {
        for (field, wanted) in
            [("taskType", "code"), ("userTier", "pro"), ("feature", "chat"), ("sensitivity", "high")]
        {
            let rules = matcher(
                json!([{"name": "r", "priority": 0, "match": {field: wanted}, "target": {"provider": "p"}}]),
            );
            assert_eq!(first(&rules, json!({field: wanted})).as_deref(), Some("r"), "{field}");
            assert_eq!(first(&rules, json!({field: "other"})), None, "{field}");
            assert_eq!(first(&rules, json!({})), None, "{field}");
        }
    }
}
