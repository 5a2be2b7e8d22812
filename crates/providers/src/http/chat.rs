//! Chat calls: their bodies, whole answers and streams.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Map, Value};

use super::events::HttpEvents;
use super::{ChatEndpoint, HttpProvider};
use crate::fit::{Fitted, fit_call, fit_sampling};
use crate::json_answer::{CodeFence, JsonStream, NOT_JSON, extract_json, not_json};
use crate::settings::CallSettings;
use crate::wire::{Mode, check_path_name};
use gateway_model::error::{Failure, GatewayError};
use gateway_model::provider::{deadline_after, within};
use gateway_model::{Answer, ChatRequest, OpenedStream, ProviderCall, Warning};
use gateway_transport::{Endpoint, Response};

/// A request that is ready to be sent.
pub(crate) struct ChatRequestBody {
    pub json: Bytes,
    /// What it leaves out or changes of the caller's request.
    pub warnings: Vec<Warning>,
}

/// Where formats put the bound on an answer below the top: options that replace the object around it keep it, as it is what
/// budgets have admitted.
const OUTPUT_BOUNDS: [(&str, &str); 2] =
    [("generationConfig", "maxOutputTokens"), ("inferenceConfig", "maxTokens")];

fn extend_keeping_bounds(fields: &mut Map<String, Value>, options: &Map<String, Value>) {
    let bound = |(holder, key): (&'static str, &'static str)| {
        Some((holder, key, fields.get(holder)?.get(key)?.clone()))
    };
    let bounds = OUTPUT_BOUNDS.map(bound);
    fields.extend(options.clone());
    for (holder, key, bound) in bounds.into_iter().flatten() {
        match fields.get_mut(holder) {
            Some(Value::Object(settings)) => drop(settings.entry(key).or_insert(bound)),
            _ => drop(fields.insert(holder.to_owned(), Map::from_iter([(key.to_owned(), bound)]).into())),
        }
    }
}

impl HttpProvider {
    /// Sends a call and reads its answer.
    pub(crate) async fn send_chat(&self, call: &ProviderCall) -> Result<Answer, Failure> {
        let ChatRequestBody { json, warnings } = self.chat_body(call, Mode::Full)?;
        let endpoint = self.chat_endpoint(call, Mode::Full)?;
        within(&self.context.name, call.attempt_deadline(Some(self.context.timeout)), async {
            let response = self.send(&endpoint, json, &call.model, &call.sent).await?;
            self.read_chat(call, warnings, response).await
        })
        .await
    }

    /// Sends a call and opens the stream of its answer.
    pub(crate) async fn send_streamed(&self, call: &ProviderCall) -> Result<OpenedStream, Failure> {
        let ChatRequestBody { json, warnings } = self.chat_body(call, Mode::Stream)?;
        let endpoint = self.chat_endpoint(call, Mode::Stream)?;
        let deadline = call.attempt_deadline(Some(self.context.timeout));
        let sent = async { Ok(self.send(&endpoint, json, &call.model, &call.sent).await?) };
        let response = within(&self.context.name, deadline, sent).await?;
        let first_content_by = deadline_after(Some(self.timeout_of(call)), call.deadline);
        Ok(self.read_stream(call, warnings, response).with_first_content_by(first_content_by))
    }

    /// The error for a request that the format has no words for.
    pub(crate) fn find_unsupported(&self, request: &ChatRequest) -> Option<GatewayError> {
        let refused = request.features().find(|feature| !self.wire.supports(*feature))?;
        Some(refused.refused_by(&self.context.name))
    }

    /// Writes the request's body. The caller's `providerOptions` for this family have the last word, field by field.
    pub(crate) fn chat_body(&self, call: &ProviderCall, mode: Mode) -> Result<ChatRequestBody, GatewayError> {
        if let Some(refusal) = self.find_unsupported(&call.request) {
            return Err(refusal);
        }
        let receiver = self.wire.receiver(call);
        let Fitted { call, warnings } = fit_call(call, &receiver);
        let mut settings = CallSettings::new(&call).showing_user(self.context.send_user_id);
        for (field, reason) in warnings {
            settings.warn(field, reason);
        }
        fit_sampling(&mut settings, receiver.sampling);
        let mut json = self.wire.body(&mut settings, mode)?;
        if let Some(options) = self.own_options(call.request.provider_options.as_ref()) {
            let mut fields: Map<String, Value> =
                gateway_model::json::parse(&json).map_err(GatewayError::unwritable)?;
            extend_keeping_bounds(&mut fields, options);
            json = serde_json::to_vec(&fields).map_err(GatewayError::unwritable)?;
        }
        Ok(ChatRequestBody { json: json.into(), warnings: settings.into_warnings(&self.context.name) })
    }

