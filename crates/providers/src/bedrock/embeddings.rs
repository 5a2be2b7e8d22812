//! `POST /model/MODEL/invoke`: Converse has no embeddings, so each vendor's own form is spoken.
//!
//! Source: the Amazon Bedrock user guide, "Amazon Titan Embeddings Text" and "Cohere Embed models".

use crate::read_error::ReadError;
use gateway_model::error::UpstreamReport;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{BedrockWire, vendor};
use crate::embeddings::EmbeddingFormat;
use crate::lenient::{TokenCount, count_of, describe_unreadable};
use crate::wire::path_segment;
use gateway_model::json;
use gateway_model::{EmbedCall, Vectors};

impl EmbeddingFormat for BedrockWire {
    /// Titan takes one.
    fn max_inputs(&self) -> usize {
        1
    }

    fn path(&self, model: &str) -> String {
        format!("/model/{}/invoke", path_segment(model))
    }

    fn body(&self, call: &EmbedCall, _: Option<&str>, inputs: &[String]) -> Map<String, Value> {
        let mut body = Map::new();
        let dimensions = if vendor(&call.model) == Some("cohere") {
            body.insert("texts".into(), json!(inputs));
            // Required. The other kinds are for the caller to name.
            body.insert("input_type".into(), json!("search_document"));
            "output_dimension"
        } else {
            body.insert("inputText".into(), json!(inputs.concat()));
            "dimensions"
        };
        if let Some(length) = call.dimensions {
            body.insert(dimensions.into(), json!(length));
        }
        body
    }

    fn vectors(&self, body: &[u8]) -> Result<Vectors, ReadError> {
        let whole: FullResponse = json::parse(body).map_err(|error| describe_unreadable(body, &error))?;
        let vectors = match (whole.embedding, whole.embeddings) {
            (Some(one), _) => vec![one],
            (None, Some(Embeddings::List(list) | Embeddings::ByType { float: list })) => list,
            (None, None) => {
                let said = whole.message.as_ref();
                return Err(
                    said.map_or("the answer has no embedding".into(), |said| UpstreamReport::of(said).into())
                );
            }
        };
        let input_tokens = count_of(whole.input_text_token_count);
        Ok(Vectors { vectors, input_tokens, ..Vectors::default() })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FullResponse {
    /// Titan.
    embedding: Option<Vec<f64>>,
    input_text_token_count: Option<TokenCount>,
    /// Cohere.
    embeddings: Option<Embeddings>,
    message: Option<Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Embeddings {
    List(Vec<Vec<f64>>),
    /// Where the caller asked for `embedding_types`.
    ByType {
        float: Vec<Vec<f64>>,
    },
}
