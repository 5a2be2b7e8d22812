//! A Redis that answers and refuses: errors say what to do, and hold no secret.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, dead_code)]

mod redis_server;

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use gateway_engine::state::{Spent, StateStore, StoreErrorKind};
use gateway_store::redis::{RedisSettings, RedisStore};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use redis_server::watched::{Watched, assert_says};
use redis_server::{Server, free_port};

#[tokio::test]
async fn a_wrong_password_is_told_without_being_quoted() {
    let Some(server) = Server::start(&["--requirepass", "right-password"]) else { return };
    for (url, words) in [
        (format!("redis://:wrong-password@127.0.0.1:{}", server.port), "refuses the login"),
        (format!("redis://nobody:wrong-password@127.0.0.1:{}", server.port), "refuses the login"),
        (server.url(), "refuses the login"),
    ] {
        let watched = Watched::new(&url);
        let error = watched.call().await.unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Failed, "{error}");
        assert_says(&error.to_string(), &[&server.url(), words, "check the user name and password"]);
        assert!(watched.store.is_away());
        watched.fails_at_once().await;
        for text in watched.lines().into_iter().chain([error.to_string(), format!("{error:?}")]) {
            assert!(!text.contains("password@") && !text.contains("wrong-password"), "{text}");
        }
    }
    let watched = Watched::new(&format!("redis://:right-password@127.0.0.1:{}", server.port));
    watched.call().await.unwrap();
}

#[tokio::test]
async fn a_password_that_is_put_right_on_the_server_is_found() {
    let Some(server) = Server::start(&[]) else { return };
    let mut connection = server.connection();
    let mut set = |password: &str| {
        redis::cmd("CONFIG").arg(&["SET", "requirepass", password]).query::<()>(&mut connection).unwrap();
    };
    set("first");
    let watched = Watched::new(&format!("redis://:second@127.0.0.1:{}", server.port));
    watched.call().await.unwrap_err();
    set("second");
    watched.comes_back().await;
}

#[tokio::test]
async fn a_replica_that_is_read_only_is_told_and_found_when_it_is_the_primary() {
    let (Some(primary), Some(replica)) = (Server::start(&[]), Server::start(&[])) else { return };
    replica.run(&["REPLICAOF", "127.0.0.1", &primary.port.to_string()]);
    let watched = Watched::new(&replica.url());
    let error = watched.call().await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Failed);
    assert_says(&error.to_string(), &["takes no writes", "has to name the primary"]);
    replica.run(&["REPLICAOF", "NO", "ONE"]);
    let start = Instant::now();
    while watched.call().await.is_err() {
        assert!(start.elapsed() < Duration::from_secs(2));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_server_without_memory_is_told_and_not_taken_for_one_that_is_away() {
    let Some(server) = Server::start(&["--maxmemory-policy", "noeviction"]) else { return };
    let watched = Watched::new(&server.url());
    server.run(&["CONFIG", "SET", "maxmemory", "1"]);
    for _ in 0..5 {
        let error = watched.call().await.unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Failed);
        assert_says(&error.to_string(), &["no memory left", "maxmemory"]);
        assert!(!watched.store.is_away());
    }
    server.run(&["CONFIG", "SET", "maxmemory", "0"]);
    watched.call().await.unwrap();
}

#[tokio::test]
async fn a_user_without_rights_is_told_which_are_needed() {
    let Some(server) = Server::start(&["--user", "gateway", "on", ">secret", "~other:*", "+@all"]) else {
        return;
    };
    let watched = Watched::new(&format!("redis://gateway:secret@127.0.0.1:{}", server.port));
    let error = watched.call().await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Failed);
    assert_says(&error.to_string(), &["does not permit this to the user", "gw:*"]);
    // No right to ask PING is no failure.
    server.run(&["ACL", "SETUSER", "gateway", "~gw:*", "-ping"]);
    watched.call().await.unwrap();
}

#[tokio::test]
async fn a_value_that_is_too_large_is_left_out_with_the_one_before_it() {
    let Some(server) = Server::start(&[]) else { return };
    let watched = Watched::new(&server.url());
    let lasts = Duration::from_secs(60);
    watched.store.put("key", b"small", lasts).await.unwrap();
    watched.store.put("key", &vec![7; (1 << 20) + 1], lasts).await.unwrap();
    assert_eq!(watched.store.get("key").await.unwrap(), None);
    watched.store.put("key", &vec![7; 1 << 20], lasts).await.unwrap();
    assert_eq!(watched.store.get("key").await.unwrap(), Some(vec![7; 1 << 20]));
}

