//! HTTP to upstreams: the client, deadlines, and readers of event streams.

pub mod body;
mod certificates;
pub mod client;
mod connect;
mod connection;
pub mod event_stream;
pub mod frames;
pub mod network;
mod pool;
pub mod retry_after;
pub mod sse;

pub use client::{Endpoint, HttpClient, Response};
pub use frames::Frames;
pub use network::NetworkSettings;
pub use retry_after::retry_after;
