//! The scripts that Redis runs, and how commands name them.

use std::sync::LazyLock;

use redis::cluster_routing::RoutingInfo;
use redis::{Arg, Cmd};

/// A script, which Redis knows by its hash once it has seen the text.
pub(super) struct Script {
    text: &'static str,
    hash: String,
}

impl Script {
    fn new(text: &'static str) -> Self {
        Self { text, hash: redis::Script::new(text).get_hash().to_owned() }
    }
}

/// One round trip each: what they do with their key is done at once.
pub(super) struct Scripts {
    pub exchange: Script,
    pub look: Script,
    pub take: Script,
    pub post: Script,
    pub notices: Script,
}

pub(super) static SCRIPTS: LazyLock<Scripts> = LazyLock::new(|| Scripts {
    exchange: Script::new(concat!(include_str!("lua/read.lua"), include_str!("lua/exchange.lua"))),
    look: Script::new(concat!(include_str!("lua/read.lua"), include_str!("lua/look.lua"))),
    take: Script::new(include_str!("lua/take.lua")),
    post: Script::new(include_str!("lua/post.lua")),
    notices: Script::new(include_str!("lua/notices.lua")),
});

/// A command to Redis.
pub(super) struct Request {
    pub command: Cmd,
    /// The script that the command names by its hash.
    script: Option<&'static Script>,
    /// Which nodes of a cluster, where the command has no key that says so.
    pub nodes: Option<RoutingInfo>,
}

impl Request {
    pub fn plain(name: &str, key: &str) -> Self {
        let mut command = Cmd::new();
        command.arg(name).arg(key);
        Self { command, script: None, nodes: None }
    }

    /// A script and its one key.
    pub fn script(script: &'static Script, key: &str) -> Self {
        let mut command = Cmd::with_capacity(32, 512);
        command.arg("EVALSHA").arg(&script.hash).arg(1).arg(key);
        Self { command, script: Some(script), nodes: None }
    }

    /// Sends it to certain nodes of a cluster.
    pub fn on(self, nodes: RoutingInfo) -> Self {
        Self { nodes: Some(nodes), ..self }
    }

    pub fn arg(mut self, argument: impl redis::ToRedisArgs) -> Self {
        self.command.arg(argument);
        self
    }

    /// The same with the script's text, for a Redis that does not know it, or no longer.
    pub fn with_text(&self) -> Option<Cmd> {
        let mut command = Cmd::new();
        command.arg("EVAL").arg(self.script?.text);
        for argument in self.command.args_iter().skip(2) {
            if let Arg::Simple(bytes) = argument {
                command.arg(bytes);
            }
        }
        Some(command)
    }
}
