use argon2::{Algorithm, Argon2, Params, Version};
use zeroize::Zeroizing;

use super::master_key::random;
use super::{MasterKey, SecretError};

/// On the heap, so that no move leaves a copy behind.
pub(super) type KeyBytes = Zeroizing<Box<[u8]>>;

const KEY_LENGTH: usize = 32;

/// How a key is made of the master key. Kept with the secrets, as the same key is to come out of it each time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Derivation {
    pub salt: [u8; 16],
    pub memory_kib: u32,
    pub passes: u32,
    pub lanes: u32,
}

/// What a database may ask for: enough for any sane choice, and not enough to exhaust a machine.
const MOST_MEMORY_KIB: u32 = 1024 * 1024;
const MOST_PASSES: u32 = 64;
const MOST_LANES: u32 = 64;

impl Derivation {
    /// A new salt, with the second choice of RFC 9106: 64 MiB, three passes, four lanes.
    pub fn new() -> Result<Self, SecretError> {
        Ok(Self { salt: *random::<16>()?, memory_kib: 64 * 1024, passes: 3, lanes: 4 })
    }

    /// Takes some tenths of a second of a processor: not for a thread that others wait for.
    pub(super) fn derive(&self, master: &MasterKey) -> Result<KeyBytes, SecretError> {
        if self.memory_kib > MOST_MEMORY_KIB || self.passes > MOST_PASSES || self.lanes > MOST_LANES {
            return Err(SecretError::Derivation("its stored parameters ask for too much".into()));
        }
        let failed = |error: argon2::Error| SecretError::Derivation(error.to_string());
        let params =
            Params::new(self.memory_kib, self.passes, self.lanes, Some(KEY_LENGTH)).map_err(failed)?;
        let mut key = KeyBytes::new(vec![0; KEY_LENGTH].into_boxed_slice());
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        argon2.hash_password_into(master.bytes(), &self.salt, &mut key).map_err(failed)?;
        Ok(key)
    }
}
