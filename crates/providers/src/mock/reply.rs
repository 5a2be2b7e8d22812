//! What the mock says: worked out from the request alone, so that each call gives the same.

use serde_json::{Map, Value};

use super::sample::sample;
use gateway_model::{ChatRequest, Message, ResponseFormat, Role, TokenUsage, Tool, ToolCall, ToolChoice};
use gateway_pricing::tokens;

/// Words of a tool's name that say nothing about its matter.
const VERBS: [&str; 8] = ["get", "fetch", "find", "look", "search", "list", "call", "tool"];

/// A whole answer, in the pieces it is streamed in.
pub(super) struct Reply {
    pub model: String,
    pub reasoning: String,
    pub pieces: Vec<String>,
    pub calls: Vec<ToolCall>,
    pub usage: TokenUsage,
    pub finish: &'static str,
}

impl Reply {
    /// Counts tokens: the first count of a process loads a vocabulary.
    pub fn new(request: &ChatRequest, model: String, max_tokens: Option<u64>, empty: bool) -> Self {
        let asked = last_of(request, Role::User).map(|message| message.content.text()).unwrap_or_default();
        let calls = if empty { Vec::new() } else { calls(request, &asked) };
        let text = if empty || !calls.is_empty() { String::new() } else { answer_to(request, &asked) };
        let reasoning =
            if model == "mock-reasoning" { format!("I am asked: {}", asked.trim()) } else { String::new() };
        let mut pieces: Vec<String> = text.split_inclusive(' ').map(str::to_owned).collect();
        let mut finish = if calls.is_empty() { "stop" } else { "tool_calls" };
        let mut output = tokens::count_text(&model, &text);
        while max_tokens.is_some_and(|max| output > max) && pieces.pop().is_some() {
            finish = "length";
            output = tokens::count_text(&model, &pieces.concat());
        }
        let thought = tokens::count_text(&model, &reasoning);
        let called = |call: &ToolCall| {
            tokens::count_text(&model, &call.name) + tokens::count_text(&model, &call.arguments)
        };
        output += thought + calls.iter().map(called).sum::<u64>();
        let input = tokens::count_prompt(&model, &request.messages, &request.tools);
        let usage =
            TokenUsage { reasoning: (thought > 0).then_some(thought), ..TokenUsage::new(input, output) };
        Self { model, reasoning, pieces, calls, usage, finish }
    }
}

fn last_of(request: &ChatRequest, role: Role) -> Option<&Message> {
    request.messages.iter().rev().find(|message| message.role == role)
}

/// Says what was asked, so that a test can tell answers apart.
fn answer_to(request: &ChatRequest, asked: &str) -> String {
    match &request.response_format {
        Some(ResponseFormat::Schema { schema, .. }) => return sample(schema, asked).to_string(),
        Some(ResponseFormat::Json) => {
            return Value::Object(Map::from_iter([("answer".to_owned(), asked.into())])).to_string();
        }
        None => {}
    }
    let results: Vec<String> = request
        .messages
        .iter()
        .rev()
        .take_while(|message| message.role == Role::Tool)
        .map(|message| message.content.text())
        .collect();
    let asked = asked.trim();
    if !results.is_empty() {
        let results: Vec<&str> = results.iter().rev().map(|result| result.trim()).collect();
        return format!(
            "This is the mock provider; no model was asked. The tools gave: {}",
            results.join("; ")
        );
    }
    if asked.is_empty() {
        return "This is the mock provider. Ask it something and it repeats your question.".to_owned();
    }
    format!("This is the mock provider; no model was asked. You said: {asked}")
}

/// The tools that the mock calls: those it must; otherwise those whose matter the question names. Once it has results,
/// it answers.
fn calls(request: &ChatRequest, asked: &str) -> Vec<ToolCall> {
    let answered = request.messages.last().is_some_and(|message| message.role == Role::Tool);
    let chosen: Vec<&Tool> = match &request.tool_choice {
        _ if answered => Vec::new(),
        Some(ToolChoice::None) => Vec::new(),
        Some(ToolChoice::Named(name)) => request.tools.iter().filter(|tool| tool.name == *name).collect(),
        Some(ToolChoice::Required) => {
            let fitting: Vec<&Tool> = fitting(&request.tools, asked).collect();
            if fitting.is_empty() { request.tools.iter().take(1).collect() } else { fitting }
        }
        Some(ToolChoice::Auto) | None => fitting(&request.tools, asked).collect(),
    };
    let turn = request.messages.len();
    let call = |(number, tool): (usize, &Tool)| ToolCall {
        id: format!("call_mock_{turn}_{number}"),
        name: tool.name.clone(),
        arguments: sample(&tool.parameters, asked).to_string(),
        signature: None,
    };
    chosen.into_iter().enumerate().map(call).collect()
}

fn fitting<'a>(tools: &'a [Tool], asked: &str) -> impl Iterator<Item = &'a Tool> {
    let asked = asked.to_lowercase();
    tools.iter().filter(move |tool| {
        let name = tool.name.to_lowercase();
        let mut words = name.split(|letter: char| !letter.is_alphanumeric());
        words.any(|word| word.len() > 2 && !VERBS.contains(&word) && asked.contains(word))
    })
}
