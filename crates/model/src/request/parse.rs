//! Reads a request from JSON.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::messages::{MESSAGES, messages};
use super::read::{AN_OBJECT, FieldError, Read, count, integer, not_json, number, object, string};
use super::{ChatRequest, options};

/// The fields of a request but its messages: how each is called in JSON, other names that mean the same, and how it is
/// read. A field of [`ChatRequest`] that is missing here does not compile.
macro_rules! fields {
    (
        own { $($own:ident: $own_name:literal => $read_own:path,)* }
        settings { $($setting:ident $field:ident: $name:literal $(| $alias:literal)* => $read:path,)* }
    ) => {
        /// All of them, unread.
        #[derive(Deserialize)]
        struct Fields<'a> {
            #[serde(borrow)]
            messages: Option<&'a RawValue>,
            $(#[serde(borrow, rename = $own_name)]
            $own: Option<&'a RawValue>,)*
            $(#[serde(borrow, rename = $name $(, alias = $alias)*)]
            $field: Option<&'a RawValue>,)*
        }

        fn read(fields: &Fields<'_>) -> Read<ChatRequest> {
            let raw = fields.messages.ok_or_else(|| FieldError::new("messages", MESSAGES))?;
            let (messages, is_wire) = messages(raw.get())?;
            let request = ChatRequest {
                openai_messages: is_wire.then(|| raw.to_owned()),
                messages,
                js_call_id: 0,
                $($field: $read($name, fields.$field)?,)*
                $($own: $read_own($own_name, fields.$own)?,)*
            };
            options::check_choice(&request)?;
            Ok(request)
        }

        /// What a request asks of whoever answers it, beside its messages.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Setting {
            $($setting,)*
        }

        impl Setting {
            pub const ALL: &[Self] = &[$(Self::$setting),*];

            /// Its field's name in JSON.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$setting => $name,)*
                }
            }

            /// Whether `request` sets it.
            pub fn is_set_in(self, request: &ChatRequest) -> bool {
                match self {
                    $(Self::$setting => request.$field.is_set(),)*
                }
            }
        }
    };
}

fields! {
    // The gateway's own business.
    own {
        model: "model" => string,
        task_type: "taskType" => string,
        feature: "feature" => string,
        user_tier: "userTier" => string,
        sensitivity: "sensitivity" => string,
        timeout_ms: "timeoutMs" => count,
        cache: "cache" => options::cache,
    }
    // What providers are to know.
    settings {
        Tools tools: "tools" => options::tools,
        ToolChoice tool_choice: "toolChoice" => options::tool_choice,
        MaxTokens max_tokens: "maxTokens" => count,
        Temperature temperature: "temperature" => number,
        TopP top_p: "topP" => number,
        TopK top_k: "topK" | "top_k" => count,
        Stop stop: "stop" => options::stop,
        Seed seed: "seed" => integer,
        PresencePenalty presence_penalty: "presencePenalty" => number,
        FrequencyPenalty frequency_penalty: "frequencyPenalty" => number,
        ReasoningEffort reasoning_effort: "reasoningEffort" => string,
        ResponseFormat response_format: "responseFormat" => options::response_format,
        UserId user_id: "userId" => string,
        Metadata metadata: "metadata" => object,
        ProviderOptions provider_options: "providerOptions" => options::provider_options,
    }
}

/// Whether a field holds anything.
trait IsSet {
    fn is_set(&self) -> bool;
}

impl<T> IsSet for Option<T> {
    fn is_set(&self) -> bool {
        self.is_some()
    }
}

impl<T> IsSet for Vec<T> {
    fn is_set(&self) -> bool {
        !self.is_empty()
    }
}

pub fn request(text: &str) -> Read<ChatRequest> {
    // An array would be read as a structure's fields in their order.
    if !text.trim_start().starts_with('{') {
        let not_object = |_: Value| FieldError::new("request", AN_OBJECT);
        return Err(serde_json::from_str(text).map_or_else(not_json, not_object));
    }
    read(&serde_json::from_str(text).map_err(not_json)?)
}

#[cfg(test)]
mod tests;
