//! OpenAI chat completions, spoken by most services, each in its own dialect.
//!
//! Source: OpenAI's API reference, "Chat" and "Streaming" (`POST /chat/completions`).

mod answer;
mod dialect;
mod embeddings;
mod messages;
mod reasoning;
mod request;
mod shape;
mod stream;
mod think_tags;

use crate::read_error::ReadError;
use std::borrow::Cow;

use super::embeddings::EmbeddingFormat;
use super::fit::{ErrorForm, Receiver, StopRule};
use super::settings::CallSettings;
use super::wire::{ChatPath, Mode, StreamDecoder, Wire, path_segment};
use gateway_model::ProviderCall;
use gateway_model::error::GatewayError;
use gateway_model::{Answer, Feature};

pub use answer::{WireCall, WireUsage, answer as read_answer, calls};
#[cfg(test)]
pub use dialect::FormatSupport;
pub use dialect::{Dialect, is_reasoning_model};
pub use request::tool_json;
pub use shape::SHAPE;
pub use stream::OpenAiDecoder;

/// OpenAI's format as one service speaks it.
pub struct OpenAiWire {
    pub dialect: Dialect,
    /// Azure's `api-version`, which stands in each address.
    pub api_version: Option<String>,
    /// Azure's deployment, where its addresses name it.
    pub deployment: Option<String>,
}

impl OpenAiWire {
    pub fn new(dialect: Dialect) -> Self {
        Self { dialect, api_version: None, deployment: None }
    }

    pub fn path_to(&self, resource: &'static str) -> Cow<'static, str> {
        match &self.api_version {
            None => Cow::Borrowed(resource),
            Some(version) => Cow::Owned(format!("{resource}?api-version={}", path_segment(version))),
        }
    }

    /// The path of what a model does.
    fn path_to_model(&self, resource: &'static str) -> Cow<'static, str> {
        let path = self.path_to(resource);
        match &self.deployment {
            None => path,
            Some(name) => Cow::Owned(format!("/deployments/{}{path}", path_segment(name))),
        }
    }
}

impl Wire for OpenAiWire {
    fn chat_path(&self) -> ChatPath {
        ChatPath::Fixed(self.path_to_model("/chat/completions"))
    }

    fn supports_json_mode(&self, call: &ProviderCall, _: Mode) -> bool {
        self.instruction(&call.request).is_none()
    }

    fn supports(&self, feature: Feature) -> bool {
        !self.dialect.refuses.contains(&feature)
    }

    fn receiver(&self, _: &ProviderCall) -> Receiver {
        Receiver {
            ids: self.dialect.ids,
            errors: ErrorForm::Words,
            result_media: self.dialect.result_media,
            documents: self.dialect.documents,
            turns: self.dialect.turns,
            schemas: self.dialect.schemas,
            stops: StopRule { most: self.dialect.stops, no_blanks: false },
        }
    }

    fn body(&self, settings: &mut CallSettings<'_>, mode: Mode) -> Result<Vec<u8>, GatewayError> {
        self.write_body(settings, mode)
    }

    fn answer(&self, body: &[u8]) -> Result<Answer, ReadError> {
        answer::answer(body, &self.dialect)
    }

    fn decoder(&self) -> Box<dyn StreamDecoder> {
        Box::new(stream::OpenAiDecoder::new(self.dialect))
    }

    fn embeddings(&self) -> Option<&dyn EmbeddingFormat> {
        (self.dialect.embedding_inputs > 0).then_some(self)
    }

    fn models_path(&self) -> Option<Cow<'static, str>> {
        let path = self.dialect.models_path;
        (!path.is_empty()).then(|| self.path_to(path))
    }
}

#[cfg(test)]
mod dialect_tests;
