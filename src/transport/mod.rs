//! HTTP to the upstream: one client, retries and deadlines, and the reader of event streams.

pub mod body;
mod certificates;
pub mod client;
pub mod connect;
pub mod network;
pub mod retry;
pub mod sse;

pub use client::{Endpoint, HttpClient};
pub use network::NetworkSettings;
pub use retry::RetryPolicy;
