//! The OpenAI-compatible services: one row of data each.

use super::openai::Dialect;

/// A service that speaks OpenAI's format.
#[derive(Debug)]
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
    /// None: requests are signed with it.
    Unsent,
}

/// What most rows have in common.
const SERVICE: Service = Service {
    family: "",
    title: "",
    base_url: "",
    key_variable: "",
    key_header: KeyHeader::Bearer,
    models: &[],
    timeout_ms: 60_000,
    dialect: Dialect::COMPATIBLE,
};

/// In the order of their families' names.
pub static SERVICES: &[Service] = &[
    Service {
        family: "azure",
        title: "Azure OpenAI",
        key_variable: "AZURE_OPENAI_API_KEY",
        key_header: KeyHeader::Named("api-key"),
        dialect: Dialect::OPENAI,
        ..SERVICE
    },
    Service {
        family: "deepseek",
        title: "DeepSeek",
        base_url: "https://api.deepseek.com/v1",
        key_variable: "DEEPSEEK_API_KEY",
        models: &["deepseek-chat", "deepseek-reasoner"],
        ..SERVICE
    },
    Service {
        family: "openai",
        title: "OpenAI",
        base_url: "https://api.openai.com/v1",
        key_variable: "OPENAI_API_KEY",
        models: &["gpt-4o-mini"],
        timeout_ms: 30_000,
        dialect: Dialect::OPENAI,
        ..SERVICE
    },
    Service {
        family: "openrouter",
        title: "OpenRouter",
        base_url: "https://openrouter.ai/api/v1",
        key_variable: "OPENROUTER_API_KEY",
        models: &["openrouter/auto"],
        dialect: Dialect { developer_role: true, ..Dialect::COMPATIBLE },
        ..SERVICE
    },
];

/// The service of a family.
pub fn service(family: &str) -> Option<&'static Service> {
    SERVICES.iter().find(|service| service.family == family)
}

/// Families of the original, whose entries say themselves where their key is and which models they have.
const ORIGINAL: [&str; 2] = ["openai", "openrouter"];

impl Service {
    /// Whether an entry may leave out what the row says: where its key is, and its models.
    pub fn has_defaults(&self) -> bool {
        !ORIGINAL.contains(&self.family)
    }
}
