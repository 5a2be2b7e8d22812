//! Replays recorded exchanges with each kind of service: the answers, events and errors are the same however the bytes
//! of the reply are framed and split.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bedrock;
mod scenario;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use gateway_engine::budget::BudgetWarning;
use gateway_engine::gateway::{CallContext, Gateway};
use gateway_engine::routing::direct;
use gateway_engine::routing::operation::{Chat, Stream};
use gateway_engine::routing::{ProviderEntry, Providers};
use gateway_engine::usage::Observer;
use gateway_model::config::{BudgetPolicy, ProviderConfig, RouteRule};
use gateway_model::{AnswerBuilder, ChatRequest, UsageLog, UsageSource};
use gateway_model::{ErrorKind, Failure, GatewayError};
use gateway_model::{EventSource, Provider, ProviderCall};
use gateway_providers::{ProviderEnv, build};
use gateway_testkit::replay::{Delivery, Framing, Replay, Seen};
use gateway_transport::NetworkSettings;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use scenario::{Form, Outcome, Scenario};
use serde_json::{Value, json};

const KEY: &str = "sk-replayed-0123456789";

fn entry(scenario: &Scenario, url: &str) -> ProviderConfig {
    let service = &scenario.service;
    let base = format!("{url}{}", service.base_path);
    let mut entry = json!({
        "name": "replay", "provider": scenario.provider(), "baseUrl": base, "models": [scenario.model()],
        "timeoutMs": 20_000, "auth": {"type": "apiKey", "envVar": "REPLAY_KEY"}, "sendUserId": true,
    });
    entry.as_object_mut().unwrap().extend(service.entry.clone());
    serde_json::from_value(entry).unwrap()
}

fn provider(entry: &ProviderConfig) -> Arc<dyn Provider> {
    // Every variable that an entry names is set.
    let var =
        |name: &str| Some(if name == "REPLAY_KEY" { KEY.to_owned() } else { format!("value of {name}") });
    let env = ProviderEnv { var: &var, network: NetworkSettings::default() };
    build(&entry.provider, entry, &env).unwrap().unwrap()
}

fn request(scenario: &Scenario) -> ChatRequest {
    ChatRequest::from_json(&scenario.request.to_string()).unwrap()
}

fn call(scenario: &Scenario) -> ProviderCall {
    let request = request(scenario);
    let max_tokens = request.max_tokens;
    ProviderCall {
        request: Arc::new(request),
        model: scenario.model(),
        max_tokens,
        timeout: None,
        deadline: None,
        sent: Default::default(),
    }
}

/// The scenario's reply, its body sent in these parts.
fn delivery(scenario: &Scenario, framing: Framing, pieces: Vec<Vec<u8>>) -> Delivery {
    let scenario::Head { status, headers } = scenario.head.clone();
    Delivery { status, headers, framing, pieces, pause: Duration::ZERO, lost: false }
}

fn unsplit(scenario: &Scenario, framing: Framing) -> Delivery {
    delivery(scenario, framing, vec![scenario.body.clone()])
}

/// `body` cut at `cuts` random offsets.
fn cut(body: &[u8], cuts: usize, rng: &mut SmallRng) -> Vec<Vec<u8>> {
    let mut offsets: Vec<usize> = (0..cuts).map(|_| rng.random_range(1..body.len())).collect();
    offsets.extend([0, body.len()]);
    offsets.sort_unstable();
    offsets.dedup();
    offsets.windows(2).map(|ends| body[ends[0]..ends[1]].to_vec()).collect()
}

fn paused(delivery: Delivery) -> Delivery {
    Delivery { pause: Duration::from_millis(1), ..delivery }
}

async fn read_all(mut source: Box<dyn EventSource>, status: u16) -> Outcome {
    let mut events = Vec::new();
    let end = loop {
        match source.next(&mut events).await {
            Ok(true) => {}
            Ok(false) => break json!("complete"),
            Err(failure) => break json!({"error": scenario::error(&failure, status)}),
        }
    };
    Outcome::Events(events.iter().map(scenario::event).collect(), end)
}

async fn run(scenario: &Scenario, provider: &dyn Provider) -> Outcome {
    let call = call(scenario);
    let status = scenario.head.status;
    if scenario.streams() {
        match direct::send(&Stream, provider, &call).await {
            Ok(source) => read_all(Box::new(source), status).await,
            Err(failure) => Outcome::Error(scenario::error(&failure, status)),
        }
    } else {
        match direct::send(&Chat, provider, &call).await {
            Ok(answer) => Outcome::Answer(scenario::answer(&answer)),
            Err(failure) => Outcome::Error(scenario::error(&failure, status)),
        }
    }
}

