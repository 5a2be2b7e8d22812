//! Requests: OpenAI's fields, in the service's dialect.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::dialect::{ChoiceSupport, FormatSupport};
use super::{OpenAiWire, reasoning};
use crate::wire::{Mode, format_instruction};
use gateway_model::ProviderCall;
use gateway_model::error::GatewayError;
use gateway_model::{ChatRequest, ResponseFormat, Role, Tool, ToolChoice};

impl OpenAiWire {
    /// The whole body, in OpenAI's words and always in this order: prompt caches depend on it.
    pub(super) fn write_body(&self, call: &ProviderCall, mode: Mode) -> Result<Vec<u8>, GatewayError> {
        let request = &call.request;
        let raw_length = request.openai_messages.as_ref().map_or(0, |raw| raw.get().len());
        let mut body = Fields::new(raw_length + 256);
        body.field("model", &call.model)?;
        match (self.rewritten(request), &request.openai_messages) {
            (Some(messages), _) => body.field("messages", &messages)?,
            (None, Some(raw)) => body.raw("messages", raw.get().as_bytes()),
            (None, None) => body.field("messages", &request.openai_messages_value())?,
        }
        if mode.is_stream() {
            body.raw("stream", b"true");
            if self.dialect.stream_options {
                body.raw("stream_options", b"{\"include_usage\":true}");
            }
        }
        if let Some(max_tokens) = call.max_tokens {
            body.field(self.dialect.max_tokens.field(&call.model), &max_tokens)?;
        }
        if let Some(temperature) = request.temperature {
            body.field("temperature", &temperature)?;
        }
        self.options(request, &mut body)?;
        Ok(body.finish())
    }

    /// The words in which the answer's form is asked for, where the service has no field for it.
    pub fn instruction(&self, request: &ChatRequest) -> Option<String> {
        let format = request.response_format.as_ref()?;
        (!self.dialect.response_format.has(format)).then(|| format_instruction(format))
    }

    /// The messages, where they cannot go out as they came in.
    fn rewritten(&self, request: &ChatRequest) -> Option<Value> {
        let instruction = self.instruction(request);
        let renames = !self.dialect.developer_role
            && request.messages.iter().any(|message| message.role == Role::Developer);
        let details = self.dialect.reasoning_details;
        let reasons = !details.is_empty()
            && request.messages.iter().any(|message| reasoning::blocks(message).next().is_some());
        if instruction.is_none() && !renames && !reasons {
            return None;
        }
        let mut messages = request.openai_messages_value();
        if let Value::Array(messages) = &mut messages {
            for (message, wire) in request.messages.iter().zip(messages.iter_mut()).filter(|_| reasons) {
                let blocks: Vec<&Value> = reasoning::blocks(message).collect();
                if !blocks.is_empty() {
                    wire[details] = json!(blocks);
                }
            }
            for message in messages.iter_mut().filter(|message| renames && message["role"] == "developer") {
                message["role"] = json!("system");
            }
            // Beside the other instructions: services want them first.
            let after = request.messages.iter().take_while(|message| message.role.is_instruction()).count();
            if let Some(text) = instruction {
                messages.insert(after, json!({"role": "system", "content": text}));
            }
        }
        Some(messages)
    }

    /// The fields that few requests set, in OpenAI's words and always in this order.
    fn options(&self, request: &ChatRequest, body: &mut Fields) -> Result<(), GatewayError> {
        let dialect = &self.dialect;
        body.optional("top_p", request.top_p)?;
        body.optional("top_k", request.top_k.filter(|_| dialect.top_k))?;
        body.optional("stop", (!request.stop.is_empty()).then_some(&request.stop))?;
        body.optional(dialect.seed, request.seed)?;
        if dialect.penalties {
            body.optional("presence_penalty", request.presence_penalty)?;
            body.optional("frequency_penalty", request.frequency_penalty)?;
        }
        if dialect.reasoning_effort {
            body.optional("reasoning_effort", request.reasoning_effort.as_ref())?;
        }
        let (tools, choice) = self.tools(request);
        if !tools.is_empty() {
            body.field("tools", &tools.into_iter().map(tool_json).collect::<Value>())?;
        }
        body.optional("tool_choice", choice)?;
        body.optional(
            "response_format",
            request.response_format.as_ref().and_then(|format| self.format(format)),
        )?;
        body.optional(dialect.user, request.user_id.as_ref())
    }

