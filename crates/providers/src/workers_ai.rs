//! Cloudflare Workers AI over REST: `POST /run/MODEL`.
//!
//! Source: Cloudflare's documentation, "Workers AI": models' input and output schemas, "JSON Mode", "Function calling",
//! "Errors". Newer models answer, and stream, in OpenAI's form inside of Cloudflare's.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::embeddings::EmbeddingFormat;
use super::openai::{Dialect, OpenAiDecoder, WireCall, WireUsage, calls, read_answer, tool};
use super::wire::{
    PlainText, Presence, StreamDecoder, Wire, format_instruction, model_ids, not_an_answer, path_segment,
    reported,
};
use gateway_model::ProviderCall;
use gateway_model::error::GatewayError;
use gateway_model::json as lenient;
use gateway_model::{
    Answer, ChatRequest, Feature, OtherContent, ResponseFormat, Role, StreamEvent, ToolCallDelta, ToolChoice,
};
use gateway_model::{EmbedCall, Vectors};

/// How it departs from OpenAI where it speaks OpenAI's form.
const DIALECT: Dialect = Dialect::COMPATIBLE;
/// Where its key usually is.
pub const KEY_VARIABLE: &str = "CLOUDFLARE_API_TOKEN";
/// What an entry that lists no models has.
pub const MODELS: &[&str] = &["@cf/meta/llama-3.3-70b-instruct-fp8-fast", "@cf/openai/gpt-oss-120b"];
/// Texts that an embedding model takes at once.
const MAX_TEXTS: usize = 100;

pub struct WorkersAiWire;

/// Names hold slashes and an `@`, which stay as they are.
fn run(model: &str) -> String {
    let segments = model.split('/').map(|segment| path_segment(segment).replace("%40", "@"));
    segments.fold("/run".to_owned(), |path, segment| path + "/" + &segment)
}

impl Wire for WorkersAiWire {
    fn path(&self) -> Cow<'static, str> {
        Cow::Borrowed("/run")
    }

    fn path_of(&self, call: &ProviderCall, _stream: bool) -> Option<String> {
        Some(run(&call.model))
    }

    /// JSON mode does not stream.
    fn keeps_format(&self, _call: &ProviderCall, stream: bool) -> bool {
        !stream
    }

    fn supports(&self, feature: Feature) -> bool {
        !matches!(feature, Feature::Files | Feature::Audio | Feature::OpenAiParts)
    }

    fn body(&self, call: &ProviderCall, stream: bool) -> Result<Vec<u8>, GatewayError> {
        let request = &call.request;
        let mut body = Map::new();
        let in_words = request.response_format.as_ref().filter(|_| !self.keeps_format(call, stream));
        body.insert("messages".into(), messages(request, in_words));
        if stream {
            body.insert("stream".into(), json!(true));
        }
        if let Some(max_tokens) = call.max_tokens {
            body.insert("max_tokens".into(), json!(max_tokens));
        }
        let numbers = [
            ("temperature", request.temperature),
            ("top_p", request.top_p),
            ("frequency_penalty", request.frequency_penalty),
            ("presence_penalty", request.presence_penalty),
        ];
        for (name, number) in numbers {
            if let Some(number) = number {
                body.insert(name.into(), json!(number));
            }
        }
        if let Some(seed) = request.seed {
            body.insert("seed".into(), json!(seed));
        }
        if !request.stop.is_empty() {
            body.insert("stop".into(), json!(request.stop));
        }
        offer_tools(request, &mut body);
        if let Some(format) = request.response_format.as_ref().filter(|_| self.keeps_format(call, stream)) {
            body.insert("response_format".into(), response_format(format));
        }
        serde_json::to_vec(&body).map_err(GatewayError::unwritable)
    }

    fn answer(&self, body: &[u8]) -> Result<Answer, String> {
        let result = result(body)?;
        let native: Native =
            lenient::parse(result.get().as_bytes()).map_err(|error| not_an_answer(body, &error))?;
        if native.choices.0 {
            return read_answer(result.get().as_bytes(), &DIALECT);
        }
        if native.response.is_none() && native.tool_calls.is_none() {
            return Err("the answer has no response".to_owned());
        }
        Ok(Answer {
            content: text(native.response),
            tool_calls: calls(native.tool_calls.unwrap_or_default()),
            usage: native.usage.and_then(|usage| usage.counts(&DIALECT)),
            ..Answer::default()
        })
    }

    fn decoder(&self) -> Box<dyn StreamDecoder> {
        Box::new(WorkersAiDecoder { openai: OpenAiDecoder::new(DIALECT), calls: 0 })
    }

    fn embeddings(&self) -> Option<&dyn EmbeddingFormat> {
        Some(self)
    }

    fn models_path(&self) -> Option<Cow<'static, str>> {
        Some(Cow::Borrowed("/models/search?per_page=1000"))
    }

    fn models(&self, body: &[u8]) -> Result<Vec<String>, String> {
        model_ids(body, "result", "name")
    }
}