    /// Where a call goes.
    pub(crate) fn chat_endpoint(
        &self,
        call: &ProviderCall,
        mode: Mode,
    ) -> Result<Cow<'_, Endpoint>, GatewayError> {
        match &self.chat {
            ChatEndpoint::Fixed(endpoint) => Ok(Cow::Borrowed(&**endpoint)),
            ChatEndpoint::PerCall(path) => {
                check_path_name(&call.model)?;
                self.below_base(&path(&call.model, mode)).map(Cow::Owned)
            }
        }
    }

    /// The longest that an attempt may take, or a stream wait for its next byte.
    pub(crate) fn timeout_of(&self, call: &ProviderCall) -> Duration {
        call.timeout.unwrap_or(self.context.timeout)
    }

    /// Reads a whole answer; `warnings` are those of its request.
    pub(crate) async fn read_chat(
        &self,
        call: &ProviderCall,
        warnings: Vec<Warning>,
        response: Response,
    ) -> Result<Answer, Failure> {
        let status = response.status.as_u16();
        let mut answer = self.read_full(response, |body| self.wire.answer(body)).await?;
        answer.warnings = warnings;
        if answer.model.is_empty() {
            answer.model.clone_from(&call.model);
        }
        if call.request.response_format.is_some()
            && answer.tool_calls.is_empty()
            && !self.wire.supports_json_mode(call, Mode::Full)
        {
            let usage = answer.usage;
            answer.content = extract_json(&answer.content).ok_or_else(|| {
                not_json(self.context.unacceptable(status, NOT_JSON.into())).with_usage(usage)
            })?;
        }
        Ok(answer)
    }

    /// The events of an answer that has begun to arrive; `warnings` are those of its request.
    pub(crate) fn read_stream(
        &self,
        call: &ProviderCall,
        warnings: Vec<Warning>,
        response: Response,
    ) -> OpenedStream {
        let status = response.status.as_u16();
        let wait = self.timeout_of(call);
        let events = HttpEvents::new(self.context.clone(), &*self.wire, response, wait, call.deadline);
        let events = events.after(warnings);
        if call.request.response_format.is_none() || self.wire.supports_json_mode(call, Mode::Stream) {
            return OpenedStream::new(events);
        }
        OpenedStream::new(JsonStream {
            source: Box::new(events),
            provider: self.context.name.clone(),
            status,
            fence: CodeFence::default(),
            calls: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_around_a_bound_keep_it() {
        let sent = |body: Value, options: Value| {
            let mut fields = body.as_object().cloned().unwrap();
            extend_keeping_bounds(&mut fields, options.as_object().unwrap());
            Value::Object(fields)
        };
        let body = serde_json::json!({ "generationConfig": { "maxOutputTokens": 9, "seed": 1 }, "a": 1 });
        for (options, config) in [
            (
                serde_json::json!({ "generationConfig": { "topK": 5 } }),
                serde_json::json!({ "topK": 5, "maxOutputTokens": 9 }),
            ),
            (
                serde_json::json!({ "generationConfig": { "maxOutputTokens": 7 } }),
                serde_json::json!({ "maxOutputTokens": 7 }),
            ),
            (serde_json::json!({ "generationConfig": null }), serde_json::json!({ "maxOutputTokens": 9 })),
        ] {
            assert_eq!(sent(body.clone(), options)["generationConfig"], config);
        }
        assert_eq!(
            sent(serde_json::json!({ "a": 1 }), serde_json::json!({ "a": 2 })),
            serde_json::json!({ "a": 2 })
        );
    }
}
