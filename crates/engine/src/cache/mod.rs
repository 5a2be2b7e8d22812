//! Identical calls: which calls are the same ([`CacheKey`]), cached answers ([`AnswerCache`]), and calls in
//! flight that are shared by all who make them ([`Flights`]).

mod digest;
mod entry;
mod flight;
mod key;
mod replay;
mod shared;
mod source;
mod store;

pub use flight::{
    AnswerFlights, Completion, FlightStream, Flights, Follower, Joined, Leader, SharedAnswer, SharedStream,
    StreamFlights,
};
pub use key::{CacheKey, Notes, Tenant};
pub use replay::events;
pub use shared::SharedAnswers;
pub use store::AnswerCache;
