use serde_json::{Value, json};

use super::*;

/// The messages in OpenAI's form, as a receiver takes them.
fn fitted(messages: &Value, receiver: &Receiver) -> Value {
    let call = call(&json!({ "messages": messages }));
    fit_call(&call, receiver).call.request.openai_messages_value()
}

fn call(request: &Value) -> ProviderCall {
    let request = ChatRequest::from_json(&request.to_string()).unwrap();
    ProviderCall {
        max_tokens: request.max_tokens,
        request: Arc::new(request),
        model: "m".to_owned(),
        timeout: None,
        deadline: None,
        sent: Default::default(),
    }
}

fn round(results: &[Value]) -> Value {
    let calls = (0..results.len()).map(|at| json!({"id": format!("c{at}"), "name": "f", "arguments": {}}));
    let mut messages = vec![
        json!({"role": "user", "content": "go"}),
        json!({"role": "assistant", "content": null, "toolCalls": calls.collect::<Value>()}),
    ];
    messages.extend(results.iter().enumerate().map(|(at, result)| {
        let mut result = result.clone();
        result["role"] = json!("tool");
        result["toolCallId"] = json!(format!("c{at}"));
        result
    }));
    messages.push(json!({"role": "user", "content": "and?"}));
    messages.into()
}

#[test]
fn a_failed_tool_is_told_in_words_where_there_is_no_field() {
    let words = Receiver { errors: ErrorForm::Words, ..Receiver::LENIENT };
    let content = |content: Value, receiver: &Receiver| {
        fitted(&round(&[json!({"content": content, "isError": true})]), receiver)[2].clone()
    };
    let tool = |content: Value| json!({"content": content, "role": "tool", "tool_call_id": "c0"});
    assert_eq!(content(json!("no such file"), &words), tool(json!("Error: no such file")));
    for told in [json!("ERROR: no such file"), json!("{\"error\": 1}")] {
        assert_eq!(content(told.clone(), &words), tool(told));
    }
    let parts = json!([{"type": "text", "text": "no"}]);
    assert_eq!(
        content(parts.clone(), &words)["content"],
        json!([{"type": "text", "text": "Error:"}, parts[0]])
    );
    assert_eq!(content(json!("no"), &Receiver::LENIENT), tool(json!("no")));
}

#[test]
fn what_is_no_text_stands_behind_the_results_of_its_round() {
    let behind = Receiver { result_media: ResultMedia::Behind, ..Receiver::LENIENT };
    let image = json!({"type": "image", "data": "AA==", "mimeType": "image/png"});
    let url = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}});
    let text = |text: &str| json!({"type": "text", "text": text});
    let results = [
        json!({"content": [text("a screen"), image]}),
        json!({"content": [image]}),
        json!({"content": "nothing"}),
    ];
    let sent = fitted(&round(&results), &behind);
    assert_eq!(sent[2]["content"], json!([text("a screen")]));
    assert_eq!(sent[3]["content"], "The result is attached below.");
    assert_eq!(sent[4]["content"], "nothing");
    let moved = json!([text("From the result of call c0:"), url, text("From the result of call c1:"), url]);
    assert_eq!(sent[5], json!({"role": "user", "content": moved}));
    assert_eq!(sent[6]["content"], "and?");
    assert_eq!(sent.as_array().unwrap().len(), 7);
}

#[test]
fn documents_are_in_the_services_form() {
    let pdf = json!({"type": "file", "data": "AA==", "mimeType": "application/pdf"});
    let named = json!({"type": "file", "data": "AA==", "mimeType": "application/pdf", "name": "a.pdf"});
    let notes = json!({"type": "file", "data": "aGk", "mimeType": "application/json", "name": "a.json"});
    let openais = json!({"type": "file", "file": {"file_data": "data:application/pdf;base64,AA=="}});
    let sent = |documents| {
        let receiver = Receiver { documents, ..Receiver::LENIENT };
        let messages = json!([{"role": "user", "content": [pdf, named, notes, openais]}]);
        fitted(&messages, &receiver)[0]["content"].clone()
    };
    let data = "data:application/pdf;base64,AA==";
    let text = json!({"type": "text", "text": "<document name=\"a.json\">\nhi\n</document>"});
    let file = |name: &str| json!({"type": "file", "file": {"filename": name, "file_data": data}});
    let expected = [
        file("file.pdf"),
        file("a.pdf"),
        text.clone(),
        json!({"type": "file", "file": {"file_data": data, "filename": "file.pdf"}}),
    ];
    assert_eq!(sent(DocumentForm::File), json!(expected));
    let url = json!({"type": "document_url", "document_url": data});
    let named_url = json!({"type": "document_url", "document_url": data, "document_name": "a.pdf"});
    assert_eq!(sent(DocumentForm::DocumentUrl), json!([url, named_url, text, url]));
    let file = |name: &str| json!({"type": "file_url", "file_url": {"url": "AA=="}, "file_name": name});
    assert_eq!(sent(DocumentForm::FileUrl), json!([file("file.pdf"), file("a.pdf"), text, file("file.pdf")]));
}

