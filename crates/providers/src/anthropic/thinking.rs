//! How much a model is to think, and what it refuses beside it.
//!
//! Source: Anthropic's guides "Extended thinking", "Adaptive thinking", "Effort", and its migration guide.

use serde_json::{Map, Value, json};

use crate::settings::CallSettings;
use gateway_model::{Message, Role, Tool, ToolChoice};

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

/// Whether a model is a Claude of this version or later; names without a version are of the latest.
pub fn is_from(model: &str, least: (u32, u32)) -> bool {
    version(model) >= Some(least) || model.contains("claude-mythos")
}

/// Whether a model thinks whatever it is told. It cannot be told that it must call a tool.
pub fn always_thinks(model: &str) -> bool {
    ["claude-mythos", "claude-fable"].iter().any(|name| model.contains(name))
}

/// What of the choice of tools a model can be told, and the tools that it is offered for it.
pub fn told_choice<'a>(
    settings: &mut CallSettings<'a>,
    tools: &'a [Tool],
) -> (Vec<&'a Tool>, Option<&'a ToolChoice>) {
    let choice = settings.tool_choice();
    if !always_thinks(&settings.call().model) {
        return (tools.iter().collect(), choice);
    }
    match choice {
        Some(ToolChoice::Named(name)) => {
            settings.warn("toolChoice", ONLY_OFFERED);
            (tools.iter().filter(|tool| tool.name == *name).collect(), Some(&ToolChoice::Auto))
        }
        Some(ToolChoice::Required) => {
            settings.warn("toolChoice", MAY_ANSWER);
            (tools.iter().collect(), Some(&ToolChoice::Auto))
        }
        choice => (tools.iter().collect(), choice),
    }
}

