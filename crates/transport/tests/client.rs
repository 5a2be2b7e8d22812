//! The client over servers that close, refuse early and stand behind proxies.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use gateway_model::provider::SentMark;
use gateway_transport::body::{BodyLimit, read_error, read_whole};
use gateway_transport::{Endpoint, HttpClient, HttpVersion, NetworkSettings};
use http::HeaderMap;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const PONG: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\npong";

fn client(network: NetworkSettings) -> HttpClient {
    HttpClient::new(&network, HttpVersion::Http1).unwrap()
}

fn endpoint(url: &str) -> Endpoint {
    Endpoint::new(url.parse().unwrap(), HeaderMap::new()).unwrap()
}

async fn ask(client: &HttpClient, endpoint: &Endpoint) -> Result<String, String> {
    let response = client
        .request("p", endpoint, Bytes::from_static(b"{}"), &SentMark::default())
        .await
        .map_err(|error| error.message)?;
    let body = read_whole("p", response, BodyLimit::default()).await.map_err(|error| error.message)?;
    Ok(String::from_utf8(body.to_vec()).unwrap())
}

/// Reads one request whose body is `{}`; false at the connection's end.
async fn read_request(socket: &mut TcpStream) -> bool {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n{}") {
        if !matches!(socket.read_buf(&mut bytes).await, Ok(read) if read > 0) {
            return false;
        }
    }
    true
}

/// A server that answers the first request of each connection, and closes it `after` the second one. Counts requests.
async fn closing(after: Duration) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let counted = counted.clone();
            tokio::spawn(async move {
                read_request(&mut socket).await;
                counted.fetch_add(1, Ordering::Relaxed);
                socket.write_all(PONG).await.unwrap();
                if read_request(&mut socket).await {
                    counted.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(after).await;
                }
            });
        }
    });
    (url, count)
}

#[tokio::test]
async fn a_request_that_a_kept_connection_loses_at_once_is_sent_again() {
    let (url, count) = closing(Duration::ZERO).await;
    let (client, endpoint) = (client(NetworkSettings::default()), endpoint(&url));
    assert_eq!(ask(&client, &endpoint).await.as_deref(), Ok("pong"));
    let mark = SentMark::default();
    let response = client.request("p", &endpoint, Bytes::from_static(b"{}"), &mark).await.unwrap();
    assert_eq!(read_error(response).await, "pong");
    assert!(mark.take_resent());
    assert_eq!(count.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn a_request_that_a_kept_connection_loses_later_is_a_failure() {
    let (url, count) = closing(Duration::from_millis(600)).await;
    let (client, endpoint) = (client(NetworkSettings::default()), endpoint(&url));
    assert_eq!(ask(&client, &endpoint).await.as_deref(), Ok("pong"));
    let error = ask(&client, &endpoint).await.unwrap_err();
    assert!(error.contains("connection closed"), "{error}");
    assert_eq!(count.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn an_answer_that_comes_before_the_request_was_sent_is_read() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = endpoint(&format!("http://{}", listener.local_addr().unwrap()));
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut head = [0; 64];
            socket.read_exact(&mut head).await.unwrap();
            let answer = "HTTP/1.1 413 Too Large\r\nconnection: close\r\ncontent-length: 8\r\n\r\ntoo much";
            socket.write_all(answer.as_bytes()).await.unwrap();
            // Closed with most of the request unread, which resets the connection.
            drop(socket);
        }
    });
    let client = client(NetworkSettings::default());
    for _ in 0..20 {
        let body = Bytes::from(vec![b'x'; 8 * 1024 * 1024]);
        let response = client.request("p", &endpoint, body, &SentMark::default()).await.unwrap();
        assert_eq!(response.status.as_u16(), 413);
        assert_eq!(read_error(response).await, "too much");
    }
}

/// A SOCKS5 proxy that wants a password, and answers in the server's place. Gives the address that it was asked for.
async fn socks(listener: TcpListener) -> Vec<u8> {
    let (mut socket, _) = listener.accept().await.unwrap();
    let mut greeting = [0; 2];
    socket.read_exact(&mut greeting).await.unwrap();
    let mut methods = vec![0; greeting[1].into()];
    socket.read_exact(&mut methods).await.unwrap();
    assert!(methods.contains(&2));
    socket.write_all(&[5, 2]).await.unwrap();
    let mut login = [0; 11];
    socket.read_exact(&mut login).await.unwrap();
    assert_eq!(&login, b"\x01\x03ada\x05pass1");
    socket.write_all(&[1, 0]).await.unwrap();
    let mut head = [0; 4];
    socket.read_exact(&mut head).await.unwrap();
    let length = match head[3] {
        1 => 4,
        3 => socket.read_u8().await.unwrap().into(),
        _ => 16,
    };
    let mut host = vec![0; length];
    socket.read_exact(&mut host).await.unwrap();
    socket.read_u16().await.unwrap();
    socket.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await.unwrap();
    assert!(read_request(&mut socket).await);
    socket.write_all(PONG).await.unwrap();
    host
}

#[tokio::test]
async fn socks_proxies_resolve_names_where_their_scheme_says() {
    for (scheme, host, expected) in [
        ("socks5h", "upstream.test", Some(b"upstream.test".as_slice())),
        ("socks5", "127.0.0.1", Some(&[127, 0, 0, 1])),
        ("socks5", "localhost", None),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = format!("{scheme}://ada:pass1@{}", listener.local_addr().unwrap());
        let network = NetworkSettings { all_proxy: Some(proxy), ..NetworkSettings::default() };
        let asked = tokio::spawn(socks(listener));
        let answer = ask(&client(network), &endpoint(&format!("http://{host}/v1"))).await;
        assert_eq!(answer.as_deref(), Ok("pong"));
        let asked = asked.await.unwrap();
        match expected {
            Some(expected) => assert_eq!(asked, expected),
            None => assert_ne!(asked, host.as_bytes()),
        }
    }
}
