//! What a request asks of the model beside its messages: tools, the answer's form, where to stop.

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::read::{AN_ARRAY, AN_OBJECT, FieldError, Read, scalar, set, text};
use super::{CacheWish, ChatRequest};
use crate::tools::{ResponseFormat, Tool, ToolChoice};

const SCHEMA_NAME: &str = "answer";

/// `[{name, description?, parameters, strict?}]`; OpenAI's `{type: "function", function: {…}}` is understood too.
pub fn tools(path: &str, raw: Option<&RawValue>) -> Read<Vec<Tool>> {
    let Some(list) = scalar::<Vec<Value>>(path, raw, AN_ARRAY)? else { return Ok(Vec::new()) };
    let mut tools: Vec<Tool> = Vec::with_capacity(list.len());
    for (index, value) in list.into_iter().enumerate() {
        let tool = tool(&value).map_err(|error| error.inside(format_args!("{path}[{index}]")))?;
        if tools.iter().any(|other| other.name == tool.name) {
            return Err(FieldError::new(format!("{path}[{index}].name"), "is the name of another tool too"));
        }
        tools.push(tool);
    }
    Ok(tools)
}

fn tool(value: &Value) -> Read<Tool> {
    let outer = value.as_object().ok_or_else(|| FieldError::new("", AN_OBJECT))?;
    let tool = outer.get("function").and_then(Value::as_object).unwrap_or(outer);
    let name = text(tool, "name")?;
    if name.is_empty() {
        return Err(FieldError::new(".name", "must not be empty"));
    }
    let parameters = match set(tool, "parameters") {
        None => Map::from_iter([
            ("type".to_owned(), "object".into()),
            ("properties".to_owned(), Map::new().into()),
        ]),
        Some(Value::Object(schema)) => schema.clone(),
        Some(_) => return Err(FieldError::new(".parameters", "must be a JSON Schema: an object")),
    };
    Ok(Tool {
        name: name.to_owned(),
        description: set(tool, "description")
            .map(|_| text(tool, "description").map(str::to_owned))
            .transpose()?,
        parameters,
        strict: strict(tool)?,
    })
}

fn strict(holder: &Map<String, Value>) -> Read<Option<bool>> {
    set(holder, "strict")
        .map(|value| value.as_bool().ok_or_else(|| FieldError::new(".strict", "must be true or false")))
        .transpose()
}

/// `"auto"`, `"none"`, `"required"` or `{name}`; OpenAI's `{type: "function", function: {name}}` is understood too.
pub fn tool_choice(path: &str, raw: Option<&RawValue>) -> Read<Option<ToolChoice>> {
    const PROBLEM: &str = "must be \"auto\", \"none\", \"required\" or {name}";
    let error = || FieldError::new(path, PROBLEM);
    Ok(Some(match scalar::<Value>(path, raw, PROBLEM)? {
        None => return Ok(None),
        Some(Value::String(word)) => match word.as_str() {
            "auto" => ToolChoice::Auto,
            "none" => ToolChoice::None,
            "required" => ToolChoice::Required,
            _ => return Err(error()),
        },
        Some(Value::Object(choice)) => {
            let named = choice.get("function").and_then(Value::as_object).unwrap_or(&choice);
            let name = named.get("name").and_then(Value::as_str).ok_or_else(error)?;
            ToolChoice::Named(name.to_owned())
        }
        Some(_) => return Err(error()),
    }))
}

/// Checks that the tool that must be called is among those that are offered.
pub fn check_choice(ChatRequest { tool_choice, tools, .. }: &ChatRequest) -> Read<()> {
    match tool_choice {
        Some(ToolChoice::Named(name)) if tools.iter().all(|tool| tool.name != *name) => {
            Err(FieldError::new("toolChoice.name", "must be the name of one of the tools"))
        }
        Some(ToolChoice::Required) if tools.is_empty() => {
            Err(FieldError::new("toolChoice", "requires a tool, but there are no tools"))
        }
        _ => Ok(()),
    }
}

