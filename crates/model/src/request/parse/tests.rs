use serde_json::{Value, json};

use crate::error::ErrorKind;
use crate::message::{Content, Message, Part, Role};
use crate::request::messages::ROLES;
use crate::request::{ChatRequest, Setting};
use crate::tools::{ResponseFormat, ToolCall};

fn read(request: &Value) -> ChatRequest {
    ChatRequest::from_json(&request.to_string()).unwrap()
}

fn fault(request: &Value) -> String {
    let error = ChatRequest::from_json(&request.to_string()).unwrap_err();
    error.message.strip_prefix("Invalid request: ").unwrap().to_owned()
}

fn message_fault(message: &Value) -> String {
    fault(&json!({ "messages": [{ "role": "user", "content": "a" }, message] }))
}

fn one(message: &Value) -> Message {
    read(&json!({ "messages": [message] })).messages.remove(0)
}

#[test]
fn plain_messages_need_no_source() {
    let request = read(&json!({
        "messages": [{ "role": "system", "content": "a\n\u{1F600}" }, { "content": "b", "role": "user" }],
        "model": "m", "taskType": "t", "feature": "f", "userTier": "u", "sensitivity": "s", "maxTokens": 7,
        "temperature": 1, "unknown": { "role": [] }, "stream": true,
    }));
    let plain = [Message::plain(Role::System, "a\n\u{1F600}"), Message::plain(Role::User, "b")];
    assert_eq!(request.messages, plain);
    assert!(request.openai_messages.is_some());
    let fields = [request.model, request.task_type, request.feature, request.user_tier, request.sensitivity];
    assert_eq!(fields.map(Option::unwrap), ["m", "t", "f", "u", "s"]);
    assert_eq!((request.max_tokens, request.temperature), (Some(7), Some(1.0)));
}

#[test]
fn null_is_unset() {
    let request = read(&json!({
        "messages": [{ "role": "assistant", "content": null, "toolCalls": null, "toolCallId": null, "cacheControl": null }],
        "model": null, "maxTokens": null, "temperature": null,
    }));
    assert_eq!((request.model, request.max_tokens, request.temperature), (None, None, None));
    let message = &request.messages[0];
    assert_eq!(
        (&message.content, &message.tool_call_id, message.cache_control),
        (&Content::Empty, &None, false)
    );
}

#[test]
fn openais_form_and_ours_mean_the_same() {
    let wire = one(&json!({ "role": "assistant", "tool_calls": [
        { "id": "1", "type": "function", "function": { "name": "f", "arguments": "{\"a\":1}" } },
        { "id": "2", "type": "custom", "custom": { "name": "c", "input": "x" } },
    ] }));
    let ours = one(
        &json!({ "role": "assistant", "toolCalls": [{ "id": "1", "name": "f", "arguments": { "a": 1 } }] }),
    );
    let call = ToolCall {
        id: "1".to_owned(),
        name: "f".to_owned(),
        arguments: "{\"a\":1}".to_owned(),
        signature: None,
    };
    assert_eq!(wire.tool_calls, [call]);
    assert_eq!(wire.tool_calls, ours.tool_calls);

    let called = json!({ "role": "assistant", "toolCalls": [{ "id": "1", "name": "f" }] });
    let answer = |message: Value| read(&json!({ "messages": [called, message] })).messages.remove(1);
    let wire = answer(json!({ "role": "tool", "tool_call_id": "1", "content": "r" }));
    let ours = answer(json!({ "role": "tool", "toolCallId": "1", "content": "r" }));
    assert_eq!(wire.tool_call_id.as_deref(), Some("1"));
    assert_eq!(wire.tool_call_id, ours.tool_call_id);

    let wire = one(&json!({ "role": "user", "content": [
        { "type": "text", "text": "t" },
        { "type": "image_url", "image_url": { "url": "https://x/y", "detail": "low" } },
        { "type": "image_url", "image_url": { "url": "data:image/png;base64,AA==" } },
        { "type": "image_url", "image_url": "https://x/z" },
        { "type": "input_audio", "input_audio": {} },
    ] }));
    let ours = one(&json!({ "role": "user", "content": [
        { "type": "text", "text": "t" },
        { "type": "image", "url": "https://x/y" },
        { "type": "image", "data": "AA==", "mimeType": "image/png" },
        { "type": "image", "url": "https://x/z" },
        { "type": "input_audio" },
    ] }));
    assert_eq!(wire.content, ours.content);
    let Content::Parts(parts) = wire.content else { panic!("no parts") };
    assert_eq!(
        parts[2],
        Part::ImageData { data: "AA==".to_owned(), mime_type: "image/png".to_owned(), cache_control: false }
    );
    assert_eq!(parts[4], Part::Other { kind: "input_audio".to_owned() });
}