    /// The tools that are offered, and the word on them.
    pub fn tools<'a>(&self, request: &'a ChatRequest) -> (Vec<&'a Tool>, Option<Value>) {
        let all: Vec<&Tool> = request.tools.iter().collect();
        let required = Some(self.dialect.required_choice).filter(|word| !word.is_empty()).map(Value::from);
        match (&request.tool_choice, self.dialect.tool_choice) {
            (None, _) => (all, None),
            (Some(ToolChoice::Auto), _) => (all, Some(json!("auto"))),
            (Some(ToolChoice::None), ChoiceSupport::Auto) => (Vec::new(), None),
            (Some(ToolChoice::None), _) => (all, Some(json!("none"))),
            (Some(ToolChoice::Required), _) => (all, required),
            (Some(ToolChoice::Named(name)), ChoiceSupport::Full) => {
                (all, Some(json!({ "type": "function", "function": { "name": name } })))
            }
            (Some(ToolChoice::Named(name)), _) => {
                (all.into_iter().filter(|tool| tool.name == *name).collect(), required)
            }
        }
    }

    pub fn format(&self, format: &ResponseFormat) -> Option<Value> {
        let support = self.dialect.response_format;
        match format {
            // An object, at least.
            _ if !support.has(format) => {
                (support == FormatSupport::Object).then(|| json!({ "type": "json_object" }))
            }
            ResponseFormat::Json => Some(json!({ "type": "json_object" })),
            ResponseFormat::Schema { schema, .. } if support == FormatSupport::BareSchema => {
                Some(json!({ "type": "json_schema", "json_schema": { "schema": schema } }))
            }
            ResponseFormat::Schema { name, schema, strict } => {
                let mut json_schema = Map::from_iter([("name".to_owned(), json!(name))]);
                json_schema.insert("schema".to_owned(), Value::Object(schema.clone()));
                if let Some(strict) = strict {
                    json_schema.insert("strict".to_owned(), json!(strict));
                }
                Some(json!({ "type": "json_schema", "json_schema": json_schema }))
            }
        }
    }
}

/// A tool in OpenAI's form.
pub fn tool_json(tool: &Tool) -> Value {
    let mut function = Map::from_iter([("name".to_owned(), json!(tool.name))]);
    if let Some(description) = &tool.description {
        function.insert("description".to_owned(), json!(description));
    }
    function.insert("parameters".to_owned(), Value::Object(tool.parameters.clone()));
    if let Some(strict) = tool.strict {
        function.insert("strict".to_owned(), json!(strict));
    }
    json!({ "type": "function", "function": function })
}

/// A JSON object, written field by field: texts of messages are long, and most go out as they came in.
struct Fields(Vec<u8>);

impl Fields {
    fn new(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity))
    }

    fn raw(&mut self, name: &str, json: &[u8]) {
        self.0.extend_from_slice(if self.0.is_empty() { b"{\"" } else { b",\"" });
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":");
        self.0.extend_from_slice(json);
    }

    fn field(&mut self, name: &str, value: &impl Serialize) -> Result<(), GatewayError> {
        self.raw(name, b"");
        serde_json::to_writer(&mut self.0, value).map_err(GatewayError::unwritable)
    }

    /// A field that few requests set, and not every service has (an empty name).
    fn optional(&mut self, name: &str, value: Option<impl Serialize>) -> Result<(), GatewayError> {
        match value {
            Some(value) if !name.is_empty() => self.field(name, &value),
            _ => Ok(()),
        }
    }

    fn finish(mut self) -> Vec<u8> {
        self.0.push(b'}');
        self.0
    }
}
