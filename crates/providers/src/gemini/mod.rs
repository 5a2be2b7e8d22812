//! Google's Gemini API: `generateContent` of the Generative Language API, v1beta.
//!
//! Source: Google's API reference, "Generating content", "Embeddings" and "Models", and its guides to function calling,
//! thinking, thought signatures and structured output.
//!
//! # Thought signatures
//! A model that thinks marks parts of its answer with a `thoughtSignature`, and wants each of them back on the very part
//! it came on, byte for byte; from Gemini 3 on, a call of the turn under way that has lost its signature is refused.
//!
//! - On a `functionCall`, it is the call's `signature`.
//! - Any other part that has one (a text, a thought, often a text that is empty) is kept as it came in the answer's
//!   `reasoningDetails`. Its place is noted beside what the vendor wrote: `"after": {"text": 12, "calls": 0}` says that 12
//!   bytes of the answer's text and none of its calls stood before it. When the turn comes back, the text is divided
//!   there again: a part that has a signature is never joined with one that has none.
//! - Thoughts without a signature say nothing to the model: they are reported as `reasoning` and not sent back.
//! - A turn whose text was changed on the way keeps the change; its signatures then come back on empty parts.
//! - Calls that another vendor's model made have no signature. From Gemini 3 on, the first call of such a turn gets the
//!   value that Google documents for it.

mod answer;
mod embeddings;
mod errors;
mod partial_args;
mod parts;
mod request;
mod stream;
mod thinking;

use crate::read_error::ReadError;
use std::borrow::Cow;
use std::time::Duration;

use super::build::{Builder, Connection, FamilyDefaults, KeyHeader};
use super::embeddings::EmbeddingFormat;
use super::family::{Family, KeyVariable};
use super::fit::{Receiver, SamplingRules, StopRule, TurnRules};
use super::settings::CallSettings;
use super::wire::{ChatPath, Mode, StreamDecoder, Wire, model_ids, path_segment};
use gateway_model::Answer;
use gateway_model::ProviderCall;
use gateway_model::error::GatewayError;

pub fn describe() -> Family {
    Family {
        key_variable: KeyVariable::Same("GEMINI_API_KEY"),
        models: &["gemini-3.8-flash", "gemini-4-argon", "gemini-3.5-flash-lite"],
        ..Family::new("gemini", "Google Gemini", DEFAULTS, &|builder: &Builder<'_>| {
            builder.http(Connection::new(GeminiWire))
        })
    }
}

const DEFAULTS: FamilyDefaults = FamilyDefaults {
    key_header: KeyHeader::Named("x-goog-api-key"),
    ..FamilyDefaults::at("https://generativelanguage.googleapis.com/v1beta")
};

pub struct GeminiWire;

impl Wire for GeminiWire {
    fn chat_path(&self) -> ChatPath {
        ChatPath::PerCall(|model, mode| {
            let method = if mode.is_stream() { "streamGenerateContent?alt=sse" } else { "generateContent" };
            format!("/{}:{method}", resource(model))
        })
    }

    fn supports_json_mode(&self, call: &ProviderCall, _: Mode) -> bool {
        request::has_format(call)
    }

    fn receiver(&self, call: &ProviderCall) -> Receiver {
        Receiver {
            turns: TurnRules { user_first: true, no_blanks: true, ..TurnRules::NONE },
            stops: StopRule { most: 5, no_blanks: false },
            sampling: SamplingRules {
                no_penalties: thinking::Generation::of(&call.model) != thinking::Generation::WithoutThinking,
                ..SamplingRules::USUAL
            },
            ..Receiver::LENIENT
        }
    }

    /// The path alone says whether the answer is to be streamed.
    fn body(&self, settings: &mut CallSettings<'_>, _: Mode) -> Result<Vec<u8>, GatewayError> {
        serde_json::to_vec(&request::body(settings)).map_err(GatewayError::unwritable)
    }

    fn answer(&self, body: &[u8]) -> Result<Answer, ReadError> {
        answer::answer(body)
    }

    fn decoder(&self) -> Box<dyn StreamDecoder> {
        Box::<stream::GeminiDecoder>::default()
    }

    fn error_status(&self, status: u16, body: &str) -> u16 {
        errors::status(status, body)
    }

    fn requested_wait(&self, body: &str) -> Option<Duration> {
        errors::requested_wait(body)
    }

    fn embeddings(&self) -> Option<&dyn EmbeddingFormat> {
        Some(self)
    }

    fn models_path(&self) -> Option<Cow<'static, str>> {
        Some(Cow::Borrowed("/models?pageSize=1000"))
    }

    fn models(&self, body: &[u8]) -> Result<Vec<String>, ReadError> {
        let names = model_ids(body, "models", "name")?;
        Ok(names.into_iter().map(|name| plain_name(&name).to_owned()).collect())
    }
}

/// What stands in for the signatures of calls that no Gemini made, where the model requires them.
pub fn foreign_signature(model: &str) -> Option<&'static str> {
    let name = model.rsplit('/').next().unwrap_or(model);
    (thinking::Generation::of(name) == thinking::Generation::Level).then_some(parts::FOREIGN)
}

/// A model's name without the collection that most of them are in.
fn plain_name(model: &str) -> &str {
    model.strip_prefix("models/").unwrap_or(model)
}

/// A model as a resource: `models/NAME`, or `tunedModels/NAME`.
fn resource(model: &str) -> String {
    match model.strip_prefix("tunedModels/") {
        Some(name) => format!("tunedModels/{}", path_segment(name)),
        None => format!("models/{}", path_segment(plain_name(model))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_a_resource_of_its_collection() {
        for (model, path) in [
            ("gemini-3.8-flash", "models/gemini-3.8-flash"),
            ("models/gemini-3.8-flash", "models/gemini-3.8-flash"),
            ("tunedModels/my-model-1", "tunedModels/my-model-1"),
            ("../secret?x#y", "models/..%2Fsecret%3Fx%23y"),
            ("tunedModels/a/b:c", "tunedModels/a%2Fb%3Ac"),
        ] {
            assert_eq!(resource(model), path);
        }
    }

    #[test]
    fn models_are_listed_without_their_collection() {
        let body = r#"{"models":[{"name":"models/gemini-3.8-flash","version":"001","displayName":"Gemini 3.8 Flash",
            "inputTokenLimit":1048576,"supportedGenerationMethods":["generateContent","countTokens"]},
            {"name":"models/gemini-embedding-001","supportedGenerationMethods":["embedContent"]},
            {"name":"tunedModels/mine"}],"nextPageToken":""}"#;
        let names = GeminiWire.models(body.as_bytes()).unwrap();
        assert_eq!(names, ["gemini-3.8-flash", "gemini-embedding-001", "tunedModels/mine"]);
        assert!(GeminiWire.models(b"{}").is_err());
    }
}
