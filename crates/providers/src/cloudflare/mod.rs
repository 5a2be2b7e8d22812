//! Cloudflare AI Gateway: vendors at addresses of its own, and its Universal Endpoint, which takes a whole chain in one
//! call.
//!
//! Source: Cloudflare's documentation of AI Gateway, "Providers", "Universal Endpoint", "Fallbacks" and "Header glossary".

mod route;
mod universal;

pub use route::CloudflareRoute;
pub use universal::UniversalEndpoint;
