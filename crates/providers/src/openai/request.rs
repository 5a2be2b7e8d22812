//! Requests: OpenAI's fields, in the service's dialect.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::OpenAiWire;
use super::dialect::{ChoiceSupport, FormatSupport};
use crate::settings::CallSettings;
use crate::wire::{Mode, format_instruction};
use gateway_model::error::GatewayError;
use gateway_model::{ChatRequest, ResponseFormat, Tool, ToolChoice};

const MAY_ANSWER: &str = "Left out: this provider cannot be told that a tool must be called.";
const MAY_ANSWER_OR_CALL_IT: &str =
    "Only this tool is offered: this provider cannot be told that it must be called.";

impl OpenAiWire {
    /// The whole body, in OpenAI's words and always in this order: prompt caches depend on it.
    pub(super) fn write_body(
        &self,
        settings: &mut CallSettings<'_>,
        mode: Mode,
    ) -> Result<Vec<u8>, GatewayError> {
        let (call, request) = (settings.call(), settings.request());
        let raw_length = request.openai_messages.as_ref().map_or(0, |raw| raw.get().len());
        let mut body = Fields::new(raw_length + 256);
        body.field("model", &call.model)?;
        match (self.rewritten(call), &request.openai_messages) {
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
        body.optional(self.dialect.max_tokens.field(&call.model), settings.max_tokens())?;
        body.optional("temperature", settings.temperature())?;
        self.options(settings, &mut body)?;
        Ok(body.finish())
    }

    /// The words in which the answer's form is asked for, where the service has no field for it.
    pub fn instruction(&self, request: &ChatRequest) -> Option<String> {
        let format = request.response_format.as_ref()?;
        (!self.dialect.response_format.has(format)).then(|| format_instruction(format))
    }

    /// The fields that few requests set, in OpenAI's words and always in this order.
    fn options(&self, settings: &mut CallSettings<'_>, body: &mut Fields) -> Result<(), GatewayError> {
        let dialect = &self.dialect;
        body.optional("top_p", settings.top_p())?;
        if dialect.top_k {
            body.optional("top_k", settings.top_k())?;
        }
        let stop = settings.stop();
        body.optional("stop", (!stop.is_empty()).then_some(stop))?;
        if !dialect.seed.is_empty() {
            body.optional(dialect.seed, settings.seed())?;
        }
        if dialect.penalties {
            body.optional("presence_penalty", settings.presence_penalty())?;
            body.optional("frequency_penalty", settings.frequency_penalty())?;
        }
        if dialect.reasoning_effort {
            body.optional("reasoning_effort", settings.reasoning_effort())?;
        }
        let (tools, choice) = self.tools(settings);
        if !tools.is_empty() {
            body.field("tools", &tools.into_iter().map(tool_json).collect::<Value>())?;
        }
        body.optional("tool_choice", choice)?;
        body.optional("response_format", self.format(settings))?;
        body.optional(dialect.user, settings.user_id())
    }

    /// The tools that are offered, and the word on them.
    pub fn tools<'a>(&self, settings: &mut CallSettings<'a>) -> (Vec<&'a Tool>, Option<Value>) {
        let all: Vec<&Tool> = settings.tools().iter().collect();
        let choice = settings.tool_choice();
        let required = Some(self.dialect.required_choice).filter(|word| !word.is_empty()).map(Value::from);
        if required.is_none() {
            match choice {
                Some(ToolChoice::Required) => settings.warn("toolChoice", MAY_ANSWER),
                Some(ToolChoice::Named(_)) => settings.warn("toolChoice", MAY_ANSWER_OR_CALL_IT),
                None | Some(ToolChoice::Auto | ToolChoice::None) => {}
            }
        }
        match (choice, self.dialect.tool_choice) {
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

    /// The field for the answer's form. A service that has one for schemas keeps to them, `strict` or not.
    pub fn format(&self, settings: &mut CallSettings<'_>) -> Option<Value> {
        let support = self.dialect.response_format;
        let format = settings.request().response_format.as_ref()?;
        if support.has(format) {
            settings.response_format()
        } else {
            settings.response_format_without_strict()
        };
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
