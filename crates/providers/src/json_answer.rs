//! Answers that are to be JSON where the wire cannot see to it: the model was asked in words, and likes to put its JSON
//! into a code fence.

use futures::future::BoxFuture;

use gateway_model::EventSource;
use gateway_model::StreamEvent;
use gateway_model::error::{Failure, GatewayError, Reason};

pub(super) const NOT_JSON: &str = "the answer is not the JSON that was asked for";

/// Marks a failure of the check: it is about what was asked for, not about how the target is doing.
pub(super) fn not_json(error: GatewayError) -> GatewayError {
    error.with_reason(Reason::NotJson)
}

const FENCE: &str = "```";

/// The JSON of a whole answer; `None` where it is none.
pub(super) fn extract_json(text: &str) -> Option<String> {
    let text = text.trim();
    let inside = text.strip_prefix(FENCE).and_then(|rest| rest.trim_end().strip_suffix(FENCE));
    let text = inside.map_or(text, |inside| inside.strip_prefix("json").unwrap_or(inside).trim());
    is_json(text).then(|| text.to_owned())
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

/// A stream without its fence, that fails at its end where the text was no JSON.
pub(super) struct JsonStream {
    pub source: Box<dyn EventSource>,
    pub provider: String,
    pub status: u16,
    pub fence: CodeFence,
    /// The answer calls a tool, in place of the JSON.
    pub calls: bool,
}

impl EventSource for JsonStream {
    fn next<'a>(&'a mut self, into: &'a mut Vec<StreamEvent>) -> BoxFuture<'a, Result<bool, Failure>> {
        Box::pin(async move {
            let before = into.len();
            let result = self.source.next(into).await;
            for event in &mut into[before..] {
                match event {
                    StreamEvent::Text(chunk) => chunk.delta = self.fence.strip(&chunk.delta),
                    StreamEvent::ToolCall(_) => self.calls = true,
                    StreamEvent::Reasoning(_)
                    | StreamEvent::ReasoningDetails(_)
                    | StreamEvent::Opaque
                    | StreamEvent::Warnings(_)
                    | StreamEvent::Model(_)
                    | StreamEvent::Usage(_) => {}
                }
            }
            if !matches!(result, Ok(false)) {
                return result;
            }
            let held = self.fence.finish();
            if !held.is_empty() {
                into.push(StreamEvent::text(held));
            }
            if self.calls || is_json(&self.fence.text) {
                return Ok(false);
            }
            Err(not_json(GatewayError::provider_response(&self.provider, self.status, NOT_JSON)).into())
        })
    }
}

/// Takes the fence off a text that comes in pieces.
#[derive(Default)]
pub(super) struct CodeFence {
    /// What has been handed on.
    text: String,
    /// What may still turn out to belong to a fence.
    held: String,
    begun: bool,
    fenced: bool,
}

impl CodeFence {
    fn strip(&mut self, delta: &str) -> String {
        self.held.push_str(delta);
        if !self.begun {
            let start = self.held.trim_start();
            if start.len() < FENCE.len() && FENCE.starts_with(start) {
                return String::new();
            }
            if let Some(rest) = start.strip_prefix(FENCE) {
                // Its first line names the language.
                let Some((_, rest)) = rest.split_once('\n') else { return String::new() };
                self.held = rest.to_owned();
                self.fenced = true;
            }
            self.begun = true;
        }
        if !self.fenced {
            return self.pass(self.held.len());
        }
        // Backticks and white space at the end may be the closing fence.
        let kept = self.held.trim_end_matches(|letter: char| letter == '`' || letter.is_whitespace()).len();
        self.pass(kept)
    }

    fn pass(&mut self, length: usize) -> String {
        let rest = self.held.split_off(length);
        let passed = std::mem::replace(&mut self.held, rest);
        self.text.push_str(&passed);
        passed
    }

    /// What was held back and is no fence.
    fn finish(&mut self) -> String {
        let held = std::mem::take(&mut self.held);
        let rest = if self.fenced && held.contains(FENCE) { String::new() } else { held };
        self.text.push_str(&rest);
        rest
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stripped(pieces: &[&str]) -> String {
        let mut fence = CodeFence::default();
        let text: String = pieces.iter().map(|piece| fence.strip(piece)).collect();
        text + &fence.finish()
    }

    #[test]
    fn extract_json_removes_only_the_code_fence() {
        for text in ["{\"a\":1}", " {\"a\":1}\n", "```json\n{\"a\":1}\n```", "```\n{\"a\":1}```\n"] {
            assert_eq!(extract_json(text).as_deref(), Some("{\"a\":1}"), "{text}");
        }
        for text in ["", "Sure: {}", "```json\n{\n```", "{} and more"] {
            assert_eq!(extract_json(text), None, "{text}");
        }
    }

    #[test]
    fn text_without_a_code_fence_passes_unchanged() {
        assert_eq!(stripped(&["{\"a\":", "\"`` ```\"}", "\n"]), "{\"a\":\"`` ```\"}\n");
        assert_eq!(stripped(&["``", "x"]), "``x");
        assert_eq!(stripped(&["```"]), "```");
    }

    proptest! {
        #[test]
        fn code_fence_is_found_wherever_it_is_cut(cuts in prop::collection::vec(0usize..40, 0..6)) {
            let text = "```json\n{\"a\": \"`x` ```\", \"b\": 1}\n```\n";
            let mut places: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            places.extend([0, text.len()]);
            places.sort_unstable();
            let pieces: Vec<&str> = places.windows(2).map(|ends| &text[ends[0]..ends[1]]).collect();
            prop_assert_eq!(stripped(&pieces), "{\"a\": \"`x` ```\", \"b\": 1}");
        }
    }
}
