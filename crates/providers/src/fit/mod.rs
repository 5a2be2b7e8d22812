//! A call as its receiver takes it: what every family writes is fitted here, once, before any format sees it. Formats then
//! write what they are given.
//!
//! A call that fits already is not copied.

mod ids;

use std::borrow::Cow;
use std::sync::Arc;

use gateway_model::{ChatRequest, Message, ProviderCall};

pub use ids::IdRule;

/// What a receiver takes.
#[derive(Debug, Clone, Copy)]
pub struct Receiver {
    /// Ids of tool calls.
    pub ids: IdRule,
}

impl Receiver {
    /// It takes everything.
    pub const LENIENT: Self = Self { ids: IdRule::Any };
}

/// The call as `receiver` takes it.
pub fn fit_call<'a>(call: &'a ProviderCall, receiver: &Receiver) -> Cow<'a, ProviderCall> {
    let mut fitted = Fitted { call: Cow::Borrowed(call) };
    if call.request.messages.iter().any(|message| !message.tool_calls.is_empty()) {
        fitted.messages(|messages| ids::fit_ids(messages, receiver.ids));
    }
    fitted.call
}

struct Fitted<'a> {
    call: Cow<'a, ProviderCall>,
}

impl Fitted<'_> {
    /// Replaces the messages where `fit` changes them.
    fn messages(&mut self, fit: impl Fn(&[Message]) -> Cow<'_, [Message]>) {
        let Cow::Owned(messages) = fit(&self.call.request.messages) else { return };
        let request = self.request();
        request.messages = messages;
        // They no longer go out as they came in.
        request.openai_messages = None;
    }

    fn request(&mut self) -> &mut ChatRequest {
        Arc::make_mut(&mut self.call.to_mut().request)
    }
}