#[tokio::test]
async fn keys_begin_with_a_prefix_of_their_own_and_expire() {
    let Some(server) = Server::start(&[]) else { return };
    let watched = Watched::new(&server.url());
    watched.call().await.unwrap();
    watched.store.put("key", b"value", Duration::from_secs(60)).await.unwrap();
    let take = gateway_engine::state::Take { key: "key".into(), buckets: vec![(10, 1)] };
    watched.store.take(&[take]).await.unwrap();
    let notice = gateway_engine::state::Notice { name: "name".into(), text: "text".into(), lasts_ms: 60_000 };
    watched.store.post("board", &notice).await.unwrap();
    let mut connection = server.connection();
    let mut keys: Vec<String> = redis::cmd("KEYS").arg("*").query(&mut connection).unwrap();
    keys.sort();
    assert_eq!(keys, ["gw:b:key", "gw:c:counter", "gw:n:board", "gw:v:key"]);
    for key in keys {
        let left: i64 = redis::cmd("PTTL").arg(&key).query(&mut connection).unwrap();
        assert!(left > 0, "{key} does not expire");
    }
}

#[tokio::test]
async fn nodes_that_are_long_gone_are_forgotten() {
    let Some(server) = Server::start(&[]) else { return };
    let watched = Watched::new(&server.url());
    watched.call().await.unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let day = 24 * 3_600_000;
    for (node, lapsed, sequence) in
        [("eight days", 8 * day, 5), ("six days", 6 * day, 5), ("never spent", day, 0)]
    {
        let value = format!("{} {sequence:020} 1 1 1 1", now - lapsed);
        server.run(&["HSET", "gw:c:counter", &format!("n:{node}"), &value]);
    }
    assert_eq!(watched.call().await.unwrap().held_by_others, [0; 4]);
    let mut fields: Vec<String> =
        redis::cmd("HKEYS").arg("gw:c:counter").query(&mut server.connection()).unwrap();
    fields.sort();
    assert_eq!(fields, ["c", "n:node", "n:six days"]);
}

#[tokio::test]
async fn what_would_overflow_stays_at_the_end_of_its_range() {
    let Some(server) = Server::start(&[]) else { return };
    let watched = Watched::new(&server.url());
    for (sequence, figure) in [i64::MAX - 1, 5].into_iter().enumerate() {
        let spent =
            Spent { figures: [figure, -figure, 0, 1], at_ms: i64::MAX, sequence: sequence as u64 + 1 };
        watched.step("counter", Some(spent)).await.unwrap();
    }
    assert_eq!(watched.call().await.unwrap().spent, [i64::MAX, i64::MIN, 0, 2]);
}

#[test]
fn a_url_that_is_malformed_is_refused_when_the_store_is_made() {
    for url in ["redis://", "redis://:secret-word@host:port", "amqp://secret-word@host", "redis://a:1,b:2"] {
        let settings = RedisSettings::new(Arc::new(|_| {}));
        let Err(error) = RedisStore::new(url, settings) else { panic!("{url} is taken") };
        assert_eq!(error.kind, StoreErrorKind::Failed);
        assert_says(&error.to_string(), &["write redis://"]);
        assert!(!error.to_string().contains("secret-word"), "{error}");
    }
}

#[tokio::test]
async fn tls_is_verified_with_the_authorities_that_are_trusted() {
    let mut authority = CertificateParams::new([]).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(["localhost".into()]).unwrap().signed_by(&key, &authority).unwrap();
    let port = free_port().to_string();
    let Some(mut server) = Server::prepare(&["--tls-port", &port, "--tls-auth-clients", "no"]) else {
        return;
    };
    for (option, name, text) in [
        ("--tls-cert-file", "certificate.pem", certificate.pem()),
        ("--tls-key-file", "key.pem", key.serialize_pem()),
        ("--tls-ca-cert-file", "authority.pem", authority.pem()),
    ] {
        fs::write(server.folder().join(name), text).unwrap();
        server.add_arguments(&[option, name]);
    }
    server.launch();
    let url = format!("rediss://localhost:{port}");
    let error = Watched::new(&url).goes_away().await;
    assert_says(&error.to_string(), &["certificate", "UnknownIssuer"]);
    let trusting = Watched::with(&url, Some(authority.pem().into_bytes()));
    trusting.call().await.unwrap();
    let named_otherwise =
        Watched::with(&format!("rediss://127.0.0.1:{port}"), Some(authority.pem().into_bytes()));
    assert_says(&named_otherwise.goes_away().await.to_string(), &["certificate", "127.0.0.1"]);
}
