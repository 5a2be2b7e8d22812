//! A server of OpenAI's format that plays what a test asks of it, and keeps a list of what it was asked.

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
    /// Answers right, after twenty times as long.
    Slow,
    /// A 500 each time.
    Failing,
    /// A 500 for so many of a hundred.
    Flaky(u32),
    /// The connection is reset in an answer's place.
    Resetting,
    /// The head and a part of the body, which says nothing yet, then silence.
    Stalling,
    /// As [`Play::Stalling`], but a stream says something first.
    StallingLate,
    /// Fails for a second, is healthy for the next, and so on.
    Flapping,
    /// This status, with this header.
    Status(u16, &'static str),
    /// Refuses this key with a 401.
    Refusing(&'static str),
    /// Answers when it is told to ([`Upstream::release`]).
    Held,
    /// One of the faults, by chance.
    Any,
}

/// A request, as it came.
#[derive(Debug, Clone)]
pub struct Asked {
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
    asked: Mutex<Vec<Asked>>,
    /// Lists of models that were given.
    checks: AtomicUsize,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
    /// Requests whose client closed the connection before they were answered.
    left: AtomicUsize,
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
            asked: Mutex::default(),
            checks: AtomicUsize::new(0),
            at_once: AtomicUsize::new(0),
            most_at_once: AtomicUsize::new(0),
            left: AtomicUsize::new(0),
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

    /// Lets the requests that are held be answered, and those that come.
    pub fn release(&self) {
        self.state.released.send_replace(true);
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.state.asked.lock().unwrap().clone()
    }

    pub fn count(&self) -> usize {
        self.state.asked.lock().unwrap().len()
    }

    pub fn checks(&self) -> usize {
        self.state.checks.load(SeqCst)
    }

    pub fn most_at_once(&self) -> usize {
        self.state.most_at_once.load(SeqCst)
    }

    pub fn left(&self) -> usize {
        self.state.left.load(SeqCst)
    }

    /// Requests that wait for their answer.
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
    while let Some((is_list, asked)) = read(&mut socket, &mut buffer).await {
        let next = if is_list {
            list(&mut socket, &state).await
        } else {
            let at_once = AtOnce::new(&state);
            state.asked.lock().unwrap().push(asked.clone());
            let given = give(&mut socket, &state, &asked, at_once).await;
            if given.is_err() {
                state.left.fetch_add(1, SeqCst);
            }
            given
        };
        match next {
            Ok(Then::KeepOpen) => {}
            Ok(Then::Close) | Err(_) => return,
        }
    }
}

/// The next request; whether it asks for the models. Nothing is sent before its answer has come.
async fn read(socket: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<(bool, Asked)> {
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
        let asked = Asked {
            at: Instant::now(),
            stream: body["stream"] == true,
            key: header("authorization").unwrap_or_default(),
            text: text.unwrap_or_default().to_owned(),
        };
        return Some((head.starts_with("GET "), asked));
    }
}

async fn list(socket: &mut TcpStream, state: &State) -> std::io::Result<Then> {
    state.checks.fetch_add(1, SeqCst);
    if *state.play.lock().unwrap() != Play::Healthy {
        return refuse(socket, 500, "").await;
    }
    let body =
        r#"{"object":"list","data":[{"id":"m","object":"model","created":1686935002,"owned_by":"o"}]}"#;
    socket.write_all(whole_head(200, "", body.len()).as_bytes()).await?;
    socket.write_all(body.as_bytes()).await?;
    Ok(Then::KeepOpen)
}

/// Answers one request. An error: its client has gone.
async fn give(
    socket: &mut TcpStream,
    state: &State,
    asked: &Asked,
    at_once: AtOnce<'_>,
) -> std::io::Result<Then> {
    let mut play = state.play.lock().unwrap().clone();
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
                gone = gone(socket) => return Err(gone),
            }
        }
        _ => wait(socket, LATENCY).await?,
    }
    // The next request may come as soon as the answer is there.
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
            begin(socket, asked.stream, false).await?;
            Err(gone(socket).await)
        }
        Play::StallingLate => {
            begin(socket, asked.stream, true).await?;
            Err(gone(socket).await)
        }
        Play::Status(status, header) => {
            drop(at_once);
            refuse(socket, status, header).await
        }
        Play::Refusing(key) if asked.key.ends_with(key) => refuse(socket, 401, "").await,
        _ if fails => refuse(socket, 500, "").await,
        _ => {
            drop(at_once);
            answer(socket, asked.stream).await
        }
    }
}

async fn wait(socket: &mut TcpStream, time: Duration) -> std::io::Result<()> {
    tokio::select! {
        () = tokio::time::sleep(time) => Ok(()),
        gone = gone(socket) => Err(gone),
    }
}

/// Resolves when the client closes the connection: while it waits for an answer, it has nothing to say.
async fn gone(socket: &mut TcpStream) -> std::io::Error {
    let mut byte = [0];
    match socket.read(&mut byte).await {
        Ok(0) => std::io::ErrorKind::UnexpectedEof.into(),
        Ok(_) => panic!("a request before the answer to the last one"),
        Err(error) => error,
    }
}

fn whole_head(status: u16, header: &str, length: usize) -> String {
    format!(
        "HTTP/1.1 {status} Played\r\ncontent-type: application/json\r\n{header}content-length: {length}\r\n\r\n"
    )
}

async fn refuse(socket: &mut TcpStream, status: u16, header: &str) -> std::io::Result<Then> {
    let body = json!({"error": {"message": "played", "type": "server_error", "param": null, "code": null}});
    let body = body.to_string();
    let all = whole_head(status, header, body.len()) + &body;
    socket.write_all(all.as_bytes()).await?;
    Ok(Then::KeepOpen)
}

/// What every good answer says.
pub const SAYS: &str = "Hello there";
/// What it counts.
pub const TOKENS: (u64, u64) = (9, 2);

fn usage() -> Value {
    json!({"prompt_tokens": TOKENS.0, "completion_tokens": TOKENS.1, "total_tokens": TOKENS.0 + TOKENS.1})
}

fn whole() -> String {
    json!({
        "id": "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT", "object": "chat.completion", "created": 1_741_569_952,
        "model": "faults-model",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": SAYS, "refusal": null},
            "logprobs": null, "finish_reason": "stop"}],
        "usage": usage(),
    })
    .to_string()
}

/// The events of a stream: what comes before the first content, the first content, the rest.
fn streamed() -> [String; 3] {
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
    let (first, second) = SAYS.split_at(5);
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

async fn answer(socket: &mut TcpStream, stream: bool) -> std::io::Result<Then> {
    let all = if stream {
        STREAM_HEAD.to_owned() + &chunked(&streamed().concat()) + "0\r\n\r\n"
    } else {
        let body = whole();
        whole_head(200, "", body.len()) + &body
    };
    socket.write_all(all.as_bytes()).await?;
    Ok(Then::KeepOpen)
}

async fn begin(socket: &mut TcpStream, stream: bool, with_content: bool) -> std::io::Result<()> {
    let part = if stream {
        let [opening, first, _] = streamed();
        let said = if with_content { chunked(&first) } else { String::new() };
        STREAM_HEAD.to_owned() + &chunked(&opening) + &said
    } else {
        let body = whole();
        whole_head(200, "", body.len()) + &body[..body.len() / 2]
    };
    socket.write_all(part.as_bytes()).await
}
