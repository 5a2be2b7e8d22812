//! Reads a request from JSON.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
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
        /// Each of them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[allow(non_camel_case_types, reason = "they are called as the fields are")]
        enum Slot {
            messages,
            $($own,)*
            $($field,)*
        }

        /// How they are called, the name of ours first.
        const NAMES: &[(Slot, &[&str])] = &[
            (Slot::messages, &["messages"]),
            $((Slot::$own, &[$own_name]),)*
            $((Slot::$field, &[$name $(, $alias)*]),)*
        ];

        fn read(fields: &Fields<'_>) -> Read<ChatRequest> {
            let raw = fields.of(Slot::messages).ok_or_else(|| FieldError::new("messages", MESSAGES))?;
            let (messages, is_wire) = messages(raw.get())?;
            let request = ChatRequest {
                openai_messages: is_wire.then(|| raw.to_owned()),
                messages,
                js_call_id: 0,
                near_misses: fields.near_misses.clone(),
                $($field: $read($name, fields.of(Slot::$field))?,)*
                $($own: $read_own($own_name, fields.of(Slot::$own))?,)*
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
        pool_order: "poolOrder" => options::stop,
    }
    // What providers are to know.
    settings {
        Tools tools: "tools" => options::tools,
        ToolChoice tool_choice: "toolChoice" | "tool_choice" => options::tool_choice,
        MaxTokens max_tokens: "maxTokens" | "max_tokens" | "max_completion_tokens" => count,
        Temperature temperature: "temperature" => number,
        TopP top_p: "topP" | "top_p" => number,
        TopK top_k: "topK" | "top_k" => count,
        Stop stop: "stop" => options::stop,
        Seed seed: "seed" => integer,
        PresencePenalty presence_penalty: "presencePenalty" | "presence_penalty" => number,
        FrequencyPenalty frequency_penalty: "frequencyPenalty" | "frequency_penalty" => number,
        ReasoningEffort reasoning_effort: "reasoningEffort" | "reasoning_effort" => string,
        ResponseFormat response_format: "responseFormat" | "response_format" => options::response_format,
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
    let fields: Fields<'_> = serde_json::from_str(text).map_err(not_json)?;
    match fields.twice {
        Some(name) => Err(FieldError::new(name, "is given twice, once in OpenAI's own words")),
        None => read(&fields),
    }
}

/// All of them, unread.
struct Fields<'a> {
    /// In the order of their slots; `null` is nothing.
    values: [Option<&'a RawValue>; NAMES.len()],
    near_misses: Vec<(String, &'static str)>,
    /// One that was there under two names.
    twice: Option<&'static str>,
}

impl<'a> Fields<'a> {
    fn of(&self, slot: Slot) -> Option<&'a RawValue> {
        self.values.get(slot as usize).copied().flatten()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_map(FieldsVisitor(PhantomData))
    }
}

struct FieldsVisitor<'a>(PhantomData<&'a ()>);

impl<'de: 'a, 'a> Visitor<'de> for FieldsVisitor<'a> {
    type Value = Fields<'a>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a request")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'a>, A::Error> {
        let mut fields = Fields { values: [None; NAMES.len()], near_misses: Vec::new(), twice: None };
        while let Some(key) = map.next_key::<Key>()? {
            let value = map.next_value::<&'de RawValue>()?;
            match key {
                Key::Known(slot) if value.get() != "null" => {
                    if let Some(place) = fields.values.get_mut(slot as usize)
                        && place.replace(value).is_some()
                    {
                        fields.twice = NAMES.get(slot as usize).and_then(|(_, names)| names.first().copied());
                    }
                }
                Key::NearMiss(name, meant) => fields.near_misses.push((name, meant)),
                Key::Known(_) | Key::Unknown => {}
            }
        }
        Ok(fields)
    }
}

/// A request's key.
enum Key {
    Known(Slot),
    /// What was written, and what was meant.
    NearMiss(String, &'static str),
    Unknown,
}

/// How alike a key and a known one are, from 0 to 1, for the one to be taken for a slip of the other.
const NEAR: f64 = 0.9;

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct KeyVisitor;

        impl Visitor<'_> for KeyVisitor {
            type Value = Key;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a key")
            }

            fn visit_str<E>(self, key: &str) -> Result<Key, E> {
                let known = NAMES.iter().find(|(_, names)| names.contains(&key));
                Ok(known.map_or_else(|| unknown_key(key), |(slot, _)| Key::Known(*slot)))
            }
        }

        input.deserialize_str(KeyVisitor)
    }
}

fn unknown_key(key: &str) -> Key {
    let letters = |text: &str| text.replace('_', "").to_ascii_lowercase();
    let written = letters(key);
    let alike = NAMES.iter().filter_map(|(_, names)| {
        let name = names.first()?;
        Some((strsim::jaro_winkler(&written, &letters(name)), *name))
    });
    match alike.max_by(|(a, _), (b, _)| a.total_cmp(b)) {
        Some((likeness, meant)) if likeness >= NEAR => Key::NearMiss(key.to_owned(), meant),
        _ => Key::Unknown,
    }
}

#[cfg(test)]
mod tests;