/// Roles and contents, `u:hi` say, after turns are fitted.
fn turns(messages: &Value, rules: TurnRules) -> String {
    let sent = fitted(messages, &Receiver { turns: rules, ..Receiver::LENIENT });
    let short = |message: &Value| {
        let content =
            message["content"].as_str().map_or_else(|| message["content"].to_string(), str::to_owned);
        format!("{}:{content}", &message["role"].as_str().unwrap()[..1])
    };
    sent.as_array().unwrap().iter().map(short).collect::<Vec<_>>().join(" | ")
}

fn talk(turns: &[(&str, &str)]) -> Value {
    turns.iter().map(|(role, content)| json!({"role": role, "content": content})).collect()
}

#[test]
fn a_conversation_begins_with_the_user_where_it_must() {
    let rules = TurnRules { user_first: true, ..TurnRules::NONE };
    assert_eq!(turns(&talk(&[("system", "s")]), rules), "s:s | u:Begin.");
    assert_eq!(turns(&talk(&[("assistant", "a"), ("user", "b")]), rules), "u:Begin. | a:a | u:b");
    assert_eq!(turns(&talk(&[("system", "s"), ("user", "b")]), rules), "s:s | u:b");
    assert_eq!(turns(&talk(&[("system", "s")]), TurnRules::NONE), "s:s");
}

#[test]
fn neighbours_of_one_role_are_joined_where_turns_alternate() {
    let rules = TurnRules { alternate: true, ..TurnRules::NONE };
    let messages = talk(&[
        ("system", "s"),
        ("user", "a"),
        ("user", "b"),
        ("system", "t"),
        ("user", "c"),
        ("assistant", "d"),
    ]);
    assert_eq!(turns(&messages, rules), "s:s | s:t | u:a\n\nb\n\nc | a:d");
    let image = json!({"type": "image_url", "image_url": {"url": "https://x/y.png"}});
    let mixed = json!([{"role": "user", "content": "a"}, {"role": "user", "content": [image]}]);
    let sent = fitted(&mixed, &Receiver { turns: rules, ..Receiver::LENIENT });
    assert_eq!(sent, json!([{"role": "user", "content": [{"type": "text", "text": "a"}, image]}]));
}

#[test]
fn a_turn_of_the_assistant_stands_between_a_result_and_the_user_where_it_must() {
    let rules = TurnRules { bridges: true, ..TurnRules::NONE };
    let messages = round(&[json!({"content": "r"}), json!({"content": "q"})]);
    assert_eq!(turns(&messages, rules), "u:go | a:null | t:r | t:q | a:OK. | u:and?");
}

