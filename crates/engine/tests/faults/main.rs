//! Faults: whole gateways over servers that fail, reset, stall and slow down. What is asserted are counts, never times,
//! so that a busy machine changes nothing; waits have bounds that nothing comes near.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod breakers;
mod brownouts;
mod callers;
mod hedging;
mod limits;
mod reload;
mod retries;
mod rig;
mod sharing;
mod stress;
mod upstream;
