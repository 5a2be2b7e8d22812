//! Replays recorded exchanges with each kind of service, whole and in pieces: whatever way the bytes
//! arrive, the answers, events and errors are the same.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bedrock;
mod scenario;

use std::sync::{Arc, Mutex};
use std::time::Duration;

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
        "timeoutMs": 20_000, "auth": {"type": "apiKey", "envVar": "REPLAY_KEY"},
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
    }
}

/// The scenario's reply with its body in these pieces.
fn delivery(scenario: &Scenario, framing: Framing, pieces: Vec<Vec<u8>>) -> Delivery {
    let scenario::Head { status, headers } = scenario.head.clone();
    Delivery { status, headers, framing, pieces, pause: Duration::ZERO, lost: false }
}

fn whole(scenario: &Scenario, framing: Framing) -> Delivery {
    delivery(scenario, framing, vec![scenario.body.clone()])
}

/// `body` cut at random places.
fn cut(body: &[u8], cuts: usize, rng: &mut SmallRng) -> Vec<Vec<u8>> {
    let mut places: Vec<usize> = (0..cuts).map(|_| rng.random_range(1..body.len())).collect();
    places.extend([0, body.len()]);
    places.sort_unstable();
    places.dedup();
    places.windows(2).map(|ends| body[ends[0]..ends[1]].to_vec()).collect()
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

/// What goes out: the body as recorded, the key where the vendor wants it, the right path.
fn check_sent(scenario: &Scenario, seen: &Seen) {
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

async fn expect(scenario: &Scenario, replay: &Replay, provider: &dyn Provider, delivery: Delivery) {
    let how = format!("{} as {:?} in {} pieces", scenario.title(), delivery.framing, delivery.pieces.len());
    replay.deliver(delivery);
    assert_eq!(run(scenario, provider).await, scenario.expected.outcome(), "{how}");
    check_sent(scenario, &replay.seen().await);
}

#[tokio::test]
async fn a_whole_transcript_gives_what_was_recorded() {
    for_each(|scenario| async move {
        let replay = Replay::start().await;
        let provider = provider(&entry(&scenario, &replay.url));
        for framing in [Framing::Length, Framing::Chunked, Framing::UntilClose] {
            expect(&scenario, &replay, &*provider, whole(&scenario, framing)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn the_same_bytes_in_any_pieces_give_the_same() {
    for_each(|scenario| async move {
        let replay = Replay::start().await;
        let provider = provider(&entry(&scenario, &replay.url));
        let mut rng = SmallRng::seed_from_u64(scenario.body.len() as u64);
        let bytes = scenario.body.iter().map(|&byte| vec![byte]).collect();
        expect(&scenario, &replay, &*provider, delivery(&scenario, Framing::Chunked, bytes)).await;
        for round in 0..8 {
            let framing = if round % 2 == 0 { Framing::Chunked } else { Framing::UntilClose };
            let pieces = cut(&scenario.body, 1 << (round / 2), &mut rng);
            expect(&scenario, &replay, &*provider, paused(delivery(&scenario, framing, pieces))).await;
        }
        for _ in 0..20 {
            let pieces = cut(&scenario.body, rng.random_range(1..60), &mut rng);
            expect(&scenario, &replay, &*provider, delivery(&scenario, Framing::Chunked, pieces)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_short_stream_may_be_cut_anywhere() {
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
        for place in 1..scenario.body.len() {
            let (first, second) = scenario.body.split_at(place);
            let pieces = vec![first.to_vec(), second.to_vec()];
            expect(scenario, &replay, &*provider, delivery(scenario, Framing::Chunked, pieces)).await;
        }
    }
}

#[tokio::test]
async fn every_line_end_of_the_standard_gives_the_same() {
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
            expect(&scenario, &replay, &*provider, whole(&scenario, Framing::Chunked)).await;
            for _ in 0..4 {
                let pieces = cut(&scenario.body, 30, &mut rng);
                expect(&scenario, &replay, &*provider, delivery(&scenario, Framing::Chunked, pieces)).await;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_connection_lost_on_the_way_keeps_what_came_before() {
    for_each(|scenario| async move {
        let replay = Replay::start().await;
        let provider = provider(&entry(&scenario, &replay.url));
        // What the transcript itself ends with is not reached.
        let last = scenario.last_event();
        let mut rng = SmallRng::seed_from_u64(11);
        for framing in [Framing::Chunked, Framing::Length] {
            for _ in 0..4 {
                let came = &scenario.body[..rng.random_range(1..last)];
                let lost = delivery(&scenario, framing, cut_or_whole(came, &mut rng));
                replay.deliver(Delivery { lost: true, ..paused(lost) });
                let outcome = run(&scenario, &*provider).await;
                replay.seen().await;
                check_lost(&scenario, outcome);
            }
        }
    })
    .await;
}

fn cut_or_whole(body: &[u8], rng: &mut SmallRng) -> Vec<Vec<u8>> {
    if body.len() < 2 { vec![body.to_vec()] } else { cut(body, 3, rng) }
}

fn check_lost(scenario: &Scenario, outcome: Outcome) {
    let title = scenario.title();
    let (events, error) = match outcome {
        // The status of an error says enough, unless the body would have said more.
        Outcome::Error(error) if scenario.head.status != 200 => {
            let status = GatewayError::from_http_status("replay", scenario.head.status, "").kind;
            let possible = [&scenario.failure().unwrap()["kind"], &json!(status)];
            assert!(possible.contains(&&error["kind"]), "{title}: {error}");
            return;
        }
        Outcome::Error(error) => (Vec::new(), error),
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
struct Notes {
    entries: Mutex<Vec<UsageLog>>,
}

impl Observer for Notes {
    fn usage(&self, entry: UsageLog) {
        self.entries.lock().unwrap().push(entry);
    }

    fn warning(&self, line: String) {
        panic!("{line}");
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

/// What the gateway's caller gets: the text, and how it ended.
async fn ask(
    gateway: &Arc<Gateway>,
    scenario: &Scenario,
    notes: &Arc<Notes>,
) -> (String, Result<(), Failure>) {
    let context = CallContext {
        observer: notes.clone(),
        gateway_observer: notes.clone(),
        cancel: tokio_util::sync::CancellationToken::new(),
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
async fn a_gateway_answers_logs_and_bills_each_of_them_once() {
    for_each(|scenario| async move {
        let title = scenario.title();
        let replay = Replay::start().await;
        let gateway = gateway(&entry(&scenario, &replay.url));
        let notes = Arc::new(Notes::default());
        replay.deliver(whole(&scenario, Framing::Chunked));
        let (text, end) = ask(&gateway, &scenario, &notes).await;
        assert_eq!(text, scenario.content(), "{title}");

        let entries = std::mem::take(&mut *notes.entries.lock().unwrap());
        let [entry] = &entries[..] else { panic!("{title}: {entries:?}") };
        assert_eq!(
            (entry.figures.provider.as_str(), entry.call.labels.route_rule.as_str()),
            ("replay", "all"),
            "{title}"
        );
        check_end(&scenario, entry, end);
        check_usage(&scenario, entry);

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

fn check_end(scenario: &Scenario, entry: &UsageLog, end: Result<(), Failure>) {
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

fn check_usage(scenario: &Scenario, entry: &UsageLog) {
    let title = scenario.title();
    let counts = (entry.figures.input_tokens, entry.figures.output_tokens);
    match (scenario.usage(), scenario.failure()) {
        // Nobody answered: nothing is billed.
        (None, Some(_)) if scenario.content().is_empty() => assert_eq!(counts, (0, 0), "{title}"),
        (Some(usage), None) => {
            let count = |name: &str| usage.get(name).and_then(Value::as_u64);
            assert_eq!((Some(counts.0), Some(counts.1)), (count("input"), count("output")), "{title}");
            assert_eq!(entry.figures.cache_read_tokens, count("cacheRead"), "{title}");
            assert_eq!(entry.figures.cache_write_tokens, count("cacheWrite"), "{title}");
            assert_eq!(entry.figures.total_tokens, counts.0 + counts.1, "{title}");
            assert_eq!(entry.figures.usage_source, UsageSource::Reported, "{title}");
        }
        // Counted by the gateway: what the reply did not tell, or not to its end.
        _ => {
            assert!(counts.0 > 0 && counts.1 > 0, "{title}: {counts:?}");
            assert_eq!(entry.figures.usage_source, UsageSource::Estimated, "{title}");
        }
    }
}
