//! A TCP proxy that is not always well.

use std::net::SocketAddr;
use std::time::Duration;

use rand::Rng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Mood {
    Well,
    /// Connections are closed, new ones at once.
    Refuses,
    /// Connections stay, and carry nothing.
    Silent,
    /// Each connection is closed in the midst of what it does.
    Cuts,
    /// What is asked arrives, what is answered does not.
    LosesReplies,
    /// Each piece is late.
    Slow(Duration),
}

pub struct Proxy {
    pub port: u16,
    mood: watch::Sender<Mood>,
}

impl Proxy {
    pub async fn start(upstream: (&str, u16)) -> Self {
        let upstream = tokio::net::lookup_host(upstream).await.unwrap().next().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (mood, moods) = watch::channel(Mood::Well);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, upstream, moods.clone()));
            }
        });
        Self { port, mood }
    }

    pub fn set(&self, mood: Mood) {
        self.mood.send(mood).unwrap();
    }
}

async fn serve(client: TcpStream, upstream: SocketAddr, moods: watch::Receiver<Mood>) {
    if *moods.borrow() == Mood::Refuses {
        return;
    }
    let Ok(server) = TcpStream::connect(upstream).await else { return };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let asking = carry(from_client, to_server, moods.clone(), false);
    let answering = carry(from_server, to_client, moods.clone(), true);
    let mut ending = moods;
    let cut = Duration::from_millis(rand::rng().random_range(1..120));
    let ended = async {
        loop {
            let mood = *ending.borrow_and_update();
            match mood {
                Mood::Refuses => return,
                Mood::Cuts => return tokio::time::sleep(cut).await,
                _ => {}
            }
            if ending.changed().await.is_err() {
                return;
            }
        }
    };
    // Both ways end, and both connections close, with the first that ends.
    tokio::select! { () = asking => {}, () = answering => {}, () = ended => {} }
}

async fn carry(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut moods: watch::Receiver<Mood>,
    is_reply: bool,
) {
    let mut buffer = [0; 16_384];
    let mut lost = false;
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let mood = *moods.borrow_and_update();
        match mood {
            Mood::Slow(by) => tokio::time::sleep(by).await,
            Mood::LosesReplies => lost |= is_reply,
            Mood::Silent => {
                while *moods.borrow_and_update() == Mood::Silent {
                    if moods.changed().await.is_err() {
                        return;
                    }
                }
            }
            _ => {}
        }
        // A connection that has lost something carries nothing more that way.
        if !lost && to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
