//! What a request asks of the model beside its messages: tools, the answer's form, where to stop.

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::CacheWish;
use super::parse::{AN_ARRAY, AN_OBJECT, Fault, Read, scalar, set, text};
use crate::tools::{ResponseFormat, Tool, ToolChoice};

const SCHEMA_NAME: &str = "answer";

/// `[{name, description?, parameters, strict?}]`; OpenAI's `{type: "function", function: {…}}` is understood too.
pub fn tools(raw: Option<&RawValue>) -> Read<Vec<Tool>> {
    let Some(list) = scalar::<Vec<Value>>("tools", raw, AN_ARRAY)? else { return Ok(Vec::new()) };
    let mut tools: Vec<Tool> = Vec::with_capacity(list.len());
    for (index, value) in list.into_iter().enumerate() {
        let tool = tool(&value).map_err(|fault| fault.inside(format_args!("tools[{index}]")))?;
        if tools.iter().any(|other| other.name == tool.name) {
            return Err(Fault::new(format!("tools[{index}].name"), "is the name of another tool too"));
        }
        tools.push(tool);
    }
    Ok(tools)
}

fn tool(value: &Value) -> Read<Tool> {
    let outer = value.as_object().ok_or_else(|| Fault::new("", AN_OBJECT))?;
    let tool = outer.get("function").and_then(Value::as_object).unwrap_or(outer);
    let name = text(tool, "name")?;
    if name.is_empty() {
        return Err(Fault::new(".name", "must not be empty"));
    }
    let parameters = match set(tool, "parameters") {
        None => Map::from_iter([
            ("type".to_owned(), "object".into()),
            ("properties".to_owned(), Map::new().into()),
        ]),
        Some(Value::Object(schema)) => schema.clone(),
        Some(_) => return Err(Fault::new(".parameters", "must be a JSON Schema: an object")),
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
        .map(|value| value.as_bool().ok_or_else(|| Fault::new(".strict", "must be true or false")))
        .transpose()
}

/// `"auto"`, `"none"`, `"required"` or `{name}`; OpenAI's `{type: "function", function: {name}}` is understood too.
pub fn tool_choice(raw: Option<&RawValue>, tools: &[Tool]) -> Read<Option<ToolChoice>> {
    let fault = |problem: &'static str| Fault::new("toolChoice", problem);
    let problem = "must be \"auto\", \"none\", \"required\" or {name}";
    let choice = match scalar::<Value>("toolChoice", raw, problem)? {
        None => return Ok(None),
        Some(Value::String(word)) => match word.as_str() {
            "auto" => ToolChoice::Auto,
            "none" => ToolChoice::None,
            "required" => ToolChoice::Required,
            _ => return Err(fault(problem)),
        },
        Some(Value::Object(choice)) => {
            let named = choice.get("function").and_then(Value::as_object).unwrap_or(&choice);
            let name = named.get("name").and_then(Value::as_str).ok_or_else(|| fault(problem))?;
            if !tools.iter().any(|tool| tool.name == name) {
                return Err(Fault::new("toolChoice.name", "must be the name of one of the tools"));
            }
            ToolChoice::Named(name.to_owned())
        }
        Some(_) => return Err(fault(problem)),
    };
    if tools.is_empty() && choice == ToolChoice::Required {
        return Err(fault("requires a tool, but there are no tools"));
    }
    Ok(Some(choice))
}

/// `"text"`, `"json"` or `{jsonSchema, name?, strict?}`.
pub fn response_format(raw: Option<&RawValue>) -> Read<Option<ResponseFormat>> {
    let problem = "must be \"text\", \"json\" or {jsonSchema, name?, strict?}";
    let inside = |fault: Fault| fault.inside(format_args!("responseFormat"));
    match scalar::<Value>("responseFormat", raw, problem)? {
        None => Ok(None),
        Some(Value::String(word)) if word == "text" => Ok(None),
        Some(Value::String(word)) if word == "json" => Ok(Some(ResponseFormat::Json)),
        Some(Value::Object(format)) => {
            let schema = match set(&format, "jsonSchema") {
                Some(Value::Object(schema)) => schema.clone(),
                _ => return Err(Fault::new("responseFormat.jsonSchema", "must be a JSON Schema: an object")),
            };
            let name = match set(&format, "name") {
                None => SCHEMA_NAME,
                Some(_) => text(&format, "name").map_err(inside)?,
            };
            Ok(Some(ResponseFormat::Schema {
                name: name.to_owned(),
                schema,
                strict: strict(&format).map_err(inside)?,
            }))
        }
        Some(_) => Err(Fault::new("responseFormat", problem)),
    }
}

/// A text or several.
pub fn stop(raw: Option<&RawValue>) -> Read<Vec<String>> {
    let problem = "must be a string or an array of strings";
    let fault = || Fault::new("stop", problem);
    match scalar::<Value>("stop", raw, problem)? {
        None => Ok(Vec::new()),
        Some(Value::String(text)) => Ok(vec![text]),
        Some(Value::Array(list)) => {
            list.into_iter().map(|text| text.as_str().map(str::to_owned).ok_or_else(fault)).collect()
        }
        Some(_) => Err(fault()),
    }
}

/// `{[family]: object}`.
pub fn provider_options(raw: Option<&RawValue>) -> Read<Option<Map<String, Value>>> {
    let options = scalar::<Map<String, Value>>("providerOptions", raw, AN_OBJECT)?;
    for (family, fields) in options.iter().flatten() {
        if !fields.is_object() {
            return Err(Fault::new(format!("providerOptions.{family}"), AN_OBJECT));
        }
    }
    Ok(options)
}

/// `true`, `false` or `{ttlMs}`.
pub fn cache(raw: Option<&RawValue>) -> Read<Option<CacheWish>> {
    let problem = "must be true, false or {ttlMs}";
    Ok(match scalar::<Value>("cache", raw, problem)? {
        None => None,
        Some(Value::Bool(false)) => Some(CacheWish::No),
        Some(Value::Bool(true)) => Some(CacheWish::Yes { ttl_ms: None }),
        Some(Value::Object(wish)) => match set(&wish, "ttlMs").map(Value::as_u64) {
            None => Some(CacheWish::Yes { ttl_ms: None }),
            Some(Some(ttl)) if ttl > 0 => Some(CacheWish::Yes { ttl_ms: Some(ttl) }),
            Some(_) => return Err(Fault::new("cache.ttlMs", "must be a whole number of 1 or more")),
        },
        Some(_) => return Err(Fault::new("cache", problem)),
    })
}
