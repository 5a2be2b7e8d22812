//! How much a model is to think, which each generation says in its own way. Source: Google's guide to thinking.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use super::plain_name;

/// How a model takes orders about its thinking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generation {
    /// Before 2.5, and what is no Gemini: a `thinkingConfig` is refused.
    WithoutThinking,
    /// 2.5: a number of tokens.
    Budget,
    /// From 3 on: a level. Signatures on calls are required, and calls and a form of the answer go together.
    Level,
}

impl Generation {
    /// Names without a number (`gemini-flash-latest`) stand for the newest model.
    pub fn of(model: &str) -> Self {
        let Some(name) = plain_name(model).strip_prefix("gemini-") else { return Self::WithoutThinking };
        let Some((major, minor)) = version(name) else { return Self::Level };
        match (major, minor) {
            (3.., _) => Self::Level,
            (2, 5..) => Self::Budget,
            _ => Self::WithoutThinking,
        }
    }
}

/// The first part of a name that begins with a digit: `2.5` of `live-2.5-flash`, `3` of `3-flash-preview`.
fn version(name: &str) -> Option<(u32, u32)> {
    let part = name.split('-').find(|part| part.starts_with(|first: char| first.is_ascii_digit()))?;
    let (major, minor) = part.split_once('.').unwrap_or((part, "0"));
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// The `thinkingConfig` for an effort; `None` where the model has none.
pub fn config(model: &str, effort: &str) -> Option<Value> {
    let mut config = Map::new();
    match Generation::of(model) {
        Generation::WithoutThinking => return None,
        Generation::Budget => config.insert("thinkingBudget".into(), json!(budget(model, effort))),
        Generation::Level => config.insert("thinkingLevel".into(), json!(level(model, effort))),
    };
    if effort != "none" {
        config.insert("includeThoughts".into(), json!(true));
    }
    Some(Value::Object(config))
}

/// What becomes of an effort that the model cannot be asked for as it is.
pub fn departure(model: &str, effort: &str) -> Option<Cow<'static, str>> {
    match (Generation::of(model), effort) {
        (Generation::WithoutThinking, "none") => None,
        (Generation::WithoutThinking, _) => Some("Left out: this model does not think.".into()),
        (Generation::Budget, "none") if budget(model, effort) > 0 => {
            Some("This model does not go without thinking: it is to think as little as it can.".into())
        }
        (Generation::Budget, "none" | "minimal" | "low" | "medium" | "high" | "xhigh" | "max") => None,
        (Generation::Budget, _) => Some("Read as `medium`: this model takes a number of tokens.".into()),
        (Generation::Level, effort) => {
            let level = level(model, effort);
            (level != effort).then(|| format!("Sent as `{level}`, the nearest that this model knows.").into())
        }
    }
}

/// Google's own translation of efforts. The Pro model does not go without thinking: 128 tokens are its least.
fn budget(model: &str, effort: &str) -> u32 {
    match effort {
        "none" if model.contains("-pro") => 128,
        "none" => 0,
        "minimal" | "low" => 1024,
        "medium" => 8192,
        "high" | "xhigh" | "max" => 24_576,
        _ => 8192,
    }
}

/// No level turns thinking off, and the least of them is known to Flash-Lite everywhere, to other models here and there.
fn level<'a>(model: &str, effort: &'a str) -> &'a str {
    match effort {
        "none" | "minimal" if model.contains("flash-lite") => "minimal",
        "none" | "minimal" => "low",
        "xhigh" | "max" => "high",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_models_generation_is_read_off_its_name() {
        for (model, generation) in [
            ("gemini-1.5-pro", Generation::WithoutThinking),
            ("gemini-2.0-flash-001", Generation::WithoutThinking),
            ("gemini-2.5-pro", Generation::Budget),
            ("models/gemini-2.5-flash-lite", Generation::Budget),
            ("gemini-live-2.5-flash-preview", Generation::Budget),
            ("gemini-3-flash-preview", Generation::Level),
            ("gemini-3.1-pro-preview-customtools", Generation::Level),
            ("gemini-4-argon", Generation::Level),
            ("gemini-10", Generation::Level),
            ("gemini-flash-latest", Generation::Level),
            ("gemma-3-27b-it", Generation::WithoutThinking),
            ("tunedModels/gemini-3-mine", Generation::WithoutThinking),
            ("", Generation::WithoutThinking),
        ] {
            assert_eq!(Generation::of(model), generation, "{model}");
        }
    }

    #[test]
    fn an_effort_is_a_level_or_a_budget() {
        for (model, effort, expected) in [
            ("gemini-3.8-flash", "low", json!({"thinkingLevel": "low", "includeThoughts": true})),
            ("gemini-3.8-flash", "minimal", json!({"thinkingLevel": "low", "includeThoughts": true})),
            (
                "gemini-3.5-flash-lite",
                "minimal",
                json!({"thinkingLevel": "minimal", "includeThoughts": true}),
            ),
            ("gemini-4-argon", "none", json!({"thinkingLevel": "low"})),
            ("gemini-4-argon", "xhigh", json!({"thinkingLevel": "high", "includeThoughts": true})),
            ("gemini-4-argon", "deepest", json!({"thinkingLevel": "deepest", "includeThoughts": true})),
            ("gemini-2.5-flash", "none", json!({"thinkingBudget": 0})),
            ("gemini-2.5-pro", "none", json!({"thinkingBudget": 128})),
            ("gemini-2.5-pro", "high", json!({"thinkingBudget": 24576, "includeThoughts": true})),
            ("gemini-2.5-flash", "medium", json!({"thinkingBudget": 8192, "includeThoughts": true})),
        ] {
            assert_eq!(config(model, effort), Some(expected), "{model} {effort}");
        }
        assert_eq!(config("gemini-2.0-flash", "high"), None);
    }

    #[test]
    fn an_effort_that_the_model_does_not_know_is_told() {
        for (model, effort, told) in [
            ("gemini-3.8-flash", "low", false),
            ("gemini-3.8-flash", "none", true),
            ("gemini-3.8-flash", "xhigh", true),
            ("gemini-2.5-flash", "none", false),
            ("gemini-2.5-pro", "none", true),
            ("gemini-2.5-flash", "deepest", true),
            ("gemini-2.0-flash", "high", true),
            ("gemini-2.0-flash", "none", false),
        ] {
            assert_eq!(departure(model, effort).is_some(), told, "{model} {effort}");
        }
    }
}
