//! A call as its receiver takes it: what every family writes is fitted here, once, before any format sees it. Formats then
//! write what they are given.
//!
//! A call that fits already is not copied. Of what a caller wrote in OpenAI's form, its source is changed with it: services
//! of that form get the rest as it was written.

mod documents;
mod ids;
mod results;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::sync::Arc;

use gateway_model::{ChatRequest, Content, Message, ProviderCall};

pub use documents::DocumentForm;
pub use ids::IdRule;
pub use results::{ErrorForm, ResultMedia};

/// What a receiver takes.
#[derive(Debug, Clone, Copy)]
pub struct Receiver {
    /// Ids of tool calls.
    pub ids: IdRule,
    pub errors: ErrorForm,
    pub result_media: ResultMedia,
    pub documents: DocumentForm,
}

impl Receiver {
    /// It takes everything.
    pub const LENIENT: Self = Self {
        ids: IdRule::Any,
        errors: ErrorForm::Field,
        result_media: ResultMedia::Inside,
        documents: DocumentForm::Own,
    };
}

/// The call as `receiver` takes it.
pub fn fit_call<'a>(call: &'a ProviderCall, receiver: &Receiver) -> Cow<'a, ProviderCall> {
    let mut fitted = Fitted { call: Cow::Borrowed(call) };
    let messages = &call.request.messages;
    if messages.iter().any(|message| !message.tool_calls.is_empty()) {
        fitted.messages(|messages| ids::fit_ids(messages, receiver.ids));
        if receiver.errors == ErrorForm::Words {
            fitted.messages(results::say_errors);
        }
    }
    if messages.iter().any(|message| matches!(message.content, Content::Parts(_))) {
        if receiver.result_media == ResultMedia::Behind {
            fitted.messages(results::move_media);
        }
        fitted.messages(|messages| documents::fit_documents(messages, receiver.documents));
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
