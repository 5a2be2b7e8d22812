//! How a wire format describes the families that speak it.

use std::sync::Arc;

use super::build::{BuildProblem, Builder, FamilyDefaults};
use gateway_model::Provider;
use gateway_model::config::{AuthType, ProviderConfig};

/// What there is to know about a family before an entry of it is built.
#[derive(Clone, Copy)]
pub struct Family {
    /// What `provider` says in an entry: small letters, digits, dashes.
    pub name: &'static str,
    /// The service's name, for people.
    pub title: &'static str,
    /// The environment variable that its key is usually kept in.
    pub key_variable: KeyVariable,
    /// What an entry that lists no models has.
    pub models: &'static [&'static str],
    pub entry_rule: EntryRule,
    /// The fields of an entry's `options` that it reads.
    pub options: &'static [&'static str],
    /// The environment variables that it reads for an entry, beside those of its keys.
    pub other_variables: fn(&ProviderConfig) -> Vec<String>,
    pub(crate) defaults: FamilyDefaults,
    pub(crate) build: &'static dyn BuildProvider,
}

impl Family {
    /// A family without a key, models, options or variables; the rest of a description says what it has of them.
    pub(crate) const fn new(
        name: &'static str,
        title: &'static str,
        defaults: FamilyDefaults,
        build: &'static dyn BuildProvider,
    ) -> Self {
        Self {
            name,
            title,
            key_variable: KeyVariable::None,
            models: &[],
            entry_rule: EntryRule::MayOmitDefaults,
            options: &[],
            other_variables: |_| Vec::new(),
            defaults,
            build,
        }
    }
}

/// The environment variable that a family's key is usually kept in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyVariable {
    /// It has no usual one, or needs no key.
    None,
    /// The same whatever `auth.type` says.
    Same(&'static str),
    /// Two kinds of keys have two variables; the other types of `auth` have none.
    ByAuthType { api_key: &'static str, bearer: &'static str },
}

impl KeyVariable {
    /// The variable for entries of that `auth.type`.
    pub fn get(self, auth: AuthType) -> Option<&'static str> {
        match (self, auth) {
            (Self::Same(name), _) => Some(name),
            (Self::ByAuthType { api_key, .. }, AuthType::ApiKey) => Some(api_key),
            (Self::ByAuthType { bearer, .. }, AuthType::Bearer) => Some(bearer),
            _ => None,
        }
    }
}

/// Whether an entry may leave out its models, and where its key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryRule {
    /// What it leaves out is that of the family.
    MayOmitDefaults,
    /// It must say both, as in `ai-gateway-lite`.
    MustStateAll,
}

/// Builds the provider of an entry: a plain function does.
pub trait BuildProvider: Sync {
    /// # Errors
    /// The entry lacks something that the family needs, or says something that it cannot use.
    fn build(&self, builder: &Builder<'_>) -> Result<Arc<dyn Provider>, BuildProblem>;
}

impl<F> BuildProvider for F
where
    F: Fn(&Builder<'_>) -> Result<Arc<dyn Provider>, BuildProblem> + Sync,
{
    fn build(&self, builder: &Builder<'_>) -> Result<Arc<dyn Provider>, BuildProblem> {
        self(builder)
    }
}
