use std::path::PathBuf;

use gateway_engine::state::StoreError;
use thiserror::Error;

/// A process that has another key than the newest may not write what others could not read.
pub(crate) fn not_newest(store: &str) -> StoreError {
    let message = "the master key was changed meanwhile: start again with the new GATEWAY_MASTER_KEY";
    StoreError::failed(store, message)
}

/// Why a secret is not to be had. None of the messages holds a secret, or a part of one.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum SecretError {
    #[error(
        "the master key is empty; set GATEWAY_MASTER_KEY, to 32 random bytes in hexadecimal for instance"
    )]
    EmptyMasterKey,
    #[error(
        "the master key is not the one that the stored secrets were encrypted with (key {key}); nothing was changed: \
         start with the former GATEWAY_MASTER_KEY, or restore the key file that belongs to this database"
    )]
    WrongMasterKey { key: u32 },
    #[error(
        "{field} of {record} is encrypted with key {key}, which this process does not have; if the master key was changed, \
         start again with the new one"
    )]
    UnknownKey { record: String, field: String, key: u32 },
    #[error(
        "{field} of {record} was encrypted by a newer version of this program (format {version}); update the program, or \
         store the secret again"
    )]
    UnknownFormat { record: String, field: String, version: u8 },
    #[error(
        "{field} of {record} cannot be decrypted: it is damaged, or belongs to another record; restore it from a backup, or \
         store the secret again"
    )]
    Damaged { record: String, field: String },
    #[error("the record of encryption key {key} is damaged ({why}); restore the database from a backup")]
    DamagedKeyRecord { key: u32, why: &'static str },
    #[error("the key file {}: {message}", path.display())]
    KeyFile { path: PathBuf, message: String },
    #[error("the encryption key could not be made: {0}")]
    Derivation(String),
    #[error("no random numbers are to be had from the operating system")]
    NoRandomness,
    #[error(transparent)]
    Store(#[from] StoreError),
}
