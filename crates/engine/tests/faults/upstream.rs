//! A server in OpenAI's format that behaves as a test tells it to and records the requests it received.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Of a healthy server.
const LATENCY: Duration = Duration::from_millis(3);

/// What a server does with a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Play {
    Healthy,
    /// Answers correctly, after twenty times [`LATENCY`].
    Slow,
    /// A 500 each time.
    Failing,
    /// A 500 for this percentage of the requests.
    Flaky(u32),
    /// Resets the connection instead of answering.
    Resetting,
    /// As [`Play::Resetting`], once; healthy from then on.
    ResettingOnce,
    /// Sends the head and a part of the body without any content, then nothing more.
    Stalling,
    /// As [`Play::Stalling`], but a stream sends its first content before it stalls.
    StallingLate,
    /// Fails for a second, is healthy for the next second, and so on.
    Flapping,
    /// This status, with this header.
    Status(u16, &'static str),
    /// Refuses this key with a 401.
    Refusing(&'static str),
    /// Answers once the test calls [`Upstream::release`].
    Held,
    /// Healthy or one of the faults, at random.
    Any,
}

/// A request, as it arrived.
#[derive(Debug, Clone)]
pub struct ReceivedRequest {
    pub at: Instant,
    pub stream: bool,
    pub key: String,
    /// Of its last message.
    pub text: String,
}

pub struct Upstream {
    pub url: String,
    state: Arc<State>,
}

struct State {
    play: Mutex<Play>,
    chance: Mutex<SmallRng>,
    started: Instant,
    requests: Mutex<Vec<ReceivedRequest>>,
    /// Lists of models that were sent.
    model_lists: AtomicUsize,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
    /// Requests whose client closed the connection before they were answered.
    disconnects: AtomicUsize,
    released: watch::Sender<bool>,
}

impl Upstream {
    pub async fn start(play: Play, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(State {
            play: Mutex::new(play),
            chance: Mutex::new(SmallRng::seed_from_u64(seed)),
            started: Instant::now(),
            requests: Mutex::default(),
            model_lists: AtomicUsize::new(0),
            at_once: AtomicUsize::new(0),
            most_at_once: AtomicUsize::new(0),
            disconnects: AtomicUsize::new(0),
            released: watch::Sender::new(false),
        });
        let served = state.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(socket, served.clone()));
            }
        });
        Self { url, state }
    }

    pub fn play(&self, play: Play) {
        *self.state.play.lock().unwrap() = play;
    }

    /// Answers the requests that are held, and those still to come.
    pub fn release(&self) {
        self.state.released.send_replace(true);
    }

    pub fn requests(&self) -> Vec<ReceivedRequest> {
        self.state.requests.lock().unwrap().clone()
    }

    pub fn request_count(&self) -> usize {
        self.state.requests.lock().unwrap().len()
    }

    pub fn model_lists(&self) -> usize {
        self.state.model_lists.load(SeqCst)
    }

    pub fn most_at_once(&self) -> usize {
        self.state.most_at_once.load(SeqCst)
    }

    pub fn disconnects(&self) -> usize {
        self.state.disconnects.load(SeqCst)
    }

    /// Requests without an answer so far.
    pub fn waiting(&self) -> usize {
        self.state.at_once.load(SeqCst)
    }
}

/// Counts a request among those at once.
struct AtOnce<'a>(&'a State);

impl<'a> AtOnce<'a> {
    fn new(state: &'a State) -> Self {
        let now = state.at_once.fetch_add(1, SeqCst) + 1;
        state.most_at_once.fetch_max(now, SeqCst);
        Self(state)
    }
}

impl Drop for AtOnce<'_> {
    fn drop(&mut self) {
        self.0.at_once.fetch_sub(1, SeqCst);
    }
}

enum Then {
    KeepOpen,
    Close,
}

async fn serve(mut socket: TcpStream, state: Arc<State>) {
    let _ = socket.set_nodelay(true);
    let mut buffer = Vec::new();
    while let Some((is_list, request)) = read(&mut socket, &mut buffer).await {
        let next = if is_list {
            send_model_list(&mut socket, &state).await
        } else {
            let at_once = AtOnce::new(&state);
            state.requests.lock().unwrap().push(request.clone());
            let outcome = respond(&mut socket, &state, &request, at_once).await;
            if outcome.is_err() {
                state.disconnects.fetch_add(1, SeqCst);
            }
            outcome
        };
        match next {
            Ok(Then::KeepOpen) => {}
            Ok(Then::Close) | Err(_) => return,
        }
    }
}

