use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;

fn key(request: &ChatRequest) -> CacheKey {
    CacheKey::of_chat(request, request.max_tokens, "entry/model", Tenant::default(), Notes::Ignored)
}

fn read(messages: &Value) -> ChatRequest {
    ChatRequest::from_json(&json!({ "messages": messages }).to_string()).unwrap()
}

/// So few texts that many requests are nearly alike.
fn text() -> impl Strategy<Value = String> {
    "[ab]{0,2}"
}

/// Target, user and client key.
fn a_caller() -> impl Strategy<Value = (String, String, Option<String>)> {
    (text(), text(), prop::option::of(text()))
}

fn object() -> impl Strategy<Value = Map<String, Value>> {
    vec(
        (
            text(),
            prop_oneof![Just(json!(1)), Just(json!(1.0)), Just(json!(["a", {}])), Just(json!({ "a": null }))],
        ),
        0..3,
    )
    .prop_map(|entries| entries.into_iter().collect())
}

fn a_part() -> impl Strategy<Value = Part> {
    prop_oneof![
        (text(), any::<bool>()).prop_map(|(text, cache_control)| Part::Text { text, cache_control }),
        (text(), any::<bool>()).prop_map(|(url, cache_control)| Part::ImageUrl { url, cache_control }),
        (text(), text()).prop_map(|(data, mime_type)| Part::ImageData {
            data,
            mime_type,
            cache_control: false
        }),
        (text(), text(), option::of(text())).prop_map(|(data, mime_type, name)| Part::File {
            data,
            mime_type,
            name,
            cache_control: false
        }),
        (text(), text()).prop_map(|(data, mime_type)| Part::Audio { data, mime_type }),
        text().prop_map(|kind| Part::Other { kind }),
    ]
}

fn a_call() -> impl Strategy<Value = ToolCall> {
    (text(), text(), text(), option::of(text())).prop_map(|(id, name, arguments, signature)| ToolCall {
        id,
        name,
        arguments,
        signature,
    })
}

prop_compose! {
    fn a_message()(
        role in prop::sample::select(vec![Role::System, Role::User, Role::Assistant, Role::Tool]),
        content in prop_oneof![
            Just(Content::Empty),
            text().prop_map(Content::Text),
            vec(a_part(), 0..3).prop_map(Content::Parts),
        ],
        tool_calls in vec(a_call(), 0..2),
        tool_call_id in option::of(text()),
        details in vec(object(), 0..2),
        cache_control in any::<bool>(),
        is_error in any::<bool>(),
    ) -> Message {
        let reasoning_details = details.into_iter().map(Value::Object).collect();
        Message { role, content, tool_calls, tool_call_id, is_error, reasoning_details, cache_control, source: None }
    }
}

fn a_tool() -> impl Strategy<Value = Tool> {
    (text(), option::of(text()), object(), option::of(any::<bool>()))
        .prop_map(|(name, description, parameters, strict)| Tool { name, description, parameters, strict })
}

fn a_choice() -> impl Strategy<Value = ToolChoice> {
    prop_oneof![
        Just(ToolChoice::Auto),
        Just(ToolChoice::None),
        Just(ToolChoice::Required),
        text().prop_map(ToolChoice::Named),
    ]
}

fn a_format() -> impl Strategy<Value = ResponseFormat> {
    prop_oneof![
        Just(ResponseFormat::Json),
        (text(), object(), option::of(any::<bool>()))
            .prop_map(|(name, schema, strict)| ResponseFormat::Schema { name, schema, strict }),
    ]
}

fn a_number() -> impl Strategy<Value = Option<f64>> {
    option::of(prop::sample::select(vec![0.0, 0.5, 1.0]))
}

prop_compose! {
    fn a_request()(
        messages in vec(a_message(), 0..3),
        model in option::of(text()),
        max_tokens in option::of(0..3_u64),
        numbers in (a_number(), a_number(), a_number(), a_number()),
        stop in vec(text(), 0..3),
        top_k in option::of(1..3_u64),
        seed in option::of(-1..2_i64),
        reasoning_effort in option::of(text()),
        tools in vec(a_tool(), 0..3),
        tool_choice in option::of(a_choice()),
        response_format in option::of(a_format()),
        provider_options in option::of(object()),
    ) -> ChatRequest {
        let (temperature, top_p, presence_penalty, frequency_penalty) = numbers;
        ChatRequest {
            messages, model, max_tokens, temperature, top_p, top_k, presence_penalty, frequency_penalty, stop, seed,
            reasoning_effort, tools, tool_choice, response_format, provider_options,
            ..ChatRequest::default()
        }
    }
}

