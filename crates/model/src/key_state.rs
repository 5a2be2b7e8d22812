//! How an entry's keys are doing.

use serde::Serialize;

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

/// A key as it is now: one for each rest, or one that says nothing but the variable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyState {
    /// The environment variable that the key was read from.
    pub variable: String,
    /// Milliseconds from now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resting_until: Option<u64>,
    /// `None`: the key is in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<KeyTrouble>,
    /// The model that it rests for; `None`: all of them, or the list of models.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
}