#[test]
fn a_message_is_kept_as_it_was_written() {
    let written = json!({ "role": "user", "name": "n", "content": "a", "x": null });
    let request = read(&json!({ "messages": [{ "role": "user", "content": "b" }, written] }));
    assert_eq!(request.messages[0].source, None);
    let source = request.messages[1].source.as_ref().unwrap();
    assert_eq!(Value::Object(source.clone()).to_string(), written.to_string());
}

#[test]
fn cache_control_is_read_on_messages_and_text() {
    let message = one(&json!({ "role": "user", "cacheControl": "ephemeral", "content": [
        { "type": "text", "text": "t", "cacheControl": "ephemeral" }] }));
    assert!(message.cache_control);
    assert_eq!(
        message.content,
        Content::Parts(vec![Part::Text { text: "t".to_owned(), cache_control: true }])
    );
}

#[test]
fn only_openais_own_form_goes_out_as_it_came() {
    let is_wire = |message: Value| read(&json!({ "messages": [message] })).openai_messages.is_some();
    assert!(is_wire(json!({ "role": "user", "content": [{ "type": "file", "file": { "file_id": "f" } }] })));
    assert!(is_wire(json!({ "role": "assistant", "tool_calls": [] })));
    assert!(!is_wire(json!({ "role": "assistant", "toolCalls": [] })));
    assert!(!is_wire(json!({ "role": "assistant", "content": "", "toolCallId": "1" })));
    assert!(!is_wire(json!({ "role": "user", "content": "", "cacheControl": null })));
    assert!(!is_wire(json!({ "role": "user", "content": [{ "type": "image", "url": "https://x/u" }] })));
    assert!(!is_wire(
        json!({ "role": "user", "content": [{ "type": "text", "text": "", "cacheControl": null }] })
    ));
}

