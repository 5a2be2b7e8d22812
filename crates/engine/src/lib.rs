//! An AI gateway in process: who answers a request, what when that provider is down, what may it cost, what did it cost.
//!
//! The pipeline of one call, in [`gateway`]: the request is checked, [`routing`] picks a target, [`budget`] reserves what
//! the call may use, [`routing`] asks the target's provider, repeats what fails and falls back to others, the real usage is
//! priced, the reservation settled and the [`usage`] log written: once, however the call ends.

pub mod budget;
pub mod cache;
pub mod config;
pub mod gateway;
pub mod limits;
pub mod records;
pub mod routing;
pub mod state;
mod stores;
pub mod usage;
mod wall_clock;

pub use gateway::Gateway;
pub use stores::{LeftOver, Stores};
