use std::sync::Arc;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use serde_json::json;
use tokio::time::advance;
use url::Url;

use super::*;
use crate::{self as providers, ProviderEnv};
use gateway_model::Provider;
use gateway_model::config::ProviderConfig;
use gateway_transport::NetworkSettings;

const LONGEST: Duration = Duration::from_secs(60);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn ring(names: &[&str]) -> KeyRing {
    let key = |name: &&str| {
        let value = HeaderValue::from_str(&format!("Bearer {name}")).unwrap();
        Key::new((*name).to_owned(), Some((AUTHORIZATION, value)))
    };
    KeyRing::new(names.iter().map(key).collect(), Vec::new(), LONGEST)
}

fn unauthorized() -> GatewayError {
    GatewayError::from_http_status("p", 403, "")
}

fn limited(asked: Option<Duration>) -> GatewayError {
    GatewayError { retry_after: asked, ..GatewayError::from_http_status("p", 429, "") }
}

/// The keys that an attempt may use, none of which is refused.
fn usable(ring: &KeyRing, model: &str) -> String {
    let mut round = ring.round(model);
    let mut names: Vec<&str> = std::iter::from_fn(|| round.next()).map(|turn| &*turn.key.variable).collect();
    names.sort_unstable();
    names.join(" ")
}

/// One attempt whose keys are all answered with `error`.
fn all_refused(ring: &KeyRing, model: &str, error: &GatewayError) -> GatewayError {
    let mut round = ring.round(model);
    while let Some(turn) = round.next() {
        round.refused(&turn, error.clone()).unwrap();
    }
    round.failed("p")
}

/// One attempt in which the key of this name alone is looked at, and answered with `error` or taken.
fn answered(ring: &KeyRing, name: &str, model: &str, error: Option<GatewayError>) {
    let mut round = ring.round(model);
    while let Some(turn) = round.next() {
        if turn.key.variable == name {
            match error {
                Some(error) => round.refused(&turn, error).unwrap(),
                None => round.accepted(&turn),
            }
            return;
        }
    }
    panic!("{name} is in its cooldown");
}

/// How long a key's cooldown is, by the second.
async fn cooldown_of(ring: &KeyRing, name: &str, model: &str) -> u64 {
    let mut passed = 0;
    while !usable(ring, model).contains(name) {
        advance(seconds(1)).await;
        passed += 1;
    }
    passed
}

#[tokio::test(start_paused = true)]
async fn keys_take_turns() {
    let ring = ring(&["A", "B", "C"]);
    let first: Vec<_> = (0..6).filter_map(|_| Some(ring.round("m").next()?.key.variable.clone())).collect();
    assert_eq!(first.join(""), "ABCABC");
    assert_eq!(usable(&ring, "m"), "A B C", "an attempt meets each key once");
    answered(&ring, "A", "m", Some(unauthorized()));
    let others: Vec<_> = (0..4).filter_map(|_| Some(ring.round("m").next()?.key.variable.clone())).collect();
    assert_eq!(others.join(""), "BCBC");
}

#[tokio::test(start_paused = true)]
async fn cooldown_of_a_refused_key_doubles_until_it_is_accepted() {
    let ring = ring(&["A", "B"]);
    for expected in [60, 120, 240, 480, 900, 900] {
        answered(&ring, "A", "m", Some(unauthorized()));
        assert_eq!((usable(&ring, "m"), usable(&ring, "other")), ("B".into(), "B".into()));
        assert_eq!(cooldown_of(&ring, "A", "m").await, expected);
    }
    answered(&ring, "A", "other", None);
    answered(&ring, "A", "m", Some(unauthorized()));
    assert_eq!(cooldown_of(&ring, "A", "m").await, 60);
}

