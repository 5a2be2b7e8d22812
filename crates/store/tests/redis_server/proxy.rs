//! A TCP proxy before Redis that delays its answers, or lets connections fall silent.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[derive(Clone)]
pub struct Proxy {
    pub port: u16,
    delay_ms: Arc<AtomicU64>,
    connections: Arc<AtomicU64>,
    /// Those before this one carry nothing more, and stay open.
    silent_before: Arc<AtomicU64>,
}

impl Proxy {
    pub async fn before(upstream: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Self {
            port: listener.local_addr().unwrap().port(),
            delay_ms: Arc::default(),
            connections: Arc::default(),
            silent_before: Arc::default(),
        };
        let shared = proxy.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let number = shared.connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(shared.clone().carry(client, upstream, number));
            }
        });
        proxy
    }

    async fn carry(self, client: TcpStream, upstream: u16, number: u64) {
        let Ok(server) = TcpStream::connect(("127.0.0.1", upstream)).await else { return };
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        let requests = async { tokio::io::copy(&mut from_client, &mut to_server).await.map(drop) };
        let answers = async {
            let mut buffer = vec![0; 64 * 1024];
            loop {
                let read = from_server.read(&mut buffer).await?;
                if number < self.silent_before.load(Ordering::SeqCst) {
                    std::future::pending::<()>().await;
                }
                if read == 0 {
                    return std::io::Result::Ok(());
                }
                tokio::time::sleep(Duration::from_millis(self.delay_ms.load(Ordering::SeqCst))).await;
                to_client.write_all(&buffer[..read]).await?;
            }
        };
        let _ = tokio::select! { end = requests => end, end = answers => end };
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Answers come so much later.
    pub fn delay(&self, delay: Duration) {
        self.delay_ms.store(delay.as_millis().try_into().unwrap(), Ordering::SeqCst);
    }

    /// What is connected now falls silent, as behind a router that has forgotten it.
    pub fn forget_connections(&self) {
        self.silent_before.store(self.connections.load(Ordering::SeqCst), Ordering::SeqCst);
    }
}
