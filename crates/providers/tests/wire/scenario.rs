//! A recorded exchange and its expected outcome: the files of one directory in `tests/fixtures`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use gateway_model::error::{Failure, GatewayError};
use gateway_model::{
    Answer, FinishReason, StreamEvent, TextChunk, TokenUsage, ToolCall, ToolCallDelta, Warning,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// | file | what |
/// |---|---|
/// | `request.json` | a `GatewayRequest`; `stream` chooses `chat` or `stream` |
/// | `head.json` | status and headers of the reply, unless it is a plain 200 |
/// | `response.json`, `response.sse`, `response.events.jsonl` | the reply's body; of the last, see [`frames`] |
/// | `expected.json` | `sent`, the body of the request; then `answer`, or `events` and `end`, or `error` |
pub struct Scenario {
    /// The name of the directory above.
    pub family: String,
    pub service: Service,
    pub name: String,
    pub request: Value,
    pub head: Head,
    pub form: Form,
    pub body: Vec<u8>,
    pub expected: Expected,
    directory: PathBuf,
}

/// The format of the reply's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Json,
    ServerSentEvents,
    /// The binary frames of AWS.
    EventStream,
}

impl Form {
    fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::ServerSentEvents => "text/event-stream",
            Self::EventStream => "application/vnd.amazon.eventstream",
        }
    }
}

/// `service.json` of a directory of scenarios: how the service is reached.
#[derive(Deserialize, Clone)]
#[serde(rename_all = "camelCase")]
pub struct Service {
    /// The family, where it is not the directory's name.
    provider: Option<String>,
    /// The part of the base URL behind the host.
    pub base_path: String,
    /// The path of calls, unless `expected.json` has one; `MODEL` stands for the request's model, escaped, `MODEL_PATH` for
    /// one whose slashes stay.
    path: String,
    /// The path of streams, where it differs.
    stream_path: Option<String>,
    /// Headers of the request; `null` for those that it must not have. `KEY` stands for the key.
    pub headers: BTreeMap<String, Option<String>>,
    /// Further fields of the provider's entry.
    #[serde(default)]
    pub entry: Map<String, Value>,
}

#[derive(Deserialize, Clone)]
pub struct Head {
    pub status: u16,
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
}

#[derive(Deserialize, Default)]
pub struct Expected {
    pub sent: Value,
    /// The path of the call, where it is not the service's usual one.
    path: Option<String>,
    pub answer: Option<Value>,
    pub events: Option<Vec<Value>>,
    pub end: Option<Value>,
    pub error: Option<Value>,
}

impl Scenario {
    pub fn all() -> Vec<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        let mut families: Vec<PathBuf> =
            fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
        families.sort();
        let scenarios: Vec<Self> = families.iter().flat_map(|family| scenarios_of(family)).collect();
        assert!(scenarios.len() > 80, "{} scenarios", scenarios.len());
        scenarios
    }

    fn read(family: &str, service: &Service, directory: &Path) -> Self {
        let file = |name: &str| fs::read(directory.join(name)).ok();
        let read = |name: &str| file(name).unwrap_or_else(|| panic!("{}: no {name}", directory.display()));
        let request: Value = serde_json::from_slice(&read("request.json")).unwrap();
        let (form, body) = match (file("response.sse"), file("response.events.jsonl")) {
            (Some(events), _) => (Form::ServerSentEvents, events),
            (None, Some(lines)) => (Form::EventStream, frames(&String::from_utf8(lines).unwrap())),
            (None, None) => (Form::Json, read("response.json")),
        };
        let mut head = match file("head.json") {
            Some(head) => serde_json::from_slice(&head).unwrap(),
            None => Head { status: 200, headers: BTreeMap::new() },
        };
        head.headers.insert("content-type".into(), form.content_type().into());
        Self {
            family: family.to_owned(),
            service: service.clone(),
            name: directory.file_name().unwrap().to_str().unwrap().to_owned(),
            request,
            head,
            form,
            body,
            expected: file("expected.json")
                .map(|expected| serde_json::from_slice(&expected).unwrap())
                .unwrap_or_default(),
            directory: directory.to_owned(),
        }
    }

    /// Writes `expected.json`.
    pub fn record(&self, sent: &Value, path: &str, outcome: Outcome) {
        let mut expected = json!({"sent": sent});
        if let Some(path) = &self.expected.path {
            expected["path"] = path.as_str().into();
        } else if path != self.path() {
            expected["path"] = path.into();
        }
        match outcome {
            Outcome::Answer(answer) => expected["answer"] = answer,
            Outcome::Events(events, end) => {
                expected["events"] = events.into();
                expected["end"] = end;
            }
            Outcome::Error(error) => expected["error"] = error,
        }
        let text = serde_json::to_string_pretty(&expected).unwrap() + "\n";
        fs::write(self.directory.join("expected.json"), text).unwrap();
    }

    pub fn title(&self) -> String {
        format!("{}/{}", self.family, self.name)
    }

    pub fn provider(&self) -> &str {
        self.service.provider.as_deref().unwrap_or(&self.family)
    }

    /// The path that the call goes to.
    pub fn path(&self) -> String {
        let service = &self.service;
        let usual = service.stream_path.as_ref().filter(|_| self.streams()).unwrap_or(&service.path);
        let model = self.model().replace(':', "%3A").replace('/', "%2F");
        let path = self.expected.path.as_ref().unwrap_or(usual);
        path.replace("MODEL_PATH", &self.model()).replace("MODEL", &model)
    }

    /// The offset of the body's last event; for a body that is no stream, of its last two bytes.
    pub fn last_event(&self) -> usize {
        match self.form {
            Form::EventStream => {
                let mut begin = 0;
                loop {
                    let length = u32::from_be_bytes(self.body[begin..begin + 4].try_into().unwrap());
                    let end = begin + usize::try_from(length).unwrap();
                    if end == self.body.len() {
                        return begin;
                    }
                    begin = end;
                }
            }
            Form::Json | Form::ServerSentEvents => {
                let text = str::from_utf8(&self.body).unwrap();
                text.trim_end().rfind("\n\n").map_or(text.len() - 2, |end| end + 2)
            }
        }
    }

    pub fn streams(&self) -> bool {
        self.request["stream"] == true
    }

    pub fn model(&self) -> String {
        self.request["model"].as_str().unwrap().to_owned()
    }

    /// The text of all events, or of the answer.
    pub fn content(&self) -> String {
        match (&self.expected.answer, &self.expected.events) {
            (Some(answer), _) => answer["content"].as_str().unwrap().to_owned(),
            (None, Some(events)) => events.iter().filter_map(|event| event["delta"].as_str()).collect(),
            (None, None) => String::new(),
        }
    }

    /// The last counts that the reply gives.
    pub fn usage(&self) -> Option<&Value> {
        let (answer, events) = (&self.expected.answer, &self.expected.events);
        let usage = match answer {
            Some(answer) => answer.get("usage"),
            None => events.iter().flatten().rev().find_map(|event| event.get("usage")),
        };
        usage.filter(|usage| !usage.is_null()).or_else(|| self.failure()?.get("usage"))
    }

    /// The error that the call ends with, at once or after some events.
    pub fn failure(&self) -> Option<&Value> {
        let at_the_end = self.expected.end.as_ref().and_then(|end| end.get("error"));
        self.expected.error.as_ref().or(at_the_end)
    }
}

