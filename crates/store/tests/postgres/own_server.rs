//! A PostgreSQL of a test's own, with a password, that can be stopped and started.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

pub struct OwnServer {
    folder: tempfile::TempDir,
    programs: PathBuf,
    port: u16,
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    String::from_utf8_lossy(&id.stdout).trim() == "0"
}

/// The folder of the newest `initdb`, which Debian keeps off the PATH.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().filter_map(Result::ok);
    let mut found: Vec<_> = versions
        .map(|version| version.path().join("bin"))
        .filter(|bin| bin.join("initdb").exists())
        .collect();
    found.sort();
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    found.pop().or_else(|| std::env::split_paths(&on_path).find(|folder| folder.join("initdb").exists()))
}

impl OwnServer {
    pub const PASSWORD: &'static str = "r1ght";

    /// `None`: it is not installed, as was said.
    pub fn start() -> Option<Self> {
        let Some(programs) = programs() else {
            let line = "skipped: no PostgreSQL is installed (initdb is not found)";
            assert!(std::env::var_os("REQUIRE_SERVICES").is_none(), "{line}");
            println!("{line}");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o711)).unwrap();
        let home = folder.path().join("postgres");
        fs::create_dir(&home).unwrap();
        fs::write(home.join("password"), Self::PASSWORD).unwrap();
        if is_root() {
            let id = Command::new("id").args(["-u", "postgres"]).output().unwrap();
            let id: u32 = String::from_utf8_lossy(&id.stdout).trim().parse().unwrap();
            chown(&home, Some(id), None).unwrap();
            chown(home.join("password"), Some(id), None).unwrap();
        }
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = Self { folder, programs, port };
        let password = server.home().join("password");
        server.run(
            "initdb",
            &[
                "--username=postgres",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--no-sync",
                &format!("--pwfile={}", password.display()),
            ],
        );
        server.go_on();
        Some(server)
    }

    fn home(&self) -> PathBuf {
        self.folder.path().join("postgres")
    }

    fn data(&self) -> PathBuf {
        self.home().join("data")
    }

    /// PostgreSQL refuses to run as root.
    fn command(&self, program: &Path) -> Command {
        let mut command;
        if is_root() {
            command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]).arg(program);
        } else {
            command = Command::new(program);
        }
        command.current_dir("/");
        command
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Output {
        let mut command = self.command(&self.programs.join(program));
        let output = command.args(arguments).env("PGDATA", self.data()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program}: {text}");
        output
    }

    pub fn go_on(&self) {
        let log = self.home().join("log");
        let options = format!(
            "-p {} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off -c shared_buffers=16MB",
            self.port
        );
        // Its output goes to a file: a pipe would be held open by the server.
        self.run("pg_ctl", &["start", "--wait", "--log", log.to_str().unwrap(), "--options", &options]);
    }

    pub fn stop(&mut self) {
        self.run("pg_ctl", &["stop", "--mode=immediate"]);
    }

    pub fn restart(&mut self) {
        self.stop();
        self.go_on();
    }

    /// To the server's processes, all of which are of its session.
    pub fn signal(&self, signal: &str) {
        let text = fs::read_to_string(self.data().join("postmaster.pid")).unwrap();
        let postmaster = text.lines().next().unwrap();
        let children = Command::new("pgrep").args(["-P", postmaster]).output().unwrap();
        let children = String::from_utf8_lossy(&children.stdout).into_owned();
        for process in std::iter::once(postmaster).chain(children.split_whitespace()) {
            // A process may have ended since it was listed.
            let _ = Command::new("kill").args([&format!("-{signal}"), process]).output();
        }
    }

    pub fn url(&self, user: &str, password: &str) -> String {
        format!("postgres://{user}:{password}@127.0.0.1:{}/postgres", self.port)
    }

    pub fn sql(&self, sql: &str) {
        let url = self.url("postgres", Self::PASSWORD);
        self.run("psql", &["--quiet", "--dbname", &url, "--command", sql]);
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        let mut command = self.command(&self.programs.join("pg_ctl"));
        let _ = command.args(["stop", "--mode=immediate"]).env("PGDATA", self.data()).output();
    }
}