/// The next request, and whether it asks for the list of models. A client sends nothing more before the answer.
async fn read(socket: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<(bool, ReceivedRequest)> {
    buffer.clear();
    loop {
        if socket.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
        let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = std::str::from_utf8(&buffer[..end]).unwrap();
        let header = |name: &str| {
            let lines = head.split("\r\n").filter_map(|line| line.split_once(": "));
            let mut values = lines.filter(|(known, _)| known.eq_ignore_ascii_case(name));
            values.next().map(|(_, value)| value.to_owned())
        };
        let length: usize = header("content-length").map_or(0, |length| length.parse().unwrap());
        let Some(body) = buffer.get(end + 4..end + 4 + length) else { continue };
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let text = body["messages"].as_array().and_then(|messages| messages.last()?["content"].as_str());
        let request = ReceivedRequest {
            at: Instant::now(),
            stream: body["stream"] == true,
            key: header("authorization").unwrap_or_default(),
            text: text.unwrap_or_default().to_owned(),
        };
        return Some((head.starts_with("GET "), request));
    }
}

async fn send_model_list(socket: &mut TcpStream, state: &State) -> std::io::Result<Then> {
    state.model_lists.fetch_add(1, SeqCst);
    let play = state.play.lock().unwrap().clone();
    if play != Play::Healthy {
        let status = if let Play::Status(status, _) = play { status } else { 500 };
        return send_error(socket, status, "").await;
    }
    let body =
        r#"{"object":"list","data":[{"id":"m","object":"model","created":1686935002,"owned_by":"o"}]}"#;
    socket.write_all(full_head(200, "", body.len()).as_bytes()).await?;
    socket.write_all(body.as_bytes()).await?;
    Ok(Then::KeepOpen)
}

/// Answers one request. An error means that the client has disconnected.
async fn respond(
    socket: &mut TcpStream,
    state: &State,
    request: &ReceivedRequest,
    at_once: AtOnce<'_>,
) -> std::io::Result<Then> {
    let mut play = state.play.lock().unwrap().clone();
    if play == Play::ResettingOnce {
        *state.play.lock().unwrap() = Play::Healthy;
        play = Play::Resetting;
    }
    if play == Play::Any {
        play = match state.chance.lock().unwrap().random_range(0..20) {
            0 | 1 => Play::Failing,
            2 => Play::Resetting,
            3 => Play::Status(429, "retry-after-ms: 20\r\n"),
            4 => Play::Status(400, ""),
            5 => Play::Slow,
            6 => Play::StallingLate,
            7 => Play::Stalling,
            _ => Play::Healthy,
        };
    }
    match play {
        Play::Slow => wait(socket, LATENCY * 20).await?,
        Play::Held => {
            let mut released = state.released.subscribe();
            tokio::select! {
                _ = released.wait_for(|released| *released) => {}
                gone = wait_for_disconnect(socket) => return Err(gone),
            }
        }
        _ => wait(socket, LATENCY).await?,
    }
    // The request must be counted as over before its answer is sent: the next one may arrive at once.
    let chance = |percent| state.chance.lock().unwrap().random_range(0..100) < percent;
    let fails = match &play {
        Play::Failing => true,
        Play::Flaky(percent) => chance(*percent),
        Play::Flapping => state.started.elapsed().as_secs().is_multiple_of(2),
        _ => false,
    };
    match play {
        Play::Resetting => {
            socket.set_zero_linger()?;
            Ok(Then::Close)
        }
        Play::Stalling => {
            send_partial(socket, request.stream, false).await?;
            Err(wait_for_disconnect(socket).await)
        }
        Play::StallingLate => {
            send_partial(socket, request.stream, true).await?;
            Err(wait_for_disconnect(socket).await)
        }
        Play::Status(status, header) => {
            drop(at_once);
            send_error(socket, status, header).await
        }
        Play::Refusing(key) if request.key.ends_with(key) => send_error(socket, 401, "").await,
        _ if fails => send_error(socket, 500, "").await,
        _ => {
            drop(at_once);
            send_answer(socket, request.stream).await
        }
    }
}

async fn wait(socket: &mut TcpStream, time: Duration) -> std::io::Result<()> {
    tokio::select! {
        () = tokio::time::sleep(time) => Ok(()),
        gone = wait_for_disconnect(socket) => Err(gone),
    }
}

/// Resolves when the client closes the connection; a client that waits for its answer sends nothing.
async fn wait_for_disconnect(socket: &mut TcpStream) -> std::io::Error {
    let mut byte = [0];
    match socket.read(&mut byte).await {
        Ok(0) => std::io::ErrorKind::UnexpectedEof.into(),
        Ok(_) => panic!("a request before the answer to the last one"),
        Err(error) => error,
    }
}

fn full_head(status: u16, header: &str, length: usize) -> String {
    format!(
        "HTTP/1.1 {status} Played\r\ncontent-type: application/json\r\n{header}content-length: {length}\r\n\r\n"
    )
}

async fn send_error(socket: &mut TcpStream, status: u16, header: &str) -> std::io::Result<Then> {
    let body = json!({"error": {"message": "played", "type": "server_error", "param": null, "code": null}});
    let body = body.to_string();
    let all = full_head(status, header, body.len()) + &body;
    socket.write_all(all.as_bytes()).await?;
    Ok(Then::KeepOpen)
}

/// The text of every successful answer.
pub const ANSWER_TEXT: &str = "Hello there";
/// Its input and output tokens.
pub const TOKENS: (u64, u64) = (9, 2);

fn usage() -> Value {
    json!({"prompt_tokens": TOKENS.0, "completion_tokens": TOKENS.1, "total_tokens": TOKENS.0 + TOKENS.1})
}

fn full_body() -> String {
    json!({
        "id": "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT", "object": "chat.completion", "created": 1_741_569_952,
        "model": "faults-model",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": ANSWER_TEXT, "refusal": null},
            "logprobs": null, "finish_reason": "stop"}],
        "usage": usage(),
    })
    .to_string()
}