#[test]
fn blanks_are_left_out_where_they_are_refused() {
    let rules = TurnRules { no_blanks: true, user_first: true, ..TurnRules::NONE };
    assert_eq!(
        turns(&talk(&[("system", " "), ("user", "a"), ("assistant", "\n"), ("user", "b")]), rules),
        "u:a | u:b"
    );
    assert_eq!(turns(&talk(&[("user", "")]), rules), "u:Begin.");
    let parts =
        json!([{"role": "user", "content": [{"type": "text", "text": " "}, {"type": "text", "text": "a"}]}]);
    assert_eq!(turns(&parts, rules), r#"u:[{"type":"text","text":"a"}]"#);
    let call = json!([{"id": "1", "name": "f", "arguments": {}}]);
    let calling =
        json!([{"role": "user", "content": "a"}, {"role": "assistant", "content": " ", "toolCalls": call}]);
    assert_eq!(turns(&calling, rules), "u:a | a:null");
}

#[test]
fn a_turn_to_go_on_from_ends_without_blanks_or_is_not_the_last() {
    let messages = talk(&[("user", "a"), ("assistant", "b \n")]);
    let rules = |prefill| TurnRules { prefill, ..TurnRules::NONE };
    assert_eq!(turns(&messages, rules(Prefill::Taken)), "u:a | a:b \n");
    assert_eq!(turns(&messages, rules(Prefill::Trimmed)), "u:a | a:b");
    let refused = Receiver { turns: rules(Prefill::Refused), ..Receiver::LENIENT };
    let call = call(&json!({ "messages": messages }));
    let fitted = fit_call(&call, &refused);
    assert_eq!(fitted.call.request.messages.last().unwrap().role, gateway_model::Role::User);
    assert_eq!(fitted.warnings[0].0, "messages");
}

/// A tool's schema as it is sent, and the warnings.
fn schema(parameters: &Value, schemas: RootRule) -> (Value, usize) {
    let tools = json!([{"name": "f", "parameters": parameters}]);
    let call = call(&json!({"messages": talk(&[("user", "a")]), "tools": tools}));
    let fitted = fit_call(&call, &Receiver { schemas, ..Receiver::LENIENT });
    (Value::Object(fitted.call.request.tools[0].parameters.clone()), fitted.warnings.len())
}

#[test]
fn a_tools_schema_is_an_object_at_its_root() {
    let empty = json!({"type": "object", "properties": {}});
    for bare in
        [json!({}), json!({"type": "object"}), json!({"type": ["object", "null"]}), json!({"type": "string"})]
    {
        assert_eq!(schema(&bare, RootRule::Object), (empty.clone(), 0), "{bare}");
    }
    let whole = json!({"properties": {"a": {}}, "type": "object", "required": ["a"]});
    assert_eq!(schema(&whole, RootRule::PlainObject), (whole, 0));
    let one = |name: &str, kind: &str| json!({"type": "object", "properties": {"kind": {"const": name}, "x": {"type": kind}}, "required": ["kind", "x", name]});
    let either = json!({"anyOf": [one("a", "string"), one("b", "string")]});
    assert_eq!(schema(&either, RootRule::Object).0["anyOf"], either["anyOf"]);
    let merged = json!({"type": "object", "properties": {
        "kind": {"anyOf": [{"const": "a"}, {"const": "b"}]}, "x": {"type": "string"},
    }, "required": ["kind", "x"]});
    assert_eq!(schema(&either, RootRule::PlainObject), (merged, 1));
    let both = json!({"type": "object", "properties": {"a": {}}, "allOf": [{"required": ["a"]}, {"properties": {"b": {}}, "required": ["b"]}]});
    let merged = json!({"type": "object", "properties": {"a": {}, "b": {}}, "required": ["a", "b"]});
    assert_eq!(schema(&both, RootRule::PlainObject).0, merged);
}

#[test]
fn texts_to_stop_at_that_are_not_taken_are_left_out_and_told() {
    let stops = |stops: StopRule| {
        let call = call(&json!({"messages": talk(&[("user", "a")]), "stop": ["a", "", "\n", "b"]}));
        let fitted = fit_call(&call, &Receiver { stops, ..Receiver::LENIENT });
        let told: Vec<String> = fitted.warnings.iter().map(|(field, _)| field.to_string()).collect();
        (fitted.call.request.stop.join(","), told.join(" "))
    };
    assert_eq!(stops(StopRule { most: 9, no_blanks: false }), ("a,\n,b".into(), "stop[1]".into()));
    assert_eq!(stops(StopRule { most: 9, no_blanks: true }), ("a,b".into(), "stop[1] stop[2]".into()));
    assert_eq!(stops(StopRule { most: 2, no_blanks: false }), ("a".into(), "stop[1] stop[2] stop[3]".into()));
}

/// Temperature, `topP`, both penalties and the number of stops as they are sent to a model, and the fields of the warnings.
fn sampled(wire: &dyn crate::wire::Wire, model: &str, settings: &Value) -> (String, String) {
    let mut request = json!({ "messages": talk(&[("user", "a")]) });
    request.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    let call = ProviderCall { model: model.to_owned(), ..call(&request) };
    let receiver = wire.receiver(&call);
    let fitted = fit_call(&call, &receiver);
    let mut settings = crate::settings::CallSettings::new(&fitted.call);
    fit_sampling(&mut settings, receiver.sampling);
    let Sampling { temperature, top_p, presence_penalty, frequency_penalty } = settings.sampling();
    let numbers = [temperature, top_p, presence_penalty, frequency_penalty];
    let numbers: Vec<String> = numbers
        .iter()
        .map(|number| number.map_or_else(|| "-".to_owned(), |number| number.to_string()))
        .collect();
    let stops = fitted.call.request.stop.len();
    let told = fitted.warnings.iter().map(|(field, _)| field.to_string());
    let warned = settings.into_warnings("p").into_iter().map(|warning| warning.field);
    let fields: Vec<String> = told.chain(warned.filter(|field| field != "stop")).collect();
    let unread = ["temperature", "topP", "presencePenalty", "frequencyPenalty"];
    // Nothing reads what is left here: only what was warned of twice, or for a reason, counts.
    let fields: Vec<String> = fields
        .into_iter()
        .filter(|field| !unread.contains(&field.as_str()) || told_of(&numbers, field))
        .collect();
    (format!("{} {stops}", numbers.join(" ")), fields.join(" "))
}

fn told_of(numbers: &[String], field: &str) -> bool {
    let place =
        ["temperature", "topP", "presencePenalty", "frequencyPenalty"].iter().position(|name| *name == field);
    place.is_some_and(|place| numbers[place] == "-")
}

#[test]
fn sampling_is_as_the_model_takes_it() {
    use crate::catalogue::dialect_of;
    use crate::openai::OpenAiWire;
    let all = json!({"temperature": 1.8, "topP": 0.5, "presencePenalty": 3, "frequencyPenalty": 0.5, "stop": ["E"]});
    let openai = |family| OpenAiWire::new(dialect_of(family).unwrap());
    let none = "temperature topP presencePenalty frequencyPenalty";
    let clamped = "1.8 0.5 2 0.5 1";
    for (family, model, effort, sent, left_out) in [
        ("openai", "gpt-4o", None, clamped, ""),
        ("openai", "o4-mini", None, "- - - - 0", none),
        ("openai", "ft:o4-mini-2025-04-16:org::id", None, "- - - - 0", none),
        ("openai", "gpt-5-mini", None, "- - - - 0", none),
        ("openai", "gpt-5-chat-latest", None, clamped, ""),
        ("openai", "gpt-5.4", None, clamped, ""),
        ("openai", "gpt-5.4", Some("high"), "- - - - 0", none),
        ("azure", "prod", None, clamped, ""),
        ("mistral", "m", None, "1.5 0.5 2 0.5 1", ""),
        ("zhipu", "m", None, "1 0.5 2 0.5 1", ""),
        ("moonshot", "kimi-k2.6", None, "- - 2 0.5 1", "temperature topP"),
        ("xai", "grok-4.5", None, "1.8 0.5 - - 0", "presencePenalty frequencyPenalty"),
        ("vllm", "gpt-5", None, clamped, ""),
    ] {
        let mut settings = all.clone();
        if let Some(effort) = effort {
            settings["reasoningEffort"] = json!(effort);
        }
        let (numbers, fields) = sampled(&openai(family), model, &settings);
        assert_eq!(numbers, sent, "{family} {model}");
        let fields: Vec<&str> = fields
            .split(' ')
            .filter(|field| !field.starts_with("stop") && *field != "reasoningEffort")
            .collect();
        let fields: std::collections::BTreeSet<&str> =
            fields.into_iter().filter(|field| !field.is_empty()).collect();
        assert_eq!(
            fields,
            left_out.split(' ').filter(|field| !field.is_empty()).collect(),
            "{family} {model}"
        );
    }
    let of = |wire: &dyn crate::wire::Wire, model: &str| sampled(wire, model, &all).0;
    assert_eq!(of(&crate::anthropic::AnthropicWire, "claude-sonnet-4-0"), "1 0.5 2 0.5 1");
    assert_eq!(of(&crate::anthropic::AnthropicWire, "claude-sonnet-4-5"), "1 - 2 0.5 1");
    assert_eq!(of(&crate::gemini::GeminiWire, "gemini-2.0-flash"), clamped);
    assert_eq!(of(&crate::gemini::GeminiWire, "gemini-2.5-flash"), "1.8 0.5 - - 1");
}
