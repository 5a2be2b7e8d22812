//! The N-API boundary: the addon that `lib/` loads, and the only crate that knows napi.
//!
//! All calls cross it in the same way. JavaScript calls plain synchronous functions with JSON text and a number for the call;
//! whatever takes time is answered by messages ([`protocol`]), which collect in one queue for each JavaScript thread
//! ([`outbox`]). One wake of the thread takes all that are ready, as one JSON document. Custom providers are called the
//! same way: a message out, a function call back ([`custom`], [`pending_calls`]). Success and failure are data: `lib/` throws.
//!
//! From top to bottom: one file for each class of JavaScript (`gateway`, `router`, `provider`, `budget`, and `bridge` for the
//! thread itself) → `stream`, `custom`, `keys` → `calls` → `outbox`, `pending_calls`, `flow` → `protocol`, `errors`, `runtime`.

mod bridge;
mod budget;
mod calls;
mod chunks;
mod config;
mod custom;
mod errors;
mod flow;
mod gateway;
mod keys;
mod outbox;
mod pending_calls;
mod pricing;
mod protocol;
mod provider;
mod router;
mod runtime;
mod stores;
mod stream;

/// A call allocates a hundred times; glibc's allocator took a fifth of its time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
