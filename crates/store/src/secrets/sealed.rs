//! The format of a sealed secret:
//!
//! | bytes | |
//! |---|---|
//! | 1 | version of the format, 1 |
//! | 4 | number of the key, big-endian |
//! | 12 | nonce, random |
//! | … | ciphertext, as long as the secret |
//! | 16 | tag |
//!
//! Authenticated with it: the first five bytes, the length of the record's name (4 bytes, big-endian), the record's name,
//! and the field's name.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

use super::SecretError;
use super::derivation::KeyBytes;
use super::master_key::random;

const VERSION: u8 = 1;
const HEAD: usize = 5;
const TAG: usize = 16;

/// Which field of which record a secret is.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub record: &'a str,
    pub field: &'a str,
}

impl Place<'_> {
    fn damaged(&self) -> SecretError {
        SecretError::Damaged { record: self.record.into(), field: self.field.into() }
    }

    fn authenticated(&self, head: &[u8]) -> Vec<u8> {
        // A name of more than 4 GiB does not exist; cut, it would still be authenticated in full.
        let length = u32::try_from(self.record.len()).unwrap_or(u32::MAX).to_be_bytes();
        [head, &length, self.record.as_bytes(), self.field.as_bytes()].concat()
    }
}

/// ring does not wipe the round keys that it makes of a key; made for each use, they do not stay.
fn cipher(key: &KeyBytes) -> Result<LessSafeKey, SecretError> {
    let unbound = UnboundKey::new(&AES_256_GCM, key);
    Ok(LessSafeKey::new(unbound.map_err(|_| SecretError::Derivation("it has a wrong length".into()))?))
}

pub(super) fn seal(
    key: &KeyBytes,
    number: u32,
    at: Place<'_>,
    secret: &[u8],
) -> Result<Vec<u8>, SecretError> {
    seal_with(key, number, at, secret, *random::<NONCE_LEN>()?)
}

fn seal_with(
    key: &KeyBytes,
    number: u32,
    at: Place<'_>,
    secret: &[u8],
    nonce: [u8; NONCE_LEN],
) -> Result<Vec<u8>, SecretError> {
    let mut head = [VERSION, 0, 0, 0, 0];
    head[1..].copy_from_slice(&number.to_be_bytes());
    // Of its full size from the start: growing would leave copies of the secret behind.
    let mut text = Zeroizing::new(Vec::with_capacity(secret.len() + TAG));
    text.extend_from_slice(secret);
    cipher(key)?
        .seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(at.authenticated(&head)),
            &mut *text,
        )
        .map_err(|_| SecretError::Derivation("the secret is too long to be encrypted".into()))?;
    Ok([&head[..], &nonce, &text].concat())
}

/// The number of the key that `sealed` was made with.
pub(super) fn key_number(at: Place<'_>, sealed: &[u8]) -> Result<u32, SecretError> {
    let [version, number @ ..] = sealed.first_chunk::<HEAD>().ok_or_else(|| at.damaged())?;
    if *version != VERSION {
        return Err(SecretError::UnknownFormat {
            record: at.record.into(),
            field: at.field.into(),
            version: *version,
        });
    }
    Ok(u32::from_be_bytes(*number))
}

pub(super) fn open(key: &KeyBytes, at: Place<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    let (head, rest) = sealed.split_at_checked(HEAD).ok_or_else(|| at.damaged())?;
    let (nonce, text) = rest.split_first_chunk::<NONCE_LEN>().ok_or_else(|| at.damaged())?;
    let mut text = Zeroizing::new(text.to_vec());
    let length = cipher(key)?
        .open_in_place(
            Nonce::assume_unique_for_key(*nonce),
            Aad::from(at.authenticated(head)),
            text.as_mut_slice(),
        )
        .map_err(|_| at.damaged())?
        .len();
    text.truncate(length);
    Ok(text)
}

#[cfg(test)]
#[path = "sealed_tests.rs"]
mod tests;