/// A request without what does not count, in words: another way to tell whether two are the same.
fn words(request: &ChatRequest) -> String {
    let mut request = request.clone();
    for message in &mut request.messages {
        message.cache_control = false;
        if let Content::Parts(parts) = &mut message.content {
            for part in parts {
                match part {
                    Part::Text { cache_control, .. }
                    | Part::ImageUrl { cache_control, .. }
                    | Part::ImageData { cache_control, .. }
                    | Part::File { cache_control, .. } => *cache_control = false,
                    Part::Audio { .. } | Part::Other { .. } => {}
                }
            }
        }
    }
    if let Some(options) = &mut request.provider_options {
        options.sort_keys();
    }
    format!("{request:?}")
}

type Change = fn(&mut ChatRequest);

/// Each changes one thing that the answer may depend on.
const CHANGES: &[Change] = &[
    |request| request.messages.push(Message::plain(Role::User, "c")),
    |request| request.messages.insert(0, Message::plain(Role::System, "")),
    |request| {
        let first = request.messages.first_mut();
        if let Some(message) = first {
            message.role = Role::Developer;
        } else {
            request.messages.push(Message::plain(Role::Developer, ""));
        }
    },
    |request| request.model = Some("c".to_owned()),
    |request| request.max_tokens = Some(9),
    |request| request.temperature = Some(0.25),
    |request| request.top_p = Some(0.25),
    |request| request.top_k = Some(9),
    |request| request.presence_penalty = Some(0.25),
    |request| request.frequency_penalty = Some(0.25),
    |request| request.stop.push(String::new()),
    |request| request.seed = Some(9),
    |request| request.reasoning_effort = Some("c".to_owned()),
    |request| {
        let tool = Tool { name: "c".to_owned(), description: None, parameters: Map::new(), strict: None };
        request.tools.push(tool);
    },
    |request| request.tool_choice = Some(ToolChoice::Named("c".to_owned())),
    |request| {
        let (name, schema) = ("c".to_owned(), Map::new());
        request.response_format = Some(ResponseFormat::Schema { name, schema, strict: None });
    },
    |request| {
        request.provider_options.get_or_insert_default().insert("c".to_owned(), json!({}));
    },
];

/// Each changes what only routing, the log or the call itself looks at.
const NEUTRAL: &[Change] = &[
    |request| request.task_type = Some("c".to_owned()),
    |request| request.feature = Some("c".to_owned()),
    |request| request.user_tier = Some("c".to_owned()),
    |request| request.sensitivity = Some("c".to_owned()),
    |request| request.user_id = Some("c".to_owned()),
    |request| request.metadata = Some(Map::new()),
    |request| request.timeout_ms = Some(9),
    |request| request.js_call_id = 9,
    |request| request.openai_messages = serde_json::value::to_raw_value(&json!([])).ok(),
    |request| request.messages.iter_mut().for_each(|message| message.cache_control ^= true),
];

proptest! {
    #[test]
    fn keys_are_equal_where_requests_are(one in a_request(), other in a_request()) {
        prop_assert_eq!(key(&one) == key(&other), words(&one) == words(&other));
        prop_assert_eq!(key(&one), key(&one.clone()));
    }

    #[test]
    fn messages_parts_and_tools_that_are_nearly_alike_differ(
        one in vec(a_message(), 0..3),
        other in vec(a_message(), 0..3),
        tools in vec(a_tool(), 0..2),
        others in vec(a_tool(), 0..2),
    ) {
        for (one, other) in [
            (ChatRequest { messages: one, ..Default::default() }, ChatRequest { messages: other, ..Default::default() }),
            (ChatRequest { tools, ..Default::default() }, ChatRequest { tools: others, ..Default::default() }),
        ] {
            prop_assert_eq!(key(&one) == key(&other), words(&one) == words(&other));
        }
    }

    #[test]
    fn what_changes_the_answer_changes_the_key_and_nothing_else_does(request in a_request()) {
        let before = key(&request);
        for (number, change) in CHANGES.iter().enumerate() {
            let mut changed = request.clone();
            change(&mut changed);
            prop_assert_ne!(key(&changed), before, "change {}", number);
        }
        for (number, change) in NEUTRAL.iter().enumerate() {
            let mut changed = request.clone();
            change(&mut changed);
            prop_assert_eq!(key(&changed), before, "neutral change {}", number);
        }
    }

    #[test]
    fn tenants_and_targets_never_share(request in a_request(), callers in [a_caller(), a_caller()]) {
        let key = |(target, user_id, key_id): &(String, String, Option<String>)| {
            let tenant = Tenant { user_id, key_id: key_id.as_deref() };
            CacheKey::of_chat(&request, None, target, tenant, Notes::Ignored)
        };
        prop_assert_eq!(key(&callers[0]) == key(&callers[1]), callers[0] == callers[1]);
    }
}

