//! What makes two calls the same.

use std::fmt;

use super::digest::{Digest, Keys};
use super::source;
use gateway_model::{ChatRequest, Content, Message, Part, ResponseFormat, Role, Tool, ToolCall, ToolChoice};

/// Names a call: calls with the same key may share an answer. A whole answer and a stream of it have the same key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CacheKey([u8; 32]);

/// What becomes of a request's `userId` and `metadata`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notes {
    /// No answer depends on them.
    Ignored,
    /// A provider of the program's own may read them.
    Read,
}

/// Who shares answers with whom: those who are equal in both.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tenant<'a> {
    /// Empty: the request names none.
    pub user_id: &'a str,
    /// Of the client key that a server's call came with.
    pub key_id: Option<&'a str>,
}

impl fmt::Display for CacheKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

impl CacheKey {
    /// The key of calls in flight: who has less time than the first, or another way to go, would have to go on alone.
    pub fn in_flight(self, timeout_ms: Option<u64>, way: &str) -> Self {
        let mut digest = Digest::new("flight");
        self.0.iter().for_each(|byte| digest.tag(*byte));
        digest.optional(timeout_ms, Digest::number);
        digest.text(way);
        Self(digest.finish())
    }

    /// The key of a chat request.
    ///
    /// `max_tokens` is the bound that is sent, the request's own or a budget's. `identity` names who would answer:
    /// the entries, models and addresses that routing chose. `tenant` keeps answers apart that must not be shared.
    ///
    /// Messages in OpenAI's own form and in ours mean the same; what only the former can say counts as well. Marks for
    /// a vendor's prompt cache do not count: they change the price of an answer, not the answer.
    pub fn of_chat(
        request: &ChatRequest,
        max_tokens: Option<u64>,
        identity: &str,
        tenant: Tenant<'_>,
        notes: Notes,
    ) -> Self {
        // Every field by name: a new one does not compile until it is decided here whether it changes the answer.
        let ChatRequest {
            messages,
            // The same messages, as text.
            openai_messages: _,
            // A chain's later steps may ask for it.
            model,
            // Routing's business: what came of them is in `identity`.
            task_type: _,
            feature: _,
            user_tier: _,
            sensitivity: _,
            max_tokens: _,
            temperature,
            top_p,
            top_k,
            stop,
            seed,
            presence_penalty,
            frequency_penalty,
            reasoning_effort,
            tools,
            tool_choice,
            response_format,
            // `tenant` says which users share; `notes`, whether anybody reads it.
            user_id,
            metadata,
            // Deadlines and numbers of the call itself.
            provider_options,
            timeout_ms: _,
            pool_order,
            cache: _,
            js_call_id: _,
            // They are not read.
            near_misses: _,
        } = request;
        let mut digest = Digest::new("ai-gateway chat 3");
        digest.text(tenant.user_id);
        digest.optional_text(tenant.key_id);
        digest.text(identity);
        digest.optional_text(model.as_deref());
        digest.list(messages, message);
        digest.optional(max_tokens, Digest::number);
        for number in [temperature, top_p, presence_penalty, frequency_penalty] {
            digest.optional_float(*number);
        }
        digest.optional(*top_k, Digest::number);
        digest.optional(*seed, |digest, seed| digest.number(seed.cast_unsigned()));
        digest.list(stop, |digest, text| digest.text(text));
        digest.list(pool_order, |digest, entry| digest.text(entry));
        digest.optional_text(reasoning_effort.as_deref());
        digest.list(tools, tool);
        choice(&mut digest, tool_choice.as_ref());
        format(&mut digest, response_format.as_ref());
        digest.optional(provider_options.as_ref(), |digest, options| digest.object(options, Keys::Sorted));
        if notes == Notes::Read {
            digest.optional_text(user_id.as_deref());
            digest.optional(metadata.as_ref(), |digest, metadata| digest.object(metadata, Keys::AsWritten));
        }
        Self(digest.finish())
    }

    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for CacheKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

fn message(digest: &mut Digest, message: &Message) {
    let Message {
        role,
        content,
        tool_calls,
        tool_call_id,
        is_error,
        reasoning_details,
        cache_control: _,
        source,
    } = message;
    digest.tag(match role {
        Role::System => 0,
        Role::Developer => 1,
        Role::User => 2,
        Role::Assistant => 3,
        Role::Tool => 4,
    });
    match content {
        Content::Empty => digest.tag(0),
        Content::Text(text) => {
            digest.tag(1);
            digest.text(text);
        }
        Content::Parts(parts) => {
            digest.tag(2);
            digest.list(parts, part);
        }
    }
    digest.list(tool_calls, call);
    digest.optional_text(tool_call_id.as_deref());
    digest.tag(u8::from(*is_error));
    digest.list(reasoning_details, |digest, block| digest.value(block, Keys::AsWritten));
    source::rest(digest, content, source.as_ref());
}

fn part(digest: &mut Digest, part: &Part) {
    match part {
        Part::Text { text, cache_control: _ } => {
            digest.tag(0);
            digest.text(text);
        }
        Part::ImageUrl { url, cache_control: _ } => {
            digest.tag(1);
            digest.text(url);
        }
        Part::ImageData { data, mime_type, cache_control: _ } => {
            digest.tag(2);
            digest.text(data);
            digest.text(mime_type);
        }
        Part::File { data, mime_type, name, cache_control: _ } => {
            digest.tag(3);
            digest.text(data);
            digest.text(mime_type);
            digest.optional_text(name.as_deref());
        }
        Part::Audio { data, mime_type } => {
            digest.tag(4);
            digest.text(data);
            digest.text(mime_type);
        }
        Part::Other { kind } => {
            digest.tag(5);
            digest.text(kind);
        }
    }
}

fn call(digest: &mut Digest, call: &ToolCall) {
    let ToolCall { id, name, arguments, signature } = call;
    digest.text(id);
    digest.text(name);
    digest.text(arguments);
    digest.optional_text(signature.as_deref());
}

/// Models write an answer's keys in the order of its schema: another order is another request.
fn tool(digest: &mut Digest, tool: &Tool) {
    let Tool { name, description, parameters, strict } = tool;
    digest.text(name);
    digest.optional_text(description.as_deref());
    digest.object(parameters, Keys::AsWritten);
    digest.optional_flag(*strict);
}

fn choice(digest: &mut Digest, choice: Option<&ToolChoice>) {
    match choice {
        None => digest.tag(0),
        Some(ToolChoice::Auto) => digest.tag(1),
        Some(ToolChoice::None) => digest.tag(2),
        Some(ToolChoice::Required) => digest.tag(3),
        Some(ToolChoice::Named(name)) => {
            digest.tag(4);
            digest.text(name);
        }
    }
}

fn format(digest: &mut Digest, format: Option<&ResponseFormat>) {
    match format {
        None => digest.tag(0),
        Some(ResponseFormat::Json) => digest.tag(1),
        Some(ResponseFormat::Schema { name, schema, strict }) => {
            digest.tag(2);
            digest.text(name);
            digest.object(schema, Keys::AsWritten);
            digest.optional_flag(*strict);
        }
    }
}

#[cfg(test)]
mod tests;