/// One frame for each line: `{"type": "event", "name": TYPE, "payload": {…}}`, or `exception` in place of
/// `event`, or `{"type": "error", "name": CODE, "message": TEXT}`.
fn frames(lines: &str) -> Vec<u8> {
    lines.lines().flat_map(|line| frame(&serde_json::from_str(line).unwrap())).collect()
}

/// Source: the Smithy specification, "Amazon Event Stream".
fn frame(line: &Value) -> Vec<u8> {
    let text = |name: &str| line[name].as_str().unwrap();
    let mut headers = Vec::new();
    let mut header = |name: &str, value: &str| {
        headers.push(u8::try_from(name.len()).unwrap());
        headers.extend_from_slice(name.as_bytes());
        // The type of a string.
        headers.push(7);
        headers.extend_from_slice(&u16::try_from(value.len()).unwrap().to_be_bytes());
        headers.extend_from_slice(value.as_bytes());
    };
    match text("type") {
        "error" => {
            header(":error-code", text("name"));
            header(":error-message", text("message"));
        }
        kind => {
            header(&format!(":{kind}-type"), text("name"));
            header(":content-type", "application/json");
        }
    }
    header(":message-type", text("type"));
    let payload = line.get("payload").map_or(Vec::new(), |payload| serde_json::to_vec(payload).unwrap());
    let number = |length: usize| u32::try_from(length).unwrap().to_be_bytes();
    let mut frame = [number(16 + headers.len() + payload.len()), number(headers.len())].concat();
    frame.extend_from_slice(&crc32fast::hash(&frame).to_be_bytes());
    frame.extend_from_slice(&headers);
    frame.extend_from_slice(&payload);
    frame.extend_from_slice(&crc32fast::hash(&frame).to_be_bytes());
    frame
}

fn scenarios_of(family: &Path) -> Vec<Scenario> {
    let name = family.file_name().unwrap().to_str().unwrap();
    let service = serde_json::from_slice(&fs::read(family.join("service.json")).unwrap()).unwrap();
    let mut directories: Vec<PathBuf> = fs::read_dir(family)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    directories.sort();
    directories.iter().map(|directory| Scenario::read(name, &service, directory)).collect()
}

/// The outcome of a call, in the form of `expected.json`.
#[derive(Debug, PartialEq)]
pub enum Outcome {
    Answer(Value),
    Events(Vec<Value>, Value),
    Error(Value),
}

impl Expected {
    /// `None` for a transcript that has no `expected.json` yet.
    pub fn outcome(&self) -> Option<Outcome> {
        match (&self.answer, &self.events, &self.error) {
            (Some(answer), None, None) => Some(Outcome::Answer(answer.clone())),
            (None, Some(events), None) => Some(Outcome::Events(events.clone(), self.end.clone().unwrap())),
            (None, None, Some(error)) => Some(Outcome::Error(error.clone())),
            (None, None, None) => None,
            _ => panic!("expected.json: one of `answer`, `events` and `error`"),
        }
    }
}

