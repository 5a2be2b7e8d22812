//! OpenAI chat completions, spoken by most services, each in its own dialect.
//!
//! Source: OpenAI's API reference, "Chat" and "Streaming" (`POST /chat/completions`).

mod answer;
mod dialect;
mod embeddings;
mod messages;
mod models;
mod reasoning;
mod request;
mod shape;
mod stream;
mod think_tags;

use crate::read_error::ReadError;
use std::borrow::Cow;

use super::embeddings::EmbeddingFormat;
use super::fit::{ErrorForm, Receiver, SamplingRules, StopRule};
use super::settings::CallSettings;
use super::wire::{ChatPath, Mode, StreamDecoder, Wire, path_segment};
use gateway_model::ProviderCall;
use gateway_model::error::GatewayError;
use gateway_model::{Answer, Feature};

pub use answer::{WireCall, WireUsage, answer as read_answer, calls};
pub use dialect::Dialect;
#[cfg(test)]
pub use dialect::FormatSupport;
use models::fixes_sampling;
pub use models::is_reasoning_model;
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

    /// How the model's sampling may be set.
    pub fn sampling(&self, call: &ProviderCall) -> SamplingRules {
        let Dialect { max_temperature, fixed_sampling, no_penalties, .. } = self.dialect;
        let named = |parts: &[&str]| parts.iter().any(|part| call.model.contains(part));
        let reasons = self.reasons(call);
        SamplingRules {
            max_temperature,
            fixed: reasons || named(fixed_sampling),
            no_penalties: reasons || (named(no_penalties) && !call.model.contains("non-reasoning")),
            one_alone: false,
        }
    }

    fn most_stops(&self, call: &ProviderCall) -> usize {
        let no_stops = self.sampling(call).no_penalties;
        if no_stops { 0 } else { self.dialect.stops }
    }

    /// Whether one of OpenAI's models will reason, and then takes no settings of its sampling.
    fn reasons(&self, call: &ProviderCall) -> bool {
        self.dialect.max_tokens.is_openais()
            && fixes_sampling(&call.model, call.request.reasoning_effort.as_deref())
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

    fn receiver(&self, call: &ProviderCall) -> Receiver {
        Receiver {
            ids: self.dialect.ids,
            errors: ErrorForm::Words,
            result_media: self.dialect.result_media,
            documents: self.dialect.documents,
            turns: self.dialect.turns,
            schemas: self.dialect.schemas,
            stops: StopRule { most: self.most_stops(call), no_blanks: false },
            sampling: self.sampling(call),
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