/// The events of a stream in three parts: before the first content, the first content, the rest.
fn stream_events() -> [String; 3] {
    let chunk = |choices: Value, usage: Value| {
        let chunk = json!({
            "id": "chatcmpl-B9MHDbslfkBeAs8l4bebGdFOJ6PeG", "object": "chat.completion.chunk",
            "created": 1_741_570_283, "model": "faults-model", "choices": choices, "usage": usage,
        });
        format!("data: {chunk}\n\n")
    };
    let choice = |delta: Value, finish: Value| {
        let choice = json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}]);
        chunk(choice, Value::Null)
    };
    let (first, second) = ANSWER_TEXT.split_at(5);
    [
        choice(json!({"role": "assistant", "content": "", "refusal": null}), Value::Null),
        choice(json!({"content": first}), Value::Null),
        choice(json!({"content": second}), Value::Null)
            + &choice(json!({}), "stop".into())
            + &chunk(json!([]), usage())
            + "data: [DONE]\n\n",
    ]
}

fn chunked(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

const STREAM_HEAD: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n";

async fn send_answer(socket: &mut TcpStream, stream: bool) -> std::io::Result<Then> {
    let all = if stream {
        STREAM_HEAD.to_owned() + &chunked(&stream_events().concat()) + "0\r\n\r\n"
    } else {
        let body = full_body();
        full_head(200, "", body.len()) + &body
    };
    socket.write_all(all.as_bytes()).await?;
    Ok(Then::KeepOpen)
}

async fn send_partial(socket: &mut TcpStream, stream: bool, with_content: bool) -> std::io::Result<()> {
    let part = if stream {
        let [opening, first, _] = stream_events();
        let content = if with_content { chunked(&first) } else { String::new() };
        STREAM_HEAD.to_owned() + &chunked(&opening) + &content
    } else {
        let body = full_body();
        full_head(200, "", body.len()) + &body[..body.len() / 2]
    };
    socket.write_all(part.as_bytes()).await
}
