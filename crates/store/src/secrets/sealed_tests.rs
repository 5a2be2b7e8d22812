#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;

use super::*;
use crate::secrets::{Derivation, MasterKey};

const AT: Place<'static> = Place { record: "channel/ch_01", field: "key" };

fn key() -> KeyBytes {
    KeyBytes::new((0..32).collect())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Made with Node.js' `crypto`; a change here means that what is stored can no longer be read.
const GOLDEN: &str =
    "01000000076465666768696a6b6c6d6e6f3b70f301168532fb504f298db911058f24e4eaa342bca2851ccda20a86056783";

#[test]
fn the_format_is_the_one_that_was_stored_before() {
    let nonce = std::array::from_fn(|at| 100 + at as u8);
    let sealed = seal_with(&key(), 7, AT, b"sk-golden-vector", nonce).unwrap();
    assert_eq!(hex(&sealed), GOLDEN);
    assert_eq!(key_number(AT, &sealed).unwrap(), 7);
    assert_eq!(open(&key(), AT, &sealed).unwrap().as_slice(), b"sk-golden-vector");
}

/// Made with argon2-cffi.
#[test]
fn the_key_is_the_one_that_was_derived_before() {
    let salt = std::array::from_fn(|at| at as u8);
    let derivation = Derivation { salt, ..Derivation::new().unwrap() };
    let key = derivation.derive(&MasterKey::new("correct horse battery staple\n").unwrap()).unwrap();
    assert_eq!(hex(&key), "853b272a44db1421c02962669a55eb0994f3cab385ed1c4c79253eee19bab49e");
}

#[test]
fn parameters_that_would_exhaust_the_machine_are_refused() {
    let greedy = Derivation { memory_kib: u32::MAX, ..Derivation::new().unwrap() };
    assert!(greedy.derive(&MasterKey::new("x").unwrap()).is_err());
}

#[test]
fn a_format_of_the_future_is_told_as_such() {
    let mut sealed = seal(&key(), 1, AT, b"x").unwrap();
    sealed[0] = 2;
    assert!(matches!(key_number(AT, &sealed), Err(SecretError::UnknownFormat { version: 2, .. })));
}

#[test]
fn the_same_secret_never_looks_the_same() {
    assert_ne!(seal(&key(), 1, AT, b"x").unwrap(), seal(&key(), 1, AT, b"x").unwrap());
}

proptest! {
    #[test]
    fn what_is_sealed_opens_in_its_place_alone(
        secret in proptest::collection::vec(any::<u8>(), 0..200),
        names in ("[a-z/]{0,8}", "[a-z/]{0,8}", "[a-z/]{0,8}", "[a-z/]{0,8}"),
    ) {
        let at = Place { record: &names.0, field: &names.1 };
        let other = Place { record: &names.2, field: &names.3 };
        let sealed = seal(&key(), 1, at, &secret).unwrap();
        let opened = open(&key(), at, &sealed).unwrap();
        prop_assert_eq!(opened.as_slice(), &secret[..]);
        let same = names.0 == names.2 && names.1 == names.3;
        prop_assert_eq!(open(&key(), other, &sealed).is_ok(), same);
        // A part of one name is not a part of the other.
        let whole = format!("{}{}", names.0, names.1);
        for (cut, _) in whole.char_indices().filter(|(cut, _)| *cut != names.0.len()) {
            let moved = Place { record: &whole[..cut], field: &whole[cut..] };
            prop_assert!(open(&key(), moved, &sealed).is_err());
        }
    }

    #[test]
    fn a_flipped_bit_is_noticed(secret in proptest::collection::vec(any::<u8>(), 0..64), at in any::<prop::sample::Index>()) {
        let mut sealed = seal(&key(), 1, AT, &secret).unwrap();
        let bit = at.index(sealed.len() * 8);
        sealed[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(open(&key(), AT, &sealed).is_err());
    }

    #[test]
    fn a_truncated_secret_is_noticed(secret in proptest::collection::vec(any::<u8>(), 0..64), at in any::<prop::sample::Index>()) {
        let sealed = seal(&key(), 1, AT, &secret).unwrap();
        let cut = &sealed[..at.index(sealed.len())];
        prop_assert!(open(&key(), AT, cut).is_err());
    }

    #[test]
    fn bytes_of_any_kind_open_as_nothing(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        prop_assert!(open(&key(), AT, &bytes).is_err());
        let _ = key_number(AT, &bytes);
    }
}
