//! A server that replays transcripts, in whatever pieces a test asks for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, mpsc};

/// How a body is put on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    Length,
    /// A piece is an HTTP chunk.
    Chunked,
    UntilClose,
}

/// One answer.
#[derive(Debug, Clone)]
pub struct Delivery {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub framing: Framing,
    pub pieces: Vec<Vec<u8>>,
    /// Between two pieces.
    pub pause: Duration,
    /// Closes the connection before the body's regular end.
    pub lost: bool,
}

/// One request, as it arrived.
#[derive(Debug)]
pub struct Seen {
    pub path: String,
    pub headers: BTreeMap<String, String>,
    pub body: Value,
}

pub struct Replay {
    pub url: String,
    deliveries: mpsc::UnboundedSender<Delivery>,
    seen: Mutex<mpsc::UnboundedReceiver<Seen>>,
}

impl Replay {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (deliveries, next) = mpsc::unbounded_channel();
        let (tell, seen) = mpsc::unbounded_channel();
        let next = Arc::new(Mutex::new(next));
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(answer(socket, next.clone(), tell.clone()));
            }
        });
        Self { url, deliveries, seen: Mutex::new(seen) }
    }

    /// The next request is answered like this.
    pub fn deliver(&self, delivery: Delivery) {
        self.deliveries.send(delivery).unwrap();
    }

    /// The request that the last delivery answered.
    pub async fn seen(&self) -> Seen {
        self.seen.lock().await.recv().await.unwrap()
    }
}

async fn answer(
    mut socket: TcpStream,
    next: Arc<Mutex<mpsc::UnboundedReceiver<Delivery>>>,
    tell: mpsc::UnboundedSender<Seen>,
) {
    socket.set_nodelay(true).unwrap();
    let Some(request) = read(&mut socket).await else { return };
    let delivery = next.lock().await.recv().await.unwrap();
    tell.send(request).unwrap();
    // The client may leave at any time.
    let _ = write(&mut socket, &delivery).await;
}

async fn read(socket: &mut TcpStream) -> Option<Seen> {
    let mut bytes = Vec::new();
    loop {
        if socket.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let mut lines = head.split("\r\n");
        let path = lines.next()?.split(' ').nth(1)?.to_owned();
        let headers: BTreeMap<String, String> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let length: usize = headers.get("content-length")?.parse().unwrap();
        let body = &bytes[end + 4..];
        if body.len() == length {
            return Some(Seen { path, headers, body: parsed(body) });
        }
    }
}

/// Bodies may be nested deeper than the usual stack bears.
fn parsed(body: &[u8]) -> Value {
    let read = || {
        let mut reader = serde_json::Deserializer::from_slice(body);
        reader.disable_recursion_limit();
        Value::deserialize(&mut reader).unwrap()
    };
    std::thread::scope(|scope| {
        std::thread::Builder::new().stack_size(32 << 20).spawn_scoped(scope, read).unwrap().join().unwrap()
    })
}

async fn write(socket: &mut TcpStream, delivery: &Delivery) -> std::io::Result<()> {
    let length: usize = delivery.pieces.iter().map(Vec::len).sum();
    let mut head = format!("HTTP/1.1 {} Replayed\r\nconnection: close\r\n", delivery.status);
    for (name, value) in &delivery.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    match delivery.framing {
        Framing::Length => {
            head.push_str(&format!("content-length: {}\r\n", length + usize::from(delivery.lost)))
        }
        Framing::Chunked => head.push_str("transfer-encoding: chunked\r\n"),
        Framing::UntilClose => {}
    }
    head.push_str("\r\n");
    socket.write_all(head.as_bytes()).await?;
    for piece in &delivery.pieces {
        let mut framed = piece.clone();
        if delivery.framing == Framing::Chunked {
            framed = [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat();
        }
        socket.write_all(&framed).await?;
        socket.flush().await?;
        if !delivery.pause.is_zero() {
            tokio::time::sleep(delivery.pause).await;
        }
    }
    if delivery.framing == Framing::Chunked && !delivery.lost {
        socket.write_all(b"0\r\n\r\n").await?;
    }
    socket.shutdown().await
}
