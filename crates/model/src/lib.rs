//! What all other crates speak in: configuration, requests, answers, stream events, usage, money, errors, and the contract
//! of a provider. Data and contracts, no I/O.

pub mod added_words;
pub mod answer;
mod caller;
pub mod config;
mod deadline;
mod embeddings;
pub mod error;
pub mod event;
mod event_source;
pub mod json;
mod key_state;
pub mod message;
pub mod money;
pub mod outcome;
pub mod provider;
pub mod request;
pub mod retry;
pub mod tools;
pub mod usage;

pub use answer::{Answer, AnswerBuilder, AttemptRecord, EmbedResponse, Warning, output_text};
pub use caller::Caller;
pub use embeddings::{EmbedCall, Vectors};
pub use error::{ErrorKind, Failure, GatewayError};
pub use event::{FinishReason, StreamEvent, TextChunk};
pub use event_source::{CommittedStream, EventSource, OpenedStream, await_first_content, take_warnings};
pub use key_state::{KeyState, KeyTrouble};
pub use message::{Content, Message, Part, Role};
pub use money::Usd;
pub use outcome::{Billing, CallFigures, Delivery, GatewayResponse, Outcome};
pub use provider::{Provider, ProviderCall, UniversalCall};
pub use request::{CacheWish, ChatRequest, EmbedRequest, Feature, OptionBounds, Setting};
pub use retry::RetryPolicy;
pub use tools::{ResponseFormat, Tool, ToolCall, ToolCallAssembly, ToolCallDelta, ToolChoice};
pub use usage::{CallLabels, LoggedCall, Side, TokenUsage, UsageLog, UsageSource};