#[test]
fn a_fault_is_told_with_its_path() {
    assert_eq!(fault(&json!([])), "request: must be an object");
    assert_eq!(fault(&json!("a")), "request: must be an object");
    for messages in [json!(null), json!([]), json!({}), json!("a"), json!(1)] {
        assert_eq!(fault(&json!({ "messages": messages })), "messages: must be a non-empty array");
    }
    assert_eq!(fault(&json!({})), "messages: must be a non-empty array");
    for key in ["model", "taskType", "feature", "userTier", "sensitivity"] {
        let request = json!({ "messages": [{ "role": "user", "content": "a" }], key: 1 });
        assert_eq!(fault(&request), format!("{key}: must be a string"));
    }
    for number in [json!(0), json!(-1), json!(1.5), json!("1"), json!(true)] {
        for (key, path) in [("maxTokens", "maxTokens"), ("topK", "topK"), ("top_k", "topK")] {
            let request = json!({ "messages": [{ "role": "user", "content": "a" }], key: number });
            assert_eq!(fault(&request), format!("{path}: must be a whole number of 1 or more"));
        }
    }
    let request = json!({ "messages": [{ "role": "user", "content": "a" }], "temperature": "1" });
    assert_eq!(fault(&request), "temperature: must be a number");
    let error = ChatRequest::from_json(r#"{"messages":[}"#).unwrap_err();
    assert!(error.message.starts_with("Invalid request: request: is not valid JSON: "), "{error}");
    assert_eq!(error.details.unwrap()["path"], "request");
}

#[test]
fn a_fault_in_a_message_is_told_with_its_path() {
    assert_eq!(message_fault(&json!("a")), "messages[1]: must be an object");
    assert_eq!(message_fault(&json!(["user", "a"])), "messages[1]: must be an object");
    let roles = format!("messages[1].role: {ROLES}");
    assert_eq!(message_fault(&json!({ "content": "a" })), roles);
    assert_eq!(message_fault(&json!({ "role": "User", "content": "a" })), roles);
    assert_eq!(message_fault(&json!({ "role": 1, "content": "a", "x": 1 })), roles);
    for content in [json!(null), json!(1), json!({})] {
        let fault = message_fault(&json!({ "role": "user", "content": content }));
        assert_eq!(fault, "messages[1].content: must be a string or an array of parts");
    }
    let field = |key: &str, value: Value| message_fault(&json!({ "role": "assistant", key: value }));
    assert_eq!(field("tool_calls", json!({})), "messages[1].tool_calls: must be an array");
    assert_eq!(field("toolCalls", json!("")), "messages[1].toolCalls: must be an array");
    assert_eq!(field("toolCalls", json!([1])), "messages[1].toolCalls[0]: must be an object");
    assert_eq!(field("toolCalls", json!([{ "id": "1" }])), "messages[1].toolCalls[0].name: must be a string");
    let call = json!([{ "id": "1", "name": "f", "arguments": [] }]);
    assert_eq!(field("toolCalls", call), "messages[1].toolCalls[0].arguments: must be an object or a string");
    assert_eq!(field("toolCallId", json!(1)), "messages[1].toolCallId: must be a string");
    assert_eq!(field("tool_call_id", json!(1)), "messages[1].tool_call_id: must be a string");
    assert_eq!(field("cacheControl", json!(true)), "messages[1].cacheControl: must be \"ephemeral\"");
}

#[test]
fn a_fault_in_a_part_is_told_with_its_path() {
    let fault = |part: Value| {
        message_fault(&json!({ "role": "user", "content": [{ "type": "text", "text": "" }, part] }))
    };
    assert_eq!(fault(json!("a")), "messages[1].content[1]: must be an object");
    assert_eq!(fault(json!({})), "messages[1].content[1].type: must be a string");
    assert_eq!(fault(json!({ "type": "text" })), "messages[1].content[1].text: must be a string");
    assert_eq!(
        fault(json!({ "type": "x" })),
        "messages[1].content[1].type: must be one of: text, image, file, audio"
    );
    let no_url = "messages[1].content[1].url: must be a URL, unless the image is given in base64 as `data`";
    for image in [json!({ "type": "image" }), json!({ "type": "image", "url": "a.png" })] {
        assert_eq!(fault(image), no_url);
    }
    assert_eq!(
        fault(json!({ "type": "image", "data": "AA==" })),
        "messages[1].content[1].mimeType: must be a string"
    );
    let no_base64 = "messages[1].content[1].data: must be base64, without line breaks or a data: prefix";
    for data in ["", "data:image/png;base64,AA==", "A A=", "AA==="] {
        assert_eq!(fault(json!({ "type": "image", "data": data, "mimeType": "image/png" })), no_base64);
    }
    assert_eq!(
        fault(json!({ "type": "image_url" })),
        "messages[1].content[1].image_url.url: must be a string"
    );
}

#[test]
fn a_tool_message_answers_a_call_before_it() {
    let tool = |id: &str| json!({ "role": "tool", "toolCallId": id, "content": "r" });
    let call = json!({ "role": "assistant", "toolCalls": [{ "id": "1", "name": "f" }] });
    let fault_of = |messages: Value| fault(&json!({ "messages": messages }));
    let no_call = "answers no call of an assistant message before it";
    assert_eq!(fault_of(json!([tool("1"), call])), format!("messages[0].toolCallId: {no_call}"));
    assert_eq!(fault_of(json!([call, tool("2")])), format!("messages[1].toolCallId: {no_call}"));
    assert_eq!(
        fault_of(json!([call, { "role": "tool", "content": "r" }])),
        "messages[1].toolCallId: must name the call that the message answers"
    );
}

#[test]
fn tools_and_the_answers_form_are_checked() {
    let fault_of = |fields: Value| {
        let mut request = json!({ "messages": [{ "role": "user", "content": "a" }] });
        request.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        fault(&request)
    };
    let tool = json!({ "name": "f", "parameters": {} });
    assert_eq!(fault_of(json!({ "tools": [{ "parameters": {} }] })), "tools[0].name: must be a string");
    assert_eq!(fault_of(json!({ "tools": [tool, tool] })), "tools[1].name: is the name of another tool too");
    assert_eq!(
        fault_of(json!({ "tools": [{ "name": "f", "parameters": [] }] })),
        "tools[0].parameters: must be a JSON Schema: an object"
    );
    assert_eq!(
        fault_of(json!({ "tools": [tool], "toolChoice": { "name": "g" } })),
        "toolChoice.name: must be the name of one of the tools"
    );
    assert_eq!(
        fault_of(json!({ "toolChoice": "required" })),
        "toolChoice: requires a tool, but there are no tools"
    );
    assert_eq!(
        fault_of(json!({ "responseFormat": { "jsonSchema": "x" } })),
        "responseFormat.jsonSchema: must be a JSON Schema: an object"
    );
    assert_eq!(
        fault_of(json!({ "responseFormat": "xml" })),
        "responseFormat: must be \"text\", \"json\" or {jsonSchema, name?, strict?}"
    );
    assert_eq!(fault_of(json!({ "stop": [1] })), "stop: must be a string or an array of strings");
    assert_eq!(
        fault_of(json!({ "providerOptions": { "openai": 1 } })),
        "providerOptions.openai: must be an object"
    );
}

#[test]
fn half_a_surrogate_pair_becomes_a_replacement_character() {
    let request = |content: &str| {
        let text = format!(r#"{{"messages":[{{"role":"user","content":"{content}"}}],"model":"\udc00"}}"#);
        let request = ChatRequest::from_json(&text).unwrap();
        assert_eq!(request.model.as_deref(), Some("\u{fffd}"));
        (request.messages[0].content.text(), request.openai_messages.unwrap().get().to_owned())
    };
    let (text, raw) = request(r"a\ud83d");
    assert_eq!((text.as_str(), raw.contains(r"a\ufffd")), ("a\u{fffd}", true));
    let (text, raw) = request(r"\\ud83d \ud83d\ude00");
    assert_eq!((text.as_str(), raw.contains(r"\\ud83d \ud83d\ude00")), (r"\ud83d 😀", true));
}

#[test]
fn each_setting_is_read_under_its_name() {
    let (tools, schema) = (json!([{ "name": "f" }]), json!({ "type": "object" }));
    for setting in Setting::ALL {
        let value = match setting {
            Setting::Tools => tools.clone(),
            Setting::ToolChoice => json!("auto"),
            Setting::MaxTokens | Setting::TopK | Setting::Seed => json!(7),
            Setting::Temperature | Setting::TopP | Setting::PresencePenalty | Setting::FrequencyPenalty => {
                json!(0.5)
            }
            Setting::Stop | Setting::ReasoningEffort | Setting::UserId => json!("a"),
            Setting::ResponseFormat => json!({ "jsonSchema": schema }),
            Setting::Metadata => json!({ "a": "b" }),
            Setting::ProviderOptions => json!({ "openai": {} }),
        };
        let messages = json!([{ "role": "user", "content": "a" }]);
        let request = read(&json!({ "messages": messages, setting.name(): value }));
        let set: Vec<_> = Setting::ALL.iter().filter(|setting| setting.is_set_in(&request)).collect();
        assert_eq!(set, [setting]);
    }
    let snake = read(&json!({ "messages": [{ "role": "user", "content": "a" }], "top_k": 7 }));
    assert_eq!(snake.top_k, Some(7));
}

#[test]
fn requests_are_nested_up_to_a_thousand_deep() {
    let nested =
        |depth: usize| format!("{}{{}}{}", r#"{"a":{"b":"#.repeat(depth / 2), "}}".repeat(depth / 2));
    let request = |schema: &str, arguments: &str| {
        format!(
            r#"{{"messages":[{{"role":"user","content":"a"}},{{"role":"assistant","content":null,
            "toolCalls":[{{"id":"1","name":"f","arguments":{arguments}}}]}},{{"role":"tool","toolCallId":"1","content":"r"}}],
            "tools":[{{"name":"f","parameters":{schema}}}]}}"#
        )
    };
    let deep = ChatRequest::from_json(&request(&nested(980), &nested(980))).unwrap();
    assert_eq!(Value::Object(deep.tools[0].parameters.clone()).to_string(), nested(980));
    assert_eq!(deep.messages[1].tool_calls[0].arguments, nested(980));
    assert!(deep.messages[1].tool_calls[0].parsed_arguments().is_some());
    for (schema, arguments) in [(nested(1010), nested(2)), (nested(2), nested(1010))] {
        let error = ChatRequest::from_json(&request(&schema, &arguments)).unwrap_err();
        assert_eq!(
            (error.kind, error.message.contains("1,000 deep")),
            (ErrorKind::InvalidRequest, true),
            "{error:?}"
        );
    }
}

