use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::anthropic::AnthropicWire;
use crate::bedrock::BedrockWire;
use crate::catalogue::dialect_of;
use crate::families;
use crate::gemini::GeminiWire;
use crate::openai::OpenAiWire;
use crate::responses::ResponsesWire;
use crate::wire::{Mode, Wire};
use crate::workers_ai::WorkersAiWire;
use gateway_model::Feature;

/// Every wire format, as each service and model speaks it that has words of its own.
fn spoken() -> Vec<(String, Box<dyn Wire>, &'static str)> {
    let mut all: Vec<(String, Box<dyn Wire>, &'static str)> = Vec::new();
    for family in families() {
        if let Some(dialect) = dialect_of(family) {
            let chat = || OpenAiWire::new(dialect);
            let responses = ResponsesWire { chat: chat(), user: dialect.user };
            all.push((family.to_owned(), Box::new(chat()), "m"));
            all.push((format!("{family}, Responses"), Box::new(responses), "m"));
        }
    }
    for model in ["claude-3-5-haiku", "claude-sonnet-4-5", "claude-opus-4-6", "claude-opus-4-7", "kimi-k2"] {
        all.push(("anthropic".to_owned(), Box::new(AnthropicWire), model));
    }
    for model in ["gemini-2.0-flash", "gemini-2.5-pro", "gemini-3.8-flash"] {
        all.push(("gemini".to_owned(), Box::new(GeminiWire), model));
    }
    for model in ["anthropic.claude-sonnet-4-5-v1:0", "amazon.nova-lite-v1:0", "amazon.titan", "meta.llama3"]
    {
        let wire = BedrockWire { provider: "p".to_owned(), signer: None };
        all.push(("bedrock".to_owned(), Box::new(wire), model));
    }
    all.push(("workers-ai".to_owned(), Box::new(WorkersAiWire), "@cf/meta/llama"));
    all
}

/// The body for `request`, and the paths that it is warned about.
fn written(wire: &dyn Wire, model: &str, request: &Value, mode: Mode) -> (Value, Vec<String>) {
    let request = ChatRequest::from_json(&request.to_string()).unwrap();
    let call = ProviderCall {
        max_tokens: request.max_tokens,
        request: Arc::new(request),
        model: model.to_owned(),
        timeout: None,
        deadline: None,
        sent: Default::default(),
    };
    let mut settings = CallSettings::new(&call);
    let body = wire.body(&mut settings, mode).unwrap();
    let warnings = settings.into_warnings("p");
    assert!(warnings.iter().all(|warning| warning.provider == "p" && warning.reason.ends_with('.')));
    (serde_json::from_slice(&body).unwrap(), warnings.into_iter().map(|warning| warning.field).collect())
}

fn with(request: &Value, field: &str, value: Value) -> Value {
    let mut request = request.clone();
    request[field] = value;
    request
}

/// A request without the setting, and values of it.
fn probes(setting: Setting) -> (Value, Vec<Value>) {
    let plain = json!({ "messages": [{ "role": "user", "content": "a" }] });
    let tools = json!([{ "name": "f", "parameters": {} }, { "name": "g", "parameters": {} }]);
    match setting {
        Setting::Tools => (plain, vec![tools]),
        Setting::ToolChoice => {
            (with(&plain, "tools", tools), vec![json!("required"), json!("none"), json!({ "name": "f" })])
        }
        Setting::MaxTokens => (plain, vec![json!(77)]),
        Setting::TopK | Setting::Seed => (plain, vec![json!(7)]),
        Setting::Temperature | Setting::TopP | Setting::PresencePenalty | Setting::FrequencyPenalty => {
            (plain, vec![json!(0.5)])
        }
        Setting::Stop => (plain, vec![json!("END")]),
        Setting::ReasoningEffort => (plain, vec![json!("low"), json!("high"), json!("deepest")]),
        Setting::ResponseFormat => {
            (plain, vec![json!("json"), json!({ "jsonSchema": { "type": "object" }, "strict": true })])
        }
        Setting::UserId => (plain, vec![json!("u")]),
        Setting::Metadata => (plain, vec![json!({ "a": "b" })]),
        Setting::ProviderOptions => (plain, vec![json!({ "other": { "a": 1 } })]),
    }
}

#[test]
fn a_setting_that_is_not_sent_is_warned_about() {
    for (service, wire, model) in spoken() {
        for setting in Setting::ALL.iter().copied() {
            let (without, values) = probes(setting);
            let uses_tools = matches!(setting, Setting::Tools | Setting::ToolChoice);
            if uses_tools && !wire.supports(Feature::Tools) {
                continue;
            }
            for (mode, value) in [Mode::Full, Mode::Stream]
                .iter()
                .flat_map(|mode| values.iter().map(move |value| (*mode, value)))
            {
                let (before, _) = written(&*wire, model, &without, mode);
                let (after, warned) =
                    written(&*wire, model, &with(&without, setting.name(), value.clone()), mode);
                let title = format!("{service} ({model}): {} = {value}, {mode:?}", setting.name());
                let is_sent = before != after;
                let path = setting.name();
                let is_warned = warned.iter().any(|field| field.starts_with(path));
                if !is_reported(setting) {
                    assert_eq!(warned, [""; 0], "{title}");
                    continue;
                }
                assert!(is_sent || is_warned, "{title} is left out in silence");
                assert!(warned.iter().all(|field| field.starts_with(path)), "{title} warns about {warned:?}");
                // What is sent as it was written is not warned about; words and choices may be sent as others.
                let is_exact = value.is_number() || value == "END";
                assert!(!is_exact || is_sent != is_warned, "{title} is sent, and warned about");
            }
        }
    }
}

#[test]
fn strict_is_warned_about_where_nothing_keeps_the_model_to_the_schema() {
    let plain = json!({ "messages": [{ "role": "user", "content": "a" }] });
    let tools = json!([{ "name": "f", "strict": false }, { "name": "g", "strict": true }]);
    let format = json!({ "jsonSchema": { "type": "object" }, "strict": true });
    let openai = |family| OpenAiWire::new(dialect_of(family).unwrap());
    let bedrock = BedrockWire { provider: "p".to_owned(), signer: None };
    let cases: [(&dyn Wire, &str, bool, bool); 9] = [
        (&openai("openai"), "m", false, false),
        (&openai("deepseek"), "m", false, true),
        (&openai("lmstudio"), "m", false, false),
        (&AnthropicWire, "claude-sonnet-4-0", true, true),
        (&AnthropicWire, "claude-sonnet-4-5", false, true),
        (&GeminiWire, "gemini-3.8-flash", false, false),
        (&GeminiWire, "gemini-2.0-flash", true, false),
        (&bedrock, "amazon.nova-lite-v1:0", true, true),
        (&WorkersAiWire, "m", false, true),
    ];
    for (wire, model, of_tools, of_format) in cases {
        let (_, warned) = written(wire, model, &with(&plain, "tools", tools.clone()), Mode::Full);
        assert_eq!(warned == ["tools[1].strict"], of_tools, "{model}: {warned:?}");
        let (_, warned) = written(wire, model, &with(&plain, "responseFormat", format.clone()), Mode::Full);
        assert_eq!(warned == ["responseFormat.strict"], of_format, "{model}: {warned:?}");
    }
}

#[test]
fn a_setting_nobody_reads_is_warned_about_once() {
    let request = json!({
        "messages": [{ "role": "user", "content": "a" }], "topK": 5, "seed": 1, "userId": "u", "metadata": {},
    });
    let call = ProviderCall {
        request: Arc::new(ChatRequest::from_json(&request.to_string()).unwrap()),
        model: "m".to_owned(),
        max_tokens: None,
        timeout: None,
        deadline: None,
        sent: Default::default(),
    };
    let mut settings = CallSettings::new(&call);
    assert_eq!(settings.seed(), Some(1));
    let warning = Warning {
        field: "topK".to_owned(),
        reason: "Left out: this provider has no such setting.".to_owned(),
        provider: "entry".to_owned(),
    };
    assert_eq!(settings.into_warnings("entry"), [warning]);
}

#[test]
fn a_vendor_sees_as_much_of_a_user_as_the_entry_says() {
    use gateway_model::config::SendUserId;
    for (sent, seen) in [
        (SendUserId::Never, None),
        (SendUserId::Plain, Some("ada")),
        (SendUserId::Hashed, Some("fdee430d40bd57deeac186cd9790033d0f06f909a8806e7ce6e717ab7c7d5029")),
    ] {
        assert_eq!(shown_user("ada", sent).as_deref(), seen);
    }
}