const MAY_ANSWER: &str = "Left out: this model cannot be told that it must call a tool.";
const ONLY_OFFERED: &str = "Only this tool is offered: this model cannot be told that it must call it.";

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
    /// For the call that the settings are of; `is_thought` knows the thinking of a turn that goes back.
    pub fn new(settings: &mut CallSettings<'_>, is_thought: impl Fn(&Value) -> bool) -> Self {
        let (model, max_tokens) = (&*settings.call().model, settings.max_tokens());
        // A model that thinks cannot be told to call a tool: the call is the harder demand.
        let forced =
            matches!(settings.request().tool_choice, Some(ToolChoice::Required | ToolChoice::Named(_)))
                && !always_thinks(model);
        let from = |least| is_from(model, least);
        let mut plan = Self {
            max_tokens: max_tokens.unwrap_or(DEFAULT_MAX_TOKENS),
            thinking: None,
            effort: None,
            fixed_sampling: from((4, 7)),
        };
        let Some(effort) = settings.reasoning_effort() else { return plan };
        if forced && budget(effort).is_some() {
            settings.warn("reasoningEffort", "A model that must call a tool does not think.");
        }
        let budget = budget(effort).filter(|_| !forced);
        if from((4, 6)) {
            // Some of these think unless told otherwise, and some cannot be told: little effort is as near as it gets.
            let word = match effort {
                "none" | "minimal" => "low",
                "xhigh" if !plan.fixed_sampling => "high",
                word => word,
            };
            if word != effort {
                let reason = format!("Sent as `{word}`, the nearest that this model knows.");
                settings.warn("reasoningEffort", reason);
            }
            plan.effort = Some(word.to_owned());
            if let Some(room) = budget {
                plan.max_tokens = max_tokens.unwrap_or(DEFAULT_MAX_TOKENS + room);
                // From 4.7 on the text of thinking comes only to those who ask for it.
                plan.thinking = Some(match plan.fixed_sampling {
                    true => json!({"type": "adaptive", "display": "summarized"}),
                    false => json!({"type": "adaptive"}),
                });
            }
        } else if budget.is_some() && is_begun_elsewhere(&settings.request().messages, is_thought) {
            settings.warn("reasoningEffort", "Left out: the turn under way was begun without thinking.");
        } else if let Some(budget) = budget {
            if !matches!(effort, "low" | "medium" | "high" | "xhigh" | "max") {
                settings.warn("reasoningEffort", "Read as `medium`: this model takes a number of tokens.");
            }
            // The budget is part of `max_tokens`: half of what the caller grants is left for the answer.
            let granted = max_tokens.map_or(budget, |max_tokens| budget.min(max_tokens / 2));
            if granted >= MIN_BUDGET {
                plan.max_tokens = max_tokens.unwrap_or(DEFAULT_MAX_TOKENS + budget);
                plan.thinking = Some(json!({"type": "enabled", "budget_tokens": granted}));
            }
            if granted < MIN_BUDGET {
                settings.warn("reasoningEffort", "Left out: `maxTokens` leaves too little to think with.");
            } else if granted < budget {
                let reason = format!("Thinking is bound to {granted} tokens, half of `maxTokens`.");
                settings.warn("reasoningEffort", reason);
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
    pub fn temperature(&self, settings: &mut CallSettings<'_>) -> Option<f64> {
        let temperature = settings.temperature()?;
        let Some(reason) = self.refuses_sampling() else { return Some(temperature) };
        if (temperature - 1.0).abs() > f64::EPSILON {
            settings.warn("temperature", reason);
        }
        None
    }

    /// Thinking goes without.
    pub fn top_k(&self, settings: &mut CallSettings<'_>) -> Option<u64> {
        let top_k = settings.top_k()?;
        let Some(reason) = self.refuses_sampling() else { return Some(top_k) };
        settings.warn("topK", reason);
        None
    }

    /// Beside thinking, `top_p` is 0.95 at least.
    pub fn top_p(&self, settings: &mut CallSettings<'_>) -> Option<f64> {
        let top_p = settings.top_p()?;
        match self.refuses_sampling() {
            Some(reason) if self.fixed_sampling || top_p < 0.95 => settings.warn("topP", reason),
            _ => return Some(top_p),
        }
        None
    }

    /// Why the model takes no settings of its sampling, where it takes none.
    fn refuses_sampling(&self) -> Option<&'static str> {
        if self.fixed_sampling {
            return Some("Left out: this model has no sampling settings.");
        }
        self.thinking.is_some().then_some("Left out: a model that thinks does not take it.")
    }
}

/// Whether the turn under way was begun without this model's thinking, by another model say. With a budget to think with, the
/// vendor wants thinking at its beginning.
fn is_begun_elsewhere(messages: &[Message], is_thought: impl Fn(&Value) -> bool) -> bool {
    let begun = messages.iter().rposition(|message| message.role == Role::User).map_or(0, |at| at + 1);
    let first = messages.iter().skip(begun).find(|message| message.role == Role::Assistant);
    first.is_some_and(|turn| !turn.reasoning_details.iter().any(is_thought))
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
    use std::sync::Arc;

    use super::*;
    use gateway_model::{ChatRequest, ProviderCall};

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

    fn call(model: &str, request: ChatRequest) -> ProviderCall {
        ProviderCall {
            max_tokens: request.max_tokens,
            request: Arc::new(request),
            model: model.to_owned(),
            timeout: None,
            deadline: None,
            sent: Default::default(),
        }
    }

    fn sent(model: &str, effort: &str, max_tokens: Option<u64>) -> (u64, Value) {
        let reasoning_effort = Some(effort.to_owned());
        let call = call(model, ChatRequest { reasoning_effort, max_tokens, ..ChatRequest::default() });
        let plan = Plan::new(&mut CallSettings::new(&call), |_| true);
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
        let request = ChatRequest {
            temperature: Some(0.2),
            top_p: Some(0.9),
            top_k: Some(40),
            ..ChatRequest::default()
        };
        let with = |effort: Option<&str>| ChatRequest {
            reasoning_effort: effort.map(str::to_owned),
            ..request.clone()
        };
        let kept = |model: &str, request: ChatRequest| {
            let call = call(model, request);
            let mut settings = CallSettings::new(&call);
            let plan = Plan::new(&mut settings, |_| true);
            let kept =
                (plan.temperature(&mut settings), plan.top_p(&mut settings), plan.top_k(&mut settings));
            let told: Vec<_> = settings.into_warnings("p").into_iter().map(|warning| warning.field).collect();
            (kept, told.join(" "))
        };
        let none = ((None, None, None), "temperature topP topK".to_owned());
        let all = ((Some(0.2), Some(0.9), Some(40)), String::new());
        assert_eq!(kept("claude-sonnet-4-5", with(None)), all);
        assert_eq!(kept("claude-sonnet-4-5", with(Some("low"))), none);
        assert_eq!(kept("claude-opus-4-6", with(Some("low"))), none);
        assert_eq!(kept("claude-opus-4-7", with(None)), none);
        let narrow = ChatRequest { top_p: Some(0.95), temperature: Some(1.0), ..with(Some("low")) };
        assert_eq!(kept("claude-sonnet-4-5", narrow), ((None, Some(0.95), None), "topK".to_owned()));
    }

    #[test]
    fn an_effort_that_is_not_kept_is_told() {
        for (model, effort, max_tokens, told) in [
            ("claude-sonnet-4-5", "high", None, ""),
            ("claude-sonnet-4-5", "none", None, ""),
            ("claude-sonnet-4-5", "deepest", None, "Read as `medium`"),
            ("claude-sonnet-4-5", "high", Some(6000), "bound to 3000 tokens"),
            ("claude-sonnet-4-5", "high", Some(2000), "too little to think with"),
            ("claude-opus-4-6", "xhigh", None, "Sent as `high`"),
            ("claude-opus-4-7", "xhigh", None, ""),
            ("claude-opus-4-7", "none", None, "Sent as `low`"),
        ] {
            let reasoning_effort = Some(effort.to_owned());
            let call = call(model, ChatRequest { reasoning_effort, max_tokens, ..ChatRequest::default() });
            let mut settings = CallSettings::new(&call);
            Plan::new(&mut settings, |_| true);
            let warnings = settings.into_warnings("p");
            assert_eq!(warnings.is_empty(), told.is_empty(), "{model} {effort}");
            assert!(warnings.iter().all(|warning| warning.reason.contains(told)), "{warnings:?}");
        }
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
                let call = call(model, request.clone());
                let plan = Plan::new(&mut CallSettings::new(&call), |_| true);
                assert_eq!(plan.thinking.is_some(), thinks, "{model} {choice:?}");
            }
        }
    }

    #[test]
    fn a_turn_that_was_begun_without_thinking_goes_on_without() {
        let messages = |details: Value| {
            json!([{"role": "user", "content": "go"},
                {"role": "assistant", "content": null, "toolCalls": [{"id": "1", "name": "f"}], "reasoningDetails": details},
                {"role": "tool", "toolCallId": "1", "content": "r"}])
        };
        let own = json!([{"type": "thinking", "thinking": "t", "signature": "s"}]);
        for (model, details, thinks) in [
            ("claude-sonnet-4-5", json!([]), false),
            ("claude-sonnet-4-5", json!([{"type": "reasoning", "id": "rs_1"}]), false),
            ("claude-sonnet-4-5", own.clone(), true),
            // It thinks as it sees fit, and takes turns without.
            ("claude-sonnet-4-6", json!([]), true),
        ] {
            let request = json!({"messages": messages(details), "reasoningEffort": "low"});
            let call = call(model, ChatRequest::from_json(&request.to_string()).unwrap());
            let mut settings = CallSettings::new(&call);
            let plan = Plan::new(&mut settings, |block| block["type"] == "thinking");
            assert_eq!(plan.thinking.is_some(), thinks, "{model}");
            assert_eq!(settings.into_warnings("p").is_empty(), thinks, "{model}");
        }
    }

    #[test]
    fn a_model_that_always_thinks_is_not_told_to_call_a_tool() {
        for (model, choice, names, told) in [
            ("claude-fable-5", json!({"name": "g"}), "g", true),
            ("us.anthropic.claude-mythos-5", json!("required"), "f g", true),
            ("claude-fable-5", json!("auto"), "f g", false),
            ("claude-opus-4-7", json!({"name": "g"}), "f g", false),
        ] {
            let request = json!({"messages": [{"role": "user", "content": "a"}], "reasoningEffort": "low",
                "tools": [{"name": "f"}, {"name": "g"}], "toolChoice": choice});
            let call = call(model, ChatRequest::from_json(&request.to_string()).unwrap());
            let mut settings = CallSettings::new(&call);
            let tools = settings.tools();
            let (offered, choice) = told_choice(&mut settings, tools);
            let offered: Vec<&str> = offered.iter().map(|tool| &*tool.name).collect();
            assert_eq!(offered.join(" "), names, "{model}");
            assert_eq!(
                choice == Some(&ToolChoice::Auto),
                told || names == "f g" && model.contains("fable"),
                "{model}"
            );
            let plan = Plan::new(&mut settings, |_| true);
            assert_eq!(plan.thinking.is_some(), always_thinks(model), "{model}");
        }
    }
}