#[test]
fn the_bound_that_is_sent_counts_and_not_the_one_that_was_asked_for() {
    let mut request = read(&json!([{ "role": "user", "content": "x" }]));
    let bounded =
        |request: &ChatRequest, max| CacheKey::of_chat(request, max, "", Tenant::default(), Notes::Ignored);
    assert_ne!(bounded(&request, None), bounded(&request, Some(5)));
    let by_a_budget = bounded(&request, Some(5));
    request.max_tokens = Some(5);
    assert_eq!(bounded(&request, Some(5)), by_a_budget);
}

#[test]
fn keys_of_schemas_are_in_order_and_keys_of_options_are_not() {
    let request = |schema: &str, options: &str| {
        let text = format!(
            r#"{{"messages":[{{"role":"user","content":"x"}}],"tools":[{{"name":"f","parameters":{schema}}}],
                "providerOptions":{options}}}"#
        );
        key(&ChatRequest::from_json(&text).unwrap())
    };
    let (one, other) = (r#"{"a":{"b":1,"c":2},"d":{}}"#, r#"{"d":{},"a":{"c":2,"b":1}}"#);
    assert_eq!(request(one, one), request(one, other));
    assert_ne!(request(one, one), request(other, one));
}

#[test]
fn openais_form_and_ours_mean_the_same() {
    let ours = json!([
        { "role": "system", "content": "s", "cacheControl": "ephemeral" },
        { "role": "user", "content": [
            { "type": "text", "text": "t", "cacheControl": "ephemeral" },
            { "type": "image", "url": "https://x/y.png" },
            { "type": "image", "data": "AA==", "mimeType": "image/png" },
            { "type": "file", "data": "BB==", "mimeType": "application/pdf", "name": "a.pdf" },
            { "type": "audio", "data": "CC==", "mimeType": "audio/mpeg" },
        ] },
        { "role": "assistant", "content": null, "toolCalls": [{ "id": "1", "name": "f", "arguments": { "a": 1 } }] },
        { "role": "tool", "toolCallId": "1", "content": "r" },
    ]);
    let wire = json!([
        { "content": "s", "role": "system" },
        { "role": "user", "content": [
            { "type": "text", "text": "t" },
            { "type": "image_url", "image_url": { "url": "https://x/y.png" } },
            { "type": "image_url", "image_url": { "url": "data:image/png;base64,AA==" } },
            { "type": "file", "file": { "filename": "a.pdf", "file_data": "data:application/pdf;base64,BB==" } },
            { "type": "input_audio", "input_audio": { "data": "CC==", "format": "mp3" } },
        ] },
        { "role": "assistant", "tool_calls": [
            { "id": "1", "type": "function", "function": { "name": "f", "arguments": "{\"a\":1}" } },
        ] },
        { "tool_call_id": "1", "role": "tool", "content": "r" },
    ]);
    let (ours, wire) = (read(&ours), read(&wire));
    assert!(ours.openai_messages.is_none() && wire.openai_messages.is_some());
    assert_eq!(key(&ours), key(&wire));
}