#[test]
fn halves_of_surrogate_pairs_in_arguments_are_replaced() {
    let text = r#"{"messages":[{"role":"assistant","content":null,"tool_calls":[
        {"id":"1","type":"function","function":{"name":"f","arguments":"{\"a\":\"x\\ud83d\"}"}}]},
        {"role":"tool","tool_call_id":"1","content":"r"}]}"#;
    let request = ChatRequest::from_json(text).unwrap();
    let call = &request.messages[0].tool_calls[0];
    assert_eq!(call.arguments, r#"{"a":"x\ufffd"}"#);
    assert_eq!(call.parsed_arguments().unwrap()["a"], "x\u{fffd}");
    let written = serde_json::to_string(&request.to_openai_messages()).unwrap();
    assert!(!written.contains("ud83d"), "{written}");
}

#[test]
fn openais_own_words_mean_the_same() {
    let schema = json!({ "type": "object" });
    let of = |settings: Value| {
        let mut request =
            json!({ "messages": [{ "role": "user", "content": "a" }], "tools": [{ "name": "f" }] });
        request.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        let request = read(&request);
        assert!(request.near_misses.is_empty());
        let ChatRequest { max_tokens, temperature, top_p, presence_penalty, frequency_penalty, .. } = request;
        let numbers = (max_tokens, temperature, top_p, presence_penalty, frequency_penalty);
        (numbers, request.reasoning_effort, request.tool_choice, request.response_format)
    };
    let ours = of(json!({
        "maxTokens": 7, "temperature": 0.5, "topP": 0.9, "presencePenalty": 0.1, "frequencyPenalty": 0.2, "reasoningEffort": "low",
        "toolChoice": { "name": "f" }, "responseFormat": { "jsonSchema": schema, "name": "n", "strict": true },
    }));
    for bound in ["max_tokens", "max_completion_tokens"] {
        let theirs = of(json!({
            bound: 7, "temperature": 0.5, "top_p": 0.9, "presence_penalty": 0.1, "frequency_penalty": 0.2,
            "reasoning_effort": "low", "tool_choice": { "type": "function", "function": { "name": "f" } },
            "response_format": { "type": "json_schema", "json_schema": { "name": "n", "schema": schema, "strict": true } },
        }));
        assert_eq!(theirs, ours);
    }
    let format = |format: Value| of(json!({ "response_format": format })).3;
    assert_eq!(format(json!({ "type": "json_object" })), Some(ResponseFormat::Json));
    assert_eq!(format(json!({ "type": "text" })), None);
    // Nothing is no second value.
    assert_eq!(of(json!({ "max_tokens": null, "maxTokens": 7 })).0.0, Some(7));
}

#[test]
fn a_field_under_two_names_is_refused_and_one_that_is_nearly_known_is_kept_for_a_warning() {
    let with = |fields: Value| {
        let mut request = json!({ "messages": [{ "role": "user", "content": "a" }] });
        request.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        request
    };
    assert!(fault(&with(json!({ "maxTokens": 1, "max_tokens": 2 }))).contains("is given twice"));
    for (written, meant) in [
        ("maxToken", Some("maxTokens")),
        ("maxtokens", Some("maxTokens")),
        ("temperatureC", Some("temperature")),
        ("task_type", Some("taskType")),
        ("user_id", Some("userId")),
        ("colour", None),
        ("stream", None),
        ("n", None),
    ] {
        let misses = read(&with(json!({ written: "x" }))).near_misses;
        let expected: Vec<_> = meant.map(|meant| (written.to_owned(), meant)).into_iter().collect();
        assert_eq!(misses, expected, "{written}");
    }
}
