//! How much a model is to think, and what it refuses beside it.
//!
//! Source: Anthropic's guides "Extended thinking", "Adaptive thinking", "Effort", and its migration guide.

use serde_json::{Map, Value, json};

use gateway_model::{ChatRequest, ToolChoice};

/// Anthropic requires a bound; this one stands in where the caller sets none.
const DEFAULT_MAX_TOKENS: u64 = 4096;
/// The least that a model may be told to think.
const MIN_BUDGET: u64 = 1024;

/// The version in a Claude model's name: `claude-opus-4-6` is 4.6, `claude-3-7-sonnet-20250219` is 3.7. A date is no
/// version, and other vendors' models have none.
pub fn version(model: &str) -> Option<(u32, u32)> {
    let (_, name) = model.split_once("claude")?;
    let short = |word: &str| word.parse::<u32>().ok().filter(|_| word.len() <= 2);
    let mut words = name.split(['-', '.', '@', ':']);
    let major = words.find_map(short)?;
    Some((major, words.next().and_then(short).unwrap_or(0)))
}

/// What a request's `reasoningEffort` and `maxTokens` come to for a model.
#[derive(Debug, PartialEq)]
pub struct Plan {
    pub max_tokens: u64,
    thinking: Option<Value>,
    effort: Option<String>,
    /// The model takes no temperature and no `top_p`, whether it thinks or not.
    fixed_sampling: bool,
}

impl Plan {
    /// For a request to `model` that may be answered with so many tokens.
    pub fn new(model: &str, request: &ChatRequest, max_tokens: Option<u64>) -> Self {
        let effort = request.reasoning_effort.as_deref();
        // A model that thinks cannot be told to call a tool: the call is the harder demand.
        let forced = matches!(request.tool_choice, Some(ToolChoice::Required | ToolChoice::Named(_)));
        let version = version(model);
        let from = |least| version >= Some(least) || model.contains("claude-mythos");
        let mut plan = Self {
            max_tokens: max_tokens.unwrap_or(DEFAULT_MAX_TOKENS),
            thinking: None,
            effort: None,
            fixed_sampling: from((4, 7)),
        };
        let Some(effort) = effort else { return plan };
        let budget = budget(effort).filter(|_| !forced);
        if from((4, 6)) {
            // Some of these think unless told otherwise, and some cannot be told: little effort is as near as it gets.
            plan.effort = Some(match effort {
                "none" | "minimal" => "low".to_owned(),
                "xhigh" if !plan.fixed_sampling => "high".to_owned(),
                word => word.to_owned(),
            });
            if let Some(room) = budget {
                plan.max_tokens = max_tokens.unwrap_or(DEFAULT_MAX_TOKENS + room);
                // From 4.7 on the text of thinking comes only to those who ask for it.
                plan.thinking = Some(match plan.fixed_sampling {
                    true => json!({"type": "adaptive", "display": "summarized"}),
                    false => json!({"type": "adaptive"}),
                });
            }
        } else if let Some(budget) = budget {
            // The budget is part of `max_tokens`: half of what the caller grants is left for the answer.
            let granted = max_tokens.map_or(budget, |max_tokens| budget.min(max_tokens / 2));
            if granted >= MIN_BUDGET {
                plan.max_tokens = max_tokens.unwrap_or(DEFAULT_MAX_TOKENS + budget);
                plan.thinking = Some(json!({"type": "enabled", "budget_tokens": granted}));
            }
        }
        plan
    }

    pub fn write(&self, body: &mut Map<String, Value>) {
        if let Some(thinking) = &self.thinking {
            body.insert("thinking".into(), thinking.clone());
        }
        if let Some(effort) = &self.effort {
            body.insert("output_config".into(), json!({ "effort": effort }));
        }
    }

    /// Thinking leaves the temperature at 1.
    pub fn temperature(&self, request: &ChatRequest) -> Option<f64> {
        request.temperature.filter(|_| !self.fixed_sampling && self.thinking.is_none())
    }

    /// Thinking goes without.
    pub fn top_k(&self, request: &ChatRequest) -> Option<u64> {
        request.top_k.filter(|_| !self.fixed_sampling && self.thinking.is_none())
    }

    /// Beside thinking, `top_p` is 0.95 at least.
    pub fn top_p(&self, request: &ChatRequest) -> Option<f64> {
        request.top_p.filter(|top_p| !self.fixed_sampling && (self.thinking.is_none() || *top_p >= 0.95))
    }
}

