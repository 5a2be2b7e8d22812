//! A call as its receiver takes it: what every family writes is fitted here, once, before any format sees it. Formats then
//! write what they are given.
//!
//! A call that fits already is not copied. Of what a caller wrote in OpenAI's form, its source is changed with it: services
//! of that form get the rest as it was written.

mod documents;
mod ids;
mod results;
mod sampling;
mod schema;
#[cfg(test)]
mod tests;
mod turns;

use std::borrow::Cow;
use std::sync::Arc;

use gateway_model::{ChatRequest, Content, Message, ProviderCall};

pub use documents::DocumentForm;
pub use ids::IdRule;
pub use results::{ErrorForm, ResultMedia};
pub use sampling::{Sampling, SamplingRules, fit_sampling};
pub use schema::RootRule;
pub use turns::{Prefill, TurnRules};

/// What a receiver takes.
#[derive(Debug, Clone, Copy)]
pub struct Receiver {
    /// Ids of tool calls.
    pub ids: IdRule,
    pub errors: ErrorForm,
    pub result_media: ResultMedia,
    pub documents: DocumentForm,
    pub turns: TurnRules,
    pub schemas: RootRule,
    pub stops: StopRule,
    pub sampling: SamplingRules,
}

/// The texts at which an answer may stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StopRule {
    /// So many of them.
    pub most: usize,
    /// Texts of blanks alone are refused.
    pub no_blanks: bool,
}

impl Receiver {
    /// It takes everything.
    pub const LENIENT: Self = Self {
        ids: IdRule::Any,
        errors: ErrorForm::Field,
        result_media: ResultMedia::Inside,
        documents: DocumentForm::Own,
        turns: TurnRules::NONE,
        schemas: RootRule::Object,
        stops: StopRule { most: usize::MAX, no_blanks: false },
        sampling: SamplingRules::USUAL,
    };
}

/// A call that fits its receiver.
pub struct Fitted<'a> {
    pub call: Cow<'a, ProviderCall>,
    /// What was left out or changed: the field's path, and why.
    pub warnings: Vec<(Cow<'static, str>, &'static str)>,
}

const TOLD_TO_GO_ON: &str =
    "This model does not go on from a turn of its own: it is asked in words to do so.";
const MERGED: &str = "Alternatives at the root of a schema are refused here: their fields are put together.";
const EMPTY_STOP: &str = "Left out: empty texts stop nothing.";
const BLANK_STOP: &str = "Left out: this provider does not stop at blanks.";
const MANY_STOPS: &str = "Left out: this provider takes no more of them.";

/// The call as `receiver` takes it.
pub fn fit_call<'a>(call: &'a ProviderCall, receiver: &Receiver) -> Fitted<'a> {
    let mut fitted = Fitted { call: Cow::Borrowed(call), warnings: Vec::new() };
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
    if receiver.turns.prefill == Prefill::Refused && turns::ends_in_prefill(messages) {
        fitted.warnings.push(("messages".into(), TOLD_TO_GO_ON));
    }
    fitted.messages(|messages| turns::fit_turns(messages, receiver.turns));
    fitted.schemas(receiver.schemas);
    fitted.stops(receiver.stops);
    fitted
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

    fn schemas(&mut self, rule: RootRule) {
        if self.call.request.tools.iter().all(|tool| schema::fits(tool, rule)) {
            return;
        }
        let mut merged = Vec::new();
        for (index, tool) in self.request().tools.iter_mut().enumerate() {
            if !schema::fits(tool, rule) {
                if rule == RootRule::PlainObject && schema::has_alternatives(&tool.parameters) {
                    merged.push(index);
                }
                tool.parameters = schema::fit_schema(&tool.parameters, rule);
            }
        }
        let warnings = merged.into_iter().map(|index| (format!("tools[{index}].parameters").into(), MERGED));
        self.warnings.extend(warnings);
    }

    fn stops(&mut self, rule: StopRule) {
        let why = |(index, text): (usize, &String)| {
            if text.is_empty() {
                Some(EMPTY_STOP)
            } else if rule.no_blanks && text.trim().is_empty() {
                Some(BLANK_STOP)
            } else {
                (index >= rule.most).then_some(MANY_STOPS)
            }
        };
        let reasons: Vec<Option<&'static str>> = self.call.request.stop.iter().enumerate().map(why).collect();
        if reasons.iter().all(Option::is_none) {
            return;
        }
        let mut kept = reasons.iter().map(Option::is_none);
        self.request().stop.retain(|_| kept.next().unwrap_or(true));
        let told = reasons.into_iter().enumerate();
        self.warnings.extend(told.filter_map(|(at, reason)| Some((format!("stop[{at}]").into(), reason?))));
    }

    fn request(&mut self) -> &mut ChatRequest {
        Arc::make_mut(&mut self.call.to_mut().request)
    }
}
