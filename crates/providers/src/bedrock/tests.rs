use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::request::{MAX_METADATA, metadata};
use super::*;
use gateway_model::error::ErrorKind;
use gateway_model::{ChatRequest, EmbedCall};

fn wire() -> BedrockWire {
    BedrockWire { provider: "aws".to_owned(), signer: None }
}

fn refusal(content: Value) -> GatewayError {
    let messages = json!([{ "role": "user", "content": "x" }, { "role": "user", "content": content }]);
    let request = ChatRequest::from_json(&json!({ "messages": messages }).to_string()).unwrap();
    let call = ProviderCall {
        request: Arc::new(request),
        model: "amazon.nova-lite-v1:0".to_owned(),
        max_tokens: None,
        timeout: None,
        deadline: None,
        sent: Default::default(),
    };
    Wire::body(&wire(), &mut CallSettings::new(&call), Mode::Full).unwrap_err()
}

#[test]
fn parts_that_converse_has_no_words_for_are_refused_by_name() {
    let url = "https://pictures.example/a.png";
    for (part, what) in [
        (json!({ "type": "image", "url": url }), "image parts by URL, other than s3:// ones"),
        (
            json!({ "type": "image", "url": "s3://a/b" }),
            "image parts on S3 whose names do not end in .png, .jpeg, .gif or .webp",
        ),
        (
            json!({ "type": "image", "data": "AA==", "mimeType": "image/bmp" }),
            "image parts of type image/bmp",
        ),
        (
            json!({ "type": "file", "data": "AA==", "mimeType": "application/zip" }),
            "file parts of type application/zip",
        ),
    ] {
        let error = refusal(json!([{ "type": "text", "text": "t" }, part]));
        assert_eq!(error.kind, ErrorKind::InvalidRequest);
        assert_eq!(error.provider.as_deref(), Some("aws"));
        let path = "messages[1].content[1]";
        assert_eq!(error.message, format!("Invalid request: {path}: provider \"aws\" does not take {what}"));
    }
}

#[test]
fn a_models_vendor_is_in_its_id() {
    let arn = "arn:aws:bedrock:us-east-1";
    for (model, expected) in [
        ("anthropic.claude-3-5-sonnet-20241022-v2:0", Some("anthropic")),
        ("us.anthropic.claude-sonnet-4-20250514-v1:0", Some("anthropic")),
        ("us-gov.anthropic.claude-3-haiku-20240307-v1:0", Some("anthropic")),
        ("global.amazon.nova-2-lite-v1:0", Some("amazon")),
        ("amazon.nova-lite-v1:0", Some("amazon")),
        ("deepseek.v3.2", Some("deepseek")),
        ("meta.llama3-3-70b-instruct-v1:0", Some("meta")),
        (&format!("{arn}::foundation-model/anthropic.claude-3-haiku-20240307-v1:0"), Some("anthropic")),
        (&format!("{arn}:123456789012:inference-profile/eu.amazon.nova-pro-v1:0"), Some("amazon")),
        (&format!("{arn}:123456789012:application-inference-profile/k2x8v0a9b1c3"), None),
        (&format!("{arn}:123456789012:provisioned-model/abcdefabcdef"), None),
        ("", None),
    ] {
        assert_eq!(vendor(model), expected, "{model}");
    }
}

#[test]
fn notes_that_would_be_refused_stay_here() {
    let kept = |notes: Value| {
        let request = json!({ "messages": [{ "role": "user", "content": "x" }], "metadata": notes });
        Value::Object(metadata(&ChatRequest::from_json(&request.to_string()).unwrap()))
    };
    let long = "x".repeat(257);
    assert_eq!(
        kept(json!({ "a": "b c", "": "x", "é": "x", "n": 1, "long": long, "same": "x".repeat(256) })),
        json!({ "a": "b c", "same": "x".repeat(256) })
    );
    let many: Map<String, Value> = (0..20).map(|n| (format!("k{n}"), json!("v"))).collect();
    assert_eq!(kept(json!(many)).as_object().map(Map::len), Some(MAX_METADATA));
}

#[test]
fn each_vendor_embeds_in_its_own_form() {
    let asked = |model: &str, dimensions| {
        let inputs: Arc<[String]> = ["a text".to_owned()].into();
        let call =
            EmbedCall { inputs: inputs.clone(), model: model.to_owned(), dimensions, ..EmbedCall::default() };
        Value::Object(EmbeddingFormat::body(&wire(), &call, None, &inputs))
    };
    assert_eq!(
        asked("amazon.titan-embed-text-v2:0", Some(256)),
        json!({ "inputText": "a text", "dimensions": 256 })
    );
    assert_eq!(
        asked("eu.cohere.embed-v4:0", None),
        json!({ "texts": ["a text"], "input_type": "search_document" })
    );
    let path = EmbeddingFormat::path(&wire(), "amazon.titan-embed-text-v2:0");
    assert_eq!(path, "/model/amazon.titan-embed-text-v2%3A0/invoke");
}

#[test]
fn vectors_are_read_in_each_vendors_form() {
    let read = |body: &Value| {
        let read = wire().vectors(body.to_string().as_bytes()).map_err(|error| error.to_string())?;
        Ok::<_, String>((read.vectors, read.input_tokens))
    };
    let titan = json!({
        "embedding": [0.25, -0.5], "embeddingsByType": { "float": [0.25, -0.5] }, "inputTextTokenCount": 5,
    });
    assert_eq!(read(&titan), Ok((vec![vec![0.25, -0.5]], Some(5))));
    let cohere = json!({
        "id": "e2f3", "embeddings": [[0.25, -0.5]], "response_type": "embeddings_floats", "texts": ["a text"],
    });
    assert_eq!(read(&cohere), Ok((vec![vec![0.25, -0.5]], None)));
    let by_type =
        json!({ "embeddings": { "float": [[1.0]], "int8": [[1]] }, "response_type": "embeddings_by_type" });
    assert_eq!(read(&by_type), Ok((vec![vec![1.0]], None)));
    assert_eq!(read(&json!({ "message": "no" })), Err("no".to_owned()));
    assert_eq!(read(&json!({})), Err("the answer has no embedding".to_owned()));
}
