//! The secret of a client's key: shown once, kept as a hash.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::RngCore;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

const PREFIX: &str = "gw-";

/// `gw-` and 32 random bytes in base64url.
pub struct ClientSecret(Zeroizing<String>);

impl ClientSecret {
    pub fn generate() -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        rand::rng().fill_bytes(&mut *bytes);
        // Room for all of it: a string that grows leaves copies behind.
        let mut secret = Zeroizing::new(String::with_capacity(64));
        secret.push_str(PREFIX);
        URL_SAFE_NO_PAD.encode_string(bytes.as_slice(), &mut secret);
        Self(secret)
    }

    /// For the operator, this once.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    pub fn hash(&self) -> SecretHash {
        SecretHash::of(&self.0)
    }
}

impl fmt::Debug for ClientSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ClientSecret(…)")
    }
}

/// What is kept of a secret. SHA-256 is enough, as 256 random bits cannot be guessed; and a call is not held up by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SecretHash([u8; 32]);

impl SecretHash {
    pub fn of(secret: &str) -> Self {
        Self(Sha256::digest(secret.as_bytes()).into())
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl TryFrom<&[u8]> for SecretHash {
    type Error = std::array::TryFromSliceError;

    fn try_from(bytes: &[u8]) -> Result<Self, Self::Error> {
        bytes.try_into().map(Self)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn each_secret_is_another_and_none_is_printed() {
        let (one, other) = (ClientSecret::generate(), ClientSecret::generate());
        assert_ne!(one.reveal(), other.reveal());
        assert!(one.reveal().starts_with(PREFIX));
        assert_eq!(URL_SAFE_NO_PAD.decode(&one.reveal()[PREFIX.len()..]).unwrap().len(), 32);
        assert!(!format!("{one:?}").contains(&one.reveal()[PREFIX.len()..]));
    }

    #[test]
    fn a_hash_is_known_again() {
        let secret = ClientSecret::generate();
        let kept = SecretHash::try_from(secret.hash().as_bytes()).unwrap();
        assert_eq!(SecretHash::of(secret.reveal()), kept);
        assert_ne!(SecretHash::of("gw-another"), kept);
        SecretHash::try_from(&b"short"[..]).unwrap_err();
    }
}
