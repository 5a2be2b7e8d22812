//! The services that answer. Each wire format has a folder, in which it describes the families that speak it; `registry` lists
//! them, and [`HttpProvider`] does what all share.

mod anthropic;
mod azure;
mod bedrock;
mod build;
mod catalogue;
mod cloudflare;
mod documents;
mod embeddings;
mod family;
mod fit;
mod gemini;
mod http;
mod json_answer;
mod keys;
mod lenient;
mod mock;
mod native_schema;
mod openai;
mod places;
mod provider;
mod read_error;
mod registry;
mod responses;
mod settings;
mod wire;
mod workers_ai;

pub use build::{BuildError, BuildProblem, ProviderEnv};
pub use family::{EntryRule, Family, KeyVariable};
pub use http::HttpProvider;
pub use keys::{KeySource, KeysFrom};
pub use mock::MockProvider;
pub use registry::{build, build_with_keys, complete, describe_families, families, has_defaults, variables};
