//! The threads that calls run on.

use std::sync::OnceLock;

use tokio::runtime::{Builder, Runtime};

static RUNTIME: OnceLock<Option<Runtime>> = OnceLock::new();

/// The process's runtime, started by the first call. One worker: calls wait far more than they compute, and a
/// second one costs each call more in hand-overs than it gives (measured on two cores).
pub fn runtime() -> napi::Result<&'static Runtime> {
    let runtime = RUNTIME.get_or_init(|| {
        Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("ai-gateway")
            .enable_io()
            .enable_time()
            .build()
            .ok()
    });
    runtime.as_ref().ok_or_else(|| napi::Error::from_reason("the gateway's threads could not be started"))
}
