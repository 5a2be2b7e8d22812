//! What a row of the catalogue says, and how a provider is built of it.

use std::sync::Arc;

use crate::build::{BuildProblem, Builder, Connection, FamilyDefaults, KeyHeader};
use crate::family::{BuildProvider, EntryRule, Family, KeyVariable};
use crate::openai::{Dialect, OpenAiWire};
use crate::responses::ResponsesWire;
use gateway_model::Provider;
use gateway_model::config::ProviderConfig;

/// A service that speaks OpenAI's format.
#[derive(Clone, Copy)]
pub struct Service {
    /// What `provider` says in an entry.
    pub family: &'static str,
    /// Its name, for people.
    pub title: &'static str,
    /// Without a slash at the end; empty: an entry must set its `baseUrl`.
    pub base_url: &'static str,
    /// The environment variable its key is usually kept in; empty: it needs no key.
    pub key_variable: &'static str,
    pub key_header: KeyHeader,
    /// What an entry that lists no models has.
    pub models: &'static [&'static str],
    /// Whether an entry may leave out its models, and where its key is.
    pub entry_rule: EntryRule,
    /// Milliseconds of one attempt, where an entry sets none.
    pub timeout_ms: u64,
    pub dialect: Dialect,
    /// The field that names the caller's user in the Responses API, where it is not that of chat completions.
    pub responses_user: Option<&'static str>,
    /// The fields of an entry's `options` that it reads.
    pub options: &'static [&'static str],
    pub addressing: Addressing,
}

/// How an entry's addresses are found: its base URL, where that is not simply the entry's or the row's, and the format with what
/// its addresses say in addition to the path.
pub type Addressing = fn(&ProviderConfig, Dialect) -> Result<(Option<String>, OpenAiWire), BuildProblem>;

/// A service with nothing special about it: family, title, base URL, key variable, models.
pub(super) const fn row(
    family: &'static str,
    title: &'static str,
    base_url: &'static str,
    key_variable: &'static str,
    models: &'static [&'static str],
) -> Service {
    Service {
        family,
        title,
        base_url,
        key_variable,
        key_header: KeyHeader::Bearer,
        models,
        entry_rule: EntryRule::MayOmitDefaults,
        timeout_ms: 60_000,
        dialect: Dialect::COMPATIBLE,
        responses_user: None,
        options: &["api"],
        addressing: |_, dialect| Ok((None, OpenAiWire::new(dialect))),
    }
}

/// What is special about a service. The dialect comes first: it brings its own number of texts.
impl Service {
    pub(super) const fn speaks(self, dialect: Dialect) -> Self {
        Self { dialect, ..self }
    }

    /// It has embeddings, of so many texts in one request.
    pub(super) const fn embeds(self, texts: usize) -> Self {
        Self { dialect: Dialect { embedding_inputs: texts, ..self.dialect }, ..self }
    }

    /// It documents `top_k`, which OpenAI does not have.
    pub(super) const fn takes_top_k(self) -> Self {
        Self { dialect: Dialect { top_k: true, ..self.dialect }, ..self }
    }

    pub(super) const fn keyed(self, key_header: KeyHeader) -> Self {
        Self { key_header, ..self }
    }

    pub(super) const fn waits(self, timeout_ms: u64) -> Self {
        Self { timeout_ms, ..self }
    }

    /// The Responses API has a field of its own for the caller's user.
    pub(super) const fn names_users_in_responses(self, field: &'static str) -> Self {
        Self { responses_user: Some(field), ..self }
    }

    /// Its addresses are worked out from the entry, with these `options`.
    pub(super) const fn addressed(self, addressing: Addressing, options: &'static [&'static str]) -> Self {
        Self { addressing, options, ..self }
    }

    /// A family of `ai-gateway-lite`: its entries say where their key is and which models they have.
    pub(super) const fn states_all(self) -> Self {
        Self { entry_rule: EntryRule::MustStateAll, ..self }
    }
}

impl Service {
    pub(super) fn describe(&'static self) -> Family {
        let defaults = FamilyDefaults {
            key_header: self.key_header,
            timeout_ms: self.timeout_ms,
            ..FamilyDefaults::at(self.base_url)
        };
        Family {
            key_variable: match self.key_variable {
                "" => KeyVariable::None,
                name => KeyVariable::Same(name),
            },
            models: self.models,
            entry_rule: self.entry_rule,
            options: self.options,
            ..Family::new(self.family, self.title, defaults, self)
        }
    }
}

impl BuildProvider for Service {
    /// In the format that `options.api` chooses.
    fn build(&self, builder: &Builder<'_>) -> Result<Arc<dyn Provider>, BuildProblem> {
        let (base_url, chat) = (self.addressing)(builder.config, self.dialect)?;
        let connection = match builder.config.options.api.as_deref() {
            None | Some("chat") => Connection::new(chat),
            Some("responses") if chat.deployment.is_some() => {
                return Err(BuildProblem::invalid(
                    "options.api \"responses\" has no address by deployment: leave options.deployment out, and name the \
                     deployment as the model",
                ));
            }
            Some("responses") => {
                let user = self.responses_user.unwrap_or(self.dialect.user);
                Connection::new(ResponsesWire { chat, user })
            }
            Some(other) => {
                return Err(BuildProblem::invalid(format_args!(
                    "options.api must be \"chat\" or \"responses\", not \"{other}\""
                )));
            }
        };
        builder.http(match base_url {
            Some(base_url) => connection.exactly_at(base_url),
            None => connection,
        })
    }
}
