//! OpenAI's Responses API, for entries whose `options.api` asks for it in place of chat completions.
//!
//! Nothing is kept at the vendor's: `store` is false, and reasoning is asked for in its encrypted form, which goes back
//! with the next turn. Source: OpenAI's API reference, "Responses" and "Streaming events" (`POST /responses`).

mod answer;
mod request;
mod stream;

use crate::read_error::ReadError;
use std::borrow::Cow;

use super::embeddings::EmbeddingFormat;
use super::fit::{ErrorForm, IdRule, Receiver};
use super::openai::OpenAiWire;
use super::settings::CallSettings;
use super::wire::{ChatPath, Mode, StreamDecoder, Wire};
use gateway_model::ProviderCall;
use gateway_model::error::GatewayError;
use gateway_model::{Answer, Feature};

pub struct ResponsesWire {
    /// The same service as it speaks of everything else.
    pub chat: OpenAiWire,
    /// The field that names the caller's user; empty: there is none.
    pub user: &'static str,
}

impl Wire for ResponsesWire {
    fn chat_path(&self) -> ChatPath {
        ChatPath::Fixed(self.chat.path_to("/responses"))
    }

    fn supports_json_mode(&self, call: &ProviderCall, mode: Mode) -> bool {
        self.chat.supports_json_mode(call, mode)
    }

    fn supports(&self, feature: Feature) -> bool {
        feature != Feature::Audio && self.chat.supports(feature)
    }

    fn receiver(&self, call: &ProviderCall) -> Receiver {
        Receiver {
            ids: IdRule::AtMost(64),
            errors: ErrorForm::Words,
            schemas: self.chat.dialect.schemas,
            sampling: self.chat.sampling(call),
            ..Receiver::LENIENT
        }
    }

    fn body(&self, settings: &mut CallSettings<'_>, mode: Mode) -> Result<Vec<u8>, GatewayError> {
        serde_json::to_vec(&self.fields(settings, mode)).map_err(GatewayError::unwritable)
    }

    fn answer(&self, body: &[u8]) -> Result<Answer, ReadError> {
        answer::answer(body)
    }

    fn decoder(&self) -> Box<dyn StreamDecoder> {
        Box::<stream::ResponsesDecoder>::default()
    }

    fn embeddings(&self) -> Option<&dyn EmbeddingFormat> {
        self.chat.embeddings()
    }

    fn models_path(&self) -> Option<Cow<'static, str>> {
        self.chat.models_path()
    }
}