/// In OpenAI's form, but for what Workers AI does not take: a role `developer`, a `content` of null.
fn messages(request: &ChatRequest, in_words: Option<&ResponseFormat>) -> Value {
    let mut messages = request.openai_messages_value();
    if let Value::Array(messages) = &mut messages {
        for (message, wire) in request.messages.iter().zip(messages.iter_mut()) {
            if message.role == Role::Developer {
                wire["role"] = json!("system");
            }
            if wire["content"].is_null() {
                wire["content"] = json!("");
            }
        }
        if let Some(format) = in_words {
            let after = request.messages.iter().take_while(|message| message.role.is_instruction()).count();
            messages.insert(after, json!({"role": "system", "content": format_instruction(format)}));
        }
    }
    messages
}

/// There is no word for one tool: it is the only one that is offered then, and some tool must be called.
fn offer_tools(request: &ChatRequest, body: &mut Map<String, Value>) {
    let named = match &request.tool_choice {
        Some(ToolChoice::Named(name)) => Some(name),
        _ => None,
    };
    let offered = request.tools.iter().filter(|tool| named.is_none_or(|name| tool.name == *name));
    if !request.tools.is_empty() {
        body.insert("tools".into(), offered.map(tool).collect());
    }
    let choice = request.tool_choice.as_ref().map(|choice| match choice {
        ToolChoice::Auto => "auto",
        ToolChoice::None => "none",
        ToolChoice::Required | ToolChoice::Named(_) => "required",
    });
    if let Some(choice) = choice {
        body.insert("tool_choice".into(), json!(choice));
    }
}

/// The schema stands where OpenAI has a name beside it.
fn response_format(format: &ResponseFormat) -> Value {
    match format {
        ResponseFormat::Json => json!({"type": "json_object"}),
        ResponseFormat::Schema { schema, .. } => json!({"type": "json_schema", "json_schema": schema}),
    }
}

/// `{"result": …, "success": …, "errors": […], "messages": […]}`.
#[derive(Deserialize)]
struct Envelope {
    result: Option<Box<RawValue>>,
    success: Option<bool>,
}

/// What stands in the envelope, where the call went well.
fn result(body: &[u8]) -> Result<Box<RawValue>, String> {
    let envelope: Envelope = lenient::parse(body).map_err(|error| not_an_answer(body, &error))?;
    match envelope {
        Envelope { result: Some(result), success: None | Some(true) } => Ok(result),
        _ => {
            let reported = lenient::parse(body).ok().and_then(|body| reported(&body));
            Err(reported.unwrap_or_else(|| "the answer has no result".to_owned()))
        }
    }
}

/// An answer, or an event of one, in Workers AI's own form.
#[derive(Deserialize)]
struct Native {
    /// A text; with JSON mode, the object itself.
    response: Option<Value>,
    tool_calls: Option<Vec<WireCall>>,
    usage: Option<WireUsage>,
    /// OpenAI's form.
    #[serde(default)]
    choices: Presence,
}

fn text(response: Option<Value>) -> String {
    match response {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text,
        Some(other) => other.to_string(),
    }
}

