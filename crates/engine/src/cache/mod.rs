//! Identical calls: which calls are the same ([`CacheKey`]), answers kept for them ([`AnswerCache`]), and calls in
//! flight that are shared by all who make them ([`Flights`]).

mod answer;
mod digest;
mod flight;
mod key;
mod source;
mod store;

pub use answer::CachedAnswer;
pub use flight::{AnswerFlights, FlightStream, Flights, Follow, Joined, Lead, Shared, StreamFlights};
pub use key::CacheKey;
pub use store::AnswerCache;
