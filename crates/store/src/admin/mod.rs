//! What an operator administers: client keys, channels with their secrets, and the audit of each change.
//!
//! Every change is written together with its line in the audit, or neither is. What a version is given for is changed only
//! where that is still the current one. Secrets come hashed or encrypted, and never stand in the audit.

mod audit;
mod channels;
mod client_secret;
mod key_directory;
mod keys;
mod records;
pub(crate) mod tables;

pub use client_secret::{ClientSecret, SecretHash};
pub use key_directory::{KeyDirectory, KeyRefusal};

use futures::future::BoxFuture;
use gateway_engine::state::StoreError;
use serde::{Deserialize, Serialize};

/// A client's key, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientKey {
    /// Stays when the secret is rotated; ids grow with time.
    pub id: String,
    pub settings: KeySettings,
    /// Milliseconds since the epoch, as all times here.
    pub created_at: i64,
    pub last_used_at: Option<i64>,
    pub revoked_at: Option<i64>,
    /// Grows with each change.
    pub version: i64,
}

/// Of a client's key, what an operator chooses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct KeySettings {
    pub name: String,
    pub owner: Option<String>,
    pub team: Option<String>,
    pub tags: Vec<String>,
    /// Patterns of models; none: all of them.
    pub models: Vec<String>,
    pub expires_at: Option<i64>,
    /// JSON.
    pub budget: Option<String>,
    pub requests_per_minute: Option<i64>,
    pub tokens_per_minute: Option<i64>,
    pub max_concurrency: Option<i64>,
    /// Fields of a request that it may set.
    pub trust: Vec<String>,
}

/// A hash under which a key is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyHash {
    pub hash: Vec<u8>,
    pub key_id: String,
    /// `None`: it is the current one.
    pub works_until: Option<i64>,
}

/// A provider entry that stands in the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// Ids grow with time.
    pub id: String,
    pub settings: ChannelSettings,
    pub created_at: i64,
    pub updated_at: i64,
    /// Grows with each change, those of its secrets included.
    pub version: i64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChannelSettings {
    /// No two channels have the same.
    pub name: String,
    /// The fields of a provider entry, a JSON object.
    pub entry: String,
    pub disabled: bool,
}

/// A provider's key of a channel, encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelSecret {
    pub id: String,
    pub ciphertext: Vec<u8>,
    /// What of it may be shown.
    pub hint: String,
}

/// Secrets of a channel that are to be kept, and the number of the key that they were sealed under: see
/// [`crate::secrets::SecretRecords::put`]. `None`: those there are stay.
pub type NewSecrets<'a> = Option<(u32, &'a [ChannelSecret])>;

/// A line of the audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    pub id: i64,
    pub at_ms: i64,
    pub actor: String,
    pub action: String,
    /// What was changed: its kind (`key`, `channel`) and its id.
    pub subject: String,
    pub subject_id: String,
    /// JSON.
    pub detail: Option<String>,
}

/// Some of a list, in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Where the next page begins; `None`: this is the last one.
    pub next: Option<String>,
}

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    #[error("there is no {kind} \"{id}\"")]
    NotFound { kind: &'static str, id: String },
    #[error("it was changed meanwhile, and has version {current} now: read it again")]
    Changed { current: i64 },
    #[error("the key \"{0}\" was revoked: create another one")]
    Revoked(String),
    #[error("the name \"{0}\" is taken")]
    NameTaken(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

pub type Answer<'a, T> = BoxFuture<'a, Result<T, AdminError>>;

pub trait AdminRecords: Send + Sync {
    /// A new key under the hash of its secret.
    fn create_key<'a>(
        &'a self,
        actor: &'a str,
        id: &'a str,
        settings: &'a KeySettings,
        hash: &'a [u8],
    ) -> Answer<'a, ClientKey>;

    /// Revoked ones, too, in the order of their ids. `after` is [`Page::next`].
    fn keys<'a>(&'a self, after: Option<&'a str>, most: u32) -> Answer<'a, Page<ClientKey>>;

    fn key<'a>(&'a self, id: &'a str) -> Answer<'a, Option<ClientKey>>;

    /// The key with this hash, if the hash still works.
    fn key_by_hash<'a>(&'a self, hash: &'a [u8]) -> Answer<'a, Option<ClientKey>>;

    /// All hashes that still work, of keys that are not revoked.
    fn key_hashes(&self) -> Answer<'_, Vec<KeyHash>>;

    /// Grows with each change of any key; when keys were last used is none. Cheap enough to be asked for all the time: what was
    /// changed before it was answered is seen by what is read after it.
    fn keys_version(&self) -> Answer<'_, i64>;

    /// `version`: the one that is to be changed; `None`: whatever it is.
    fn change_key<'a>(
        &'a self,
        actor: &'a str,
        id: &'a str,
        version: Option<i64>,
        settings: &'a KeySettings,
    ) -> Answer<'a, ClientKey>;

    /// Gives the key another secret; the one before it works for `grace_ms` more. One that is revoked gets none.
    fn rotate_key<'a>(
        &'a self,
        actor: &'a str,
        id: &'a str,
        hash: &'a [u8],
        grace_ms: i64,
    ) -> Answer<'a, ClientKey>;

    /// It stays in the list, and none of its secrets works any more. Done twice, it is done once.
    fn revoke_key<'a>(&'a self, actor: &'a str, id: &'a str) -> Answer<'a, ClientKey>;

    /// When keys were last used. No change in the sense of the audit.
    fn touch_keys<'a>(&'a self, used: &'a [(String, i64)]) -> Answer<'a, ()>;

    /// A new channel with its secrets.
    fn create_channel<'a>(
        &'a self,
        actor: &'a str,
        id: &'a str,
        settings: &'a ChannelSettings,
        secrets: NewSecrets<'a>,
    ) -> Answer<'a, Channel>;

    fn channels<'a>(&'a self, after: Option<&'a str>, most: u32) -> Answer<'a, Page<Channel>>;

    fn channel<'a>(&'a self, id: &'a str) -> Answer<'a, Option<Channel>>;

    fn channel_secrets<'a>(&'a self, id: &'a str) -> Answer<'a, Vec<ChannelSecret>>;

    /// With `secrets`, they take the place of those there were.
    fn change_channel<'a>(
        &'a self,
        actor: &'a str,
        id: &'a str,
        version: Option<i64>,
        settings: &'a ChannelSettings,
        secrets: NewSecrets<'a>,
    ) -> Answer<'a, Channel>;

    /// With its secrets.
    fn remove_channel<'a>(&'a self, actor: &'a str, id: &'a str, version: Option<i64>) -> Answer<'a, ()>;

    /// The newest first. `before` is [`Page::next`].
    fn audit<'a>(&'a self, before: Option<&'a str>, most: u32) -> Answer<'a, Page<AuditEntry>>;
}