/// One event of a stream: text, mostly.
#[derive(Deserialize)]
struct Chunk {
    response: Option<PlainText>,
    tool_calls: Option<Vec<WireCall>>,
    usage: Option<WireUsage>,
    #[serde(default)]
    choices: Presence,
}

struct WorkersAiDecoder {
    /// For events in OpenAI's form.
    openai: OpenAiDecoder,
    /// Calls so far, which have no number of their own.
    calls: u64,
}

impl WorkersAiDecoder {
    fn other(&mut self, calls: Vec<WireCall>) -> Option<OtherContent> {
        let mut tool_calls = Vec::new();
        for call in calls {
            let mut part = ToolCallDelta::from(call);
            // Some models end a call with a part in which all is null.
            if part.id.is_none() && part.name.is_none() && part.arguments.is_empty() {
                continue;
            }
            if part.index.is_none() {
                part.index = Some(self.calls);
                self.calls += 1;
            }
            tool_calls.push(part);
        }
        (!tool_calls.is_empty()).then(|| OtherContent { tool_calls, ..OtherContent::default() })
    }
}

impl StreamDecoder for WorkersAiDecoder {
    fn event(&mut self, name: Option<&str>, data: &str, into: &mut Vec<StreamEvent>) -> Result<(), String> {
        let Ok(chunk) = lenient::parse::<Chunk>(data.as_bytes()) else {
            // `[DONE]`, and stray lines.
            return self.openai.event(name, data, into);
        };
        if chunk.choices.0 {
            return self.openai.event(name, data, into);
        }
        let usage = chunk.usage.and_then(|usage| usage.counts(&DIALECT));
        if chunk.response.is_none() && chunk.tool_calls.is_none() && usage.is_none() {
            let reported = serde_json::from_str(data).ok().and_then(|body| reported(&body));
            return reported.map_or(Ok(()), Err);
        }
        let other = self.other(chunk.tool_calls.unwrap_or_default());
        let delta = chunk.response.map(PlainText::into_string).unwrap_or_default();
        // Counts come by themselves, beside an empty text.
        let bookkeeping = delta.is_empty();
        into.push(StreamEvent {
            delta,
            usage,
            other: other.map(Box::new),
            bookkeeping,
            ..StreamEvent::default()
        });
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.openai.is_done()
    }

    fn may_end(&self) -> bool {
        self.openai.may_end()
    }
}

impl EmbeddingFormat for WorkersAiWire {
    fn max_inputs(&self) -> usize {
        MAX_TEXTS
    }

    fn path(&self, model: &str) -> String {
        run(model)
    }

    fn body(&self, _call: &EmbedCall, inputs: &[String]) -> Map<String, Value> {
        Map::from_iter([("text".to_owned(), json!(inputs))])
    }

