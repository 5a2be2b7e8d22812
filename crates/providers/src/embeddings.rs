//! What a wire format has to say about embeddings.

use crate::read_error::ReadError;
use gateway_model::{EmbedCall, Vectors};
use serde_json::{Map, Value};

/// How a wire format asks for vectors.
pub trait EmbeddingFormat: Send + Sync {
    /// Texts that one request may hold.
    fn max_inputs(&self) -> usize;

    /// The path below the base URL.
    fn path(&self, model: &str) -> String;

    /// The body of a request for some of the call's texts; `user` is what the vendor sees of the caller's.
    fn body(&self, call: &EmbedCall, user: Option<&str>, inputs: &[String]) -> Map<String, Value>;

    /// Reads an answer; the error says what is wrong with it.
    fn vectors(&self, body: &[u8]) -> Result<Vectors, ReadError>;
}