/// `"text"`, `"json"` or `{jsonSchema, name?, strict?}`.
pub fn response_format(path: &str, raw: Option<&RawValue>) -> Read<Option<ResponseFormat>> {
    let problem = "must be \"text\", \"json\" or {jsonSchema, name?, strict?}";
    let inside = |error: FieldError| error.inside(format_args!("{path}"));
    match scalar::<Value>(path, raw, problem)? {
        None => Ok(None),
        Some(Value::String(word)) if word == "text" => Ok(None),
        Some(Value::String(word)) if word == "json" => Ok(Some(ResponseFormat::Json)),
        // OpenAI's own form.
        Some(Value::Object(format)) if set(&format, "type").is_some() => {
            let inner = || set(&format, "json_schema").and_then(Value::as_object);
            match text(&format, "type").map_err(inside)? {
                "text" => Ok(None),
                "json_object" => Ok(Some(ResponseFormat::Json)),
                "json_schema" => {
                    let inner = inner().ok_or_else(|| inside(FieldError::new(".json_schema", AN_OBJECT)))?;
                    schema(inner, "schema")
                        .map(Some)
                        .map_err(|error| inside(error.inside(format_args!(".json_schema"))))
                }
                _ => Err(inside(FieldError::new(".type", "must be one of: text, json_object, json_schema"))),
            }
        }
        Some(Value::Object(format)) => schema(&format, "jsonSchema").map(Some).map_err(inside),
        Some(_) => Err(FieldError::new(path, problem)),
    }
}

/// A schema that stands at `key`, with its name and `strict` beside it.
fn schema(format: &Map<String, Value>, key: &str) -> Read<ResponseFormat> {
    let schema = match set(format, key) {
        Some(Value::Object(schema)) => schema.clone(),
        _ => return Err(FieldError::new(format!(".{key}"), "must be a JSON Schema: an object")),
    };
    let name = match set(format, "name") {
        None => SCHEMA_NAME,
        Some(_) => text(format, "name")?,
    };
    Ok(ResponseFormat::Schema { name: name.to_owned(), schema, strict: strict(format)? })
}

/// A text or several.
pub fn stop(path: &str, raw: Option<&RawValue>) -> Read<Vec<String>> {
    let problem = "must be a string or an array of strings";
    let error = || FieldError::new(path, problem);
    match scalar::<Value>(path, raw, problem)? {
        None => Ok(Vec::new()),
        Some(Value::String(text)) => Ok(vec![text]),
        Some(Value::Array(list)) => {
            list.into_iter().map(|text| text.as_str().map(str::to_owned).ok_or_else(error)).collect()
        }
        Some(_) => Err(error()),
    }
}

/// `{[family]: object}`. What would make another call of it than the one that was routed and admitted is refused: another
/// model, and bounds that are none.
pub fn provider_options(path: &str, raw: Option<&RawValue>) -> Read<Option<Map<String, Value>>> {
    let options = scalar::<Map<String, Value>>(path, raw, AN_OBJECT)?;
    for (family, fields) in options.iter().flatten() {
        let path = format!("{path}.{family}");
        let fields = fields.as_object().ok_or_else(|| FieldError::new(path.as_str(), AN_OBJECT))?;
        if let Some(key) = MODEL_OPTIONS.iter().find(|key| fields.contains_key(**key)) {
            return Err(FieldError::new(
                format!("{path}.{key}"),
                "must not change the model: it is the request's own `model`, and routing's",
            ));
        }
        if let Some((key, _)) = wire_bounds(fields).find(|(_, value)| value.as_u64().is_none()) {
            return Err(FieldError::new(format!("{path}.{key}"), "must be a whole number of 0 or more"));
        }
    }
    Ok(options)
}

