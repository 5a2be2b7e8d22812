use serde_json::{Value, json};

use super::*;

/// The messages in OpenAI's form, as a receiver takes them.
pub fn fitted(messages: &Value, receiver: &Receiver) -> Value {
    let request = ChatRequest::from_json(&json!({ "messages": messages }).to_string()).unwrap();
    let call = ProviderCall {
        max_tokens: request.max_tokens,
        request: Arc::new(request),
        model: "m".to_owned(),
        timeout: None,
        deadline: None,
    };
    fit_call(&call, receiver).request.openai_messages_value()
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
