//! Where state and records live. The engine's traits ([`gateway_engine::state`], [`gateway_engine::records`]) say what a
//! store does; here is how each one does it.

pub mod admin;
mod clock;
mod dimension;
pub mod journal;
mod latency;
mod open;
pub mod postgres;
pub mod redis;
mod row;
pub mod schema;
pub mod secrets;
mod series;
pub mod sqlite;

pub use open::{Report, open};
