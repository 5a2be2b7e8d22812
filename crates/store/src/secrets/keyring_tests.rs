#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;

fn master(text: &str) -> MasterKey {
    MasterKey::new(text).unwrap()
}

/// A key that is made quickly.
fn quick(id: u32, text: &str) -> (Keyring, KeyRecord) {
    let derivation = Derivation { memory_kib: 64, passes: 1, ..Derivation::new().unwrap() };
    Keyring::create_with(id, derivation, &master(text)).unwrap()
}

#[test]
fn a_keyring_is_unlocked_with_the_master_key_that_made_it() {
    let (ring, record) = quick(1, "one");
    let sealed = ring.seal("channel/1", "key", b"sk-1").unwrap();
    let again = Keyring::unlock(&[record], &master("one"), &[]).unwrap().unwrap();
    assert_eq!(again.open("channel/1", "key", &sealed).unwrap().as_slice(), b"sk-1");
    assert!(!again.is_of_former_master());
}

#[test]
fn a_wrong_master_key_is_told_with_what_to_do() {
    let (_, record) = quick(1, "one");
    let error = Keyring::unlock(&[record], &master("two"), &[]).unwrap_err();
    assert_eq!(error, SecretError::WrongMasterKey { key: 1 });
    assert!(error.to_string().contains("GATEWAY_MASTER_KEY"), "{error}");
    assert!(!error.to_string().contains("two"), "{error}");
}

#[test]
fn former_keys_open_and_the_newest_seals() {
    let (old, first) = quick(1, "one");
    let (_, second) = quick(2, "two");
    let of_old = old.seal("r", "f", b"old").unwrap();
    let ring =
        Keyring::unlock(&[second, first], &master("two"), &[master("zero"), master("one")]).unwrap().unwrap();
    assert_eq!(ring.open("r", "f", &of_old).unwrap().as_slice(), b"old");
    assert_eq!(ring.newest(), 2);
    assert!(!ring.is_of_former_master());
    let of_new = ring.seal("r", "f", b"new").unwrap();
    assert_eq!(
        old.open("r", "f", &of_new).unwrap_err(),
        SecretError::UnknownKey { record: "r".into(), field: "f".into(), key: 2 }
    );
}

#[test]
fn a_newest_key_of_a_former_master_asks_to_be_changed() {
    let (_, record) = quick(1, "one");
    let ring = Keyring::unlock(&[record], &master("two"), &[master("one")]).unwrap().unwrap();
    assert!(ring.is_of_former_master());
}

#[test]
fn a_damaged_key_record_is_not_taken_for_a_wrong_master_key() {
    let (_, record) = quick(1, "one");
    for check in [vec![], vec![1, 0, 0, 0, 2, 0], vec![9; 40]] {
        let damaged = KeyRecord { check, ..record.clone() };
        let error = Keyring::unlock(&[damaged], &master("one"), &[]).unwrap_err();
        assert!(matches!(error, SecretError::DamagedKeyRecord { key: 1, .. }), "{error}");
    }
}

#[test]
fn nothing_of_a_key_is_printed() {
    let (ring, _) = quick(1, "one");
    assert_eq!(format!("{ring:?}"), "Keyring(key 1, …)");
    assert_eq!(format!("{:?}", master("one")), "MasterKey(…)");
}

#[test]
fn no_records_are_no_keyring() {
    assert!(Keyring::unlock(&[], &master("one"), &[]).unwrap().is_none());
}
