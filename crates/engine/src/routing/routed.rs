//! Who answered a call.

use std::sync::Arc;

use tokio::time::Instant;

use crate::budget::Reservation;
use gateway_model::Provider;

/// An answer, and the attempt that gave it.
pub struct Routed<T> {
    pub output: T,
    /// Name of the entry whose provider answered.
    pub entry: String,
    pub provider: Arc<dyn Provider>,
    /// The model that was asked for.
    pub model: String,
    /// Name of the first candidate's provider, when another answered.
    pub fallback_from: Option<String>,
    pub fallback_triggered: bool,
    /// Attempts that were sent, and given up because this one answered first.
    pub hedge_losers: Vec<HedgeLoser>,
    /// The output is a chain's `degradedReply`: no provider answered.
    pub degraded: bool,
    /// What the attempt reserved of the budgets, to be settled with what it used.
    pub reservation: Option<Reservation>,
}

impl<T> Routed<T> {
    /// The first candidate's answer.
    pub fn new(output: T, entry: String, provider: Arc<dyn Provider>, model: String) -> Self {
        Self {
            output,
            entry,
            provider,
            model,
            fallback_from: None,
            fallback_triggered: false,
            hedge_losers: Vec::new(),
            degraded: false,
            reservation: None,
        }
    }
}

/// An attempt that another one of the same call beat to the first content.
pub struct HedgeLoser {
    pub provider: Arc<dyn Provider>,
    pub model: String,
    pub started: Instant,
    /// As [`Routed::reservation`].
    pub reservation: Option<Reservation>,
}