/// Fields of wire bodies that name the model, or further ones that may answer.
const MODEL_OPTIONS: [&str; 9] = [
    "model",
    "models",
    "modelId",
    "model_id",
    "modelName",
    "model_name",
    "engine",
    "deployment",
    "fallbacks",
];

/// Fields of wire bodies that bound an answer's tokens.
const OUTPUT_BOUNDS: [&str; 8] = [
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
    "maxTokens",
    "maxOutputTokens",
    "max_new_tokens",
    "max_tokens_to_sample",
    "num_predict",
];

/// Fields of wire bodies that ask for several answers.
const ANSWER_COUNTS: [&str; 6] =
    ["n", "best_of", "candidateCount", "candidate_count", "num_generations", "num_return_sequences"];

/// Objects in wire bodies that hold such fields.
const SETTINGS: [&str; 7] = [
    "generationConfig",
    "generation_config",
    "inferenceConfig",
    "additionalModelRequestFields",
    "options",
    "parameters",
    "extra_body",
];

/// The fields of a body that say how much may come out, wherever they stand.
fn wire_bounds(fields: &Map<String, Value>) -> impl Iterator<Item = (&str, &Value)> {
    let inner = SETTINGS.iter().filter_map(|key| fields.get(*key)?.as_object()).flatten();
    let all = fields.iter().chain(inner).map(|(key, value)| (key.as_str(), value));
    all.filter(|(key, _)| OUTPUT_BOUNDS.contains(key) || ANSWER_COUNTS.contains(key))
}

/// How much a family's options let come out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OptionBounds {
    /// Tokens of an answer; 0: they say nothing.
    pub max_tokens: u64,
    /// Answers; at least 1.
    pub answers: u64,
}

impl OptionBounds {
    /// Of the options that go into a family's wire body.
    pub fn of(options: Option<&Map<String, Value>>, family: &str) -> Self {
        Self::highest(options.and_then(|options| options.get(family)))
    }

    /// Of the options for whichever family lets most come out.
    pub fn of_any(options: Option<&Map<String, Value>>) -> Self {
        Self::highest(options.into_iter().flat_map(Map::values))
    }

    fn highest<'a>(families: impl IntoIterator<Item = &'a Value>) -> Self {
        let mut bounds = Self { max_tokens: 0, answers: 1 };
        let fields = families.into_iter().filter_map(Value::as_object);
        for (key, value) in fields.flat_map(wire_bounds) {
            let bound =
                if ANSWER_COUNTS.contains(&key) { &mut bounds.answers } else { &mut bounds.max_tokens };
            *bound = (*bound).max(value.as_u64().unwrap_or(u64::MAX));
        }
        bounds
    }

    /// The output tokens that may come where each answer was to have `bound` at most.
    pub fn sent_output(self, bound: u64) -> u64 {
        bound.max(self.max_tokens).saturating_mul(self.answers)
    }
}

/// `true`, `false` or `{ttlMs}`.
pub fn cache(path: &str, raw: Option<&RawValue>) -> Read<Option<CacheWish>> {
    let problem = "must be true, false or {ttlMs}";
    Ok(match scalar::<Value>(path, raw, problem)? {
        None => None,
        Some(Value::Bool(false)) => Some(CacheWish::No),
        Some(Value::Bool(true)) => Some(CacheWish::Yes { ttl_ms: None }),
        Some(Value::Object(wish)) => match set(&wish, "ttlMs").map(Value::as_u64) {
            None => Some(CacheWish::Yes { ttl_ms: None }),
            Some(Some(ttl)) if ttl > 0 => Some(CacheWish::Yes { ttl_ms: Some(ttl) }),
            Some(_) => {
                return Err(FieldError::new(format!("{path}.ttlMs"), "must be a whole number of 1 or more"));
            }
        },
        Some(_) => return Err(FieldError::new(path, problem)),
    })
}

#[cfg(test)]
mod tests;
