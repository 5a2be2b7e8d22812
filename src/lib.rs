//! The border with JavaScript, and the only place that knows napi.
//!
//! Everything crosses in one manner. JavaScript calls plain functions with JSON text; what takes time is answered
//! through one threadsafe function for each JavaScript thread ([`outbox`]), which hands over all that is ready as one
//! JSON document. Custom providers are called the same way ([`custom`]): a message out, a function call back. Success
//! and failure are data; the JavaScript face throws.

mod bridge;
mod budget;
mod calls;
mod config;
mod custom;
mod errors;
mod gateway;
mod outbox;
mod pricing;
mod provider;
mod router;
mod runtime;
mod stream;

/// A call allocates a hundred times; glibc's allocator took a fifth of its time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
