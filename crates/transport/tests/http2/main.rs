//! The client over HTTP/2: real sockets, real TLS.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod server;

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use gateway_model::ErrorKind;
use gateway_model::error::GatewayError;
use gateway_model::provider::SentMark;
use gateway_transport::body::{BodyLimit, ChunkReader, read_error, read_whole};
use gateway_transport::{Endpoint, HttpClient, HttpVersion, NetworkSettings, Response};
use h2::Reason;
use http::HeaderMap;
use server::Server;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(5);

async fn start() -> Server {
    server::start(&["h2"]).await
}

fn network(server: &Server) -> NetworkSettings {
    let file = server.authority.to_str().unwrap().to_owned();
    NetworkSettings { extra_ca_file: Some(file), ..NetworkSettings::default() }
}

fn client(server: &Server) -> HttpClient {
    HttpClient::new(&network(server), HttpVersion::Http2).unwrap()
}

fn at(server: &Server, path: &str) -> Endpoint {
    Endpoint::new(format!("{}{path}", server.url).parse().unwrap(), HeaderMap::new()).unwrap()
}

async fn open(client: &HttpClient, endpoint: &Endpoint) -> Result<Response, GatewayError> {
    client.request("p", endpoint, Bytes::from_static(b"{}"), &SentMark::default()).await
}

async fn ask(client: &HttpClient, endpoint: &Endpoint) -> Result<Bytes, GatewayError> {
    read_whole("p", open(client, endpoint).await?, BodyLimit::default()).await
}

async fn read_some(reader: &mut ChunkReader) -> Result<usize, GatewayError> {
    let mut bytes = 0;
    reader.read("p", |piece| bytes += piece.len()).await?;
    Ok(bytes)
}

