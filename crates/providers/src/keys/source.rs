//! Where the keys of an entry come from.

use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;

/// Where the keys of an entry come from.
#[derive(Clone, Default)]
pub enum KeysFrom {
    /// The environment variables that the entry names.
    #[default]
    Environment,
    /// The program, which gives them all at once.
    Program(Vec<String>),
    /// A function of the program's, which gives one key at a time.
    Function(Arc<dyn KeySource>),
}

/// Gives a key when it is asked.
pub trait KeySource: Send + Sync {
    /// The key, or what happened in its place. Nothing is to happen before the future is polled.
    fn ask(&self) -> BoxFuture<'static, Result<String, String>>;
}

impl fmt::Debug for KeysFrom {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Environment => "Environment",
            Self::Program(_) => "Program",
            Self::Function(_) => "Function",
        })
    }
}
