//! Amazon Bedrock's Converse API, one format for the models of many vendors.
//!
//! Source: the Amazon Bedrock API reference, "Converse" and "ConverseStream" (`POST /model/MODEL/converse`).

mod answer;
mod blocks;
mod embeddings;
mod request;
mod setup;
mod sign;
mod stream;

use super::anthropic;
use super::build::{FamilyDefaults, KeyHeader};
use super::embeddings::EmbeddingFormat;
use super::family::{Family, KeyVariable};
use super::fit::Receiver;
use super::settings::CallSettings;
use super::wire::{ChatPath, Mode, Sign, StreamDecoder, Wire, path_segment};
use crate::read_error::ReadError;
use gateway_model::ProviderCall;
use gateway_model::error::GatewayError;
use gateway_model::{Answer, Feature};
use gateway_transport::Frames;
use gateway_transport::event_stream::EventStreamReader;

use setup::{API_KEY_VARIABLE, BEARER_VARIABLE};
use sign::Signer;

pub fn describe() -> Family {
    Family {
        key_variable: KeyVariable::ByAuthType { api_key: API_KEY_VARIABLE, bearer: BEARER_VARIABLE },
        models: &["amazon.nova-lite-v1:0"],
        options: &["region"],
        other_variables: setup::variables,
        ..Family::new("bedrock", "Amazon Bedrock", DEFAULTS, &setup::connect)
    }
}

/// The region stands in the base URL; the key of a pair signs.
const DEFAULTS: FamilyDefaults = FamilyDefaults { key_header: KeyHeader::Unsent, ..FamilyDefaults::at("") };

pub struct BedrockWire {
    /// The entry's name, for errors.
    pub provider: String,
    /// `None`: requests go out unsigned.
    pub signer: Option<Signer>,
}

impl Wire for BedrockWire {
    fn chat_path(&self) -> ChatPath {
        ChatPath::PerCall(|model, mode| {
            let operation = if mode.is_stream() { "converse-stream" } else { "converse" };
            format!("/model/{}/{operation}", path_segment(model))
        })
    }

    /// Answers are checked where the model is kept to a schema, too.
    fn supports_json_mode(&self, _: &ProviderCall, _: Mode) -> bool {
        false
    }

    fn supports(&self, feature: Feature) -> bool {
        !matches!(feature, Feature::Audio | Feature::OpenAiParts)
    }

    /// What Claude refuses, other vendors' models refuse here, too.
    fn receiver(&self, call: &ProviderCall) -> Receiver {
        anthropic::receiver_of(&call.model)
    }

    fn body(&self, settings: &mut CallSettings<'_>, _: Mode) -> Result<Vec<u8>, GatewayError> {
        request::body(settings, &self.provider)
    }

    fn answer(&self, body: &[u8]) -> Result<Answer, ReadError> {
        answer::answer(body)
    }

    fn decoder(&self) -> Box<dyn StreamDecoder> {
        Box::<stream::BedrockDecoder>::default()
    }

    fn frames(&self, max_event_bytes: usize) -> Frames {
        Frames::EventStream(EventStreamReader::new(max_event_bytes))
    }

    fn signer(&self) -> Option<&dyn Sign> {
        self.signer.as_ref().map(|signer| signer as &dyn Sign)
    }

    fn embeddings(&self) -> Option<&dyn EmbeddingFormat> {
        Some(self)
    }
}

/// The vendor that a model's id names: `us.anthropic.claude-…` is Anthropic's. The ARNs of provisioned models and of
/// application inference profiles name none.
fn vendor(model: &str) -> Option<&str> {
    let id = model.rsplit('/').next()?;
    let (first, rest) = id.split_once('.')?;
    // A geography stands before the vendor in the id of an inference profile.
    let geography = ["us", "eu", "apac", "global", "us-gov", "jp", "au", "ca", "in", "sa", "me", "af"];
    if geography.contains(&first) { rest.split('.').next() } else { Some(first) }
}

#[cfg(test)]
mod tests;