/// The request has the recorded body, the key in the header of its vendor and the right path.
fn assert_request_sent(scenario: &Scenario, seen: &Seen) {
    let title = scenario.title();
    assert_eq!(seen.body, scenario.expected.sent, "{title}: the request's body");
    let header = |name: &str| seen.headers.get(name).map(String::as_str);
    assert_eq!(header("content-type"), Some("application/json"), "{title}");
    assert_eq!(seen.path, scenario.path(), "{title}");
    for (name, value) in &scenario.service.headers {
        let value = value.as_ref().map(|value| value.replace("KEY", KEY));
        assert_eq!(header(name), value.as_deref(), "{title}: {name}");
    }
}

/// Runs `test` on every scenario, all at once.
async fn for_each<F>(test: impl Fn(Scenario) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let running: Vec<_> = Scenario::all()
        .into_iter()
        .map(|scenario| {
            let title = scenario.title();
            (title, tokio::spawn(test(scenario)))
        })
        .collect();
    let mut failed = Vec::new();
    for (title, running) in running {
        if running.await.is_err() {
            failed.push(title);
        }
    }
    assert!(failed.is_empty(), "{failed:?}");
}

async fn assert_replay(scenario: &Scenario, replay: &Replay, provider: &dyn Provider, delivery: Delivery) {
    let how = format!("{} as {:?} in {} pieces", scenario.title(), delivery.framing, delivery.pieces.len());
    replay.deliver(delivery);
    assert_eq!(Some(run(scenario, provider).await), scenario.expected.outcome(), "{how}");
    assert_request_sent(scenario, &replay.seen().await);
}

/// `cargo test -p gateway-providers --test wire -- --ignored record`
#[tokio::test]
#[ignore = "a tool: writes what is new of each `expected.json`, to be read in the diff"]
async fn record() {
    for_each(|scenario| async move {
        let replay = Replay::start().await;
        let provider = provider(&entry(&scenario, &replay.url));
        replay.deliver(unsplit(&scenario, Framing::Length));
        let outcome = run(&scenario, &*provider).await;
        let Seen { body: sent, path, .. } = replay.seen().await;
        if Some(&outcome) != scenario.expected.outcome().as_ref() || sent != scenario.expected.sent {
            scenario.record(&sent, &path, outcome);
        }
    })
    .await;
}

