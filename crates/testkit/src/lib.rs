//! What tests of several crates share: played upstreams.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

pub mod replay;
pub mod vendor_rules;
