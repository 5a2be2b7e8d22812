//! The settings of a call, as a wire format reads them to write a request. What is set and nobody has read is left out,
//! and reported as a warning: a format that does not know a setting need not mention it.

use std::borrow::Cow;

use sha2::{Digest as _, Sha256};

use crate::fit::Sampling;
use gateway_model::config::SendUserId;
use gateway_model::{ChatRequest, ProviderCall, ResponseFormat, Setting, Tool, ToolChoice, Warning};

/// What a setting without a field comes to.
const LEFT_OUT: &str = "Left out: this provider has no such setting.";
/// What `strict` comes to where the service does not keep a model to its schema.
const NOT_STRICT: &str = "Left out: this provider does not enforce the schema.";

/// Settings are read by functions of their names, once each. A setting that is read is one that the format puts into
/// words; whatever it changes about it, it says with [`warn`](Self::warn).
pub struct CallSettings<'a> {
    call: &'a ProviderCall,
    /// What the vendor sees of the caller's user.
    user: Option<Cow<'a, str>>,
    sampling: Sampling,
    /// One bit for each of [`Setting::ALL`].
    read: u32,
    warnings: Vec<(Cow<'static, str>, Cow<'static, str>)>,
}

macro_rules! readers {
    ($($field:ident $setting:ident,)*) => {
        $(pub fn $field(&mut self) -> Option<f64> {
            self.mark(Setting::$setting);
            self.sampling.$field
        })*
    };
}

impl<'a> CallSettings<'a> {
    pub fn new(call: &'a ProviderCall) -> Self {
        let user = call.request.user_id.as_deref().map(Cow::Borrowed);
        let ChatRequest { temperature, top_p, presence_penalty, frequency_penalty, .. } = *call.request;
        let sampling = Sampling { temperature, top_p, presence_penalty, frequency_penalty };
        Self { call, user, sampling, read: 0, warnings: Vec::new() }
    }

    /// The vendor sees so much of the caller's user.
    pub fn showing_user(self, sent: SendUserId) -> Self {
        Self { user: self.call.request.user_id.as_deref().and_then(|user| shown_user(user, sent)), ..self }
    }

    /// What the vendor sees of the caller's user.
    pub fn user_id(&self) -> Option<&str> {
        self.user.as_deref()
    }

