//! Data that every other module speaks in: configuration, requests, answers, stream events, usage, money.

pub mod answer;
pub mod config;
pub mod event;
pub mod json;
pub mod message;
pub mod money;
pub mod request;
pub mod tools;
pub mod usage;

pub use answer::{Answer, AttemptRecord, EmbedResponse, GatewayResponse, output_text};
pub use event::{FinishReason, OtherContent, StreamEvent};
pub use message::{Content, Message, Part, Role};
pub use money::Usd;
pub use request::{CacheWish, ChatRequest, EmbedRequest, Feature};
pub use tools::{ResponseFormat, Tool, ToolCall, ToolCallAssembly, ToolCallDelta, ToolChoice};
pub use usage::{TokenUsage, UsageLog, UsageSource};
