//! What an upstream itself says of a failure: words, type, code, status and wait, in whichever shape it writes them.

use std::time::Duration;

use serde_json::Value;

/// How deep reports may lie in each other: an `error` in an `error`, or in a list.
const DEPTH: u8 = 4;
/// How much of an upstream's words is kept, in characters.
const KEPT_CHARS: usize = 1_000;

/// An upstream's report of a failure.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UpstreamReport {
    pub message: String,
    /// Its `type`, or what stands for it: Google's `status`, an AWS exception's name.
    pub kind: Option<String>,
    /// Its `code`, where that is a word. Some services write numbers of their own as text.
    pub code: Option<String>,
    /// The HTTP status that it names.
    pub status: Option<u16>,
    /// How long it asks to wait.
    pub wait: Option<Duration>,
    /// It names the request's content as the reason.
    pub is_flagged: bool,
}

impl UpstreamReport {
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), ..Self::default() }
    }

    /// Reads the body of an answer without success: JSON, or any text.
    pub fn read(body: &str) -> Self {
        let body = body.trim_start_matches('\u{feff}').trim();
        let read = serde_json::from_str::<Value>(body).map(|value| Self::of(&value));
        read.unwrap_or_else(|_| Self::new(first_chars(body, KEPT_CHARS)))
    }

    /// Reads an error object, or what it lies in.
    pub fn of(value: &Value) -> Self {
        let mut report = Self::default();
        report.fill(value, DEPTH);
        if report.message.is_empty() {
            report.message = match value {
                Value::Null => String::new(),
                other => first_chars(&other.to_string(), KEPT_CHARS).to_owned(),
            };
        }
        report
    }

    /// `kind`: the name that the report came under, such as an exception's.
    #[must_use]
    pub fn named(mut self, kind: &str) -> Self {
        self.kind.get_or_insert_with(|| kind.to_owned());
        self
    }

    /// It says nothing at all.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The innermost report says it best: what lies around it fills in what it leaves open.
    fn fill(&mut self, value: &Value, depth: u8) {
        if depth == 0 {
            return;
        }
        match value {
            Value::String(text) => self.say(text),
            Value::Array(items) => self.fill_from_list(items, depth),
            Value::Object(fields) => {
                let inner = ["error", "errors", "innererror", "base_resp", "detail"];
                for field in inner.iter().filter_map(|name| fields.get(*name)) {
                    self.fill(field, depth - 1);
                }
                self.fill_from_fields(fields);
            }
            _ => {}
        }
    }

    /// Several reports are one: their words are joined, the first one's type and code count.
    fn fill_from_list(&mut self, items: &[Value], depth: u8) {
        let mut words = Vec::new();
        for item in items {
            let mut one = Self::default();
            one.fill(item, depth - 1);
            if !one.message.is_empty() {
                words.push(std::mem::take(&mut one.message));
            }
            self.kind = self.kind.take().or(one.kind);
            self.code = self.code.take().or(one.code);
            self.status = self.status.or(one.status);
            self.wait = self.wait.or(one.wait);
            self.is_flagged |= one.is_flagged;
        }
        self.say(&words.join("; "));
    }

    fn fill_from_fields(&mut self, fields: &serde_json::Map<String, Value>) {
        let text = |names: &[&str]| names.iter().find_map(|name| word(fields.get(*name)?));
        let words = [
            "message",
            "msg",
            "error_msg",
            "error_message",
            "status_msg",
            "errorMessage",
            "error_description",
        ];
        if let Some(said) = words.iter().find_map(|name| fields.get(*name)) {
            match said {
                Value::String(text) => self.say(text),
                other if !other.is_null() && self.message.is_empty() => self.say(&other.to_string()),
                _ => {}
            }
        }
        // Google's `status` is a word, others' a number. `error` alone only says that the rest is one.
        let kind = text(&["type", "__type", "status", "error_type"]);
        let kind = kind.filter(|kind| !matches!(*kind, "error" | "ErrorResponse"));
        self.kind = self.kind.take().or(kind.map(last_segment));
        let code = text(&["code", "error_code"]).map(str::to_owned);
        let code =
            code.or_else(|| fields.get("status_code").and_then(Value::as_i64).map(|code| code.to_string()));
        self.code = self.code.take().or(code.filter(|code| http_status(code.parse().ok()).is_none()));
        let numbers = ["status", "code", "statusCode", "status_code", "http_code"];
        let status = numbers.iter().find_map(|name| http_status(number(fields.get(*name)?)));
        self.status = self.status.or(status);
        self.wait = self.wait.or_else(|| wait(fields));
        if let Some(Value::Object(about)) = fields.get("metadata") {
            self.is_flagged |= about.contains_key("flagged_input") || about.contains_key("reasons");
            if let Some(raw) = about.get("raw").and_then(Value::as_str).filter(|raw| !raw.is_empty()) {
                // A router quotes its provider's own answer.
                self.message = format!("{}: {}", self.message, first_chars(raw, KEPT_CHARS));
            }
        }
        if let Some(Value::Array(details)) = fields.get("details") {
            for detail in details {
                let reason = detail.get("reason").and_then(Value::as_str);
                self.code = self.code.take().or(reason.map(str::to_owned));
            }
        }
    }

    fn say(&mut self, words: &str) {
        if self.message.is_empty() {
            self.message = first_chars(words.trim(), KEPT_CHARS).to_owned();
        }
    }
}

