//! Cloudflare Workers AI over REST: `POST /run/MODEL`.
//!
//! Source: Cloudflare's documentation, "Workers AI": models' input and output schemas, "JSON Mode", "Function calling",
//! "Errors". Newer models answer, and stream, in OpenAI's form inside of Cloudflare's.

mod answer;
mod embeddings;
mod request;
mod stream;

use crate::read_error::ReadError;
use std::borrow::Cow;
use std::sync::Arc;

use super::build::{BuildProblem, Builder, Connection, FamilyDefaults};
use super::embeddings::EmbeddingFormat;
use super::family::{Family, KeyVariable};
use super::fit::{ErrorForm, Receiver, ResultMedia, SamplingRules};
use super::openai::Dialect;
use super::settings::CallSettings;
use super::wire::{ChatPath, Mode, StreamDecoder, Wire, entry_segment, model_ids, path_segment};
use gateway_model::ProviderCall;
use gateway_model::error::GatewayError;
use gateway_model::{Answer, Feature, Provider};

/// How it departs from OpenAI where it speaks OpenAI's form.
const DIALECT: Dialect = Dialect::COMPATIBLE;

pub fn describe() -> Family {
    Family {
        key_variable: KeyVariable::Same("CLOUDFLARE_API_TOKEN"),
        models: &["@cf/meta/llama-3.3-70b-instruct-fp8-fast", "@cf/openai/gpt-oss-120b"],
        options: &["accountId"],
        // The account stands in the base URL.
        ..Family::new("workers-ai", "Cloudflare Workers AI", FamilyDefaults::at(""), &connect)
    }
}

fn connect(builder: &Builder<'_>) -> Result<Arc<dyn Provider>, BuildProblem> {
    let connection = Connection::new(WorkersAiWire);
    let connection = match (&builder.config.options.account_id, &builder.config.base_url) {
        (Some(account), _) => {
            let account = entry_segment(account).ok_or_else(|| {
                BuildProblem::invalid(format_args!("options.accountId {account:?} is not an account's id"))
            })?;
            connection.at(format!("https://api.cloudflare.com/client/v4/accounts/{account}/ai"))
        }
        (None, Some(_)) => connection,
        (None, None) => {
            let needed_by = "family \"workers-ai\"".to_owned();
            return Err(BuildProblem::Required { field: "options.accountId", needed_by });
        }
    };
    builder.http(connection)
}

pub struct WorkersAiWire;

/// The path of a model's calls. Names hold slashes and an `@`, which stay as they are.
fn run_path(model: &str) -> String {
    let segments = model.split('/').map(|segment| path_segment(segment).replace("%40", "@"));
    segments.fold("/run".to_owned(), |path, segment| path + "/" + &segment)
}

impl Wire for WorkersAiWire {
    fn chat_path(&self) -> ChatPath {
        ChatPath::PerCall(|model, _| run_path(model))
    }

    /// JSON mode does not stream.
    fn supports_json_mode(&self, _: &ProviderCall, mode: Mode) -> bool {
        !mode.is_stream()
    }

    fn supports(&self, feature: Feature) -> bool {
        !matches!(feature, Feature::Files | Feature::Audio | Feature::OpenAiParts)
    }

    fn receiver(&self, _: &ProviderCall) -> Receiver {
        Receiver {
            errors: ErrorForm::Words,
            result_media: ResultMedia::Behind,
            sampling: SamplingRules { max_temperature: 5.0, ..SamplingRules::USUAL },
            ..Receiver::LENIENT
        }
    }

    fn body(&self, settings: &mut CallSettings<'_>, mode: Mode) -> Result<Vec<u8>, GatewayError> {
        serde_json::to_vec(&request::body(settings, mode)).map_err(GatewayError::unwritable)
    }

    fn answer(&self, body: &[u8]) -> Result<Answer, ReadError> {
        answer::answer(body)
    }

    fn decoder(&self) -> Box<dyn StreamDecoder> {
        Box::new(stream::WorkersAiDecoder::new())
    }

    fn embeddings(&self) -> Option<&dyn EmbeddingFormat> {
        Some(self)
    }

    fn models_path(&self) -> Option<Cow<'static, str>> {
        Some(Cow::Borrowed("/models/search?per_page=1000"))
    }

    fn models(&self, body: &[u8]) -> Result<Vec<String>, ReadError> {
        model_ids(body, "result", "name")
    }
}

#[cfg(test)]
mod tests;
