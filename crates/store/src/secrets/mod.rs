//! Secrets at rest: encrypted with AES-256-GCM, under a key that Argon2id makes of the operator's master key.
//!
//! A secret belongs to a field of a record, and can be opened as that one alone: both names are authenticated with it. Each
//! is sealed under a numbered key; what is needed to make a key again from the master key (salt, parameters) and to know a
//! wrong master key (a check value) is kept beside the secrets, once for a database: [`KeyRecord`].
//!
//! The master key changes by [`SecretRecords::replace_key`]: every secret is opened and sealed anew in one transaction, so
//! that after a death in its midst all are as before or all are as after.

mod derivation;
mod error;
mod key_file;
mod keyring;
mod master_key;
mod sealed;
mod vault;

pub use derivation::Derivation;
pub use error::SecretError;
pub(crate) use error::not_newest;
pub use key_file::{KeyFile, KeyFileOrigin};
pub use keyring::{KeyRecord, Keyring};
pub use master_key::MasterKey;
pub use vault::{Reseal, SealedSecret, SecretRecords, Vault};

/// The field of a channel's secret; its record is the secret's id.
pub const CHANNEL_SECRET_FIELD: &str = "key";
