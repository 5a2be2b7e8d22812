use std::sync::Arc;
use std::time::Duration;

use gateway_store::secrets::{CHANNEL_SECRET_FIELD, MasterKey, SecretError, Vault};
use rand::Rng;

use super::server;
use crate::schema_or_return;

fn master(text: &str) -> MasterKey {
    MasterKey::new(text).unwrap()
}

async fn channel_secret(schema: &server::Schema, vault: &Vault, id: &str, secret: &str) {
    let sealed = vault.keyring().seal(id, CHANNEL_SECRET_FIELD, secret.as_bytes()).unwrap();
    let hex: String = sealed.iter().map(|byte| format!("{byte:02x}")).collect();
    schema.run("INSERT INTO channels VALUES ('c', 'c', '{}', false, 0, 0, 0) ON CONFLICT DO NOTHING").await;
    schema
        .run(&format!("INSERT INTO channel_secrets VALUES ('{id}', 'c', 0, decode('{hex}', 'hex'), '…', 0)"))
        .await;
}

async fn open_channel_secret(
    schema: &server::Schema,
    vault: &Vault,
    id: &str,
) -> Result<String, SecretError> {
    use sqlx::Row;
    let rows = schema.rows(&format!("SELECT ciphertext FROM channel_secrets WHERE id = '{id}'")).await;
    let opened = vault.keyring().open(id, CHANNEL_SECRET_FIELD, rows[0].get(0))?;
    Ok(String::from_utf8(opened.to_vec()).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_survive_a_change_of_the_master_key() {
    let schema = schema_or_return!();
    let (one, two) = (master("one"), master("two"));
    let (first, second) = futures::future::join(
        Vault::unlock(Arc::new(schema.records()), &one, &[]),
        Vault::unlock(Arc::new(schema.records()), &one, &[]),
    )
    .await;
    let (vault, elsewhere) = (first.unwrap(), second.unwrap());
    assert_eq!(schema.number("SELECT count(*) FROM encryption_keys").await, 1);
    vault.store("webhook", "secret", b"w").await.unwrap();
    vault.store("webhook", "secret", b"w-2").await.unwrap();
    channel_secret(&schema, &vault, "s1", "sk-1").await;
    assert_eq!(elsewhere.secret("webhook", "secret").await.unwrap().unwrap().as_slice(), b"w-2");

    assert_eq!(vault.change_master_key(&two).await.unwrap(), 2);
    let again = Vault::unlock(Arc::new(schema.records()), &two, &[]).await.unwrap();
    assert_eq!(again.secret("webhook", "secret").await.unwrap().unwrap().as_slice(), b"w-2");
    assert_eq!(open_channel_secret(&schema, &again, "s1").await.unwrap(), "sk-1");
    let wrong = Vault::unlock(Arc::new(schema.records()), &one, &[]).await.err().unwrap();
    assert_eq!(wrong, SecretError::WrongMasterKey { key: 2 });
    let refused = elsewhere.store("webhook", "secret", b"lost").await.unwrap_err().to_string();
    assert!(refused.contains("GATEWAY_MASTER_KEY"), "{refused}");
    assert!(elsewhere.change_master_key(&master("three")).await.is_err());
    vault.remove("webhook", "secret").await.unwrap();
    assert!(vault.secret("webhook", "secret").await.unwrap().is_none());
}

#[tokio::test]
async fn a_secret_that_does_not_open_stops_the_change_of_all() {
    let schema = schema_or_return!();
    let vault = Vault::unlock(Arc::new(schema.records()), &master("one"), &[]).await.unwrap();
    vault.store("a", "f", b"a").await.unwrap();
    channel_secret(&schema, &vault, "s1", "sk-1").await;
    schema.run("UPDATE channel_secrets SET ciphertext = ciphertext || '\\x00'").await;
    let error = vault.change_master_key(&master("two")).await.unwrap_err();
    assert!(matches!(error, SecretError::Damaged { .. }), "{error}");
    assert_eq!(vault.secret("a", "f").await.unwrap().unwrap().as_slice(), b"a");
    assert_eq!(schema.number("SELECT id FROM encryption_keys").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_is_cut_off_leaves_all_as_before_or_all_as_after() {
    let schema = schema_or_return!();
    let names = ["one", "two"];
    let vault = Vault::unlock(Arc::new(schema.records()), &master(names[0]), &[]).await.unwrap();
    for number in 0..60 {
        vault.store(&format!("r{number}"), "f", b"secret").await.unwrap();
    }
    let (mut current, mut changed) = (0, 0);
    for round in 0..5 {
        let other = master(names[1 - current]);
        let vault = Vault::unlock(Arc::new(schema.records()), &master(names[current]), &[]).await.unwrap();
        if round == 0 {
            vault.change_master_key(&other).await.unwrap();
        } else {
            // Most of the time goes into the new key; the transaction is short and at the end.
            let cut = Duration::from_millis(rand::rng().random_range(200..600));
            let _ = tokio::time::timeout(cut, vault.change_master_key(&other)).await;
        }
        drop(vault);
        let records = Arc::new(schema.records());
        let former = Vault::unlock(records.clone(), &master(names[current]), &[]).await;
        let vault = match former {
            Ok(vault) => vault,
            Err(SecretError::WrongMasterKey { .. }) => {
                (current, changed) = (1 - current, changed + 1);
                Vault::unlock(records, &other, &[]).await.unwrap()
            }
            Err(error) => panic!("{error}"),
        };
        for number in 0..60 {
            let opened = vault.secret(&format!("r{number}"), "f").await.unwrap().unwrap();
            assert_eq!(opened.as_slice(), b"secret");
        }
    }
    assert!(changed >= 1);
}