fn word(value: &Value) -> Option<&str> {
    value.as_str().filter(|text| !text.is_empty())
}

/// AWS writes `com.amazonaws.bedrock#ThrottlingException`, and may add an address behind a colon.
fn last_segment(kind: &str) -> String {
    let kind = kind.rsplit('#').next().unwrap_or(kind);
    kind.split(':').next().unwrap_or(kind).to_owned()
}

fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

fn http_status(number: Option<u64>) -> Option<u16> {
    number.and_then(|number| u16::try_from(number).ok()).filter(|status| (400..600).contains(status))
}

fn wait(fields: &serde_json::Map<String, Value>) -> Option<Duration> {
    let number = |name: &str| {
        let value = fields.get(name)?;
        value.as_f64().or_else(|| value.as_str()?.parse().ok())
    };
    let seconds = number("retry_after_ms").map(|ms| ms / 1e3);
    let seconds = seconds.or_else(|| {
        ["retry_after", "retryAfter", "retry_after_seconds"].iter().find_map(|name| number(name))
    })?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// The first `count` characters of `text`.
pub(super) fn first_chars(text: &str, count: usize) -> &str {
    text.char_indices().nth(count).map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_report_is_read_in_each_shape() {
        for body in [
            json!("no"),
            json!({"error": "no"}),
            json!({"error": {"message": "no"}}),
            json!([{"error": {"message": "no"}}]),
            json!({"error": {"error": {"message": "no"}}}),
            json!({"errors": [{"code": 7000, "message": "no"}]}),
            json!({"errors": ["no"]}),
            json!({"base_resp": {"status_code": 1004, "status_msg": "no"}}),
            json!({"object": "error", "message": "no", "code": 400}),
            json!({"detail": "no"}),
            json!({"detail": [{"loc": ["body", "n"], "msg": "no", "type": "missing"}]}),
            json!({"error": {"msg": "no"}}),
            json!({"error_msg": "no", "error_code": 17}),
        ] {
            assert_eq!(UpstreamReport::of(&body).message, "no", "{body}");
            assert_eq!(UpstreamReport::read(&body.to_string()).message, "no", "{body}");
        }
        assert_eq!(UpstreamReport::read("<html>busy</html>").message, "<html>busy</html>");
        assert!(UpstreamReport::read("").is_empty());
        assert_eq!(UpstreamReport::of(&json!({"error": {"x": 1}})).message, r#"{"error":{"x":1}}"#);
    }

    #[test]
    fn type_code_status_and_wait_are_told_apart() {
        let of = |body: Value| {
            let UpstreamReport { kind, code, status, wait, .. } = UpstreamReport::of(&body);
            (kind.unwrap_or_default(), code.unwrap_or_default(), status, wait)
        };
        let text = String::from;
        assert_eq!(
            of(json!({"type": "error", "error": {"type": "overloaded_error", "message": "m"}})),
            (text("overloaded_error"), String::new(), None, None)
        );
        assert_eq!(
            of(json!({"error": {"message": "m", "type": "requests", "code": "rate_limit_exceeded"}})),
            (text("requests"), text("rate_limit_exceeded"), None, None)
        );
        assert_eq!(
            of(
                json!({"error": {"code": 429, "message": "m", "status": "RESOURCE_EXHAUSTED", "retry_after": 2}})
            ),
            (text("RESOURCE_EXHAUSTED"), String::new(), Some(429), Some(Duration::from_secs(2)))
        );
        assert_eq!(
            of(json!({"__type": "com.amazon#ThrottlingException", "message": "m"})),
            (text("ThrottlingException"), String::new(), None, None)
        );
        assert_eq!(of(json!({"base_resp": {"status_code": 1008, "status_msg": "m"}})).1, "1008");
        assert_eq!(of(json!({"error": {"code": "429", "message": "m"}})).2, Some(429));
    }
}
