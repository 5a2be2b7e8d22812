//! The OpenAI-compatible services: one row of data each.
//!
//! `docs/providers.md` shows them; a test holds it against the rows.

mod china;
mod global;
mod local;

use super::openai::Dialect;

/// A service that speaks OpenAI's format.
#[derive(Debug, Clone, Copy)]
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
    /// Of one attempt, where an entry sets none.
    pub timeout_ms: u64,
    pub dialect: Dialect,
}

/// Where a key goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyHeader {
    /// `Authorization: Bearer KEY`.
    Bearer,
    /// A header that holds the key alone.
    Named(&'static str),
    /// Not in a header at all: it signs.
    Unsent,
}

/// A service with nothing special about it: family, title, base URL, key variable, models.
const fn row(
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
        timeout_ms: 60_000,
        dialect: Dialect::COMPATIBLE,
    }
}

/// What is special about a service. The dialect comes first: it brings its own number of texts.
impl Service {
    const fn speaks(self, dialect: Dialect) -> Self {
        Self { dialect, ..self }
    }

    /// It has embeddings, of so many texts in one request.
    const fn embeds(self, texts: usize) -> Self {
        Self { dialect: Dialect { embedding_inputs: texts, ..self.dialect }, ..self }
    }

    const fn keyed(self, key_header: KeyHeader) -> Self {
        Self { key_header, ..self }
    }

    const fn waits(self, timeout_ms: u64) -> Self {
        Self { timeout_ms, ..self }
    }
}

/// All of them.
pub fn services() -> impl Iterator<Item = &'static Service> {
    [global::SERVICES, china::SERVICES, local::SERVICES].into_iter().flatten()
}

/// The service of a family.
pub fn service(family: &str) -> Option<&'static Service> {
    services().find(|service| service.family == family)
}

/// Families of the original, whose entries say themselves where their key is and which models they have.
const ORIGINAL: [&str; 2] = ["openai", "openrouter"];

impl Service {
    /// Whether an entry may leave out what the row says: where its key is, and its models.
    pub fn has_defaults(&self) -> bool {
        !ORIGINAL.contains(&self.family)
    }
}

#[cfg(test)]
mod tests;
