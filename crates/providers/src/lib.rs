//! The services that answer. One file for each wire format; [`HttpProvider`] does what they share.

mod anthropic;
mod azure;
mod bedrock;
mod build;
mod catalogue;
mod cloudflare;
mod embeddings;
mod gemini;
mod http;
mod json_answer;
mod keys;
mod lenient;
mod mock;
mod openai;
mod responses;
mod wire;
mod workers_ai;

pub use build::{Setup, build, complete, families, has_defaults, variables};
pub use catalogue::Service;
pub use http::HttpProvider;
pub use mock::MockProvider;
