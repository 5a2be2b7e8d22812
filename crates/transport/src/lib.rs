//! HTTP to upstreams: the client, deadlines, and readers of event streams.

mod announced;
pub mod body;
mod certificates;
pub mod client;
mod coding;
mod connect;
mod connection;
mod early_answer;
mod endpoint;
pub mod event_stream;
pub mod frames;
mod http1;
mod http2;
pub mod network;
mod no_proxy;
mod pool;
pub mod retry_after;
mod socks;
pub mod sse;

pub use client::{HttpClient, HttpVersion, Response};
pub use endpoint::Endpoint;
pub use frames::Frames;
pub use network::NetworkSettings;
pub use retry_after::retry_after;
