//! Anthropic messages.
//!
//! Source: Anthropic's API reference, "Messages" and "Streaming messages" (`POST /v1/messages`).

mod answer;
mod request;
mod stream;
mod thinking;

use crate::read_error::ReadError;
use std::borrow::Cow;

use super::build::{Builder, Connection, FamilyDefaults, KeyHeader};
use super::family::{EntryRule, Family};
use super::fit::{IdRule, Prefill, Receiver, RootRule, SamplingRules, StopRule, TurnRules};
use super::settings::CallSettings;
use super::wire::{ChatPath, Mode, StreamDecoder, Wire};
use gateway_model::ProviderCall;
use gateway_model::error::GatewayError;
use gateway_model::{Answer, Feature};

pub use request::{native_format, strict_tool};
pub use thinking::{Plan, told_choice};

/// The entries of this family that speak to Anthropic's own service.
pub fn describe() -> Family {
    Family {
        entry_rule: EntryRule::MustStateAll,
        ..Family::new("anthropic", "Anthropic", DEFAULTS, &|builder: &Builder<'_>| {
            builder.http(Connection::new(AnthropicWire))
        })
    }
}

const DEFAULTS: FamilyDefaults = FamilyDefaults {
    key_header: KeyHeader::Always("x-api-key"),
    headers: &[("anthropic-version", "2023-06-01")],
    ..FamilyDefaults::at("https://api.anthropic.com")
};

pub struct AnthropicWire;

/// What the model takes, also where others offer it.
pub fn receiver_of(model: &str) -> Receiver {
    Receiver {
        ids: IdRule::Plain(64),
        turns: TurnRules {
            user_first: true,
            no_blanks: true,
            prefill: if thinking::is_from(model, (4, 6)) { Prefill::Refused } else { Prefill::Trimmed },
            ..TurnRules::NONE
        },
        schemas: RootRule::PlainObject,
        stops: StopRule { most: usize::MAX, no_blanks: true },
        sampling: SamplingRules {
            max_temperature: 1.0,
            one_alone: thinking::is_from(model, (4, 1)),
            ..SamplingRules::USUAL
        },
        ..Receiver::LENIENT
    }
}

impl Wire for AnthropicWire {
    fn chat_path(&self) -> ChatPath {
        ChatPath::Fixed("/v1/messages".into())
    }

    /// Answers are checked where the model is kept to a schema, too: not everything at such an address is Anthropic's.
    fn supports_json_mode(&self, _: &ProviderCall, _: Mode) -> bool {
        false
    }

    fn supports(&self, feature: Feature) -> bool {
        !matches!(feature, Feature::Audio | Feature::Embeddings | Feature::OpenAiParts)
    }

    fn receiver(&self, call: &ProviderCall) -> Receiver {
        receiver_of(&call.model)
    }

    fn body(&self, settings: &mut CallSettings<'_>, mode: Mode) -> Result<Vec<u8>, GatewayError> {
        request::body(settings, mode)
    }

    fn answer(&self, body: &[u8]) -> Result<Answer, ReadError> {
        answer::answer(body)
    }

    fn decoder(&self) -> Box<dyn StreamDecoder> {
        Box::<stream::AnthropicDecoder>::default()
    }

    fn models_path(&self) -> Option<Cow<'static, str>> {
        Some(Cow::Borrowed("/v1/models?limit=1000"))
    }
}