    fn vectors(&self, body: &[u8]) -> Result<Vectors, String> {
        #[derive(Deserialize)]
        struct Answered {
            data: Vec<Vec<f64>>,
        }
        let answered: Answered = serde_json::from_str(result(body)?.get())
            .map_err(|error| format!("the answer has no data ({error})"))?;
        Ok(Vectors { vectors: answered.data, ..Vectors::default() })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{Setup, build, complete};
    use gateway_transport::NetworkSettings;

    fn body(request: &Value, stream: bool) -> Value {
        let request = ChatRequest::from_json(&request.to_string()).unwrap();
        let call = ProviderCall {
            max_tokens: request.max_tokens,
            request: Arc::new(request),
            model: "@cf/meta/llama-3.1-8b-instruct".to_owned(),
            timeout: None,
            deadline: None,
            gate: None,
        };
        serde_json::from_slice(&Wire::body(&WorkersAiWire, &call, stream).unwrap()).unwrap()
    }

    #[test]
    fn names_of_models_stay_readable_in_the_path() {
        assert_eq!(run("@cf/meta/llama-3.1-8b-instruct"), "/run/@cf/meta/llama-3.1-8b-instruct");
        assert_eq!(run("a?b#c/d e"), "/run/a%3Fb%23c/d%20e");
    }

    #[test]
    fn messages_are_put_in_the_form_that_is_taken() {
        let request = json!({"messages": [
            {"role": "developer", "content": "d"},
            {"role": "user", "content": "u"},
            {"role": "assistant", "content": null, "toolCalls": [{"id": "1", "name": "f", "arguments": {}}]},
            {"role": "tool", "toolCallId": "1", "content": "r"},
        ]});
        let sent = body(&request, false);
        assert_eq!(sent["messages"][0]["role"], "system");
        assert_eq!(sent["messages"][2]["content"], "");
        assert_eq!(sent["messages"][2]["tool_calls"][0]["function"]["name"], "f");
        assert_eq!(sent.as_object().unwrap().len(), 1);
    }

    #[test]
    fn a_form_is_asked_for_in_a_field_or_where_that_does_not_stream_in_words() {
        let request = json!({"messages": [{"role": "user", "content": "u"}],
            "responseFormat": {"jsonSchema": {"type": "object"}, "name": "n"}});
        let whole = body(&request, false);
        assert_eq!(
            whole["response_format"],
            json!({"type": "json_schema", "json_schema": {"type": "object"}})
        );
        assert_eq!(whole["messages"].as_array().unwrap().len(), 1);
        let streamed = body(&request, true);
        assert_eq!(streamed.get("response_format"), None);
        assert_eq!(streamed["messages"][0]["role"], "system");
    }

    #[test]
    fn one_tool_that_must_be_called_is_the_only_one_offered() {
        let request = json!({"messages": [{"role": "user", "content": "u"}], "toolChoice": {"name": "g"},
            "tools": [{"name": "f", "parameters": {}}, {"name": "g", "parameters": {}}]});
        let sent = body(&request, false);
        assert_eq!(sent["tool_choice"], "required");
        assert_eq!(sent["tools"].as_array().unwrap().len(), 1);
        assert_eq!(sent["tools"][0]["function"]["name"], "g");
    }

    #[test]
    fn vectors_and_models_are_read_out_of_the_envelope() {
        let body = json!({"result": {"shape": [2, 2], "data": [[1.0, 0.5], [0, -1]], "pooling": "mean"},
            "success": true, "errors": [], "messages": []});
        let vectors = WorkersAiWire.vectors(body.to_string().as_bytes()).unwrap();
        assert_eq!(vectors.vectors, [[1.0, 0.5], [0.0, -1.0]]);
        assert_eq!(vectors.input_tokens, None);
        let failed =
            json!({"result": null, "success": false, "errors": [{"code": 5007, "message": "No such model"}]});
        assert_eq!(WorkersAiWire.vectors(failed.to_string().as_bytes()).unwrap_err(), "No such model");
        let nothing = json!({"result": {}, "success": true});
        assert!(WorkersAiWire.vectors(nothing.to_string().as_bytes()).unwrap_err().contains("no data"));
        let models = json!({"result": [{"id": "0", "name": "@cf/baai/bge-m3"}], "success": true});
        assert_eq!(WorkersAiWire.models(models.to_string().as_bytes()).unwrap(), ["@cf/baai/bge-m3"]);
    }

    #[test]
    fn an_entry_says_whose_account_it_is() {
        let built = |options: Value| {
            let mut entry = json!({"name": "it", "provider": "workers-ai", "auth": {}});
            entry.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
            let mut entry = serde_json::from_value(entry).unwrap();
            complete("workers-ai", &mut entry);
            let var = |name: &str| (name == "CLOUDFLARE_API_TOKEN").then(|| "sk-0123456789".to_owned());
            let setup = Setup { var: &var, network: NetworkSettings::default() };
            build("workers-ai", &entry, &setup).map(|provider| provider.unwrap().family().to_owned())
        };
        assert_eq!(built(json!({"options": {"accountId": "a"}})), Ok("workers-ai".to_owned()));
        assert_eq!(built(json!({"baseUrl": "https://host/ai"})), Ok("workers-ai".to_owned()));
        let missing = "Provider \"it\": options.accountId is required for family \"workers-ai\"";
        assert_eq!(built(json!({})), Err(missing.to_owned()));
    }
}
