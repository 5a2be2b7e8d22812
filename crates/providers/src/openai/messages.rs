//! Messages that cannot go out as they came in.

use serde_json::{Value, json};

use super::dialect::ReasoningContent;
use super::{OpenAiWire, reasoning};
use crate::gemini;
use crate::wire::format_instruction;
use gateway_model::{ChatRequest, Content, Message, ProviderCall, ResponseFormat, Role};

impl OpenAiWire {
    /// The messages, where they cannot go out as they came in.
    pub(super) fn rewritten(&self, call: &ProviderCall) -> Option<Value> {
        let request = &call.request;
        let instruction = self.instruction(request).or_else(|| self.json_word(request));
        let changes = self.changes(call);
        let prefilled = !self.dialect.prefill.is_empty() && is_prefill(&request.messages);
        if instruction.is_none() && !prefilled && !request.messages.iter().any(|message| changes.any(message))
        {
            return None;
        }
        let mut messages = request.openai_messages_value();
        if let Value::Array(messages) = &mut messages {
            for (message, wire) in request.messages.iter().zip(messages.iter_mut()) {
                changes.make(message, wire);
            }
            if let Some(last) = messages.last_mut().filter(|_| prefilled) {
                last[self.dialect.prefill] = json!(true);
            }
            // Beside the other instructions: services want them first.
            let after = request.messages.iter().take_while(|message| message.role.is_instruction()).count();
            if let Some(text) = instruction {
                messages.insert(after, json!({"role": "system", "content": text}));
            }
        }
        Some(messages)
    }

    /// What names JSON to a service that takes `json_object` only where a message does.
    pub fn json_word(&self, request: &ChatRequest) -> Option<String> {
        let format = request.response_format.as_ref().filter(|format| **format == ResponseFormat::Json)?;
        let named = |message: &Message| message.content.text().to_ascii_lowercase().contains("json");
        let asks = self.dialect.response_format.has(format) && !request.messages.iter().any(named);
        asks.then(|| format_instruction(format))
    }

    fn changes(&self, call: &ProviderCall) -> Changes {
        let dialect = &self.dialect;
        Changes {
            renames_developer: !dialect.developer_role,
            details: dialect.reasoning_details,
            reasoning: dialect.reasoning_content,
            // A service with blocks of its own sees to signatures by itself.
            signs: call.model.contains("gemini") && dialect.reasoning_details.is_empty(),
            foreign_signature: gemini::foreign_signature(&call.model),
        }
    }
}

/// Whether the answer is to go on from the last turn.
fn is_prefill(messages: &[Message]) -> bool {
    messages.last().is_some_and(|last| {
        last.role == Role::Assistant && last.tool_calls.is_empty() && last.content != Content::Empty
    })
}

/// What a service wants of single messages that the standard does not have.
struct Changes {
    renames_developer: bool,
    /// The field for blocks of reasoning; empty: there is none.
    details: &'static str,
    reasoning: ReasoningContent,
    /// Calls carry Google's signatures.
    signs: bool,
    /// What stands in for the signature of calls that no Gemini made.
    foreign_signature: Option<&'static str>,
}

impl Changes {
    /// Whether it wants any of this one.
    fn any(&self, message: &Message) -> bool {
        match message.role {
            Role::Developer => self.renames_developer,
            Role::Assistant => {
                (!self.details.is_empty() && reasoning::blocks(message).next().is_some())
                    || self.reasoning_content(message).is_some()
                    || self.signs && message.tool_calls.iter().any(|call| call.signature.is_some())
                    || self.signs && self.foreign_signature.is_some() && !message.tool_calls.is_empty()
            }
            Role::System | Role::User | Role::Tool => false,
        }
    }

    fn make(&self, message: &Message, wire: &mut Value) {
        match message.role {
            Role::Developer if self.renames_developer => wire["role"] = json!("system"),
            Role::Assistant => self.make_turn(message, wire),
            _ => {}
        }
    }

    fn make_turn(&self, message: &Message, wire: &mut Value) {
        let blocks: Vec<&Value> = reasoning::blocks(message).collect();
        if !self.details.is_empty() && !blocks.is_empty() {
            wire[self.details] = json!(blocks);
        }
        if let Some(text) = self.reasoning_content(message) {
            wire["reasoning_content"] = json!(text);
        }
        if self.signs {
            self.sign(message, wire);
        }
    }

    /// The reasoning that goes back with a turn; none where the caller wrote it already.
    fn reasoning_content(&self, message: &Message) -> Option<String> {
        let written = message.source.as_ref().is_some_and(|source| source.contains_key("reasoning_content"));
        match self.reasoning {
            ReasoningContent::Unread => None,
            _ if written => None,
            ReasoningContent::Read => reasoning::kept_texts(message),
            // Another model's calls have none: an empty text says so.
            ReasoningContent::Required => {
                reasoning::kept_texts(message).or_else(|| (!message.tool_calls.is_empty()).then(String::new))
            }
        }
    }

    fn sign(&self, message: &Message, wire: &mut Value) {
        let Some(written) = wire.get_mut("tool_calls").and_then(Value::as_array_mut) else { return };
        let functions = written.iter_mut().filter(|call| call["function"]["name"].is_string());
        let is_unsigned = message.tool_calls.iter().all(|call| call.signature.is_none());
        for (at, (call, written)) in message.tool_calls.iter().zip(functions).enumerate() {
            // The first of a turn's calls stands for all.
            let foreign = self.foreign_signature.filter(|_| is_unsigned && at == 0);
            if let Some(signature) = call.signature.as_deref().or(foreign) {
                reasoning::sign_call(written, signature);
            }
        }
    }
}
