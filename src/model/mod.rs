//! Data that every other module speaks in: configuration, requests, answers, stream events, usage, money.

pub mod answer;
pub mod config;
pub mod event;
pub mod json;
pub mod message;
pub mod money;
pub mod request;
pub mod usage;

pub use answer::{Answer, GatewayResponse};
pub use event::{FinishReason, StreamEvent};
pub use message::{Content, Message, Part, Role, ToolCall};
pub use money::Usd;
pub use request::ChatRequest;
pub use usage::{TokenUsage, UsageLog, UsageSource};
