//! The state of an entry's keys.

use serde::{Serialize, Serializer};

/// Why a key is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyTrouble {
    /// The upstream answered 401 or 403.
    Unauthorized,
    /// The upstream answered 429.
    RateLimited,
    /// The environment variable has no value.
    NotSet,
}

/// A key as it is now: one for each active cooldown, or a single one for a key without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyState {
    /// The environment variable that the key was read from, or `keys.ENTRY` where the program gave it.
    pub variable: String,
    /// Why the key is not used; `None`: it is in use.
    pub reason: Option<KeyTrouble>,
    /// Milliseconds from now until the cooldown ends.
    pub cooldown_ms: Option<u64>,
    /// The model that the cooldown is for; `None`: all of them, or the list of models.
    pub model: Option<String>,
}

impl Serialize for KeyState {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Fields<'a> {
            variable: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            reason: Option<KeyTrouble>,
            /// Deprecated: the old name of `reason`.
            #[serde(skip_serializing_if = "Option::is_none")]
            why: Option<KeyTrouble>,
            #[serde(skip_serializing_if = "Option::is_none")]
            cooldown_ms: Option<u64>,
            /// Deprecated: the old name of `cooldownMs`.
            #[serde(skip_serializing_if = "Option::is_none")]
            resting_until: Option<u64>,
            #[serde(skip_serializing_if = "Option::is_none")]
            model: Option<&'a str>,
        }
        let Self { variable, reason, cooldown_ms, model } = self;
        Fields {
            variable,
            reason: *reason,
            why: *reason,
            cooldown_ms: *cooldown_ms,
            resting_until: *cooldown_ms,
            model: model.as_deref(),
        }
        .serialize(output)
    }
}
