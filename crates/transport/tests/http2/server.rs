//! A server of HTTP/2 over TLS, whose answers the request's path chooses.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{Request, Response};
use rustls::ServerConfig;
use rustls_pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsAcceptor;

pub struct Server {
    pub url: String,
    /// A file with its certificate.
    pub authority: PathBuf,
    pub handshakes: Arc<AtomicUsize>,
    /// The paths of streams that were reset, with the reason.
    pub resets: mpsc::UnboundedReceiver<(String, Reason)>,
    /// Tells all connections to close once their streams have ended.
    pub close: watch::Sender<()>,
}

#[derive(Clone)]
struct Shared {
    handshakes: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
    resets: mpsc::UnboundedSender<(String, Reason)>,
    close: watch::Receiver<()>,
}

/// Starts one that offers `protocols`, in this order.
pub async fn start(protocols: &[&str]) -> Server {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    tls.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let authority = std::env::temp_dir().join(format!("gateway-http2-{}-{port}.pem", std::process::id()));
    std::fs::write(&authority, made.cert.pem()).unwrap();
    let (resets, told) = mpsc::unbounded_channel();
    let (close, closing) = watch::channel(());
    let handshakes = Arc::new(AtomicUsize::new(0));
    let shared = Shared { handshakes: handshakes.clone(), requests: Arc::default(), resets, close: closing };
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(serve(acceptor.clone(), socket, shared.clone()));
        }
    });
    Server { url: format!("https://localhost:{port}"), authority, handshakes, resets: told, close }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.authority);
    }
}

async fn serve(acceptor: TlsAcceptor, socket: TcpStream, mut shared: Shared) {
    let Ok(mut socket) = acceptor.accept(socket).await else { return };
    shared.handshakes.fetch_add(1, Ordering::Relaxed);
    if socket.get_ref().1.alpn_protocol() != Some(b"h2") {
        let mut request = [0; 16 * 1024];
        while socket.read(&mut request).await.is_ok_and(|read| read > 0) {
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\npong";
            socket.write_all(answer).await.unwrap();
        }
        return;
    }
    let mut connection =
        h2::server::Builder::new().max_concurrent_streams(100).handshake::<_, Bytes>(socket).await.unwrap();
    shared.close.mark_unchanged();
    let mut is_closing = false;
    loop {
        tokio::select! {
            accepted = connection.accept() => match accepted {
                Some(Ok((request, respond))) => {
                    if request.uri().path() == "/vanish" {
                        return;
                    }
                    tokio::spawn(answer(request, respond, shared.clone()));
                }
                _ => return,
            },
            _ = shared.close.changed(), if !is_closing => {
                is_closing = true;
                connection.graceful_shutdown();
            }
        }
    }
}

async fn answer(request: Request<RecvStream>, mut respond: SendResponse<Bytes>, shared: Shared) {
    let path = request.uri().path().to_owned();
    let count = shared.requests.fetch_add(1, Ordering::Relaxed);
    let status = |status: u16| Response::builder().status(status).body(()).unwrap();
    match &*path {
        "/refused-once" if count == 0 => return respond.send_reset(Reason::REFUSED_STREAM),
        "/refused" => return respond.send_reset(Reason::REFUSED_STREAM),
        "/reset" => return respond.send_reset(Reason::INTERNAL_ERROR),
        "/redirect" => {
            let to = Response::builder().status(307).header("location", "https://other.test/").body(());
            respond.send_response(to.unwrap(), true).unwrap();
            return;
        }
        // Answered with its body unread, which resets the stream.
        "/early" => {
            let mut send = respond.send_response(status(413), false).unwrap();
            send.send_data(Bytes::from_static(b"too much"), true).unwrap();
            return;
        }
        _ => {}
    }
    let asked = read_body(request.into_body()).await;
    if path == "/hang" {
        let reason = std::future::poll_fn(|context| respond.poll_reset(context)).await;
        shared.resets.send((path, reason.unwrap_or(Reason::NO_ERROR))).unwrap();
        return;
    }
    let mut send = respond.send_response(status(200), false).unwrap();
    match &*path {
        "/stream" => stream(path, send, shared).await,
        "/cut" => {
            send.send_data(Bytes::from_static(b"half"), false).unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
            send.send_reset(Reason::CANCEL);
        }
        "/large" => send_all(&mut send, vec![b'x'; 4 * 1024 * 1024].into()).await,
        "/slow" => {
            tokio::time::sleep(Duration::from_millis(500)).await;
            send.send_data(Bytes::from_static(b"pong"), true).unwrap();
        }
        "/echo" => send_all(&mut send, asked).await,
        _ => send.send_data(Bytes::from_static(b"pong"), true).unwrap(),
    }
}

async fn read_body(mut body: RecvStream) -> Bytes {
    let mut all = Vec::new();
    while let Some(Ok(data)) = body.data().await {
        body.flow_control().release_capacity(data.len()).unwrap();
        all.extend_from_slice(&data);
    }
    all.into()
}

/// As fast as the reader takes them.
async fn send_all(send: &mut SendStream<Bytes>, mut bytes: Bytes) {
    while !bytes.is_empty() {
        send.reserve_capacity(bytes.len().min(16 * 1024));
        let Some(Ok(room)) = std::future::poll_fn(|context| send.poll_capacity(context)).await else {
            return;
        };
        let piece = bytes.split_to(room.min(bytes.len()));
        send.send_data(piece, false).unwrap();
    }
    send.send_data(Bytes::new(), true).unwrap();
}

/// A piece each 10 ms, until the stream is reset.
async fn stream(path: String, mut send: SendStream<Bytes>, shared: Shared) {
    loop {
        tokio::select! {
            reason = std::future::poll_fn(|context| send.poll_reset(context)) => {
                let reason = reason.unwrap_or(Reason::NO_ERROR);
                let _ = shared.resets.send((path, reason));
                return;
            }
            () = tokio::time::sleep(Duration::from_millis(10)) => {
                if send.send_data(Bytes::from_static(b"piece"), false).is_err() {
                    continue;
                }
            }
        }
    }
}