#[tokio::test]
async fn transcript_gives_the_recorded_outcome_in_every_framing() {
    for_each(|scenario| async move {
        let replay = Replay::start().await;
        let provider = provider(&entry(&scenario, &replay.url));
        for framing in [Framing::Length, Framing::Chunked, Framing::UntilClose] {
            assert_replay(&scenario, &replay, &*provider, unsplit(&scenario, framing)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn outcome_does_not_depend_on_how_the_body_is_split() {
    for_each(|scenario| async move {
        let replay = Replay::start().await;
        let provider = provider(&entry(&scenario, &replay.url));
        let mut rng = SmallRng::seed_from_u64(scenario.body.len() as u64);
        let bytes = scenario.body.iter().map(|&byte| vec![byte]).collect();
        assert_replay(&scenario, &replay, &*provider, delivery(&scenario, Framing::Chunked, bytes)).await;
        for round in 0..8 {
            let framing = if round % 2 == 0 { Framing::Chunked } else { Framing::UntilClose };
            let pieces = cut(&scenario.body, 1 << (round / 2), &mut rng);
            assert_replay(&scenario, &replay, &*provider, paused(delivery(&scenario, framing, pieces))).await;
        }
        for _ in 0..20 {
            let pieces = cut(&scenario.body, rng.random_range(1..60), &mut rng);
            assert_replay(&scenario, &replay, &*provider, delivery(&scenario, Framing::Chunked, pieces))
                .await;
        }
    })
    .await;
}

#[tokio::test]
async fn outcome_is_the_same_for_a_split_at_every_byte() {
    let scenarios = Scenario::all();
    for title in [
        "openai/stream",
        "anthropic/stream-error-middle",
        "openrouter/stream",
        "bedrock/stream",
        "vllm/stream-odd",
        "workers-ai/stream",
    ] {
        let scenario = scenarios.iter().find(|scenario| scenario.title() == title).unwrap();
        let replay = Replay::start().await;
        let provider = provider(&entry(scenario, &replay.url));
        for offset in 1..scenario.body.len() {
            let (first, second) = scenario.body.split_at(offset);
            let pieces = vec![first.to_vec(), second.to_vec()];
            assert_replay(scenario, &replay, &*provider, delivery(scenario, Framing::Chunked, pieces)).await;
        }
    }
}

#[tokio::test]
async fn every_line_ending_of_server_sent_events_gives_the_same_outcome() {
    for_each(|mut scenario| async move {
        if scenario.form != Form::ServerSentEvents {
            return;
        }
        let replay = Replay::start().await;
        let provider = provider(&entry(&scenario, &replay.url));
        let text = String::from_utf8(scenario.body.clone()).unwrap();
        let mut rng = SmallRng::seed_from_u64(7);
        for line_end in ["\r\n", "\r", "\n"] {
            scenario.body = format!("\u{feff}{}", text.replace('\n', line_end)).into_bytes();
            assert_replay(&scenario, &replay, &*provider, unsplit(&scenario, Framing::Chunked)).await;
            for _ in 0..4 {
                let pieces = cut(&scenario.body, 30, &mut rng);
                assert_replay(&scenario, &replay, &*provider, delivery(&scenario, Framing::Chunked, pieces))
                    .await;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn lost_connection_ends_with_a_network_error_after_the_events_received() {
    for_each(|scenario| async move {
        let replay = Replay::start().await;
        let provider = provider(&entry(&scenario, &replay.url));
        // The connection is lost before the transcript's last event.
        let last = scenario.last_event();
        let mut rng = SmallRng::seed_from_u64(11);
        for framing in [Framing::Chunked, Framing::Length] {
            for _ in 0..4 {
                let received = &scenario.body[..rng.random_range(1..last)];
                let lost = delivery(&scenario, framing, cut_if_long(received, &mut rng));
                replay.deliver(Delivery { lost: true, ..paused(lost) });
                let outcome = run(&scenario, &*provider).await;
                replay.seen().await;
                assert_lost_connection(&scenario, outcome);
            }
        }
    })
    .await;
}

fn cut_if_long(body: &[u8], rng: &mut SmallRng) -> Vec<Vec<u8>> {
    if body.len() < 2 { vec![body.to_vec()] } else { cut(body, 3, rng) }
}

fn assert_lost_connection(scenario: &Scenario, outcome: Outcome) {
    let title = scenario.title();
    let (events, error) = match outcome {
        // An error status alone gives the kind, unless the lost body would have made it more precise.
        Outcome::Error(error) if scenario.head.status != 200 => {
            let status = GatewayError::from_http_status("replay", scenario.head.status, "").kind;
            let possible = [&scenario.failure().unwrap()["kind"], &json!(status)];
            assert!(possible.contains(&&error["kind"]), "{title}: {error}");
            return;
        }
        Outcome::Error(error) => (Vec::new(), error),
        // Nothing was lost that the answer needs: it had said why it stopped.
        Outcome::Events(events, end) if end == "complete" => {
            assert!(events.iter().any(|event| event["finishReason"].is_string()), "{title}: {events:?}");
            return;
        }
        Outcome::Events(events, end) => (events, end["error"].clone()),
        Outcome::Answer(answer) => panic!("{title}: {answer}"),
    };
    assert_eq!(
        (&error["kind"], &error["retryable"]),
        (&json!("provider_network"), &json!(true)),
        "{title}: {error}"
    );
    if let Some(recorded) = &scenario.expected.events {
        assert!(recorded.starts_with(&events), "{title}: {events:?}");
    }
}

#[derive(Default)]
struct RecordedLog {
    entries: Mutex<Vec<UsageLog>>,
}

impl Observer for RecordedLog {
    fn usage(&self, entry: UsageLog) {
        self.entries.lock().unwrap().push(entry);
    }

    fn warning(&self, warning: BudgetWarning) {
        panic!("{warning}");
    }
}

fn gateway(entry: &ProviderConfig) -> Arc<Gateway> {
    let providers: Providers =
        [("replay".to_owned(), Arc::new(ProviderEntry::new(provider(entry), entry)))].into();
    let rule: RouteRule =
        serde_json::from_value(json!({"name": "all", "match": {}, "target": {"provider": "replay"}}))
            .unwrap();
    let budget: BudgetPolicy = serde_json::from_value(json!({
        "name": "day", "scope": {"type": "global"}, "window": "day", "limits": {"maxTotalTokens": 1_000_000},
        "enforcement": "hard",
    }))
    .unwrap();
    Arc::new(Gateway::new(providers, vec![rule], Vec::new(), vec![budget]))
}

/// The text that the gateway's caller gets, and how the call ended.
async fn call_gateway(
    gateway: &Arc<Gateway>,
    scenario: &Scenario,
    log: &Arc<RecordedLog>,
) -> (String, Result<(), Failure>) {
    let context = CallContext {
        observer: log.clone(),
        gateway_observer: log.clone(),
        cancel: tokio_util::sync::CancellationToken::new(),
        caller: None,
    };
    if !scenario.streams() {
        return match gateway.chat(request(scenario), context).await {
            Ok(response) => (response.answer.content, Ok(())),
            Err(failure) => (String::new(), Err(failure)),
        };
    }
    let mut stream = match gateway.chat_stream(request(scenario), context).await {
        Ok(stream) => stream,
        Err(failure) => return (String::new(), Err(failure)),
    };
    let mut events = Vec::new();
    let end = loop {
        match stream.next(&mut events).await {
            Ok(true) => {}
            Ok(false) => break Ok(()),
            Err(failure) => break Err(failure),
        }
    };
    let text = events.iter().collect::<AnswerBuilder>().finish().content;
    assert_eq!(text, stream.summary().answer.content, "{}", scenario.title());
    (text, end)
}

#[tokio::test]
async fn gateway_answers_logs_and_bills_each_transcript_once() {
    for_each(|scenario| async move {
        let title = scenario.title();
        let replay = Replay::start().await;
        let gateway = gateway(&entry(&scenario, &replay.url));
        let log = Arc::new(RecordedLog::default());
        replay.deliver(unsplit(&scenario, Framing::Chunked));
        let (text, end) = call_gateway(&gateway, &scenario, &log).await;
        assert_eq!(text, scenario.content(), "{title}");

        let entries = std::mem::take(&mut *log.entries.lock().unwrap());
        let [entry] = &entries[..] else { panic!("{title}: {entries:?}") };
        assert_eq!(
            (entry.figures.provider.as_str(), entry.call.labels.route_rule.as_str()),
            ("replay", "all"),
            "{title}"
        );
        assert_logged_end(&scenario, entry, end);
        assert_logged_usage(&scenario, entry);

        let (_, spent) = gateway.budgets().spent()[0];
        assert_eq!(
            (spent.input_tokens, spent.output_tokens),
            (entry.figures.input_tokens, entry.figures.output_tokens),
            "{title}"
        );
        let (_, reserved) = gateway.budgets().reserved()[0];
        assert_eq!((reserved.input_tokens, reserved.output_tokens), (0, 0), "{title}");
    })
    .await;
}

fn assert_logged_end(scenario: &Scenario, entry: &UsageLog, end: Result<(), Failure>) {
    let title = scenario.title();
    assert_eq!(entry.call.success, end.is_ok(), "{title}");
    let (Err(failure), Some(expected)) = (&end, scenario.failure()) else {
        assert!(end.is_ok() && scenario.failure().is_none(), "{title}: {end:?}");
        assert_eq!(entry.call.error_code, None, "{title}");
        return;
    };
    let Failure::Gateway(error) = failure else { panic!("{title}: {failure}") };
    assert_eq!(scenario::error(failure, scenario.head.status), *expected, "{title}");
    assert_eq!(entry.call.error_code.as_deref(), Some(&*error.code), "{title}");
    assert_eq!(error.request_id.as_deref(), Some(entry.figures.request_id.as_str()), "{title}");
    assert_ne!(error.kind, ErrorKind::Internal, "{title}");
}

fn assert_logged_usage(scenario: &Scenario, entry: &UsageLog) {
    let title = scenario.title();
    let counts = (entry.figures.input_tokens, entry.figures.output_tokens);
    match (scenario.usage(), scenario.failure()) {
        // Nobody answered: nothing is billed.
        (None, Some(_)) if scenario.content().is_empty() => assert_eq!(counts, (0, 0), "{title}"),
        // A failure may tell its counts too: an answer that was paid for and is not the JSON that was asked for.
        (Some(usage), failure) if failure.is_none() || scenario.content().is_empty() => {
            let count = |name: &str| usage.get(name).and_then(Value::as_u64);
            if let Some(side) = usage.get("unreported") {
                let (known, counted) = if side == "input" { (counts.1, counts.0) } else { counts };
                let name = if side == "input" { "output" } else { "input" };
                assert_eq!((Some(known), counted > 0), (count(name), true), "{title}");
                assert_eq!(entry.figures.usage_source, UsageSource::Estimated, "{title}");
                return;
            }
            if let Some(cost) = usage.get("cost").and_then(Value::as_f64) {
                assert!((entry.figures.estimated_cost_usd - cost).abs() < 1e-9, "{title}");
            }
            assert_eq!((Some(counts.0), Some(counts.1)), (count("input"), count("output")), "{title}");
            assert_eq!(entry.figures.cache_read_tokens, count("cacheRead"), "{title}");
            assert_eq!(entry.figures.cache_write_tokens, count("cacheWrite"), "{title}");
            assert_eq!(entry.figures.total_tokens, counts.0 + counts.1, "{title}");
            let source =
                if usage.get("estimated").is_some() { UsageSource::Estimated } else { UsageSource::Reported };
            assert_eq!(entry.figures.usage_source, source, "{title}");
        }
        // Estimated by the gateway: the reply had no token counts, or broke off before them.
        _ => {
            assert!(counts.0 > 0 && counts.1 > 0, "{title}: {counts:?}");
            assert_eq!(entry.figures.usage_source, UsageSource::Estimated, "{title}");
        }
    }
}