#[test]
fn what_only_openais_form_can_say_counts() {
    let image = |part: Value| json!([{ "role": "user", "content": [{ "type": "text", "text": "t" }, part] }]);
    let user = |key: &str, value: Value| json!([{ "role": "user", "content": "x", key: value }]);
    let call = |call: Value| json!([{ "role": "assistant", "content": null, "tool_calls": [call] }]);
    let function = json!({ "name": "f", "arguments": "{}" });
    let url = "https://x/y.png";
    let lists = [
        json!([{ "role": "user", "content": "x" }]),
        user("name", json!("n")),
        user("name", json!("m")),
        user("name", json!(null)),
        user("other", json!("n")),
        json!([{ "role": "user", "content": "x", "name": "n", "other": "n" }]),
        image(json!({ "type": "image_url", "image_url": { "url": url } })),
        image(json!({ "type": "image_url", "image_url": { "url": url, "detail": "low" } })),
        image(json!({ "type": "image_url", "image_url": { "url": url, "detail": "high" } })),
        image(json!({ "type": "image_url", "image_url": { "url": url }, "detail": "high" })),
        image(json!({ "type": "image", "url": url, "data": "AA==", "mimeType": "image/png" })),
        image(json!({ "type": "image", "data": "AA==", "mimeType": "image/png" })),
        image(json!({ "type": "file", "file": { "file_id": "a" } })),
        image(json!({ "type": "file", "file": { "file_id": "b" } })),
        image(json!({ "type": "file", "file": { "file_data": "data:a/b;base64,AA==", "file_id": "b" } })),
        image(json!({ "type": "file", "file": { "file_data": "data:a/b;base64,AA==" } })),
        image(json!({ "type": "video_url", "video_url": { "url": "https://x/1" } })),
        image(json!({ "type": "video_url", "video_url": { "url": "https://x/2" } })),
        image(json!({ "type": "text", "text": "x", "cache_control": { "type": "ephemeral" } })),
        image(json!({ "type": "text", "text": "x" })),
        call(json!({ "id": "1", "type": "function", "function": function })),
        call(json!({ "id": "1", "type": "function", "function": function, "extra_content": "signature" })),
        call(
            json!({ "id": "1", "type": "function", "function": { "name": "f", "arguments": "{}", "x": 1 } }),
        ),
        call(json!({ "id": "1", "type": "custom", "custom": { "name": "f", "input": "1" } })),
        call(json!({ "id": "1", "type": "custom", "custom": { "name": "f", "input": "2" } })),
        json!([{ "role": "assistant", "content": null, "function_call": function }]),
        json!([{ "role": "assistant", "content": null }]),
    ];
    for (at, one) in lists.iter().enumerate() {
        for other in &lists[at + 1..] {
            assert_ne!(key(&read(one)), key(&read(other)), "{one} {other}");
        }
    }
}

#[test]
fn the_place_of_what_only_openais_form_can_say_counts() {
    let detail = |first: Value, second: Value| {
        let image = |mut image: Value| {
            image["url"] = json!("https://x/y.png");
            json!({ "type": "image_url", "image_url": image })
        };
        key(&read(&json!([{ "role": "user", "content": [image(first), image(second)] }])))
    };
    let low = json!({ "detail": "low" });
    assert_ne!(detail(low.clone(), json!({})), detail(json!({}), low.clone()));
    assert_ne!(detail(low.clone(), low.clone()), detail(json!({}), low));
}

#[test]
fn notes_count_where_somebody_may_read_them() {
    let noted = |metadata: Value| {
        let request = json!({"messages": [{"role": "user", "content": "a"}], "metadata": metadata});
        ChatRequest::from_json(&request.to_string()).unwrap()
    };
    let key = |request: &ChatRequest, notes| CacheKey::of_chat(request, None, "", Tenant::default(), notes);
    let (red, blue) = (noted(json!({"color": "red"})), noted(json!({"color": "blue"})));
    assert_eq!(key(&red, Notes::Ignored), key(&blue, Notes::Ignored));
    assert_ne!(key(&red, Notes::Read), key(&blue, Notes::Read));
    let of_ada = ChatRequest { user_id: Some("ada".into()), ..red.clone() };
    assert_ne!(key(&red, Notes::Read), key(&of_ada, Notes::Read));
}

#[test]
fn calls_in_flight_are_apart_by_time_and_way() {
    let key = key(&read(&json!([{"role": "user", "content": "a"}])));
    let keys = [key.in_flight(None, "a"), key.in_flight(Some(1), "a"), key.in_flight(None, "b"), key];
    let distinct: std::collections::HashSet<_> = keys.iter().collect();
    assert_eq!(distinct.len(), keys.len());
}