#[tokio::test]
async fn calls_share_a_connection() {
    let server = start().await;
    let client = client(&server);
    for (path, length) in [("/whole", 4), ("/echo", 2), ("/large", 4 * 1024 * 1024)] {
        let answer = ask(&client, &at(&server, path)).await.unwrap();
        assert_eq!(answer.len(), length, "{path}");
    }
    assert_eq!(server.handshakes.load(Ordering::Relaxed), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_streams_at_once_take_few_connections() {
    let server = start().await;
    let client = client(&server);
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..256 {
        let (client, endpoint) = (client.clone(), at(&server, "/stream"));
        readers.spawn(async move {
            let mut reader = ChunkReader::new(open(&client, &endpoint).await.unwrap(), BodyLimit::default());
            assert!(read_some(&mut reader).await.unwrap() > 0);
            reader
        });
    }
    let mut readers = timeout(SOON, readers.join_all()).await.unwrap();
    assert_eq!(server.handshakes.load(Ordering::Relaxed), 3);
    for reader in &mut readers {
        assert!(read_some(reader).await.unwrap() > 0);
    }
    drop(readers);
    // The places are free again.
    assert_eq!(ask(&client, &at(&server, "/whole")).await.unwrap(), "pong");
    assert_eq!(server.handshakes.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn a_dropped_stream_is_reset_alone() {
    let mut server = start().await;
    let client = client(&server);
    let endpoint = at(&server, "/stream");
    let open = async || ChunkReader::new(open(&client, &endpoint).await.unwrap(), BodyLimit::default());
    let (left, mut stays) = (open().await, open().await);
    assert!(read_some(&mut stays).await.unwrap() > 0);
    drop(left);
    let reset = timeout(SOON, server.resets.recv()).await.unwrap();
    assert_eq!(reset, Some(("/stream".to_owned(), Reason::CANCEL)));
    for _ in 0..5 {
        assert!(read_some(&mut stays).await.unwrap() > 0);
    }
    assert_eq!(server.handshakes.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_call_that_is_given_up_before_its_answer_is_reset() {
    let mut server = start().await;
    let client = client(&server);
    let (endpoint, mark) = (at(&server, "/hang"), SentMark::default());
    let asked = client.request("p", &endpoint, Bytes::from_static(b"{}"), &mark);
    assert!(timeout(Duration::from_millis(300), asked).await.is_err());
    assert!(mark.take());
    let reset = timeout(SOON, server.resets.recv()).await.unwrap();
    assert_eq!(reset, Some(("/hang".to_owned(), Reason::CANCEL)));
    assert_eq!(ask(&client, &at(&server, "/whole")).await.unwrap(), "pong");
    assert_eq!(server.handshakes.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn what_never_got_a_connection_was_not_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/v1", listener.local_addr().unwrap());
    let endpoint = Endpoint::new(url.parse().unwrap(), HeaderMap::new()).unwrap();
    let client = HttpClient::new(&NetworkSettings::default(), HttpVersion::Http2).unwrap();
    let mark = SentMark::default();
    // The server accepts, and never shakes hands.
    let asked = client.request("p", &endpoint, Bytes::from_static(b"{}"), &mark);
    assert!(timeout(Duration::from_millis(200), asked).await.is_err());
    drop(listener);
    let error = client.request("p", &endpoint, Bytes::from_static(b"{}"), &mark).await.err().unwrap();
    assert!(error.message.ends_with("connection refused"), "{}", error.message);
    assert!(!mark.take());
}

#[tokio::test]
async fn a_server_that_says_goodbye_finishes_what_it_began() {
    let server = start().await;
    let client = client(&server);
    let running = open(&client, &at(&server, "/slow")).await.unwrap();
    server.close.send(()).unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(ask(&client, &at(&server, "/whole")).await.unwrap(), "pong");
    assert_eq!(read_whole("p", running, BodyLimit::default()).await.unwrap(), "pong");
    assert_eq!(server.handshakes.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_refused_stream_is_sent_again_once() {
    let server = start().await;
    let client = client(&server);
    assert_eq!(ask(&client, &at(&server, "/refused-once")).await.unwrap(), "pong");
    let error = ask(&client, &at(&server, "/refused")).await.unwrap_err();
    assert!(error.retryable, "{}", error.message);
}

#[tokio::test]
async fn lost_streams_are_failures_of_the_network() {
    let server = start().await;
    let client = client(&server);
    for path in ["/reset", "/cut", "/vanish"] {
        let error = ask(&client, &at(&server, path)).await.unwrap_err();
        println!("{path}: {}", error.message);
        assert_eq!(error.kind, ErrorKind::ProviderNetwork, "{path}: {}", error.message);
        assert!(!error.message.contains("localhost"), "{}", error.message);
    }
    assert_eq!(ask(&client, &at(&server, "/whole")).await.unwrap(), "pong");
}

#[tokio::test]
async fn redirects_to_other_hosts_are_refused() {
    let server = start().await;
    let error = ask(&client(&server), &at(&server, "/redirect")).await.unwrap_err();
    assert!(error.message.contains("redirected to other.test"), "{}", error.message);
}

#[tokio::test]
async fn answers_are_bounded() {
    let server = start().await;
    let response = open(&client(&server), &at(&server, "/large")).await.unwrap();
    let error = read_whole("p", response, BodyLimit { max: 1024 }).await.unwrap_err();
    assert!(error.message.contains("maxResponseBytes (1024)"), "{}", error.message);
}

#[tokio::test]
async fn a_stream_that_nobody_reads_holds_no_other_up() {
    let server = start().await;
    let client = client(&server);
    let mut unread = Vec::new();
    for _ in 0..40 {
        unread.push(open(&client, &at(&server, "/large")).await.unwrap());
    }
    let answer = timeout(SOON, ask(&client, &at(&server, "/large"))).await.unwrap().unwrap();
    assert_eq!(answer.len(), 4 * 1024 * 1024);
    assert_eq!(server.handshakes.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn an_answer_that_comes_before_the_request_was_sent_is_read() {
    let server = start().await;
    let client = client(&server);
    let body = Bytes::from(vec![b'x'; 8 * 1024 * 1024]);
    let response = client.request("p", &at(&server, "/early"), body, &SentMark::default()).await.unwrap();
    assert_eq!(response.status.as_u16(), 413);
    assert_eq!(read_error(response).await, "too much");
}

#[tokio::test]
async fn a_server_without_http2_is_spoken_to_over_http1() {
    let server = server::start(&["http/1.1"]).await;
    let client = client(&server);
    for _ in 0..3 {
        assert_eq!(ask(&client, &at(&server, "/v1")).await.unwrap(), "pong");
    }
    assert_eq!(server.handshakes.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn untrusted_certificates_are_refused() {
    let server = start().await;
    let client = HttpClient::new(&NetworkSettings::default(), HttpVersion::Http2).unwrap();
    let error = ask(&client, &at(&server, "/whole")).await.unwrap_err();
    assert!(error.message.contains("connecting failed: invalid peer certificate"), "{}", error.message);
}

/// A proxy that opens a tunnel for one connection. Gives what it was asked, as far as it is text.
async fn tunnel(listener: TcpListener, port: u16) -> String {
    let (mut socket, _) = listener.accept().await.unwrap();
    let mut asked = vec![0; 1024];
    let read = socket.read(&mut asked).await.unwrap();
    asked.truncate(read);
    if asked[0] == 5 {
        socket.write_all(&[5, 2]).await.unwrap();
        let mut login = [0; 11];
        socket.read_exact(&mut login).await.unwrap();
        asked = login.to_vec();
        socket.write_all(&[1, 0]).await.unwrap();
        let mut address = [0; 1024];
        assert!(socket.read(&mut address).await.unwrap() > 0);
        socket.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await.unwrap();
    } else {
        socket.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
    }
    let mut server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    tokio::spawn(async move { copy_bidirectional(&mut socket, &mut server).await });
    String::from_utf8(asked).unwrap()
}

#[tokio::test]
async fn proxies_are_gone_through_with_their_passwords() {
    let server = start().await;
    let port = server.url.rsplit_once(':').unwrap().1.parse().unwrap();
    for (scheme, expected) in
        [("http", "proxy-authorization: basic ywrhonbhc3mx"), ("socks5h", "\u{1}\u{3}ada\u{5}pass1")]
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = format!("{scheme}://ada:pass1@{}", listener.local_addr().unwrap());
        let network = NetworkSettings { all_proxy: Some(proxy), ..network(&server) };
        let asked = tokio::spawn(tunnel(listener, port));
        let client = HttpClient::new(&network, HttpVersion::Http2).unwrap();
        assert_eq!(ask(&client, &at(&server, "/whole")).await.unwrap(), "pong");
        let asked = asked.await.unwrap();
        assert!(asked.to_ascii_lowercase().contains(expected), "{asked}");
    }
}

#[tokio::test]
async fn servers_in_no_proxy_are_reached_directly() {
    let server = start().await;
    let network = NetworkSettings {
        all_proxy: Some("http://127.0.0.1:9".to_owned()),
        no_proxy: Some("localhost".to_owned()),
        ..network(&server)
    };
    let client = HttpClient::new(&network, HttpVersion::Http2).unwrap();
    assert_eq!(ask(&client, &at(&server, "/whole")).await.unwrap(), "pong");
}
