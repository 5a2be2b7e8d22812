//! An outcome as an entry of the cache: whether it may become one, and what it takes.

use gateway_model::{Answer, AttemptRecord, FinishReason, Outcome, Warning};
use serde_json::Value;

/// What an entry takes besides its texts, in bytes: the structures around it.
const OVERHEAD: usize = 512;

/// Whether later calls may get it: it has something to say, and ended as an answer does. One that was cut at `maxTokens` is
/// whole for a call with that bound; one that was filtered or went wrong may be better next time, and so may one that ended
/// for an unknown reason.
pub fn may_be_cached(outcome: &Outcome) -> bool {
    let answer = &outcome.answer;
    let has_content = !answer.content.is_empty() || !answer.tool_calls.is_empty();
    let word = answer.finish_reason.as_deref().map(FinishReason::normalised);
    has_content && matches!(word.as_deref(), None | Some("stop" | "length" | "tool_calls"))
}

/// About as many bytes as it takes in memory.
pub fn size(outcome: &Outcome) -> usize {
    // Field by field, so that a new one does not compile until its size is counted, or known to be part of the overhead.
    let Outcome {
        answer,
        entry,
        provider,
        family,
        asked_model,
        usage: _,
        cost: _,
        fallback_triggered: _,
        fallback_from,
        degraded: _,
        attempts,
    } = outcome;
    let Answer {
        content,
        model,
        finish_reason,
        tool_calls,
        reasoning,
        reasoning_details,
        warnings,
        usage: _,
        total_tokens: _,
    } = answer;
    let mut size = OVERHEAD + content.len() + model.len() + reasoning.len();
    for text in [entry, provider, family, asked_model] {
        size += text.len();
    }
    for text in [finish_reason, fallback_from].into_iter().flatten() {
        size += text.len();
    }
    for call in tool_calls {
        let signature = call.signature.as_ref().map_or(0, String::len);
        size += size_of_val(call) + call.id.len() + call.name.len() + call.arguments.len() + signature;
    }
    for Warning { field, reason, provider } in warnings {
        size += size_of::<Warning>() + field.len() + reason.len() + provider.len();
    }
    size += attempts.len() * size_of::<AttemptRecord>();
    size + reasoning_details.iter().map(value_size).sum::<usize>()
}

fn value_size(value: &Value) -> usize {
    let inside = match value {
        Value::String(text) => text.len(),
        Value::Array(list) => list.iter().map(value_size).sum(),
        // A key, its index and its hash.
        Value::Object(object) => object.iter().map(|(key, value)| 48 + key.len() + value_size(value)).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    };
    size_of::<Value>() + inside
}

#[cfg(test)]
mod tests {
    use super::*;
    use gateway_model::ToolCall;

    #[test]
    fn only_answers_that_ended_well_are_cached() {
        let cached = |content: &str, calls: usize, word: Option<&str>| {
            let answer = Answer {
                content: content.to_owned(),
                tool_calls: vec![ToolCall::default(); calls],
                finish_reason: word.map(str::to_owned),
                reasoning: "r".to_owned(),
                ..Answer::default()
            };
            may_be_cached(&Outcome { answer, ..Outcome::default() })
        };
        for word in [None, Some("end_turn"), Some("STOP"), Some("max_tokens"), Some("tool_use")] {
            assert!(cached("x", 0, word), "{word:?}");
            assert!(cached("", 1, word), "{word:?}");
            assert!(!cached("", 0, word), "{word:?}");
        }
        for word in ["refusal", "SAFETY", "content_filter", "MALFORMED_FUNCTION_CALL", "pause_turn", "OTHER"]
        {
            assert!(!cached("x", 1, Some(word)), "{word}");
        }
    }
}
