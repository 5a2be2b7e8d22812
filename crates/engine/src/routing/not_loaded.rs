//! The name of an entry that is not loaded, where a provider is named.

use futures::future::BoxFuture;

use super::decision::not_loaded;
use gateway_model::error::Failure;
use gateway_model::{Answer, OpenedStream, Provider, ProviderCall};

/// Answers nothing.
pub(super) struct NotLoaded(pub String);

impl Provider for NotLoaded {
    fn name(&self) -> &str {
        &self.0
    }

    fn family(&self) -> &str {
        ""
    }

    fn chat<'a>(&'a self, _: &'a ProviderCall) -> BoxFuture<'a, Result<Answer, Failure>> {
        Box::pin(async { Err(not_loaded(&self.0)) })
    }

    fn open_stream<'a>(&'a self, _: &'a ProviderCall) -> BoxFuture<'a, Result<OpenedStream, Failure>> {
        Box::pin(async { Err(not_loaded(&self.0)) })
    }
}
