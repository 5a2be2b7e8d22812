//! `settings.limits`: what callers may use, each for itself.

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::settings::RateLimit;
use super::values::count;

/// One limit; absent means no limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserLimit {
    #[serde(default, deserialize_with = "count")]
    pub requests_per_minute: Option<u64>,
    #[serde(default, deserialize_with = "count")]
    pub tokens_per_minute: Option<u64>,
    /// Calls at once.
    #[serde(default, deserialize_with = "count")]
    pub max_concurrency: Option<u64>,
    #[serde(default, deserialize_with = "super::values::null_as_default")]
    pub per: LimitKey,
}

/// Whose calls a limit counts together; those without a value are one more caller's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum LimitKey {
    #[default]
    UserId,
    UserTier,
    /// The key that a client of a server calls with: calls in process have none.
    Key,
    Metadata(String),
}

pub const A_LIMIT_KEY: &str = "must be one of: userId, userTier, key, metadata.NAME";

impl LimitKey {
    /// `None`: the text names none.
    pub fn read(text: &str) -> Option<Self> {
        Some(match text {
            "userId" => Self::UserId,
            "userTier" => Self::UserTier,
            "key" => Self::Key,
            _ => Self::Metadata(text.strip_prefix("metadata.").filter(|name| !name.is_empty())?.to_owned()),
        })
    }
}

impl std::fmt::Display for LimitKey {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::UserId => out.write_str("userId"),
            Self::UserTier => out.write_str("userTier"),
            Self::Key => out.write_str("key"),
            Self::Metadata(name) => write!(out, "metadata.{name}"),
        }
    }
}

impl<'de> Deserialize<'de> for LimitKey {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        Self::read(&String::deserialize(input)?).ok_or_else(|| D::Error::custom(A_LIMIT_KEY))
    }
}

impl UserLimit {
    pub fn rate(&self) -> RateLimit {
        RateLimit { requests_per_minute: self.requests_per_minute, tokens_per_minute: self.tokens_per_minute }
    }
}

/// One limit, or a list of them. Read as they come, so that faults have their path.
pub(super) fn limits<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<UserLimit>, D::Error> {
    input.deserialize_any(OneOrSeveral)
}

struct OneOrSeveral;

impl<'de> Visitor<'de> for OneOrSeveral {
    type Value = Vec<UserLimit>;

    fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("an object or an array of objects")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Vec::new())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Self::Value, A::Error> {
        Ok(vec![UserLimit::deserialize(MapAccessDeserializer::new(fields))?])
    }
}
