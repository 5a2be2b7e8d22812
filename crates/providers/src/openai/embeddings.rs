//! `POST /embeddings`. Source: OpenAI's API reference, "Embeddings".

use crate::read_error::ReadError;
use gateway_model::error::UpstreamReport;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::OpenAiWire;
use crate::embeddings::EmbeddingFormat;
use crate::lenient::{TokenCount, count_of, describe_unreadable, is_reported};
use gateway_model::json;
use gateway_model::{EmbedCall, Vectors};

impl EmbeddingFormat for OpenAiWire {
    fn max_inputs(&self) -> usize {
        self.dialect.embedding_inputs
    }

    fn path(&self, _model: &str) -> String {
        self.path_to_model("/embeddings").into_owned()
    }

    fn body(&self, call: &EmbedCall, user: Option<&str>, inputs: &[String]) -> Map<String, Value> {
        let mut body = Map::new();
        body.insert("model".into(), json!(call.model));
        body.insert("input".into(), json!(inputs));
        if let Some(dimensions) = call.dimensions {
            body.insert("dimensions".into(), json!(dimensions));
        }
        if let Some(user) = user.filter(|_| !self.dialect.user.is_empty()) {
            body.insert(self.dialect.user.into(), json!(user));
        }
        body
    }

    fn vectors(&self, body: &[u8]) -> Result<Vectors, ReadError> {
        let whole: FullResponse = json::parse(body).map_err(|error| describe_unreadable(body, &error))?;
        if let Some(error) = whole.error.filter(is_reported) {
            return Err(UpstreamReport::of(&error).into());
        }
        let mut data = whole.data.ok_or("the answer has no data")?;
        // Only `index` gives their order.
        data.sort_by_key(|item| item.index);
        Ok(Vectors {
            vectors: data.into_iter().map(|item| item.embedding).collect(),
            model: whole.model.unwrap_or_default(),
            input_tokens: whole
                .usage
                .and_then(|usage| count_of(usage.prompt_tokens).or_else(|| count_of(usage.total_tokens))),
        })
    }
}

#[derive(Deserialize)]
struct FullResponse {
    data: Option<Vec<Item>>,
    model: Option<String>,
    usage: Option<Usage>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Item {
    #[serde(default)]
    index: u64,
    embedding: Vec<f64>,
}

#[derive(Deserialize)]
struct Usage {
    prompt_tokens: Option<TokenCount>,
    total_tokens: Option<TokenCount>,
}