pub fn answer(answer: &Answer) -> Value {
    assert_eq!(answer.total_tokens, None);
    let mut fields = json!({
        "content": answer.content, "model": answer.model, "usage": answer.usage.map(|counts| usage(&counts)),
    });
    if let Some(word) = &answer.finish_reason {
        fields["finishReason"] = word.clone().into();
    }
    if !answer.tool_calls.is_empty() {
        fields["toolCalls"] = answer.tool_calls.iter().map(call).collect();
    }
    if !answer.reasoning.is_empty() {
        fields["reasoning"] = answer.reasoning.clone().into();
    }
    if !answer.reasoning_details.is_empty() {
        fields["reasoningDetails"] = answer.reasoning_details.clone().into();
    }
    if !answer.warnings.is_empty() {
        fields["warnings"] = fields_of(&answer.warnings);
    }
    fields
}

/// What the warnings are about.
fn fields_of(warnings: &[Warning]) -> Value {
    warnings.iter().map(|warning| Value::from(warning.field.clone())).collect()
}

fn call(call: &ToolCall) -> Value {
    let mut fields = json!({"id": call.id, "name": call.name, "arguments": call.arguments});
    if let Some(signature) = &call.signature {
        fields["signature"] = signature.clone().into();
    }
    fields
}

pub fn usage(counts: &TokenUsage) -> Value {
    let mut usage = json!({"input": counts.input, "output": counts.output});
    let details = [
        ("cacheRead", counts.cache_read),
        ("cacheWrite", counts.cache_write),
        ("cacheWrite1h", counts.cache_write_1h),
        ("reasoning", counts.reasoning),
    ];
    for (name, count) in details {
        if let Some(count) = count {
            usage[name] = count.into();
        }
    }
    if let Some(cost) = counts.cost() {
        usage["cost"] = cost.dollars().into();
    }
    if !counts.source.is_reported() {
        usage["estimated"] = true.into();
    }
    if let Some(side) = counts.unreported {
        usage["unreported"] = format!("{side:?}").to_lowercase().into();
    }
    usage
}

/// An event in the form of `expected.json`.
pub fn event(event: &StreamEvent) -> Value {
    match event {
        StreamEvent::Text(chunk) => text_chunk(chunk),
        StreamEvent::Reasoning(text) => json!({"reasoning": text}),
        StreamEvent::ReasoningDetails(blocks) => json!({"reasoningDetails": blocks}),
        StreamEvent::ToolCall(part) => json!({"toolCall": call_part(part)}),
        StreamEvent::Opaque => json!({"opaque": true}),
        StreamEvent::Warnings(warnings) => json!({"warnings": fields_of(warnings)}),
        StreamEvent::Model(name) => json!({"named": name}),
        StreamEvent::Usage(counts) => json!({"usage": usage(counts)}),
    }
}

fn text_chunk(chunk: &TextChunk) -> Value {
    let mut fields = Map::new();
    if !chunk.delta.is_empty() {
        fields.insert("delta".into(), chunk.delta.clone().into());
    }
    if let Some(model) = &chunk.model {
        fields.insert("model".into(), model.clone().into());
    }
    match &chunk.finish_reason {
        FinishReason::Absent => None,
        FinishReason::Null => fields.insert("finishReason".into(), Value::Null),
        FinishReason::Word(word) => fields.insert("finishReason".into(), word.clone().into()),
    };
    Value::Object(fields)
}

fn call_part(part: &ToolCallDelta) -> Value {
    let mut fields = Map::from_iter([("arguments".to_owned(), part.arguments.clone().into())]);
    if let Some(index) = part.index {
        fields.insert("index".into(), index.into());
    }
    for (name, text) in [("id", &part.id), ("name", &part.name), ("signature", &part.signature)] {
        if let Some(text) = text {
            fields.insert(name.into(), text.clone().into());
        }
    }
    Value::Object(fields)
}

/// An error of the provider `replay`.
pub fn error(failure: &Failure, status: u16) -> Value {
    let Failure::Gateway(error) = failure else { panic!("a foreign error: {failure}") };
    let GatewayError { kind, message, retryable, http_status, .. } = &**error;
    assert_eq!(error.provider.as_deref(), Some("replay"));
    assert_eq!(error.code, kind.code());
    let upstream = error.details.as_ref().and_then(|details| details.get("upstreamStatus"));
    let mut fields =
        json!({"kind": kind, "message": message, "retryable": retryable, "httpStatus": http_status});
    // A report inside a success names a status of its own.
    if let Some(upstream) = upstream.filter(|upstream| **upstream != status) {
        fields["upstreamStatus"] = upstream.clone();
    }
    if let Some(reason) = error.reason {
        fields["reason"] = reason.word().into();
    }
    if let Some(wait) = error.retry_after {
        fields["retryAfterMs"] = u64::try_from(wait.as_millis()).unwrap().into();
    }
    if let Some(counts) = error.usage.as_deref() {
        fields["usage"] = usage(counts);
    }
    fields
}
