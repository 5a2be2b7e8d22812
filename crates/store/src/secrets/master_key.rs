use std::fmt;

use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use super::SecretError;

/// What the operator gives: a text of any length, best a random one.
#[derive(Clone)]
pub struct MasterKey(Zeroizing<Vec<u8>>);

impl MasterKey {
    /// Blanks around it do not count: they come from files that end with a line break.
    pub fn new(text: &str) -> Result<Self, SecretError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(SecretError::EmptyMasterKey);
        }
        Ok(Self(Zeroizing::new(text.as_bytes().to_vec())))
    }

    /// 32 random bytes, in hexadecimal.
    pub fn random() -> Result<Self, SecretError> {
        let bytes = random::<32>()?;
        let mut text = Zeroizing::new(Vec::with_capacity(64));
        for byte in bytes.iter() {
            for digit in [byte >> 4, byte & 15] {
                text.push(if digit < 10 { b'0' + digit } else { b'a' + digit - 10 });
            }
        }
        Ok(Self(text))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("MasterKey(…)")
    }
}

pub(super) fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, SecretError> {
    let mut bytes = Zeroizing::new([0; N]);
    SystemRandom::new().fill(bytes.as_mut()).map_err(|_| SecretError::NoRandomness)?;
    Ok(bytes)
}