    pub fn call(&self) -> &'a ProviderCall {
        self.call
    }

    /// The whole request: for its messages, and to look at a setting before it is read.
    pub fn request(&self) -> &'a ChatRequest {
        &self.call.request
    }

    /// The bound on the answer's length, the request's own or a budget's.
    pub fn max_tokens(&mut self) -> Option<u64> {
        self.mark(Setting::MaxTokens);
        self.call.max_tokens
    }

    readers! {
        temperature Temperature,
        top_p TopP,
        presence_penalty PresencePenalty,
        frequency_penalty FrequencyPenalty,
    }

    pub fn top_k(&mut self) -> Option<u64> {
        self.mark(Setting::TopK);
        self.call.request.top_k
    }

    pub fn seed(&mut self) -> Option<i64> {
        self.mark(Setting::Seed);
        self.call.request.seed
    }

    /// To look at, before any of them is read.
    pub fn sampling(&self) -> Sampling {
        self.sampling
    }

    /// What formats read in place of the request's own. What is left out is warned of by whoever leaves it out.
    pub fn set_sampling(&mut self, sampling: Sampling) {
        let gone = [
            (Setting::Temperature, self.sampling.temperature.is_some() && sampling.temperature.is_none()),
            (Setting::TopP, self.sampling.top_p.is_some() && sampling.top_p.is_none()),
            (
                Setting::PresencePenalty,
                self.sampling.presence_penalty.is_some() && sampling.presence_penalty.is_none(),
            ),
            (
                Setting::FrequencyPenalty,
                self.sampling.frequency_penalty.is_some() && sampling.frequency_penalty.is_none(),
            ),
        ];
        gone.into_iter().filter(|(_, is_gone)| *is_gone).for_each(|(setting, _)| self.mark(setting));
        self.sampling = sampling;
    }

    /// Empty: none.
    pub fn stop(&mut self) -> &'a [String] {
        self.mark(Setting::Stop);
        &self.call.request.stop
    }

    pub fn reasoning_effort(&mut self) -> Option<&'a str> {
        self.mark(Setting::ReasoningEffort);
        self.call.request.reasoning_effort.as_deref()
    }

    pub fn tools(&mut self) -> &'a [Tool] {
        self.mark(Setting::Tools);
        &self.call.request.tools
    }

    /// The tools, of a provider that does not keep models to their schemas.
    pub fn tools_without_strict(&mut self) -> &'a [Tool] {
        let tools = self.tools();
        for (index, _) in tools.iter().enumerate().filter(|(_, tool)| tool.strict == Some(true)) {
            self.warn(format!("tools[{index}].strict"), NOT_STRICT);
        }
        tools
    }

    pub fn tool_choice(&mut self) -> Option<&'a ToolChoice> {
        self.mark(Setting::ToolChoice);
        self.call.request.tool_choice.as_ref()
    }

    /// The answer's form, where the service sees to it.
    pub fn response_format(&mut self) -> Option<&'a ResponseFormat> {
        self.mark(Setting::ResponseFormat);
        self.call.request.response_format.as_ref()
    }

    /// The answer's form, where nothing but the prompt keeps a model to its schema.
    pub fn response_format_without_strict(&mut self) -> Option<&'a ResponseFormat> {
        let format = self.response_format();
        if let Some(ResponseFormat::Schema { strict: Some(true), .. }) = format {
            self.warn("responseFormat.strict", NOT_STRICT);
        }
        format
    }

    /// Says that a setting, or the part of one that has this path, is left out or changed: what was done, and why.
    pub fn warn(&mut self, field: impl Into<Cow<'static, str>>, reason: impl Into<Cow<'static, str>>) {
        self.warnings.push((field.into(), reason.into()));
    }

    fn mark(&mut self, setting: Setting) {
        self.read |= bit(setting);
    }

    /// All that was left out or changed; `provider` is the entry's name.
    pub fn into_warnings(self, provider: &str) -> Vec<Warning> {
        let unread = Setting::ALL.iter().filter(|setting| {
            self.read & bit(**setting) == 0 && is_reported(**setting) && setting.is_set_in(&self.call.request)
        });
        let unread = unread.map(|setting| (setting.name().into(), LEFT_OUT.into()));
        let misses = self.call.request.near_misses.iter().map(|(written, meant)| {
            let reason = format!("Left out: no such field; did you mean `{meant}`?");
            (Cow::Borrowed(written.as_str()), Cow::Owned(reason))
        });
        let warning = |(field, reason): (Cow<'_, str>, Cow<'_, str>)| Warning {
            field: field.into_owned(),
            reason: reason.into_owned(),
            provider: provider.to_owned(),
        };
        unread.chain(misses).chain(self.warnings).map(warning).collect()
    }
}

/// What a vendor sees of a user's id.
pub fn shown_user(user: &str, sent: SendUserId) -> Option<Cow<'_, str>> {
    match sent {
        SendUserId::Never => None,
        SendUserId::Plain => Some(Cow::Borrowed(user)),
        SendUserId::Hashed => {
            let digits = Sha256::digest(user).iter().map(|byte| format!("{byte:02x}")).collect();
            Some(Cow::Owned(digits))
        }
    }
}

fn bit(setting: Setting) -> u32 {
    1 << (setting as u32)
}

/// Whether a setting that is left out becomes a warning. It does not where it changes nothing about the answer, and
/// serves the gateway itself, or is meant for certain families from the start.
fn is_reported(setting: Setting) -> bool {
    match setting {
        Setting::UserId | Setting::Metadata | Setting::ProviderOptions => false,
        Setting::Tools
        | Setting::ToolChoice
        | Setting::MaxTokens
        | Setting::Temperature
        | Setting::TopP
        | Setting::TopK
        | Setting::Stop
        | Setting::Seed
        | Setting::PresencePenalty
        | Setting::FrequencyPenalty
        | Setting::ReasoningEffort
        | Setting::ResponseFormat => true,
    }
}

#[cfg(test)]
mod tests;