#[tokio::test(start_paused = true)]
async fn rate_limited_key_cools_down_for_that_model() {
    let ring = ring(&["A", "B"]);
    for expected in [5, 10, 20, 40, 60, 60] {
        answered(&ring, "A", "m", Some(limited(None)));
        assert_eq!((usable(&ring, "m"), usable(&ring, "other")), ("B".into(), "A B".into()));
        assert_eq!(cooldown_of(&ring, "A", "m").await, expected);
    }
    answered(&ring, "A", "other", None);
    answered(&ring, "A", "m", Some(limited(None)));
    assert_eq!(cooldown_of(&ring, "A", "m").await, 60, "another model says nothing about this one");
    answered(&ring, "A", "m", None);
    answered(&ring, "A", "m", Some(limited(None)));
    assert_eq!(cooldown_of(&ring, "A", "m").await, 5);
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_the_cooldown_up_to_its_cap() {
    let ring = ring(&["A", "B"]);
    for (asked, expected) in [(7, 7), (0, 0), (60, 60), (3600, 60), (u64::MAX, 60)] {
        answered(&ring, "A", "m", Some(limited(Some(seconds(asked)))));
        assert_eq!(cooldown_of(&ring, "A", "m").await, expected, "{asked}");
    }
    answered(&ring, "A", "m", Some(limited(None)));
    assert_eq!(
        cooldown_of(&ring, "A", "m").await,
        5,
        "what was asked for does not make the next cooldown longer"
    );
}

#[tokio::test(start_paused = true)]
async fn refusals_of_calls_in_flight_do_not_extend_a_cooldown() {
    let ring = ring(&["A", "B"]);
    let mut rounds: Vec<_> = (0..6).map(|_| ring.round("m")).collect();
    let turns: Vec<_> = rounds.iter_mut().map(|round| round.next().unwrap()).collect();
    advance(seconds(1)).await;
    let mut last = None;
    for (round, turn) in rounds.iter_mut().zip(&turns).filter(|(_, turn)| turn.key.variable == "A") {
        match last {
            Some(_) => round.accepted(turn),
            None => round.refused(turn, unauthorized()).unwrap(),
        }
        round.refused(turn, unauthorized()).unwrap();
        round.refused(turn, limited(Some(seconds(30)))).unwrap();
        round.refused(turn, limited(Some(seconds(10)))).unwrap();
        round.refused(turn, limited(None)).unwrap();
        last = Some(turn);
    }
    let cooldowns: Vec<_> =
        ring.states().into_iter().filter_map(|state| Some((state.reason?, state.cooldown_ms?))).collect();
    assert_eq!(cooldowns, [(KeyTrouble::Unauthorized, 60_000), (KeyTrouble::RateLimited, 30_000)]);
}

#[tokio::test(start_paused = true)]
async fn the_last_refusal_is_the_attempts_error() {
    let ring = ring(&["A", "B"]);
    let mut round = ring.round("m");
    let turn = round.next().unwrap();
    let other = GatewayError::provider_timeout("p");
    assert_eq!(round.refused(&turn, other).unwrap_err().kind, ErrorKind::ProviderTimeout);
    assert_eq!(usable(&ring, "m"), "A B");

    let error = all_refused(&ring, "m", &limited(Some(seconds(20))));
    assert_eq!((error.kind, error.retry_after), (ErrorKind::ProviderRateLimit, Some(seconds(20))));
    assert_eq!(error.message, "Provider \"p\" rate limited");
    advance(seconds(15)).await;
    // Nothing is sent now, and that is what the error says.
    let error = all_refused(&ring, "m", &unauthorized());
    assert_eq!((error.kind, error.retry_after), (ErrorKind::ProviderRateLimit, Some(seconds(5))));
    let error = all_refused(&ring, "other", &unauthorized());
    assert_eq!((error.kind, error.retry_after), (ErrorKind::ProviderAuth, None));
    assert_eq!(all_refused(&ring, "m", &limited(None)).kind, ErrorKind::ProviderAuth);
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_until_the_first_cooldown_ends() {
    let ring = ring(&["A", "B"]);
    answered(&ring, "A", "m", Some(limited(Some(seconds(50)))));
    advance(seconds(1)).await;
    answered(&ring, "B", "m", Some(limited(Some(seconds(30)))));
    assert_eq!(ring.round("m").failed("p").retry_after, Some(seconds(30)));
    // Limited, it will be refused all the same.
    answered(&ring, "B", "other", Some(unauthorized()));
    answered(&ring, "A", "other", Some(limited(None)));
    assert_eq!(ring.round("m").failed("p").retry_after, Some(seconds(49)));
}

#[tokio::test(start_paused = true)]
async fn retry_after_over_the_cap_is_reported_unclamped() {
    let ring = ring(&["A", "B"]);
    let error = all_refused(&ring, "m", &limited(Some(seconds(3600))));
    assert_eq!(error.retry_after, Some(seconds(3600)), "a retry must not wait for it");
    assert_eq!(all_refused(&ring, "other", &limited(Some(Duration::MAX))).retry_after, Some(Duration::MAX));
}

#[tokio::test(start_paused = true)]
async fn old_cooldowns_are_forgotten() {
    let ring = ring(&["A", "B"]);
    for model in 0..100 {
        answered(&ring, "A", &model.to_string(), Some(limited(None)));
    }
    advance(seconds(5) + REMEMBERED).await;
    answered(&ring, "A", "m", Some(limited(None)));
    assert_eq!(ring.keys[0].lock_cooldowns().rate_limited.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn keys_take_turns_when_no_outcome_is_seen() {
    let endpoint = Endpoint::new(Url::parse("http://h/").unwrap(), HeaderMap::new()).unwrap();
    let sent = |ring: &KeyRing| ring.take_turn(&endpoint, "m").headers().get(AUTHORIZATION).cloned();
    let two = ring(&["A", "B"]);
    answered(&two, "A", "m", Some(limited(None)));
    assert_eq!([sent(&two).unwrap(), sent(&two).unwrap()], ["Bearer B", "Bearer B"]);
    answered(&two, "B", "m", Some(limited(None)));
    let mut both = [sent(&two).unwrap(), sent(&two).unwrap()];
    both.sort();
    assert_eq!(both, ["Bearer A", "Bearer B"]);
    // One alone stands in the endpoint already.
    assert_eq!(sent(&ring(&["A"])), None);
}

fn built(entry: serde_json::Value) -> Result<Arc<dyn Provider>, String> {
    let entry: ProviderConfig = serde_json::from_value(entry).unwrap();
    let unset = ["NO_", "AWS_"];
    let var =
        |name: &str| (!unset.iter().any(|start| name.starts_with(start))).then(|| format!("value of {name}"));
    let env = ProviderEnv { var: &var, network: NetworkSettings::default() };
    providers::build(&entry.provider, &entry, &env).map(Option::unwrap).map_err(|error| error.to_string())
}

fn states(family: &str, auth: serde_json::Value) -> Result<serde_json::Value, String> {
    let entry = json!({"name": "p", "provider": family, "baseUrl": "http://127.0.0.1:9", "auth": auth});
    built(entry).map(|provider| json!(provider.keys()))
}

#[test]
fn an_entry_needs_one_of_its_variables() {
    let auth = |names: &[&str]| json!({"type": "bearer", "envVars": names});
    assert_eq!(
        states("openai", auth(&["A", "NO_B", "C", "A"])),
        Ok(json!([
            {"variable": "A"}, {"variable": "C"}, {"variable": "NO_B", "reason": "not_set", "why": "not_set"}
        ]))
    );
    let problem = "Provider \"p\": environment variable NO_A is not set".to_owned();
    assert_eq!(states("openai", auth(&["NO_A", "NO_B"])), Err(problem));
    // In place of the one.
    let both = json!({"type": "bearer", "envVar": "NO_A", "envVars": ["B", "C"]});
    assert_eq!(states("anthropic", both), Ok(json!([{"variable": "B"}, {"variable": "C"}])));
    assert_eq!(states("openai", json!({"type": "none", "envVars": ["A"]})), Ok(json!([])));
    assert_eq!(states("mock", auth(&["A"])), Ok(json!([])));
}

#[test]
fn keys_that_no_header_carries_are_one() {
    let custom = json!({"type": "customHeader", "envVars": ["A", "B"]});
    assert_eq!(states("openai", custom), Ok(json!([{"variable": "A"}])));
}

#[test]
fn key_pairs_do_not_take_turns() {
    let pairs = json!({"type": "apiKey", "envVars": ["A_ACCESS_KEY_ID", "B_ACCESS_KEY_ID"]});
    assert_eq!(
        states("bedrock", pairs),
        Err("Provider \"p\": auth.envVars: key pairs do not take turns: name one ACCESS_KEY_ID in auth.envVar, and give \
             each pair an entry of its own"
            .to_owned())
    );
    let one = json!({"type": "apiKey", "envVars": ["A_ACCESS_KEY_ID"]});
    assert_eq!(states("bedrock", one), Ok(json!([{"variable": "A_ACCESS_KEY_ID"}])));
    let bearers = json!({"type": "bearer", "envVars": ["A", "B"]});
    assert_eq!(states("bedrock", bearers), Ok(json!([{"variable": "A"}, {"variable": "B"}])));
}

#[tokio::test(start_paused = true)]
async fn cooldown_is_serialised_in_milliseconds_under_both_names() {
    let ring = ring(&["A", "B"]);
    answered(&ring, "A", "m", Some(limited(None)));
    advance(Duration::from_millis(1_500)).await;
    assert_eq!(
        json!(ring.states()),
        json!([{"variable": "A", "reason": "rate_limited", "why": "rate_limited", "cooldownMs": 3_500, "restingUntil": 3_500, "model": "m"}, {"variable": "B"}])
    );
}
