//! What tests of several crates share: played upstreams.

pub mod replay;
