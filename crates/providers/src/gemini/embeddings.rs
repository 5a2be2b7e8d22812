//! `POST /models/MODEL:batchEmbedContents`. Source: Google's API reference, "Embeddings".

use crate::read_error::ReadError;
use gateway_model::error::UpstreamReport;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{GeminiWire, resource};
use crate::embeddings::EmbeddingFormat;
use crate::lenient::{TokenCount, count_of, describe_unreadable, is_reported};
use gateway_model::json;
use gateway_model::{EmbedCall, Vectors};

impl EmbeddingFormat for GeminiWire {
    fn max_inputs(&self) -> usize {
        100
    }

    fn path(&self, model: &str) -> String {
        format!("/{}:batchEmbedContents", resource(model))
    }

    fn body(&self, call: &EmbedCall, _: Option<&str>, inputs: &[String]) -> Map<String, Value> {
        // Each text is a request of its own, with the model's name in it.
        let model = resource(&call.model);
        let request = |input: &String| {
            let mut request = json!({"model": model, "content": {"parts": [{"text": input}]}});
            if let Some(dimensions) = call.dimensions {
                request["outputDimensionality"] = json!(dimensions);
            }
            request
        };
        Map::from_iter([("requests".to_owned(), inputs.iter().map(request).collect())])
    }

    /// In the order of the texts. Answers do not name the model, and few models report a count of tokens.
    fn vectors(&self, body: &[u8]) -> Result<Vectors, ReadError> {
        let whole: FullResponse = json::parse(body).map_err(|error| describe_unreadable(body, &error))?;
        if let Some(error) = whole.error.filter(is_reported) {
            return Err(UpstreamReport::of(&error).into());
        }
        let embeddings = whole.embeddings.ok_or("the answer has no embeddings")?;
        Ok(Vectors {
            vectors: embeddings.into_iter().map(|embedding| embedding.values).collect(),
            model: String::new(),
            input_tokens: whole.usage_metadata.and_then(|usage| count_of(usage.prompt_token_count)),
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FullResponse {
    embeddings: Option<Vec<Embedding>>,
    usage_metadata: Option<Usage>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Embedding {
    values: Vec<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Usage {
    prompt_token_count: Option<TokenCount>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(dimensions: Option<u64>) -> EmbedCall {
        EmbedCall {
            inputs: vec!["one".to_owned(), "two".to_owned()].into(),
            model: "gemini-embedding-001".to_owned(),
            dimensions,
            user_id: Some("user".to_owned()),
            ..EmbedCall::default()
        }
    }

    #[test]
    fn each_text_is_a_request() {
        let call = call(Some(768));
        let model = "models/gemini-embedding-001";
        assert_eq!(
            Value::Object(GeminiWire.body(&call, None, &call.inputs)),
            json!({"requests": [
                {"model": model, "content": {"parts": [{"text": "one"}]}, "outputDimensionality": 768},
                {"model": model, "content": {"parts": [{"text": "two"}]}, "outputDimensionality": 768},
            ]})
        );
        assert_eq!(
            EmbeddingFormat::path(&GeminiWire, &call.model),
            "/models/gemini-embedding-001:batchEmbedContents"
        );
    }

    #[test]
    fn vectors_come_in_the_order_of_the_texts() {
        let body = br#"{"embeddings":[{"values":[0.013168523,-0.008711934]},{"values":[1,0]}]}"#;
        let expected = Vectors {
            vectors: vec![vec![0.013168523, -0.008711934], vec![1.0, 0.0]],
            model: String::new(),
            input_tokens: None,
        };
        assert_eq!(GeminiWire.vectors(body), Ok(expected));
        let error = br#"{"error":{"code":404,"message":"models/x is not found","status":"NOT_FOUND"}}"#;
        assert_eq!(GeminiWire.vectors(error).unwrap_err().to_string(), "models/x is not found");
        assert!(GeminiWire.vectors(b"{}").is_err());
        assert!(GeminiWire.vectors(b"[]").is_err());
    }
}
