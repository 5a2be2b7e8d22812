//! Redis servers for tests: the one that runs, or one of a test's own, which it may stop, freeze and cut off.

use std::env;
use std::net::{TcpListener, TcpStream};
use std::ops::Range;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

pub mod proxy;
pub mod watched;

/// What a test does that has no server: it passes with a visible line, or fails where servers are required.
pub fn skipped(why: &str) {
    assert!(env::var_os("REQUIRE_SERVICES").is_none(), "{why}");
    eprintln!("skipped: {why}");
}

/// The server that runs, by `REDIS_URL`, else at the usual port.
pub fn running_url() -> Option<String> {
    let url = env::var("REDIS_URL").unwrap_or_else(|_| "redis://127.0.0.1:6379".into());
    let answers = redis::Client::open(url.as_str())
        .and_then(|client| client.get_connection_with_timeout(Duration::from_secs(2)))
        .and_then(|mut connection| redis::cmd("PING").query::<String>(&mut connection));
    match answers {
        Ok(_) => Some(url),
        Err(error) => {
            skipped(&format!("no Redis at {url} ({error}); scripts/services starts one"));
            None
        }
    }
}

fn program() -> String {
    env::var("REDIS_SERVER").unwrap_or_else(|_| "redis-server".into())
}

/// `None`: no redis-server is installed.
pub fn is_installed() -> bool {
    let found = Command::new(program()).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if found.is_err() {
        skipped(&format!("no {} on the PATH; scripts/services installs it", program()));
    }
    found.is_ok()
}

/// Given out once: a server that does not run yet, or was stopped, finds its port free.
pub fn free_port() -> u16 {
    // Below those that the system gives to clients, and with room for a cluster's bus, 10,000 ports higher.
    const PORTS: Range<u16> = 20_000..32_000;
    static FIRST: LazyLock<u16> = LazyLock::new(|| rand::random_range(PORTS));
    static GIVEN: AtomicU16 = AtomicU16::new(0);
    for _ in PORTS {
        let given = *FIRST - PORTS.start + GIVEN.fetch_add(1, Ordering::Relaxed);
        let port = PORTS.start + given % (PORTS.end - PORTS.start);
        if TcpListener::bind(("127.0.0.1", port)).is_ok()
            && TcpListener::bind(("127.0.0.1", port + 10_000)).is_ok()
        {
            return port;
        }
    }
    panic!("no free port");
}

/// A server that ends with the test.
pub struct Server {
    pub port: u16,
    folder: TempDir,
    arguments: Vec<String>,
    child: Option<Child>,
}

impl Server {
    /// `None`: no redis-server is installed.
    pub fn start(arguments: &[&str]) -> Option<Self> {
        let mut server = Self::prepare(arguments)?;
        server.launch();
        Some(server)
    }

    /// One that does not run yet.
    pub fn prepare(arguments: &[&str]) -> Option<Self> {
        is_installed().then(|| Self {
            port: free_port(),
            folder: tempfile::tempdir().unwrap(),
            arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
            child: None,
        })
    }

    pub fn add_arguments(&mut self, arguments: &[&str]) {
        self.arguments.extend(arguments.iter().map(|argument| (*argument).to_owned()));
    }

    pub fn launch(&mut self) {
        let child = Command::new(program())
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--save", ""])
            .arg("--dir")
            .arg(self.folder.path())
            .args(&self.arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.child = Some(child);
        let latest = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(Instant::now() < latest, "redis-server does not start");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A connection of the test's own.
    pub fn connection(&self) -> redis::Connection {
        redis::Client::open(self.url()).unwrap().get_connection().unwrap()
    }

    pub fn run(&self, words: &[&str]) -> redis::Value {
        let mut command = redis::Cmd::new();
        command.arg(words);
        command.query(&mut self.connection()).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Three masters that share the keys.
pub struct Cluster {
    pub nodes: Vec<Server>,
}

impl Cluster {
    pub fn start() -> Option<Self> {
        let node = || Server::start(&["--cluster-enabled", "yes", "--cluster-node-timeout", "1000"]);
        let nodes = vec![node()?, node()?, node()?];
        let addresses = nodes.iter().map(|node| format!("127.0.0.1:{}", node.port));
        let created = Command::new("redis-cli")
            .args(["--cluster", "create"])
            .args(addresses)
            .args(["--cluster-replicas", "0", "--cluster-yes"])
            .output()
            .unwrap();
        assert!(created.status.success(), "{}", String::from_utf8_lossy(&created.stdout));
        let cluster = Self { nodes };
        let latest = Instant::now() + Duration::from_secs(20);
        while !cluster.is_whole() {
            assert!(Instant::now() < latest, "the cluster does not come together");
            std::thread::sleep(Duration::from_millis(50));
        }
        Some(cluster)
    }

    fn is_whole(&self) -> bool {
        self.nodes.iter().all(|node| {
            let info: String = redis::cmd("CLUSTER").arg("INFO").query(&mut node.connection()).unwrap();
            info.contains("cluster_state:ok") && info.contains("cluster_size:3")
        })
    }

    pub fn url(&self) -> String {
        let hosts: Vec<_> = self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
        format!("redis+cluster://{}", hosts.join(","))
    }
}
