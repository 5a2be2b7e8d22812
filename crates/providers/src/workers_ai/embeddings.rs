//! Embeddings: several texts in one `POST /run/MODEL`.

use crate::read_error::ReadError;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::answer::read_result;
use super::{WorkersAiWire, run_path};
use crate::embeddings::EmbeddingFormat;
use gateway_model::{EmbedCall, Vectors};

/// Texts that an embedding model takes at once.
const MAX_TEXTS: usize = 100;

impl EmbeddingFormat for WorkersAiWire {
    fn max_inputs(&self) -> usize {
        MAX_TEXTS
    }

    fn path(&self, model: &str) -> String {
        run_path(model)
    }

    fn body(&self, _call: &EmbedCall, _: Option<&str>, inputs: &[String]) -> Map<String, Value> {
        Map::from_iter([("text".to_owned(), json!(inputs))])
    }

    fn vectors(&self, body: &[u8]) -> Result<Vectors, ReadError> {
        #[derive(Deserialize)]
        struct Answered {
            data: Vec<Vec<f64>>,
        }
        let answered: Answered = serde_json::from_str(read_result(body)?.get())
            .map_err(|error| format!("the answer has no data ({error})"))?;
        Ok(Vectors { vectors: answered.data, ..Vectors::default() })
    }
}
