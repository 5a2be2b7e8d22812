use std::collections::BTreeMap;
use std::fmt;

use zeroize::Zeroizing;

use super::derivation::KeyBytes;
use super::sealed::{self, Place};
use super::{Derivation, MasterKey, SecretError};

/// What is kept of a key beside the secrets: how to make it again, and how to know that it is the right one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRecord {
    /// From 1 on; the newest key has the highest.
    pub id: u32,
    pub derivation: Derivation,
    /// A text that is known, sealed with the key.
    pub check: Vec<u8>,
}

const CHECK: Place<'static> = Place { record: "key", field: "check" };
const CHECK_TEXT: &[u8] = b"this is the right key";

impl KeyRecord {
    fn new(id: u32, derivation: Derivation, key: &KeyBytes) -> Result<Self, SecretError> {
        Ok(Self { id, derivation, check: sealed::seal(key, id, CHECK, CHECK_TEXT)? })
    }

    /// The key, if `master` is what it was made of.
    fn key_from(&self, master: &MasterKey) -> Result<Option<KeyBytes>, SecretError> {
        let damaged = |why| SecretError::DamagedKeyRecord { key: self.id, why };
        match sealed::key_number(CHECK, &self.check) {
            Ok(number) if number == self.id => {}
            Ok(_) => return Err(damaged("its check value is another key's")),
            Err(_) => return Err(damaged("its check value has no known format")),
        }
        let key = self.derivation.derive(master)?;
        Ok(sealed::open(&key, CHECK, &self.check).is_ok().then_some(key))
    }
}

/// The keys of a database: the newest one seals, and all of them open.
pub struct Keyring {
    keys: BTreeMap<u32, KeyBytes>,
    newest: u32,
    of_former_master: bool,
}

impl Keyring {
    /// The first key of a database. As [`Derivation`] says, it takes its time; so do the next two.
    pub fn create(master: &MasterKey) -> Result<(Self, KeyRecord), SecretError> {
        Self::create_with(1, Derivation::new()?, master)
    }

    /// A key after those of this ring, under another master key.
    pub fn successor(&self, master: &MasterKey) -> Result<(Self, KeyRecord), SecretError> {
        Self::create_with(self.newest.saturating_add(1), Derivation::new()?, master)
    }

    fn create_with(
        id: u32,
        derivation: Derivation,
        master: &MasterKey,
    ) -> Result<(Self, KeyRecord), SecretError> {
        let key = derivation.derive(master)?;
        let record = KeyRecord::new(id, derivation, &key)?;
        Ok((Self { keys: BTreeMap::from([(id, key)]), newest: id, of_former_master: false }, record))
    }

    /// The keys of `records`, each made of `master` or of one of the `former` ones. `None`: there are no records.
    pub fn unlock(
        records: &[KeyRecord],
        master: &MasterKey,
        former: &[MasterKey],
    ) -> Result<Option<Self>, SecretError> {
        let mut ring = Self { keys: BTreeMap::new(), newest: 0, of_former_master: false };
        for record in records {
            let mut found = record.key_from(master)?;
            let mut of_former_master = false;
            for other in former {
                if found.is_none() {
                    found = record.key_from(other)?;
                    of_former_master = true;
                }
            }
            let key = found.ok_or(SecretError::WrongMasterKey { key: record.id })?;
            ring.keys.insert(record.id, key);
            if record.id >= ring.newest {
                ring.newest = record.id;
                ring.of_former_master = of_former_master;
            }
        }
        Ok((!ring.keys.is_empty()).then_some(ring))
    }

    /// The number of the key that seals.
    pub fn newest(&self) -> u32 {
        self.newest
    }

    /// Whether the key that seals was made of a former master key: the master key is to be changed.
    pub fn is_of_former_master(&self) -> bool {
        self.of_former_master
    }

    /// Seals a secret as `field` of `record`.
    pub fn seal(&self, record: &str, field: &str, secret: &[u8]) -> Result<Vec<u8>, SecretError> {
        let at = Place { record, field };
        sealed::seal(self.key(at, self.newest)?, self.newest, at, secret)
    }

    /// Opens what was sealed as `field` of `record`, and nothing else.
    pub fn open(&self, record: &str, field: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SecretError> {
        let at = Place { record, field };
        sealed::open(self.key(at, sealed::key_number(at, sealed)?)?, at, sealed)
    }

    fn key(&self, at: Place<'_>, number: u32) -> Result<&KeyBytes, SecretError> {
        self.keys.get(&number).ok_or_else(|| SecretError::UnknownKey {
            record: at.record.into(),
            field: at.field.into(),
            key: number,
        })
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Keyring(key {}, …)", self.newest)
    }
}

#[cfg(test)]
#[path = "keyring_tests.rs"]
mod tests;
