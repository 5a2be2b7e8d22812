//! What Rust and JavaScript agree on, written once. `scripts/generate-protocol.mjs` makes `lib/protocol.js` of what
//! [`protocol`] says, and a test holds the two together.

use napi_derive::napi;
use serde::Serialize;
use serde::ser::Serializer;
use serde_json::{Map, Value};

use gateway_model::{AttemptRecord, CallFigures, CallLabels, LoggedCall, Setting, UsageSource};

/// A message to JavaScript: an array that begins with the number of its kind.
pub trait Message: Serialize {
    /// The call that the message is part of: it fails if the message cannot be written.
    fn call(&self) -> Option<u32>;
}

/// One kind of array that crosses to JavaScript: `[kind, …fields]`.
#[derive(Serialize)]
struct Layout {
    name: &'static str,
    kind: u8,
    fields: &'static [&'static str],
    doc: &'static [&'static str],
}

/// Declares structs that serialise to `[kind, …fields]`, and `LAYOUTS`, which describes them. A field's type may be one
/// of the parameters, all of which are serialised.
macro_rules! tagged_arrays {
    ($($(#[doc = $doc:literal])+ $kind:literal $name:ident[$($parameter:ident)*] {
        $($field:ident: $type:ty),* $(,)?
    })*) => {
        $(
            $(#[doc = $doc])+
            pub struct $name<$($parameter),*> { $(pub $field: $type),* }

            impl<$($parameter: Serialize),*> Serialize for $name<$($parameter),*> {
                fn serialize<Out: Serializer>(&self, out: Out) -> Result<Out::Ok, Out::Error> {
                    const KIND: u8 = $kind;
                    (KIND, $(&self.$field),*).serialize(out)
                }
            }
        )*

        pub(super) const LAYOUTS: &[Layout] = &[$(Layout {
            name: stringify!($name),
            kind: $kind,
            fields: &[$(stringify!($field)),*],
            doc: &[$($doc),+],
        }),*];
    };
}

/// As [`tagged_arrays`], for messages. One that is part of a call has `call` as its first field.
macro_rules! messages {
    ($($(#[doc = $doc:literal])+ $kind:literal $name:ident[$($parameter:ident)*] {
        $($field:ident: $type:ty),* $(,)?
    })*) => {
        tagged_arrays! {
            $($(#[doc = $doc])+ $kind $name[$($parameter)*] { $($field: $type),* })*
        }
        $(
            impl<$($parameter: Serialize),*> Message for $name<$($parameter),*> {
                fn call(&self) -> Option<u32> {
                    call_field!(self, $($field)*)
                }
            }
        )*
    };
}

macro_rules! call_field {
    ($message:expr, call $($other:ident)*) => {
        Some($message.call)
    };
    ($message:expr, $($other:ident)*) => {
        None
    };
}

/// The messages that `lib/bridge.js` handles.
pub mod message {
    use super::{Layout, Message, Serialize, Serializer};

    messages! {
        /// A call has its answer. `log` is its log entry, or what the entry has beyond the answer.
        0 Answer[V L] { call: u32, value: V, log: L }
        /// A call has failed, at any time in its life.
        1 Failure[E L] { call: u32, error: E, log: L }
        /// A stream begins to answer.
        2 StreamOpen[H] { call: u32, head: H }
        /// What a stream gave since. Plain strings in `chunks` have a `finishReason` of null, or none at all.
        3 StreamChunks[C] { call: u32, null_finish: bool, chunks: C }
        /// A stream's last message.
        4 StreamEnd[F E L] { call: u32, figures: F, error: E, log: L }
        /// The figures so far that a stream's reader has requested.
        5 StreamUsage[F] { call: u32, figures: F }
        /// A provider that is an object of JavaScript is to be called.
        6 CustomCall[N] {
            call: u32,
            callback: u32,
            provider: u32,
            model: N,
            max_tokens: Option<u64>,
            method: super::CustomMethod,
        }
        /// Nobody waits for a custom call any more.
        7 CustomCancel[] { callback: u32 }
        /// This many chunks more of a custom stream have been read.
        8 CustomResume[] { callback: u32, chunks: usize }
        /// A budget warns: a line for the console, and the same for the program.
        9 BudgetWarning[W] { logger: u32, line: String, warning: W }
        /// A log entry that does not come with its call's end.
        10 Log[L] { logger: u32, entry: L }
        /// Nothing refers any more to what a custom provider threw.
        11 ForgetThrown[] { id: u32 }
        /// A line for the operator, on the console.
        12 Line[] { line: String }
        /// A function of the program's is to give the key of an entry.
        13 KeyWanted[E] { logger: u32, callback: u32, entry: E }
    }
}

/// Chunks of a stream that are more than text. Text alone, the usual chunk, is a plain string.
pub mod chunk {
    use super::{Layout, Serialize, Serializer};

    tagged_arrays! {
        /// Text that names the model, without a `finishReason`.
        0 Text[D M] { delta: D, model: M }
        /// Text with a `finishReason`, which may be null.
        1 Finish[D M R] { delta: D, model: M, finish_reason: R }
        /// Text of the model's reasoning, which only readers of `events` are given.
        2 Reasoning[D] { delta: D }
    }
}

/// The methods of a custom provider, which JavaScript calls by these names.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum CustomMethod {
    Chat,
    ChatStream,
    Embed,
}

/// Chunks that a custom provider may be ahead of its reader before its iterator waits.
pub const CUSTOM_CHUNKS_AHEAD: usize = 256;

/// Fields of a request for embeddings that custom providers are given as the caller wrote them.
const CUSTOM_EMBED_FIELDS: [&str; 4] = ["dimensions", "userId", "metadata", "providerOptions"];

/// Fields of a chat's request that custom providers are given as the caller wrote them: all that is meant for providers,
/// but what their options always hold.
fn custom_chat_fields() -> Vec<&'static str> {
    let is_passed_on = |setting: &Setting| !matches!(setting, Setting::MaxTokens | Setting::Temperature);
    Setting::ALL.iter().copied().filter(is_passed_on).map(Setting::name).collect()
}

/// The fields of a successful call's log entry, by where JavaScript finds them.
#[derive(Serialize)]
struct LogEntry {
    /// In the answer.
    answer: Vec<Field>,
    /// In what crosses beside the answer.
    log: Vec<Field>,
}

#[derive(Serialize)]
struct Field {
    name: String,
    /// Whether it may be absent.
    optional: bool,
}

impl LogEntry {
    fn describe() -> serde_json::Result<Self> {
        let required = CallFigures::default();
        Ok(Self {
            answer: fields(&all_figures(), &required)?,
            log: fields(&logged_success(Some(())), &logged_success(None))?,
        })
    }
}

/// The fields of `all`; those that are absent from `required` are optional.
fn fields(all: &impl Serialize, required: &impl Serialize) -> serde_json::Result<Vec<Field>> {
    let names = |value: Value| match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    let (all, required) = (names(serde_json::to_value(all)?), names(serde_json::to_value(required)?));
    let field = |name: String| Field { optional: !required.contains_key(&name), name };
    Ok(all.into_iter().map(|(name, _)| field(name)).collect())
}

/// Figures with all that is optional: a new field does not compile before it is here.
fn all_figures() -> CallFigures {
    let attempt =
        AttemptRecord { provider: String::new(), model: String::new(), error_code: None, latency_ms: 0 };
    CallFigures {
        request_id: String::new(),
        provider: String::new(),
        model: String::new(),
        input_tokens: 0,
        output_tokens: 0,
        cache_read_tokens: Some(0),
        cache_write_tokens: Some(0),
        reasoning_tokens: Some(0),
        total_tokens: 0,
        estimated_cost_usd: 0.0,
        latency_ms: 0,
        fallback_triggered: true,
        fallback_from: Some(String::new()),
        usage_source: UsageSource::Estimated,
        cached: true,
        degraded: true,
        attempts: vec![attempt],
    }
}

/// What the log says of a success, with or without all that is `optional`.
fn logged_success(optional: Option<()>) -> LoggedCall {
    let text = || optional.map(|()| String::new());
    LoggedCall {
        timestamp: String::new(),
        labels: CallLabels {
            route_rule: String::new(),
            feature: text(),
            user_tier: text(),
            user_id: text(),
            metadata: optional.map(|()| Map::new()),
        },
        success: true,
        error_code: None,
        saved_usd: optional.map(|()| 0.0),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Protocol {
    messages: &'static [Layout],
    chunks: &'static [Layout],
    custom_methods: [CustomMethod; 3],
    custom_chunks_ahead: usize,
    /// Fields of requests that custom providers are given as the caller wrote them.
    custom_chat_fields: Vec<&'static str>,
    custom_embed_fields: [&'static str; 4],
    log_entry: LogEntry,
}

/// JSON that describes the messages, chunks, limits and fields that both sides know.
#[napi(catch_unwind)]
pub fn protocol() -> napi::Result<String> {
    describe().map_err(|error| napi::Error::from_reason(error.to_string()))
}

fn describe() -> serde_json::Result<String> {
    serde_json::to_string(&Protocol {
        messages: message::LAYOUTS,
        chunks: chunk::LAYOUTS,
        custom_methods: [CustomMethod::Chat, CustomMethod::ChatStream, CustomMethod::Embed],
        custom_chunks_ahead: CUSTOM_CHUNKS_AHEAD,
        custom_chat_fields: custom_chat_fields(),
        custom_embed_fields: CUSTOM_EMBED_FIELDS,
        log_entry: LogEntry::describe()?,
    })
}