/// Tokens to think with; none for `none` and `minimal`.
fn budget(effort: &str) -> Option<u64> {
    Some(match effort {
        "none" | "minimal" => return None,
        "low" => MIN_BUDGET,
        "high" | "xhigh" | "max" => 16_384,
        _ => 4096,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_names() {
        for (model, expected) in [
            ("claude-opus-4-6", (4, 6)),
            ("claude-opus-4-20250514", (4, 0)),
            ("claude-sonnet-4-5-20250929", (4, 5)),
            ("claude-3-7-sonnet-20250219", (3, 7)),
            ("anthropic.claude-opus-4-7-v1:0", (4, 7)),
            ("anthropic/claude-4.6-opus", (4, 6)),
            ("claude-haiku-4-5@20251001", (4, 5)),
            ("claude-fable-5", (5, 0)),
        ] {
            assert_eq!(version(model), Some(expected), "{model}");
        }
        for model in ["claude-mythos-preview", "kimi-k2-0905", "deepseek-chat", "claude", ""] {
            assert_eq!(version(model), None, "{model}");
        }
    }

    fn sent(model: &str, effort: &str, max_tokens: Option<u64>) -> (u64, Value) {
        let request = ChatRequest { reasoning_effort: Some(effort.to_owned()), ..ChatRequest::default() };
        let plan = Plan::new(model, &request, max_tokens);
        let mut body = Map::new();
        plan.write(&mut body);
        (plan.max_tokens, Value::Object(body))
    }

    #[test]
    fn older_models_get_a_budget_that_leaves_room_for_the_answer() {
        let model = "claude-sonnet-4-5";
        let thinking = |budget: u64| json!({"thinking": {"type": "enabled", "budget_tokens": budget}});
        assert_eq!(sent(model, "low", None), (5120, thinking(1024)));
        assert_eq!(sent(model, "medium", None), (8192, thinking(4096)));
        assert_eq!(sent(model, "max", None), (20_480, thinking(16_384)));
        // The caller's bound is never passed.
        assert_eq!(sent(model, "high", Some(6000)), (6000, thinking(3000)));
        assert_eq!(sent(model, "high", Some(2047)), (2047, json!({})));
        assert_eq!(sent(model, "none", None), (4096, json!({})));
    }

    #[test]
    fn newer_models_get_the_effort_and_think_as_they_see_fit() {
        let adaptive =
            |effort: &str| json!({"thinking": {"type": "adaptive"}, "output_config": {"effort": effort}});
        assert_eq!(sent("claude-sonnet-4-6", "medium", None), (8192, adaptive("medium")));
        assert_eq!(sent("claude-opus-4-6", "xhigh", Some(500)), (500, adaptive("high")));
        let shown = json!({
            "thinking": {"type": "adaptive", "display": "summarized"}, "output_config": {"effort": "xhigh"},
        });
        for model in ["claude-opus-4-7", "claude-opus-5", "claude-mythos-preview"] {
            assert_eq!(sent(model, "xhigh", None), (20_480, shown.clone()), "{model}");
        }
        assert_eq!(
            sent("claude-opus-4-8", "none", None),
            (4096, json!({"output_config": {"effort": "low"}}))
        );
    }

    #[test]
    fn what_thinking_refuses_is_left_out() {
        let request = ChatRequest { temperature: Some(0.2), top_p: Some(0.9), ..ChatRequest::default() };
        let with = |effort: Option<&str>| ChatRequest {
            reasoning_effort: effort.map(str::to_owned),
            ..request.clone()
        };
        let kept = |model: &str, effort: Option<&str>| {
            let plan = Plan::new(model, &with(effort), None);
            (plan.temperature(&request), plan.top_p(&request))
        };
        assert_eq!(kept("claude-sonnet-4-5", None), (Some(0.2), Some(0.9)));
        assert_eq!(kept("claude-sonnet-4-5", Some("low")), (None, None));
        assert_eq!(kept("claude-opus-4-6", Some("low")), (None, None));
        assert_eq!(kept("claude-opus-4-7", None), (None, None));
        let narrow = ChatRequest { top_p: Some(0.95), ..with(Some("low")) };
        assert_eq!(Plan::new("claude-sonnet-4-5", &narrow, None).top_p(&narrow), Some(0.95));
    }

    #[test]
    fn a_tool_that_must_be_called_comes_before_thinking() {
        for (choice, thinks) in [
            (ToolChoice::Required, false),
            (ToolChoice::Named("f".to_owned()), false),
            (ToolChoice::Auto, true),
            (ToolChoice::None, true),
        ] {
            let request = ChatRequest {
                reasoning_effort: Some("low".to_owned()),
                tool_choice: Some(choice.clone()),
                ..ChatRequest::default()
            };
            for model in ["claude-sonnet-4-5", "claude-opus-4-7"] {
                let plan = Plan::new(model, &request, None);
                assert_eq!(plan.thinking.is_some(), thinks, "{model} {choice:?}");
            }
        }
    }
}
