//! What must come back with the turn that it led to: blocks of reasoning (`reasoning_details`), reasoning as one text
//! (`reasoning_content`), and Google's signatures of calls (`extra_content`).
//!
//! Source: OpenRouter's documentation, "Reasoning Tokens"; DeepSeek's, "Thinking Mode"; Moonshot's, "Thinking Models"; Google's,
//! "Thought signatures".

use serde_json::{Map, Value, json};

use gateway_model::Message;

/// A turn's blocks that are in this form; those of other vendors' forms are not for this wire.
pub fn blocks(message: &Message) -> impl Iterator<Item = &Value> {
    message
        .reasoning_details
        .iter()
        .filter(|block| block["type"].as_str().is_some_and(|kind| kind.starts_with("reasoning.")))
}

/// Our block for reasoning that its service has as one text.
const KEPT_TEXT: &str = "reasoning_content";

pub fn kept_text(reasoning: &str) -> Option<Value> {
    (!reasoning.is_empty()).then(|| json!({ "type": KEPT_TEXT, "text": reasoning }))
}

/// The texts that were kept of a turn; `None`: it had none.
pub fn kept_texts(message: &Message) -> Option<String> {
    let texts = message.reasoning_details.iter().filter(|block| block["type"] == KEPT_TEXT);
    let texts: Vec<&str> = texts.filter_map(|block| block["text"].as_str()).collect();
    (!texts.is_empty()).then(|| texts.concat())
}

/// Puts Google's signature on a call.
pub fn sign_call(call: &mut Value, signature: &str) {
    call["extra_content"] = json!({ "google": { "thought_signature": signature } });
}

pub fn thought_signature(extra_content: &Value) -> Option<String> {
    extra_content["google"]["thought_signature"].as_str().map(str::to_owned)
}

/// Puts blocks together from their parts. Parts of one block have its `type` and `index`; their texts add up.
#[derive(Default)]
pub struct BlockAssembly(Vec<Value>);

/// What adds up; the other fields (signature, format, id) come once.
const TEXTS: [&str; 2] = ["text", "summary"];

impl BlockAssembly {
    pub fn push(&mut self, part: Value) {
        let Value::Object(part) = part else { return };
        match self.0.last_mut() {
            Some(Value::Object(block)) if continues(block, &part) => {
                for (name, value) in part {
                    merge(block, name, value);
                }
            }
            _ => self.0.push(Value::Object(part)),
        }
    }

    /// The blocks so far; the assembly is empty then.
    pub fn take(&mut self) -> Vec<Value> {
        std::mem::take(&mut self.0)
    }
}

fn continues(block: &Map<String, Value>, part: &Map<String, Value>) -> bool {
    let alike = |name: &str| block.get(name) == part.get(name);
    TEXTS.iter().any(|text| part.get(*text).is_some_and(Value::is_string)) && alike("type") && alike("index")
}

fn merge(block: &mut Map<String, Value>, name: String, value: Value) {
    let known = block.entry(name.as_str()).or_insert(Value::Null);
    match (known.as_str(), value.as_str()) {
        (Some(before), Some(more)) if TEXTS.contains(&name.as_str()) => {
            *known = json!([before, more].concat())
        }
        _ if !value.is_null() => *known = value,
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_become_blocks() {
        let mut assembly = BlockAssembly::default();
        for part in [
            json!({"type": "reasoning.text", "text": "Let", "format": "anthropic-claude-v1", "index": 0}),
            json!({"type": "reasoning.text", "text": " me", "format": "anthropic-claude-v1", "index": 0}),
            json!({"type": "reasoning.text", "text": "", "signature": "c2ln", "format": null, "index": 0}),
            json!({"type": "reasoning.summary", "summary": "a", "index": 1}),
            json!({"type": "reasoning.summary", "summary": "b", "index": 1}),
            json!({"type": "reasoning.encrypted", "data": "eA==", "id": "rs_1", "index": 1}),
            json!({"type": "reasoning.encrypted", "data": "eQ==", "id": "rs_2", "index": 1}),
            json!("stray"),
        ] {
            assembly.push(part);
        }
        let blocks = json!([
            {"type": "reasoning.text", "text": "Let me", "format": "anthropic-claude-v1", "index": 0, "signature": "c2ln"},
            {"type": "reasoning.summary", "summary": "ab", "index": 1},
            {"type": "reasoning.encrypted", "data": "eA==", "id": "rs_1", "index": 1},
            {"type": "reasoning.encrypted", "data": "eQ==", "id": "rs_2", "index": 1},
        ]);
        assert_eq!(Value::Array(assembly.take()), blocks);
        assert!(assembly.take().is_empty());
    }
}
