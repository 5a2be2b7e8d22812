//! Texts as vectors: what is asked, and what comes back.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::provider::SentMark;

/// One attempt: the texts as the caller gave them, and what routing decided.
#[derive(Debug, Clone, Default)]
pub struct EmbedCall {
    pub inputs: Arc<[String]>,
    pub model: String,
    /// Length of the vectors, where the model can shorten them.
    pub dimensions: Option<u64>,
    /// The caller's user.
    pub user_id: Option<String>,
    /// By family: fields that go into the wire body as they are.
    pub provider_options: Option<Map<String, Value>>,
    /// In place of the provider's own timeout.
    pub timeout: Option<Duration>,
    /// Of the whole call.
    pub deadline: Option<Instant>,
    pub sent: SentMark,
    /// The JavaScript call this belongs to, by which its custom providers are found. 0 in Rust.
    pub js_call_id: u32,
}

/// What a provider answered: a vector for each text, in their order.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Vectors {
    pub vectors: Vec<Vec<f64>>,
    /// The model as the upstream reports it; empty where it does not.
    pub model: String,
    /// `None`: the provider gave no count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_tokens: Option<u64>,
}

impl Vectors {
    /// Adds the answer to the texts that follow.
    pub fn append(&mut self, more: Self) {
        self.vectors.extend(more.vectors);
        // A count that is missing once is missing in the sum.
        self.input_tokens = self.input_tokens.zip(more.input_tokens).map(|(sum, more)| sum + more);
        self.model = more.model;
    }
}
